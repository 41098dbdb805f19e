"""A disruption that a host does to itself and undoes by itself if nobody else does: the common part of most of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.core.errors import Unusable
from harness.disrupt.bases.windows_node import demand_role, lease_token, on_windows
from harness.disrupt.disruption import Disruption, Moment, Step
from harness.disrupt.lease_and_role_check import with_permission_checks
from harness.hosts.deadman.deadman_switch import Deadman, Script
from harness.hosts.linux.linux_host import TOOLS
from harness.hosts.root_rights import as_root
from harness.hosts.windows.scheduled_undo import Deed, WindowsChange, WindowsDeadman, reason_it_cannot_undo

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest

SBIN = f"export {TOOLS.strip()}\n"


class OnHost(Disruption):
    """Says what is done and undone as shell, and what does it on Windows, where it is done there; the deadman does the rest."""

    severs = False  # may the harness lose its own connection to the host by it?

    def __init__(self, subject: ClusterUnderTest) -> None:
        super().__init__(subject)
        self._armed: list[Deadman] = []
        self._tasks: list[WindowsDeadman] = []  # the same on Windows
        self._undo_lines: list[str] = []  # what the undoing said on the hosts

    @abstractmethod
    def script(self, id: str) -> Script:
        """What to do on the target and how to undo it; `id` is a name for it alone."""

    def deed(self, token: str) -> tuple[WindowsChange, Deed]:
        """What is done to a Windows target and the script that does it; `token` is the undoing's. Raises Unusable where there is none."""
        raise Unusable(f"{self.name}: {self.target()} is a Windows node, and there is no script for it")

    @property
    def by_script(self) -> bool:
        """Is its target a Windows node?"""
        return on_windows(self._subject, self.target())

    @property
    def longest_s(self) -> float:
        return self._outlasting()

    @property
    def undoing(self) -> str:
        return f"by the harness; if it dies, by {self.target()} itself, {self.longest_s:g} s after it began at the latest"

    def steps(self) -> list[Step]:
        if self.by_script:
            change, deed = self.deed("RUN")
            words = " ".join(f"-{key} {value}" for key, value in (deed.parameters | change.parameters).items())
            undo = f"the scheduled task lkharness-RUN of SYSTEM: {change.kind} {change.rule or change.nic}"
            return [Step(self.target(), "do", f"{deed.script}.ps1 {words}"), Step(self.target(), "undo", undo)]
        script = self.script("lkharness_RUN_NAME")
        return [Step(self.target(), "do", script.act.strip()), Step(self.target(), "undo", script.undo.strip())]

    def begin(self, deadline: Deadline) -> None:
        if self.by_script:
            self._begin_by_script(deadline)
            return
        deadman = self._arm(self.target())
        script = self.script(deadman.id)
        script = Script(SBIN + with_permission_checks(self._subject, self, script.act), SBIN + script.undo, SBIN + script.check)
        moment = deadman.do(script, limit=deadline.within(5.0 if self.severs else 30.0), severs=self.severs)
        self.moment = Moment(self.target(), *moment) if moment else None

    def _begin_by_script(self, deadline: Deadline) -> None:
        subject, target = self._subject, self.target()
        deadman = WindowsDeadman(
            subject.hosts[target],
            self.name,
            longest=self.longest_s,
            lease=lease_token(subject, target),
            on_armed=subject.arming,
            on_undone=subject.disarmed,
        )
        change, deed = self.deed(deadman.token)
        demand_role(subject, self)
        self._tasks.append(deadman)
        limit = deadline.within(10.0 if self.severs else 60.0)
        moment = deadman.do(change, deed, limit=limit, severs=self.severs, permit=lambda: demand_role(subject, self))
        self.moment = Moment(target, *moment) if moment else None

    def cannot_undo(self) -> str | None:
        """Why a Windows target could not undo it by itself, so that it is not planned; None where nothing speaks against it."""
        return reason_it_cannot_undo(self._subject.hosts[self.target()]) or None

    def _arm(self, host: str) -> Deadman:
        subject = self._subject
        deadman = Deadman(subject.hosts[host], self.name, longest=self.longest_s, on_armed=subject.arming, on_undone=subject.disarmed)
        self._armed.append(deadman)
        return deadman

    def undo(self, deadline: Deadline) -> None:
        """On every host, though one fails, with whatever error; then it is noted, and the first failure is raised."""
        notes: list[tuple[str, str]] = []
        failures: list[Exception] = []
        for task in reversed(self._tasks.copy()):
            try:
                by_us = task.undo(deadline)
            except Exception as error:
                failures.append(error)
                continue
            self._tasks.remove(task)
            notes.append((task.host.name, f"{self.name}: undone" + ("" if by_us else " already: by the host itself, or never done")))
        for deadman in reversed(self._armed.copy()):
            try:
                by_us = deadman.undo(deadline)
            except Exception as error:
                failures.append(error)
                continue
            self._armed.remove(deadman)
            deadman_notes = [line.removeprefix("note: ") for line in deadman.undo_output.splitlines() if line.startswith("note: ")]
            self._undo_lines += deadman.undo_output.splitlines()
            text = f"{self.name}: undone" + ("" if by_us else " already: by the host itself, or never done")
            notes.append((deadman.host.name, "; ".join([text, *deadman_notes])))
        for host, text in notes:
            self._subject.timeline.note(host, "undone", text)
        if failures:
            raise failures[0]
        super().undo(deadline)

    def _holds_on_target(self, line: str, deadline: Deadline) -> bool:
        """Does this shell line exit 0 on the target?"""
        return self._subject.hosts[self.target()].run(as_root(SBIN + line), limit=deadline.within(10.0)).ok

    def _needs(self, tool: str, package: str) -> str | None:
        """A reason to skip where the target has no such tool."""
        if self._subject.hosts[self.target()].run(SBIN + f"command -v {tool} >/dev/null").ok:
            return None
        return f"{self.target()} has no {tool}; install the package {package} there"
