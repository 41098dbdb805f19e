"""What a host does to itself, with an undoing that the same host carries out whatever becomes of the harness.

One command arms and does: a background process in a session of its own writes down how to undo, tells that it stands, and only
then is the thing done. After its time the background process undoes by itself, again until that succeeded, slower and slower, and tells
the system's log; `undo` carries the same out at once. A file lock, which the kernel releases when its holder dies, lets only one of them
do it at a time, and the second finds it done; the doing holds it, too, so that no undoing ends before it and leaves it done. Every
undoing must therefore be harmless when nothing was done, and when it is done again after having been cut short; it must write nothing that
it needs.

On the host: FOLDER/TOKEN with `name`, `undo`, `check`, `lock`, `pid` and what the doing writes there, for root only, gone afterwards.
The background process is a unit of systemd where there is one: the end of the log-in, which may end every process of it, is none of that.
"""

from __future__ import annotations

import math
import re
import secrets
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError, Unusable
from harness.hosts.deadman.deadman_scripts import BY_INPUT, FOLDER, MARK, REMAINS, REMAINS_BY_ROOT, arming_input, undoing_input
from harness.hosts.host import CommandFailed, Host, HostUnreachable
from harness.hosts.root_rights import as_root

RUN = secrets.token_hex(4)  # this harness process, so that two of them never meet in one folder
_MOMENT = re.compile(r"^moment (\d{1,12}(?:\.\d{1,12})?) (\d{1,12}(?:\.\d{1,12})?)$", re.ASCII | re.MULTILINE)
UNDO_MARGIN_S = 5.0  # at most; how long before the longest duration the host begins with the undoing


class UndoFailed(HarnessError):
    """What was done to a host is still done; the message says to whom and what a person must look at."""


SETTLED = ":"  # the undoing, and its check, of what is known to be as it was: nothing


@dataclass(frozen=True)
class Script:
    """Shell on the host, as root, with `$d` the folder: the thing, its undoing, and a check that nothing of it is left (exit 0)."""

    act: str
    undo: str
    check: str = ":"


@dataclass(frozen=True)
class ArmedUndo:
    """What another process needs to undo it in this one's place: after `longest_s` seconds the host should have done it itself.

    `one_for_all`: of those of the same name (`of`) one host that has undone it has undone it for all. On Windows (`platform`) `undo`
    names the thing instead of a shell's text, and `check` is empty.
    """

    host: str
    token: str
    of: str
    undo: str
    check: str
    longest_s: float
    platform: str = "linux"
    one_for_all: bool = False


def send_undoing(host: Host, armed: ArmedUndo, *, limit: float) -> bool:
    """Carry it out there; False when the host had done it already. Raises UndoFailed with its words, HostUnreachable, DeadlineExceeded."""
    stdin = undoing_input(armed.token, armed.of, armed.undo, armed.check)
    completed = host.run(as_root(["sh", "-c", BY_INPUT, "lkharness-undo"]), limit=limit, input=stdin)
    if not completed.ok:
        raise UndoFailed((completed.err.strip() or completed.out.strip() or f"exit {completed.exit}").splitlines()[-1])
    return "undone" in completed.out.split()


