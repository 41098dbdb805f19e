"""What a user of a host tries who has a shell there and no rights: one list, as data, for every test that has such a user.

Each attempt is a line of shell, run as NOBODY with `$P` a file or folder of ours, or `$PID` a process of ours. An attempt gains something
where it prints a word that only its owner may know, or where `wrong` says so; what it stops or changes, the thing's own test sees.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from harness.hosts.host import Host

PYTHON = "/usr/bin/python3"
ATTACH = "import ctypes, sys; sys.exit(0 if ctypes.CDLL(None).ptrace(16, int(sys.argv[1]), 0, 0) == 0 else 1)"
MEMORY = "import sys; open('/proc/%s/mem' % sys.argv[1], 'r+b')"
HOLD = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)"
WATCH = (
    "import ctypes, sys; c = ctypes.CDLL(None); "
    "sys.exit(0 if c.inotify_add_watch(c.inotify_init(), sys.argv[1].encode(), 4095) >= 0 else 1)"
)
SPEAK = (
    "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5); s.sendall(b'of a stranger'); "
    "s.settimeout(5); print(s.recv(99))"
)


@dataclass(frozen=True)
class Attempt:
    """`may_succeed`: its exit 0 gains nothing by itself (what it prints still counts)."""

    name: str
    line: str
    may_succeed: bool = False


ON_A_PATH = (
    Attempt("list it", 'ls -laR "$P"'),
    Attempt("read it", 'cat "$P" "$P"/* "$P"/*/* | head -c 9999', may_succeed=True),
    Attempt("read it as an archive", 'tar cf - "$P" | strings | head -c 9999', may_succeed=True),
    Attempt("enter it and read what is there", 'cd "$P" && cat ./*'),
    Attempt(
        "find in it by name",
        'for name in undo check lock pid name spool lease cluster.toml login; do cat "$P/$name"; done',
        may_succeed=True,
    ),
    Attempt("write into it", 'echo taken >"$P" || echo taken >"$P/undo"'),
    Attempt("append to it", 'echo taken >>"$P"'),
    Attempt("empty it", 'truncate -s 0 "$P" || truncate -s 0 "$P"/*'),
    Attempt("make a file in it", 'touch "$P/new" || mkdir "$P/new" || mkfifo "$P/fifo"'),
    Attempt("let everybody in", 'chmod -R a+rwx "$P"'),
    Attempt("take it", 'chown -R "$(id -u)" "$P"'),
    Attempt("rename it", 'mv -T "$P" "$P.away"'),
    Attempt("remove it", 'rm -rf "$P" && [ ! -e "$P" ]'),
    Attempt("put a link in its place", 'ln -sfn /etc "$P.link" && mv -T "$P.link" "$P"'),
    Attempt("name it once more", 'ln "$P" "/tmp/hard-$$" || ln "$P/undo" "/tmp/hard-$$"'),
    Attempt("hold its lock", f'{PYTHON} -c {shlex.quote(HOLD)} "$P" || {PYTHON} -c {shlex.quote(HOLD)} "$P/lock"'),
    Attempt("watch it", f'{PYTHON} -c {shlex.quote(WATCH)} "$P"'),
    Attempt("mount over it", 'mount -t tmpfs none "$P" || mount --bind /etc "$P"'),
    Attempt("mount over it as root of one's own", "unshare -Urm sh -c 'mount -t tmpfs none \"$P\"' sh", may_succeed=True),
    Attempt("read it as root of one's own", 'unshare -Ur sh -c \'cat "$P" "$P"/* "$P"/*/* | head -c 9999\' sh', may_succeed=True),
    Attempt("change its time", 'touch "$P"'),
)
ON_A_PROCESS = (
    Attempt("its environment", 'tr "\\0" "\\n" <"/proc/$PID/environ"'),
    Attempt("its arguments", 'tr "\\0" "\\n" <"/proc/$PID/cmdline"', may_succeed=True),
    Attempt("its folder", 'ls "/proc/$PID/cwd/"'),
    Attempt("its root", 'ls "/proc/$PID/root/"'),
    Attempt("its open files", 'ls -l "/proc/$PID/fd/" && head -c 999 "/proc/$PID/fd/"*'),
    Attempt("its memory", f'{PYTHON} -c {shlex.quote(MEMORY)} "$PID"'),
    Attempt("its stack and calls", 'cat "/proc/$PID/stack" "/proc/$PID/syscall"'),
    Attempt("trace it", f'{PYTHON} -c {shlex.quote(ATTACH)} "$PID"'),
    *(Attempt(f"send it SIG{name}", f'kill -{name} "$PID"') for name in ("TERM", "KILL", "STOP", "HUP", "INT", "USR1")),
    Attempt("send its group SIGKILL", 'kill -KILL -- "-$PID"'),
    Attempt("make it slow", 'renice -n 19 -p "$PID"'),
    Attempt("take its limits away", 'prlimit --pid "$PID" --nofile=3:3'),
    Attempt("have it killed for memory first", 'echo 1000 >"/proc/$PID/oom_score_adj"'),
)
ON_A_PORT = (Attempt("connect, and say something", f'{PYTHON} -c {shlex.quote(SPEAK)} "$PORT"', may_succeed=True),)


def tried(nobody: Host, attempts: tuple[Attempt, ...], words: tuple[str, ...], **given: object) -> list[str]:
    """Make each attempt with these variables; which of them gained something, each with what it printed. `words` are secrets."""
    names = " ".join(f"{name}={shlex.quote(str(value))}; export {name};" for name, value in given.items())
    mark = "-- attempt --"
    script = "".join(f"echo '{mark}'; {{ timeout 20 sh -c {shlex.quote(a.line)}; }} </dev/null 2>&1; echo \"exit $?\"\n" for a in attempts)
    said = nobody.run(["sh"], limit=600.0, input=f"{names}\n{script}".encode()).out.split(mark)[1:]
    assert len(said) == len(attempts), said
    wrong = []
    for attempt, heard in zip(attempts, said, strict=True):
        gained = heard.rstrip().endswith("exit 0") and not attempt.may_succeed
        if gained or any(word in heard for word in words):
            wrong.append(f"{attempt.name} {given}: {heard.strip()[-300:]}")
    return wrong
