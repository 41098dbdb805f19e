"""Commands that change a cluster: started on the host in a session of their own, and followed until they end.

Reading has limits, doing has none on the host. A deadline here is the harness's own: when it has passed, the harness stops waiting, and
the command goes on to its end, because a switchover that is killed half way leaves the services on neither node. The same holds for a
connection that is lost. What is not collected removes itself; `unfinished` tells what still runs, to this process or to any other.

On the host: FOLDER/NAME with `command`, `pid`, `said` and `exit`, for root only.
"""

from __future__ import annotations

import secrets

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError, Unusable
from harness.hosts.host import Command, CommandResult, Host, HostUnreachable, NotReadable
from harness.hosts.root_rights import MAY_ALL, ROOT, as_root
from harness.hosts.shell_command import as_line, shorten

FOLDER = "/run/lkharness-jobs"
MAX_OUTPUT_BYTES = 20_000  # bytes of a command's output, the last ones
LOOK_TIMEOUT_S = 10.0  # for one look at a host; looking may have a limit
RESULT_KEPT_S = 600  # for so long a result is kept for somebody who comes back for it
SCOPE_TIMEOUT_S = 20  # for systemd to make a scope; without an answer the command runs in its own session
MAX_STARTING_MIN = 2  # minutes; a command that has no process by then has none any more

# Runs in its own session; arguments: the job's folder, the umask to work with. Where systemd is, in a scope of its own: a session that
# ends with `KillUserProcesses` would end it, and unlike a service's, a scope's end ends nothing that the command has started. The pipe
# and not a file takes the output: a daemon that keeps it open for life can then fill nothing.
_JOB = (
    r"""
d=$1 mask=$2
if [ -z "$3" ] && [ -d /run/systemd/system ] && timeout STARTING systemd-run --scope --quiet true 2>/dev/null; then
  exec systemd-run --scope --quiet sh "$d/job" "$d" "$mask" in-scope
fi
read -r stat </proc/$$/stat
set -- $stat
echo "$$ ${22}" >"$d/pid.new" && mv "$d/pid.new" "$d/pid"
{
  (umask "$mask"; exec sh "$d/command") 2>&1
  echo $? >"$d/exit.new" && mv "$d/exit.new" "$d/exit"
  exec >/dev/null
  n=0
  while [ -d "$d" ] && [ $n -lt UNCOLLECTED ]; do sleep 1; n=$((n + 1)); done
  rm -rf "$d"; rmdir "${d%/*}" 2>/dev/null
} | { tail -c SAID >"$d/said"; : >"$d/end"; } 2>/dev/null
""".replace("UNCOLLECTED", str(RESULT_KEPT_S))
    .replace("SAID", str(MAX_OUTPUT_BYTES))
    .replace("STARTING", str(SCOPE_TIMEOUT_S))
)

# Arguments: folder, name, job, command. Exit 3 with a reason: nothing was started.
_START = r"""
folder=$1 d=$1/$2 mask=$(umask)
umask 077
command -v setsid >/dev/null || { echo "setsid is not installed; install the package util-linux" >&2; exit 3; }
for again in 1 2 3; do
  mkdir "$folder" 2>/dev/null
  [ ! -L "$folder" ] && [ "$(stat -c '%u %a' "$folder" 2>/dev/null)" = "$(id -u) 700" ] && mkdir "$d" 2>/dev/null && break
done
[ -d "$d" ] || { echo "$folder cannot be used: it must be a folder of this account's own, with mode 700" >&2; exit 3; }
printf '%s\n' "$3" >"$d/job" && printf '%s\n' "$4" >"$d/command" || { rm -rf "$d"; echo "$folder cannot be written to" >&2; exit 3; }
setsid sh "$d/job" "$d" "$mask" </dev/null >/dev/null 2>&1 &
while [ ! -e "$d/pid" ] && [ -d "$d" ]; do sleep 0.02; done
"""

# Defines `runs FOLDER`: is the process that wrote its pid there still the same one?
_RUNS = r"""
runs() {
  read -r pid began <"$1/pid" && read -r stat <"/proc/$pid/stat" || return 1
  set -- $stat
  [ "${22}" = "$began" ]
} 2>/dev/null
"""

# Arguments: the job's folder. Waits a moment for its end, so that nobody has to ask again and again.
_LOOK = (
    _RUNS
    + r"""
d=$1 n=0
while [ ! -e "$d/exit" ] && [ $n -lt 40 ] && runs "$d"; do sleep 0.05; n=$((n + 1)); done
if [ -e "$d/exit" ]; then
  n=0
  while [ ! -e "$d/end" ] && [ $n -lt 10 ]; do sleep 0.05; n=$((n + 1)); done
  echo "exit $(cat "$d/exit")"; cat "$d/said"
elif runs "$d"; then echo running
else echo gone
fi
"""
)

