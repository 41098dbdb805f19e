"""A run that may disturb a stranger's cluster, from the lease that it takes to the state that it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.attach import disks
from harness.attach.guard import Guard, put_back
from harness.attach.guardian import FILE, Brief, Guardian, wait_until_whole
from harness.attach.lease import Lease
from harness.attach.shown import Wanted, show
from harness.deadline import Deadline
from harness.disrupt.base import Disruption
from harness.errors import HarnessError, Inconclusive, Unusable
from harness.subject import Subject
from harness.verdict import Verdict, failed

SOON_S = 5.0  # for a cluster that is known to be broken: it has been waited for already


class Attached:
    """`take` first, then `show_plan`; every disruption asks `before`; `end` at the end, whatever happened."""

    def __init__(self, subject: Subject, run: str, folder: Path) -> None:
        windows = [n.name for n in subject.cluster.nodes if n.platform == "windows"]
        if windows:
            raise Unusable(f"{windows[0]}: a cluster on Windows cannot be disturbed yet; leave --allow-disruption out, and it is looked at")
        self._subject = subject
        self._run = run
        self._folder = folder
        self._guardian: Guardian | None = None
        self._lease = Lease({n.name: subject.hosts[n.name] for n in subject.cluster.nodes}, run)
        self._guard: Guard | None = None
        self._active: str | None = None

    def take(self) -> None:
        """Raises Held with the name of who has the cluster."""
        self._lease.take()
        subject = self._subject
        brief = Brief(cluster=subject.cluster, run=self._run, token=self._lease.token, secrets=subject.cleaner.values)
        self._guardian = Guardian(brief, self._folder)
        self._subject.timeline.note("harness", "lease", "this run alone may disturb the cluster now")

    def show_plan(self, wanted: Sequence[Wanted], say: Callable[[str], None]) -> None:
        """Tell what will be done, before anything is. A cluster that has no single active node has no plan, and nothing is done to it."""
        try:
            plan = show(self._subject, wanted)
        except Inconclusive as error:
            text = f"there is no plan, and nothing will be disturbed: {error}"
            names: frozenset[str] = frozenset()
        else:
            text, names, self._active = plan.as_text(), plan.names, plan.active
            if self._guardian is not None:
                self._guardian.found(plan.active)
        say(text)
        self._subject.timeline.note("harness", "plan", text)
        self._guard = Guard(self._subject, names, lambda: self._lease.lost, self._sick)

    def before(self, disruption: Disruption) -> None:
        """Return when the disruption may be done now. Raises Inconclusive."""
        name = disruption.name
        if self._guard is None:
            raise Inconclusive(f"{name} was not done, because no plan of it was shown")
        self._guard.before(name)
        if self._guardian is not None:
            try:
                self._guardian.disturbs(disruption)
            except HarnessError as error:
                raise Inconclusive(f"{name} was not done, and nothing was: {error}") from error

    def _sick(self) -> list[str]:
        """A node that cannot write starts nothing and stops nothing to its end: a switchover would be left half way."""
        hosts = [self._subject.hosts[n.name] for n in self._subject.cluster.nodes]
        found = self._subject.together(*(lambda h=h: [f"{h.name}: {one}" for one in disks.trouble(h)] for h in hosts))
        return [one for of_host in found for one in of_host]

    def end(self, *, broken: bool) -> Verdict | None:
        """Leave the cluster as it was found, and say what is not; None where nothing was done to it."""
        if self._guard is None or not self._guard.disturbed or self._active is None:
            return None
        taken_up, left = self._take_up()
        if left:
            return failed(f"{self._active} was active when this run began; {left}")
        if self._lease.stolen:
            return failed(f"{self._active} was active when this run began, and nothing was put back: {self._lease.stolen}")
        timers = self._subject.cluster.manager
        patience_s = timers.boot_s + timers.takeover_s
        if taken_up:
            try:
                wait_until_whole(self._subject, Deadline(patience_s))
            except HarnessError as error:
                return failed(f"{self._active} was active; what Azure had disturbed was undone late, and {error}")
        return put_back(self._subject, self._active, patience_s=SOON_S if broken and not taken_up else patience_s)

    def _take_up(self) -> tuple[bool, str]:
        """What Azure disturbed, and whose undoing failed or was cut short (a test's timeout, Ctrl-C), is undone now: was there any, and
        what is left of it, in a sentence."""
        if not self._standing:
            return False, ""
        from harness.azure import heal

        assert self._subject.cluster.azure is not None
        done = heal.take_up(self._subject.cluster.azure, self._subject.timeline.note)
        self._subject.absent.clear()
        failures = [str(one) for one in done if one.failed]
        return True, f"{'; '.join(failures)}; {self._goes_on}" if failures else ""

    @property
    def _standing(self) -> bool:
        """Does Azure still disturb the cluster for us?"""
        if self._subject.cluster.azure is None:
            return False  # no Azure package and nothing of ours that uses one is imported
        from harness.azure.undo_tag import STANDING

        return bool(STANDING)

    @property
    def _goes_on(self) -> str:
        from harness.azure.undo_tag import BY_HAND

        return f"the process beside this run goes on with it and says so in {FILE}; if it does not mend it, run {BY_HAND}"

    def give_back(self) -> list[str]:
        """End the lease; what could not be removed. While Azure still disturbs the cluster, both are the guardian's."""
        if self._guardian is not None and self._standing:
            self._lease.leave_to_another()
            self._guardian.leave_to_it()
            return [f"what Azure disturbed is not undone yet; {self._goes_on}"]
        if self._guardian is not None:
            self._guardian.dismiss()
        return self._lease.give_back()
