"""What a host does to itself, with an undoing that the same host carries out whatever becomes of the harness.

One command arms and does: a background process in a session of its own writes down how to undo, tells that it stands, and only
then is the thing done. After its time the background process undoes by itself; `undo` carries the same out at once. A file
lock, which the kernel releases when its holder dies, lets only one of them do it at a time, and the second finds it done. Every
undoing must therefore be harmless when nothing was done, and when it is done again after having been cut short.

On the host: FOLDER/RUN/NAME with `undo`, `check`, `lock`, `pid` and what the doing writes there, for root only, gone afterwards.
"""

from __future__ import annotations

import math
import re
import secrets
import shlex
from dataclasses import dataclass

from harness.deadline import Deadline
from harness.errors import DeadlineExceeded, HarnessError, Unusable
from harness.hosts.base import Host, HostUnreachable

RUN = secrets.token_hex(4)  # this harness process, so that two of them never meet in one folder
FOLDERS = ("/run/lkharness", "/var/tmp/lkharness")  # the second where there is no /run to write to
MARK = "LKHARNESS_DEADMAN"  # in the environment of every process that we leave running on a host
UNDO_S = 5.0  # at most; how long before the longest duration the host begins with the undoing
TRIES = 5  # of a deadman whose undoing fails

# Runs in its own session; arguments: run/name, seconds, undo, check, folders…
_DEADMAN = r"""
umask 077
where=$1 seconds=$2 undo=$3 check=$4; shift 4
d=
for base; do
  mkdir -p "$base/${where%/*}" 2>/dev/null && [ -O "$base" ] && [ ! -L "$base" ] || continue
  mkdir "$base/$where" 2>/dev/null && d=$base/$where && break
  [ -d "$base/$where" ] && echo "$base/$where is there already" && exit 1
done
[ -n "$d" ] || { echo "no folder can be made in $*"; exit 1; }
printf '%s\n' "$undo" >"$d/undo" && printf '%s\n' "$check" >"$d/check" && echo $$ >"$d/pid" && : >"$d/lock" || {
  rm -rf "$d"; echo "$base cannot be written to"; exit 1
}
echo "armed $d"
exec </dev/null >/dev/null 2>&1
unset LKHARNESS_DEADMAN
export d
LKHARNESS_DEADMAN="$where" sleep "$seconds"
n=0
while [ -d "$d" ] && [ $n -lt TRIES ]; do
  (
    exec 9<"$d/lock" || exit 0
    flock 9
    if [ ! -e "$d/done" ]; then { sh "$d/undo" && sh "$d/check"; } >"$d/said" 2>&1 9<&- || exit 1; fi
    : >"$d/done"
    rm -rf "$d"; rmdir "${d%/*}" "${d%/*/*}" 2>/dev/null
    exit 0
  ) && exit 0
  mv -f "$d/said" "$d/failed"; n=$((n + 1))
  sleep 2
done
""".replace("TRIES", str(TRIES))

# Arguments: mark, deadman, act, then the deadman's own.
_ARM = r"""
for tool in setsid flock; do
  command -v $tool >/dev/null || { echo "$tool is not installed; install the package util-linux" >&2; exit 3; }
done
mark=$1 deadman=$2 act=$3; shift 3
{ env LKHARNESS_DEADMAN="$mark" setsid sh -c "$deadman" lkharness-deadman "$@" 2>&1 & } | {
  read -r word d || word="it said nothing" d=
  [ "$word" = armed ] || { echo "the undoing could not be armed: $word $d" >&2; exit 3; }
  export d
  before=$(date +%s.%N)
  sh -c "$act" </dev/null || exit $?
  echo "moment $before $(date +%s.%N)"
}
"""

# Arguments: run/name, folders…
_UNDO = r"""
where=$1; shift
d=
for base; do [ -d "$base/$where" ] && d=$base/$where; done
[ -n "$d" ] || { echo "none"; exit 0; }
export d
exec 9<"$d/lock" || { [ -d "$d" ] || { echo "none"; exit 0; }; exit 1; }
flock 9
[ -d "$d" ] || { echo "none"; exit 0; }
if [ ! -e "$d/done" ]; then
  sh "$d/undo" 9<&- >&2 && sh "$d/check" 9<&- >&2 || exit 1
  : >"$d/done"
fi
pid=$(cat "$d/pid")
tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "LKHARNESS_DEADMAN=$where" && kill -KILL "-$pid"
rm -rf "$d" && { rmdir "${d%/*}" "${d%/*/*}" 2>/dev/null; echo "undone"; }
"""

