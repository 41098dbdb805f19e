"""A soak: measurements one after the other for hours, a meter that yields, and a budget for the whole."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, Inconclusive
from harness.core.text.wording import count, span
from harness.core.time_span import parse_time_span
from harness.core.verdict import Outcome, inconclusive
from harness.disrupt.disruption import Disruption
from harness.disrupt.none import Nothing
from harness.measure.measured_disruption import NotSteady, Start
from harness.measure.measurement_result import Measured
from harness.measure.meter import series_of
from harness.remote.recording.recording import NEW, Series
from harness.report.run_record_builder import ReportBuilder
from harness.report.statistics.path_availability import availability_of, judge_availability

ROUND_S = 60.0  # one measurement in which nothing is done
PAUSES_S = (2.0, 5.0, 15.0, 30.0, 60.0)  # after attempts that failed before anything was done; as often in a row it is given up
MAX_TROUBLED = 2  # rounds in a row in which nothing was done and a path was out, after which it is measured less often
AUDIT = "availability over the whole"


@dataclass(frozen=True)
class Soak:
    """For how long, in seconds, and what part of that time in percent the client path must be in service; None: no demand on the whole."""

    for_s: float
    least_percent: float | None = None

    @classmethod
    def of_options(cls, duration: str | None, least: float | None) -> Soak | None:
        """What `--for` and `--availability` ask for; None without the first. Raises BadUse."""
        if duration is None:
            if least is not None:
                raise BadUse("--availability goes with --for: say how long, such as --for 8h")
            return None
        for_s = parse_time_span("--for", duration)
        if least is not None and not 0 < least <= 100:
            raise BadUse(f"--availability {least:g}: a percentage above 0 and at most 100")
        return cls(for_s, least)


class Measuring(Protocol):
    """What a soak asks of the measuring session."""

    def measure(self, make: Callable[[], Disruption], start: Start, *, test: str) -> Measured:
        """One measurement."""

    def back_off(self) -> bool:
        """Measure less often from now on; False when it cannot."""

    unwatched_s: float
    """For how long between rounds a path may have been out unseen."""


def load_in_words(all_series: Sequence[Series], for_s: float) -> str:
    """What the soak does to the cluster, said before it begins. Pure."""
    new_per_s = sum(1 / series.period_s for series in all_series if series.kind == NEW)
    kept_series = [series for series in all_series if series.kind != NEW]
    heartbeats_per_s = sum(1 / series.period_s for series in kept_series)
    hosts = len({series.origin for series in all_series})
    return (
        f"a soak of {span(for_s)}: {new_per_s:.4g} new connections a second from {hosts} hosts through the VIP, "
        f"{new_per_s * for_s:,.0f} in all, and {len(kept_series)} kept ones with {heartbeats_per_s:.4g} heartbeats a second; it measures "
        "less often when attempts fail before anything was done"
    )


def load_on(subject: ClusterUnderTest, soak: Soak | None, period_s: float) -> list[str]:
    """The same for a cluster, whose hosts are asked what they bear; nothing where there is no soak. Raises HarnessError."""
    if soak is None:
        return []
    bears = {name: subject.capabilities(name) for name in subject.hosts}
    return [load_in_words(series_of(subject.cluster, period_s, bears), soak.for_s)]


def keep_measuring(session: Measuring, make: Callable[[], Disruption], start: Start, soak: Soak, *, test: str) -> Measured:
    """Measure again and again until `start.lasts_s` is over; the worst of what was measured. Where paths are out again and again although
    nothing is done, it measures less often.

    A round that could not begin, because paths were out, was not measured to its end: without a budget for the whole, whose figure holds
    what was out in it and the rest after it, nothing passes over it.
    Raises Inconclusive when the paths are not right before anything is done, however rarely it is tried; what a disruption raises.
    """
    deadline, generator, number, failures, troubled = Deadline(start.lasts_s), random.Random(start.seed), 0, 0, 0
    worst: Measured | None = None
    unsteady: list[NotSteady] = []
    while worst is None or not deadline.expired:
        offset = start.offset_s if number == 0 else generator.uniform(0.0, max(start.offset_s, 1.0))
        try:
            result = session.measure(
                lambda: _lengthen_round(make(), soak, deadline), replace(start, repeat=number, offset_s=offset), test=test
            )
        except NotSteady as error:
            if failures >= len(PAUSES_S) or (deadline.expired and worst is not None):
                raise Inconclusive(f"the soak was given up after {failures + 1} such beginnings in a row: {error}") from error
            unsteady.append(error)
            session.back_off()
            _pause(PAUSES_S[failures])
            failures += 1
            continue
        number, failures = number + 1, 0
        troubled = troubled + 1 if was_out_by_itself(result) else 0
        if troubled >= MAX_TROUBLED:  # that may be the measuring's own doing
            session.back_off()
            troubled = 0
        if worst is None or _badness(result) > _badness(worst):
            worst = result
    if unsteady and soak.least_percent is None and worst.verdict.outcome is Outcome.PASS:
        return replace(worst, verdict=inconclusive(f"{count(len(unsteady), 'round')} could not begin: {unsteady[0]}"))
    return worst


def was_out_by_itself(result: Measured) -> bool:
    """Was a path out in a round in which nothing is done? Pure."""
    return result.disruption == Nothing.name and any(series.outages for series in result.series)


def is_spent(result: Measured, soak: Soak) -> bool:
    """Are its figures all that is kept of a round? Not of one in which a path was out, or not measured: that is evidence for the whole.

    Without a budget for the whole, a disruption's outage is judged by its own budget, and one that kept it is no more than a figure. Pure.
    """
    if result.verdict.outcome is not Outcome.PASS:
        return False
    by_itself = soak.least_percent is None and result.disruption != Nothing.name
    return by_itself or not any(series.outages or series.unmeasured_s or series.unmeasured_before_s for series in result.series)


def _pause(length: float) -> None:
    """Nothing is measured for so long."""
    pause = Deadline(length)
    pause.wait_for(lambda: pause.expired, what="the cluster having a rest", every=length)


def _lengthen_round(disruption: Disruption, soak: Soak, deadline: Deadline) -> Disruption:
    """Where nothing is done, a round is long; and where the whole has a budget, that is what is demanded."""
    if isinstance(disruption, Nothing):
        disruption.soak(min(ROUND_S, max(2.0, deadline.remaining())), demanding=soak.least_percent is None)
    return disruption


def _badness(result: Measured) -> int:
    return (Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.FAIL).index(result.verdict.outcome)


def record_availability(report: ReportBuilder, soak: Soak | None, session: Measuring | None) -> None:
    """Put the availability into the run, and its verdict among the run's audits."""
    if soak is None:
        return
    record = report.run.record
    unwatched_s = session.unwatched_s if session is not None else 0.0
    record.availability = availability_of(record.measurements, record.set_aside, unwatched_s)
    report.audit(AUDIT, judge_availability(record.availability, soak.least_percent))