# What has no process yet is on its way: systemd may be slow.
_UNFINISHED = (
    _RUNS
    + r"""
begins() { [ ! -e "$1/pid" ] && [ -n "$(find "$1" -maxdepth 0 -mmin -STARTING 2>/dev/null)" ]; }
for d in "$1"/*; do
  [ ! -e "$d/command" ] || [ -e "$d/exit" ] || { ! begins "$d" && ! runs "$d"; } || head -n 1 "$d/command"
done
exit 0
""".replace("STARTING", str(MAX_STARTING_MIN))
)

# Whoever may not become root there sees whether there is anything, and not what.
_BY_ROOT = f"""
[ -e "$1" ] || exit 0
if {MAY_ALL}; then exec {ROOT} sh -c "$2" lkharness-unfinished "$1"; fi
echo "something in $1, of which only root is told what it is"
"""


class StillRunning(DeadlineExceeded):
    """The harness stopped waiting for a command that goes on; the message names host and command."""


class JobLost(HarnessError):
    """A command that was started has neither ended nor does it run: its host was reset, or somebody killed it."""


def run_to_its_end(host: Host, command: Command, deadline: Deadline, *, folder: str | None = None) -> CommandResult:
    """Run a command that changes a cluster; its output is `out`, both streams together.

    Raises StillRunning when it has not ended within the deadline (nobody ends it then), JobLost, HostUnreachable when it could not be
    started or nobody knows whether it was, Unusable when the host cannot keep such commands.
    """
    line, name = as_line(command), secrets.token_hex(6)
    folder = folder or FOLDER
    place = f"{folder}/{name}"
    start = as_root(["sh", "-c", _START, "lkharness-start", folder, name, _JOB, line])
    try:
        started = host.run(start, limit=max(deadline.within(LOOK_TIMEOUT_S), 5.0))
    except DeadlineExceeded as error:  # whether it was started is not known, and what was is not ended
        raise StillRunning(f"{host.name}: `{shorten(line)}` has not begun in time; it was not ended, and may begin there yet") from error
    if not started.ok:
        raise Unusable(f"{host.name}: `{shorten(line)}` was not started: {_last_line(started)}")
    unseen = ""

    def read_end() -> CommandResult | None:
        nonlocal unseen
        try:
            look = host.run(as_root(["sh", "-c", _LOOK, "lkharness-look", place]), limit=max(deadline.within(LOOK_TIMEOUT_S), 3.0))
        except (HostUnreachable, DeadlineExceeded) as error:  # it may be heard of again; the command does not mind
            unseen = f" ({error})"
            return None
        unseen = ""
        word, _, output = look.out.partition("\n")
        if word.startswith("exit ") and word[5:].strip().isdigit():
            return CommandResult(host.name, line, int(word[5:]), output, "", deadline.anchor, deadline.elapsed())
        if word == "gone":
            raise JobLost(f"{host.name}: `{shorten(line)}` was started there, and neither ended nor runs; was the host reset?")
        if word != "running":
            raise NotReadable(f"{host.name}: what became of `{shorten(line)}` cannot be read: {_last_line(look)}")
        return None

    try:
        finished = deadline.wait_for(read_end, until=lambda result: result is not None, what=f"the end of `{shorten(line)}`", every=0.02)
    except DeadlineExceeded:
        raise StillRunning(
            f"{host.name}: `{shorten(line)}` has not ended within {deadline.seconds:.0f} s; it was not ended, and goes on there{unseen}"
        ) from None
    assert finished is not None  # that is what was waited for
    host.run(as_root(["sh", "-c", 'rm -rf "$1"', "lkharness-collected", place]), limit=LOOK_TIMEOUT_S)
    return finished


def unfinished_commands(host: Host, *, limit: float = LOOK_TIMEOUT_S, folder: str | None = None) -> list[str]:
    """The commands that change the cluster and still run on this host, whoever started them there with `run_to_its_end`."""
    return host.check(["sh", "-c", _BY_ROOT, "lkharness-unfinished", folder or FOLDER, _UNFINISHED], limit=limit).splitlines()


def _last_line(result: CommandResult) -> str:
    return (result.err.strip() or result.out.strip() or f"exit {result.exit}").splitlines()[-1]