_REMAINS = r"""
PATH="$PATH:/usr/sbin:/sbin"
mark=$1; shift
for base; do
  for d in "$base"/*/*; do
    [ -d "$d" ] || continue
    echo "folder $d$([ -e "$d/failed" ] && echo ": its undoing failed and said: $(tail -n 1 "$d/failed")")"
  done
done
command -v nft >/dev/null && nft list tables 2>/dev/null | sed -n 's/^table \([a-z]* lkharness.*\)/nft table \1/p'
for e in $(grep -lsz "^$mark=" /proc/[0-9]*/environ); do
  p=${e%/environ}
  of=$(tr '\0' '\n' <"$e" 2>/dev/null | sed -n "s/^$mark=//p")
  [ -n "$of" ] && echo "process ${p#/proc/} ($(cat "$p/comm" 2>/dev/null)) of $of"
done
exit 0
"""


class UndoFailed(HarnessError):
    """What was done to a host is still done; the message says to whom and what a person must look at."""


@dataclass(frozen=True)
class Script:
    """Shell on the host, as root, with `$d` the folder: the thing, its undoing, and a check that nothing of it is left (exit 0)."""

    act: str
    undo: str
    check: str = ":"


class Deadman:
    """One disruption's hold on one host. `longest`: seconds after which the host itself has undone it."""

    def __init__(self, host: Host, name: str, *, longest: float) -> None:
        self.host = host
        self.longest = longest
        self.where = f"{RUN}/{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}-{secrets.token_hex(3)}"

    @property
    def id(self) -> str:
        """A name for this one alone that nft takes, too."""
        return "lkharness_" + re.sub(r"[^A-Za-z0-9]+", "_", self.where)

    def do(self, script: Script, *, limit: float, severs: bool = False) -> tuple[float, float] | None:
        """Arm the undoing, then do it; the host's wall clock before and after, or None when it could not tell any more.

        With `severs` the connection to the host may die of it. Raises CommandFailed, HostUnreachable, DeadlineExceeded;
        after any of them `undo` must be called, because the thing may have been done.
        """
        wait = math.ceil(max(self.longest - UNDO_S, self.longest * 0.5) * 10) / 10
        words = [self.where, _DEADMAN, script.act, self.where, str(wait), script.undo, script.check, *FOLDERS]
        try:
            said = self.host.check(["sh", "-c", _ARM, "lkharness-arm", *words], limit=limit)
        except (HostUnreachable, DeadlineExceeded):
            if severs:
                return None
            raise
        told = re.search(r"^moment (\S+) (\S+)$", said, re.MULTILINE)
        if told is None:
            raise Unusable(f"{self.host.name}: what should have been done there did not say when; it printed: {said.strip() or 'nothing'}")
        return float(told[1]), float(told[2])

    def undo(self, deadline: Deadline) -> bool:
        """Carry the undoing out now and remove everything; False when the host had done it already, or nothing was ever armed.

        A host that is cut off is waited for, until its own deadman lets it speak again. Raises UndoFailed.
        """
        words = ["sh", "-c", _UNDO, "lkharness-undo", self.where, *FOLDERS]
        why = "there was no time"

        def once() -> bool | None:
            nonlocal why
            try:
                done = self.host.run(words, limit=max(deadline.within(30.0), 2.0))  # the last look may look, too
            except (HostUnreachable, DeadlineExceeded) as error:
                why = str(error)
                return None
            if done.ok:
                return "undone" in done.out.split()
            why = (done.err.strip() or done.out.strip() or f"exit {done.exit}").splitlines()[-1]
            return None

        try:
            return bool(deadline.wait_for(once, until=lambda said: said is not None, what="the undoing", every=0.5))
        except DeadlineExceeded:
            look = f"look at {' or '.join(f'{f}/{self.where}' for f in FOLDERS)} there"
            raise UndoFailed(f"{self.host.name}: what was done to it could not be undone: {why}; {look} and run its `undo`") from None


def remains(host: Host, *, limit: float = 10.0) -> list[str]:
    """What of ours is left on a host: folders, nft tables, processes. Empty is as it must be."""
    return host.check(["sh", "-c", _REMAINS, "lkharness-remains", MARK, *FOLDERS], limit=limit).splitlines()


def quoted(*words: str) -> str:
    return shlex.join(words)
