"""A run that may disturb an attached cluster, from the lease that it takes to the state that it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.attach.disruption_preconditions import Preconditions
from harness.attach.execution_plan import PlannedDisruption, show
from harness.attach.initial_state import RecordedState, forget_ours, record_state
from harness.attach.lease import Lease, on_windows
from harness.attach.preflight import Preflight
from harness.attach.restore import by_hand, put_back
from harness.attach.watchdog import FILE, Watchdog, WatchdogConfig, wait_until_healthy
from harness.cluster import linux_disk_space
from harness.cluster.cluster_audit import nothing_left
from harness.cluster.cluster_under_test import ClusterUnderTest, StandingDisruption
from harness.cluster.windows_disk_space import windows_disk_problems
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Inconclusive
from harness.core.verdict import Verdict, failed
from harness.disrupt.disruption import Disruption
from harness.disrupt.undo import undo_what_stands
from harness.measure.write_durability import drop_what_is_left

BROKEN_CLUSTER_TIMEOUT_S = 5.0  # for a cluster that is known to be broken: it has been waited for already


class DisruptiveRun:
    """`take` first, then `show_plan`; every disruption asks `before`; `end` at the end, whatever happened."""

    def __init__(
        self, subject: ClusterUnderTest, run: str, folder: Path, look: Callable[[ClusterUnderTest], Preconditions] = Preconditions
    ) -> None:
        self._subject = subject
        self._make_preconditions = look
        self._run = run
        self._folder = folder
        self._watchdog: Watchdog | None = None
        self._lease = Lease({n.name: subject.hosts[n.name] for n in subject.cluster.nodes}, run, windows=on_windows(subject.cluster))
        self._guard: Preflight | None = None
        self._active: str | None = None
        self._initial_state: RecordedState | None = None
        self._seen_as_found = False  # was it seen to be as it was found?

    def take(self) -> None:
        """Raises LeaseHeld with the name of who has the cluster. The watchdog is there first, so that a lease which is had on one node is
        given back by it, whenever the run is killed."""
        subject = self._subject
        subject.takes_unproven = self._make_preconditions(subject).allow_unproven
        config = WatchdogConfig(
            cluster=subject.cluster,
            run=self._run,
            token=self._lease.token,
            secrets=subject.cleaner.values,
            takes_unproven=subject.takes_unproven,
        )
        watchdog = Watchdog(config, self._folder)
        try:
            self._lease.take()
        except BaseException:
            watchdog.dismiss()
            raise
        self._watchdog = watchdog
        self._subject.timeline.note("harness", "lease", "this run alone may disturb the cluster now")

    def show_plan(self, planned: Sequence[PlannedDisruption], say: Callable[[str], None]) -> None:
        """Tell what will be done, before anything is. A cluster that has no single active node has no plan, and nothing is done to it."""
        try:
            plan = show(self._subject, planned, self._make_preconditions(self._subject))
        except Inconclusive as error:
            text = f"there is no plan, and nothing will be disturbed: {error}"
            names: frozenset[str] = frozenset()
        else:
            text, names, self._active = plan.as_text(), plan.names, plan.active
            self._subject.skips = plan.skips
            self._initial_state = record_state(self._subject)
            if self._watchdog is not None:
                self._watchdog.tell_found(plan.active, self._initial_state)
        say(text)
        self._subject.timeline.note("harness", "plan", text)
        self._guard = Preflight(
            self._subject, names, lambda: self._lease.loss_reason, self._node_problems, self._standing_faults, self._make_preconditions
        )
        self._subject.lease_line, self._subject.lease_token = self._lease.line, self._lease.token
        self._subject.lost, self._subject.stolen = lambda: self._lease.loss_reason, lambda: self._lease.stolen
        self._subject.permit = self._permit
        if self._watchdog is not None:
            self._subject.arming, self._subject.disarmed = self._watchdog.tell_armed, self._watchdog.tell_undone
            self._subject.power_command = self._watchdog.tell_power_command

    def demand_permission(self, disruption: Disruption, *, within: bool = False) -> None:
        """Return when the disruption may be done now, or `within` another. Raises Inconclusive."""
        name = disruption.name
        if self._guard is None:
            raise Inconclusive(f"{name} was not done, because no plan of it was shown")
        # Else a few repeats would reach the threshold at which the manager bans a node. Before anything was done every failure is the
        # cluster's own, and stays.
        if self._initial_state is not None and not within and self._guard.disturbed:
            forget_ours(self._subject, self._initial_state)
        self._guard.demand_permission(name, within=within)
        if self._watchdog is not None:
            try:
                stands = within or bool(self._subject.standing)
                self._lease.cover(self._watchdog.tell_disruption(disruption), within=stands)
            except HarnessError as error:
                raise Inconclusive(f"{name} was not done, and nothing was: {error}") from error

    def _permit(self, disruption: StandingDisruption) -> None:
        """Everything asked once more, right before the deed."""
        if self._guard is not None:
            self._guard.demand_permission(disruption.name, node=disruption.chosen_as_active)

    def _standing_faults(self) -> list[str]:
        verdict = nothing_left(self._subject)
        return [] if verdict else [verdict.reason]

    def _node_problems(self) -> list[str]:
        """A node that cannot write starts nothing and stops nothing to its end: a switchover would be left half way."""
        windows = on_windows(self._subject.cluster)

        def problems_of(name: str) -> list[str]:
            disk_problems = windows_disk_problems if name in windows else linux_disk_space.disk_problems
            return [f"{name}: {problem}" for problem in disk_problems(self._subject.hosts[name])]

        problems_by_node = self._subject.together(*(lambda n=n.name: problems_of(n) for n in self._subject.cluster.nodes))
        return [problem for problems in problems_by_node for problem in problems]

    def end(self, *, broken: bool) -> Verdict | None:
        """Leave the cluster as it was found, and say what is not; None where nothing was done to it."""
        if not self._disturbed:
            return None
        verdict = self._put_back(broken=broken)
        self._seen_as_found = bool(verdict)
        tables = drop_what_is_left()  # only now is the database in service again, if a disruption had taken that away
        if verdict:
            return failed(f"{self._active} is active, as it was; but {'; '.join(tables)}") if tables else verdict
        return failed("; ".join([verdict.reason, *tables, self._watchdog_note]))

    def not_put_back(self, reason: str) -> Verdict:
        """What to say when `end` did not come to its end."""
        line = by_hand(self._subject, self._active) if self._active else ""
        return failed(f"{self._active} was active; {reason}; {self._watchdog_note}; {line}")

    @property
    def _disturbed(self) -> bool:
        return self._guard is not None and self._guard.disturbed and self._active is not None

    def _put_back(self, *, broken: bool) -> Verdict:
        assert self._active is not None
        undoing_was_due = bool(self._subject.standing)
        azure_undone, azure_fault = self._undo_azure_leftovers()
        still_standing = undo_what_stands(self._subject)
        if azure_fault or still_standing:
            return failed(
                f"{self._active} was active when this run began; {'; '.join([*([azure_fault] if azure_fault else []), *still_standing])}"
            )
        if self._lease.stolen:
            return failed(f"{self._active} was active when this run began, and nothing was put back: {self._lease.stolen}")
        timers = self._subject.cluster.manager
        patience_s = timers.boot_s + timers.takeover_s
        if azure_undone:
            try:
                wait_until_healthy(self._subject, Deadline(patience_s))
            except HarnessError as error:
                return failed(f"{self._active} was active; what Azure had disturbed was undone late, and {error}")
        return put_back(
            self._subject,
            self._active,
            self._initial_state,
            patience_s=BROKEN_CLUSTER_TIMEOUT_S if broken and not (azure_undone or undoing_was_due) else patience_s,
        )

    def _undo_azure_leftovers(self) -> tuple[bool, str]:
        """What Azure disturbed, and whose undoing failed or was cut short (a test's timeout, Ctrl-C), is undone now: was there any, and
        what is left of it, in a sentence."""
        if not self._azure_stands:
            return False, ""
        from harness.azure.faults import undo_leftovers

        assert self._subject.cluster.azure is not None
        results = undo_leftovers.undo_own(self._subject.cluster.azure, self._subject.timeline.note)
        self._subject.absent.clear()
        failures = [str(result) for result in results if result.failed]
        advice = f"if that does not fix it, run {self._by_hand_azure}"
        return True, f"{'; '.join(failures)}; {advice}" if failures else ""

    @property
    def _azure_stands(self) -> bool:
        """Does Azure still disturb the cluster for us?"""
        if self._subject.cluster.azure is None:
            return False  # no Azure package and nothing of ours that uses one is imported
        from harness.azure.faults.undo_tag import PENDING_UNDOS

        return bool(PENDING_UNDOS)

    @property
    def _by_hand_azure(self) -> str:
        from harness.azure.faults.undo_tag import BY_HAND

        return BY_HAND

    @property
    def _watchdog_note(self) -> str:
        return f"the watchdog process of this run goes on with it and says so in {FILE}"

    def give_back(self) -> list[str]:
        """End the lease; what could not be removed. Unless the cluster was seen to be as it was found, both are the watchdog's."""
        if self._watchdog is not None and (self._azure_stands or (self._disturbed and not self._seen_as_found)):
            self._lease.leave_to_another()
            self._watchdog.leave_to_it()
            azure_advice = f"; if it does not fix it, run {self._by_hand_azure}" if self._azure_stands else ""
            return [f"what was done to the cluster was not seen undone; {self._watchdog_note}{azure_advice}"]
        if self._watchdog is None:
            return self._lease.give_back()
        self._watchdog.tell_settled()
        faults = self._lease.give_back()
        self._watchdog.dismiss()  # last: who is killed before this leaves a watchdog that gives the lease back
        return faults
