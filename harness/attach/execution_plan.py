"""The plan that a person sees before anything is done: every disruption, on which host, for how long at most, and how it is undone."""

from __future__ import annotations

import inspect
import math
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.attach.disruption_preconditions import LOST_DATA, UNPROVEN, Preconditions
from harness.attach.watchdog import FILE, longest_s, shared_fates, undone_s
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.config.cluster_config import Cluster
from harness.core.errors import HarnessError
from harness.core.redaction.redactor import Redactor
from harness.core.redaction.secrets_in_commands import secret_words
from harness.core.text.wording import span
from harness.disrupt import disruption as disruptions
from harness.disrupt.disruption import HARNESS, Step
from harness.measure import connection_rates
from harness.measure.write_durability import takes_tokens

BESIDES = (
    "Besides these: commands that only read, the measuring agents (ended with the run), and, where a failed resource is left behind, "
    "the cluster manager's own command that clears its failure (Pacemaker notes when, as last-lrm-refresh, in its configuration)."
)


@dataclass(frozen=True)
class PlannedDisruption:
    """A disruption that a test of this session would do; `service` is the one that it is about, where it is about one."""

    name: str
    service: str | None = None
    measured: bool = field(default=False, compare=False)
    period_s: float = field(default=0.0, compare=False)  # at which connections are made while it is measured
    lasts_s: float = 0.0  # of a soak: it is done again and again for so long


@dataclass(frozen=True)
class Entry:
    """One line of the plan. `skipped` says why it will not be done, `unknown` what could not be found out beforehand."""

    wanted: PlannedDisruption
    times: int
    sentence: str
    host: str = ""
    longest_s: float = 0.0
    undone_s: float = 0.0  # after which it is undone when the run was killed, whoever does that
    recovered_after_s: float = 0.0
    undoing: str = ""
    steps: list[Step] = field(default_factory=list)
    skipped: str = ""
    unknown: str = ""
    refused: str = ""  # why it would not be done as the cluster is now
    unproven: str = ""  # what the cluster did not tell, and is done all the same
    loses: str = ""

    @property
    def title(self) -> str:
        """The disruption with its service and its number of times, which nobody knows of a soak."""
        service = f" ({self.wanted.service})" if self.wanted.service else ""
        if self.wanted.lasts_s:
            return f"{self.wanted.name}{service}, again and again for {span(self.wanted.lasts_s)}"
        return f"{self.wanted.name}{service}" + (f", {self.times} times" if self.times > 1 else "")

    @property
    def lasts(self) -> str:
        """How long at most, in words."""
        if math.isinf(self.longest_s):
            duration = "until the harness undoes it"
        else:
            duration = f"{self.longest_s:g} s at most" if self.longest_s else "a moment"
        return f"{duration}; paths may be out for {self.recovered_after_s:.3g} s by the cluster's timers"


@dataclass(frozen=True)
class ExecutionPlan:
    """The whole plan, as the cluster was when it was made."""

    active: str
    entries: list[Entry]
    notes: list[str]

    @property
    def names(self) -> frozenset[str]:
        """The disruptions that were shown."""
        return frozenset(e.wanted.name for e in self.entries)

    @property
    def skips(self) -> dict[str, str]:
        """Name → why it is left out."""
        return {e.wanted.name: e.skipped for e in self.entries if e.skipped}

    def as_text(self, *, commands: bool = False) -> str:
        """The plan for a person; with every command where that is asked for."""
        lines = [f"the plan, as the cluster is now ({self.active} is active; whenever it moves, the hosts' parts change with it):"]
        for entry in self.entries:
            lines += _lines(entry, commands)
        if not self.entries:
            lines.append("  nothing is disturbed: no test that was chosen does it")
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)


def _lines(entry: Entry, commands: bool) -> list[str]:
    if entry.skipped:
        return [f"  {entry.title}: skipped, because {entry.skipped}"]
    lines = [
        f"  {entry.title}, on {entry.host}: {entry.sentence}",
        f"      for how long: {entry.lasts}",
        f"      undone: {entry.undoing}",
    ]
    if entry.loses:
        lines.append(f"      lost by it: {entry.loses}")
    if entry.refused:
        lines.append(f"      refused as the cluster is now, because {entry.refused}")
    if entry.unproven:
        lines.append(f"      not proven, and done all the same ({UNPROVEN}): {entry.unproven}")
    if entry.unknown:
        lines.append(f"      not known beforehand: {entry.unknown}")
    if commands:
        for step in entry.steps:
            place = "this machine" if step.host == HARNESS else step.host
            lines.append(f"      {step.phase} on {place}:")
            # Of what is known of the hosts nothing is secret; a power command's words are somebody's own.
            command = Redactor(secret_words(shlex.split(step.command))).clean(step.command) if step.host == HARNESS else step.command
            lines += [f"          {line}" for line in command.splitlines()]
    return lines