class Deadman:
    """One disruption's hold on one host. `longest`: seconds after which the host itself has undone it, if it can be undone then.

    `on_armed` is called before anything is done, and may refuse by raising; `on_undone` when it was seen undone. `undo_output`: what the
    undoing printed on the host.
    """

    def __init__(
        self,
        host: Host,
        name: str,
        *,
        longest: float,
        on_armed: Callable[[ArmedUndo], None] = lambda entry: None,
        on_undone: Callable[[str], None] = lambda token: None,
    ) -> None:
        self.host = host
        self.longest = longest
        self.one_for_all = False  # see ArmedUndo
        self._tell_armed, self._tell_undone = on_armed, on_undone
        self.token = secrets.token_hex(8)
        self.of = f"{RUN}/{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}"
        self.undo_output = ""
        self._script: Script | None = None
        self._has_ended = False  # has the command that arms and does it ended, so that nothing of it is on its way to the host?

    @property
    def id(self) -> str:
        """A name for this one alone that nft takes, too."""
        return "lkharness_" + re.sub(r"[^A-Za-z0-9]+", "_", f"{self.of}_{self.token[:6]}")

    def do(self, script: Script, *, limit: float, severs: bool = False) -> tuple[float, float] | None:
        """Arm the undoing, then do it; the host's wall clock before and after, or None when it could not tell any more.

        With `severs` the connection to the host may die of it. Raises CommandFailed, HostUnreachable, DeadlineExceeded;
        after any of them `undo` must be called, because the thing may have been done.
        """
        self._tell_armed(
            ArmedUndo(self.host.name, self.token, self.of, script.undo, script.check, self.longest, one_for_all=self.one_for_all)
        )
        self._script = script
        wait = math.ceil(max(self.longest - UNDO_MARGIN_S, self.longest * 0.5) * 10) / 10
        stdin = arming_input(self.token, self.of, wait, script.act, script.undo, script.check)
        try:
            output = self.host.check(as_root(["sh", "-c", BY_INPUT, "lkharness-arm"]), limit=limit, input=stdin)
        except CommandFailed:
            self._has_ended = True
            raise
        except (HostUnreachable, DeadlineExceeded):
            if severs:
                return None
            raise
        self._has_ended = True
        moment = moment_of(output)
        if moment is None:
            raise Unusable(
                f"{self.host.name}: what should have been done there did not say when; it printed: {output.strip() or 'nothing'}"
            )
        return moment

    def mark_settled(self) -> None:
        """The thing was seen to be as it was, by somebody who knows: `undo` then only ends the hold. Where what does it may still be on its
        way, the look was too early, and the undoing is carried out all the same, behind it."""
        if self._script is not None and self._has_ended:
            self._script = Script(SETTLED, SETTLED, SETTLED)

    def undo(self, deadline: Deadline) -> bool:
        """Carry the undoing out now and remove everything; False when the host had done it already, or nothing was ever armed.

        The text is sent again: what lies on the host is not trusted. A host that is cut off is waited for, until its own deadman lets it
        speak again. Raises UndoFailed.
        """
        if self._script is None:
            return False
        stdin = undoing_input(self.token, self.of, self._script.undo, self._script.check, ended=self._has_ended)
        why = "there was no time"

        def try_once() -> bool | None:
            nonlocal why
            try:
                limit = max(deadline.within(30.0), 2.0)  # the last look may look, too
                completed = self.host.run(as_root(["sh", "-c", BY_INPUT, "lkharness-undo"]), limit=limit, input=stdin)
            except (HostUnreachable, DeadlineExceeded) as error:
                why = str(error)
                return None
            if completed.ok:
                self.undo_output = completed.err.strip()
                return "undone" in completed.out.split()
            why = (completed.err.strip() or completed.out.strip() or f"exit {completed.exit}").splitlines()[-1]
            return None

        try:
            by_us = bool(deadline.wait_for(try_once, until=lambda outcome: outcome is not None, what="the undoing", every=0.5))
        except DeadlineExceeded:
            look = f"it goes on trying by itself; or look at {FOLDER}/{self.token} there and run its `undo` with sh"
            raise UndoFailed(f"{self.host.name}: what was done to it could not be undone: {why}; {look}") from None
        self._tell_undone(self.token)
        return by_us


def moment_of(output: str) -> tuple[float, float] | None:
    """When it was done, by the host's wall clock: seconds since the epoch, right before and right after; None where it did not tell.

    A `date` without fractions of a second prints `%N` as it stands, and a stranger prints anything.
    """
    moment = _MOMENT.search(output)
    return (float(moment[1]), float(moment[2])) if moment else None


def remains(host: Host, *, limit: float = 10.0) -> list[str]:
    """What of ours is left on a host: folders, nft tables, processes, files that fill a disk, settings of the cluster. Empty is right.

    An account that may not become root there sees what it may: that there is a folder, tables, settings and files, no processes.
    """
    return host.check(["sh", "-c", REMAINS_BY_ROOT, "lkharness-remains", MARK, FOLDER, REMAINS], limit=limit).splitlines()


def quoted(*words: str) -> str:
    """These words as one line for a POSIX shell."""
    return shlex.join(words)
