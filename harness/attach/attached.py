"""A run that may disturb a stranger's cluster, from the lease that it takes to the state that it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.attach import disks
from harness.attach.guard import Guard, put_back
from harness.attach.guardian import Brief, Guardian
from harness.attach.lease import Lease
from harness.attach.shown import Wanted, show
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
        self._guardian = Guardian(Brief(cluster=self._subject.cluster, run=self._run, token=self._lease.token), self._folder)
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
        if self._lease.stolen:
            return failed(f"{self._active} was active when this run began, and nothing was put back: {self._lease.stolen}")
        timers = self._subject.cluster.manager
        return put_back(self._subject, self._active, patience_s=SOON_S if broken else timers.boot_s + timers.takeover_s)

    def give_back(self) -> list[str]:
        """End the lease; what could not be removed."""
        if self._guardian is not None:
            self._guardian.dismiss()
        return self._lease.give_back()