def planned_disruption(
    name: str, parameters: Mapping[str, Any], *, measured: bool = False, period_s: float = 0.0, lasts_s: float = 0.0
) -> PlannedDisruption:
    """What a test with these parameters would do; the service counts only where the disruption can be about one."""
    takes_service = "service" in inspect.signature(disruptions.get_disruption(name).__init__).parameters
    service = parameters.get("service")
    return PlannedDisruption(name, service if takes_service and isinstance(service, str) else None, measured, period_s, lasts_s)


def show(
    subject: ClusterUnderTest, planned_disruptions: Iterable[PlannedDisruption], preconditions: Preconditions | None = None
) -> ExecutionPlan:
    """Make the plan. Reads on the hosts, and changes nothing. Raises Inconclusive when no single node is active."""
    with subject.one_look():
        return _make_plan(subject, planned_disruptions, preconditions or Preconditions(subject))


def _make_plan(subject: ClusterUnderTest, planned_disruptions: Iterable[PlannedDisruption], preconditions: Preconditions) -> ExecutionPlan:
    active = subject.active
    times_by_disruption = Counter(_resolve(planned, subject.cluster) for planned in planned_disruptions)
    failures = sum(_failures(planned, times) for planned, times in times_by_disruption.items())
    entries = [_entry(subject, planned, times, preconditions, failures) for planned, times in times_by_disruption.items()]
    notes = [BESIDES] if entries else []
    databases = " and ".join(s.name for s in subject.cluster.services if takes_tokens(s))
    if databases and any(w.measured for w in times_by_disruption):
        notes.append(f"While it is measured, rows are written to a table of our own in {databases}, which is dropped afterwards.")
    if period_s := max((w.period_s for w in times_by_disruption if w.measured), default=0.0):
        notes.append(connection_rates.sentence(subject.cluster, period_s))
    if entries:
        notes += [_killed_note(subject, active, entries), *shared_fates(subject.cluster)]
    return ExecutionPlan(active, entries, notes)


def _failures(planned: PlannedDisruption, times: int) -> float:
    """How many of them the cluster's manager will have counted; of a soak there is no bound."""
    failures_each = disruptions.get_disruption(planned.name).failures
    return math.inf if failures_each and planned.lasts_s else failures_each * times


def _resolve(planned: PlannedDisruption, cluster: Cluster) -> PlannedDisruption:
    """What is measured was chosen by its name; what a test of the suite does is done in this cluster's way."""
    return planned if planned.measured else replace(planned, name=disruptions.resolve_disruption(planned.name, cluster).name)


def _killed_note(subject: ClusterUnderTest, active: str, entries: list[Entry]) -> str:
    undone_after_s = max((e.undone_s for e in entries), default=0.0)
    return (
        f"If this run is killed, a watchdog process on this machine puts everything back to {active} and ends the lease, "
        f"within {longest_s(subject.cluster, undone_after_s):g} s at most; it writes what it does to {FILE} in the run's folder."
    )


def _entry(subject: ClusterUnderTest, planned: PlannedDisruption, times: int, preconditions: Preconditions, failures: float) -> Entry:
    kind = disruptions.get_disruption(planned.name)
    service = next((s for s in subject.cluster.services if s.name == planned.service), None)
    try:
        disruption = kind(subject, service) if service else kind(subject)  # type: ignore[call-arg]
        if reason := disruption.why_skipped():
            return Entry(planned, times, kind.sentence, skipped=reason)
        if reasons := preconditions.skip_reasons(kind, failures):
            return Entry(planned, times, kind.sentence, skipped="; ".join(reasons))
        refusal, unproven = "; ".join(preconditions.refusal_reasons(kind)), "; ".join(preconditions.unproven_points(kind))
        host, longest_s, recovered_after_s = disruption.target(), disruption.longest_s, disruption.allowance().seconds
        undoing = disruption.undoing
    except HarnessError as error:
        return Entry(planned, times, kind.sentence, host="a host not found out", undoing="not found out", unknown=str(error))
    try:
        steps, unknown = disruption.steps(), ""
    except HarnessError as error:
        steps, unknown = [], f"its commands, because {error}"
    undone_after_s = undone_s(disruption, steps)
    remarks = {"unknown": unknown, "refused": refusal, "unproven": unproven, "loses": LOST_DATA if preconditions.splits(kind) else ""}
    return Entry(planned, times, kind.sentence, host, longest_s, undone_after_s, recovered_after_s, undoing, steps, **remarks)
