"""What is done to a Windows host, with an undoing that the host carries out itself: a scheduled task of SYSTEM, armed before the deed.

The same promise as `harness.hosts.deadman`, by Windows' own means: the task waits by itself (no clock moves it), undoes at once when it is
told to or after a boot, goes on until the thing was seen to be as it was, and takes itself away. Shape only: never run on Windows.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError, Unusable
from harness.hosts.deadman.deadman_switch import RUN, UNDO_MARGIN_S, ArmedUndo, UndoFailed
from harness.hosts.host import CommandFailed, Host, HostUnreachable, NotReadable
from harness.hosts.windows.script_contract import ENGINE
from harness.hosts.windows.script_protocol import MISSING
from harness.hosts.windows.script_runner import ScriptFailed, ask, rows_of

ARM_TIMEOUT_S = 60.0  # the script itself waits 30 s for the task to begin
LOOK_TIMEOUT_S = 120.0  # with a thousand firewall rules a look at them takes a minute (WNET-38)
STEP_S = 1.1  # a step of the task's count is a second and what starting a program takes [from memory]; counted generously
POLL_INTERVAL_S = 0.5
NAME = re.compile(r"[A-Za-z0-9 ._#()-]{1,80}", re.ASCII)  # what cmd gives no meaning of its own
NOT_HEARD = (HostUnreachable, DeadlineExceeded, NotReadable)


@dataclass(frozen=True)
class WindowsChange:
    """What is done and undone: firewall rules of a name, or an adapter that is off, whose address is to come back."""

    kind: str
    rule: str = ""
    nic: str = ""
    address: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """As the scripts take them."""
        return {key.capitalize(): value for key, value in asdict(self).items() if value}


@dataclass(frozen=True)
class Deed:
    """The script that does it, with its parameters."""

    script: str
    parameters: dict[str, object]


def rule_name(token: str) -> str:
    """The name of what an undoing of that token removes."""
    return f"lkharness-{token}"


@cache
def guard() -> str:
    """The program that waits on the host and undoes."""
    return (ENGINE / "undo-task.cmd").read_text(encoding="ascii")


def waits_s(longest: float) -> int:
    """How many steps the host waits, so that it has begun to undo before `longest` seconds have passed. Pure."""
    return max(1, math.floor(max(longest - UNDO_MARGIN_S, longest * 0.5) / STEP_S))


class WindowsDeadman:
    """One disruption's hold on one Windows host; `lease`: the token that must be on it, empty where none is needed.

    `on_armed` is called before anything is done, and may refuse by raising; `on_undone` when it was seen undone.
    """

    def __init__(
        self,
        host: Host,
        name: str,
        *,
        longest: float,
        lease: str = "",
        on_armed: Callable[[ArmedUndo], None] = lambda entry: None,
        on_undone: Callable[[str], None] = lambda token: None,
    ) -> None:
        self.host, self.longest = host, longest
        self.token = secrets.token_hex(8)
        self.of = f"{RUN}/{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}"
        self._lease, self._tell_armed, self._tell_undone = lease, on_armed, on_undone
        self._armed: ArmedUndo | None = None

    def do(
        self, change: WindowsChange, deed: Deed, *, limit: float, severs: bool = False, permit: Callable[[], None] = lambda: None
    ) -> tuple[float, float] | None:
        """Arm, then do; the host's wall clock before and after, or None when it could not tell any more. `permit` is asked between the two,
        because arming takes up to a minute, and may refuse by raising.

        With `severs` the connection to the host may die of it. Raises CommandFailed, HostUnreachable, DeadlineExceeded, NotReadable;
        after any of them `undo` must be called, because the thing may have been done.
        """
        armed = ArmedUndo(self.host.name, self.token, self.of, json.dumps(asdict(change)), "", self.longest, "windows")
        self._tell_armed(armed)
        self._armed = armed
        arm(self.host, armed, change, waits_s(self.longest), self._lease)
        permit()
        try:
            row = rows_of(self.host, deed.script, {**deed.parameters, "Undo": self.token, "Lease": self._lease}, limit=limit)[0]
        except (HostUnreachable, DeadlineExceeded):
            if severs:
                return None
            raise
        return float(row["Before"]), float(row["After"])

    def undo(self, deadline: Deadline) -> bool:
        """Have it undone now; False when the host had done it already, or nothing was ever armed. Raises UndoFailed.

        A host that is cut off is waited for, until its own task lets it speak again.
        """
        if self._armed is None:
            return False
        by_us = send_undoing(self.host, self._armed, limit=deadline.remaining())
        self._tell_undone(self.token)
        return by_us


def arm(host: Host, armed: ArmedUndo, change: WindowsChange, seconds: int, lease: str = "") -> None:
    """Raises Unusable where nothing could be armed, so that nothing is done; HostUnreachable, DeadlineExceeded."""
    parameters = {"Token": armed.token, "Of": armed.of, "Seconds": seconds, "Guard": guard(), "Lease": lease, **change.parameters}
    answer = ask(host, "undo-arm", parameters, limit=ARM_TIMEOUT_S)
    if not answer.ok:
        raise Unusable(f"{host.name}: its undoing could not be armed, so nothing was done: {answer.why}")


def send_undoing(host: Host, armed: ArmedUndo, *, limit: float) -> bool:
    """Have the host undo it now, and see that it is undone; False when the host had done it already.

    Where nothing is armed there any more, the thing itself is looked at: somebody may have removed the task, and not what was done.
    Raises UndoFailed with the last reason, when `limit` seconds have passed.
    """
    change = WindowsChange(**json.loads(armed.undo))
    is_begun, by_us, why = False, False, "there was no time"

    def try_once() -> bool:
        nonlocal is_begun, by_us, why
        try:
            rows = rows_of(host, "undo-list", {"Token": armed.token}, limit=LOOK_TIMEOUT_S)
            if not rows:
                if not still_stands(host, change):
                    return True
                arm(host, armed, change, 0)
                is_begun = by_us = True
                why = "nothing was armed there any more; it was armed anew"
                return False
            why = f"it is {rows[0]['State']} there"
            if not is_begun:
                is_begun = _begin_task(host, armed, change)
                by_us = by_us or is_begun
            return False
        except (*NOT_HEARD, CommandFailed, Unusable) as error:
            why = str(error)
            return False

    try:
        Deadline(max(limit, 2.0)).wait_for(try_once, what="the undoing", every=POLL_INTERVAL_S)
    except DeadlineExceeded:
        raise UndoFailed(
            f"{host.name}: what was done to it could not be undone: {why}; "
            f"it goes on trying by itself, by the task {rule_name(armed.token)}"
        ) from None
    return by_us


def _begin_task(host: Host, armed: ArmedUndo, change: WindowsChange) -> bool:
    """Told to begin. A folder or a rule whose task is gone is armed anew. False when it had just ended."""
    answer = ask(host, "undo-begin", {"Token": armed.token}, limit=LOOK_TIMEOUT_S)
    if answer.ok:
        return True
    if answer.error != MISSING:
        raise ScriptFailed(host.name, "undo-begin", answer)
    if not rows_of(host, "undo-list", {"Token": armed.token}, limit=LOOK_TIMEOUT_S):
        return False
    arm(host, armed, change, 0)
    return True


def still_stands(host: Host, change: WindowsChange) -> bool:
    """Is anything of it still so? Raises what `rows_of` raises."""
    return rows_of(host, "effect", change.parameters, limit=LOOK_TIMEOUT_S)[0]["There"] is True


def effect_in_force(host: Host, change: WindowsChange, *, limit: float = LOOK_TIMEOUT_S) -> tuple[bool, str]:
    """Is it done and does it have its effect? With what the host says where not. Raises what `rows_of` raises."""
    row = rows_of(host, "effect", change.parameters, limit=limit)[0]
    return row["InForce"] is True, str(row["Why"])


def remains(host: Host, *, limit: float = 60.0) -> list[str]:
    """What of ours is left on a host, in words. Empty is right."""
    words = {
        "waiting": "undoing {0} of {1}",
        "undoing": "undoing {0} of {1}",
        "failing": "undoing {0} of {1}: it goes on failing",
        "task": "task lkharness-{0}",
        "rule": "firewall rule lkharness-{0}",
    }
    return [words.get(r["State"], "{0}: " + r["State"]).format(r["Token"], r["Of"]) for r in rows_of(host, "undo-list", {}, limit=limit)]


def reason_it_cannot_undo(host: Host, *, limit: float = 20.0) -> str:
    """Why this host cannot undo anything by itself; empty where nothing speaks against it. Asked beforehand, changes nothing."""
    try:
        row = rows_of(host, "undo-readiness", {}, limit=limit)[0]
    except HarnessError as error:
        return f"whether {host.name} could undo it by itself is not known: {error}"
    if row["Administrator"] is not True:
        return f"the account on {host.name} is not known to be an administrator, and only one may make a task of SYSTEM"
    if row["Scheduler"] != "Running":
        state = row["Scheduler"] or "not there"
        return f"the Task Scheduler (service Schedule) of {host.name} is {state}, so nothing would be undone by itself"
    if row["Module"] is not True:
        return f"{host.name} has no module ScheduledTasks, by which it would be made to undo it by itself"
    if row.get("Tasks"):
        return f"{host.name} would not be made to undo it by itself, as scheduled tasks are forbidden there: {row['Tasks']}"
    if row["FolderFault"]:
        return f"{host.name}: our folder in %ProgramData% is not for administrators alone: {row['FolderFault']}; remove it"
    return ""
