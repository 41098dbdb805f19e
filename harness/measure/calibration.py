"""The meter checks itself: a cut of known length must be measured within one period, or the run's figures are worth nothing.

On the lab the client's own links are cut; on any other cluster a service on the client's loopback is taken away, which disturbs nobody.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.config.cluster_config import Cluster
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Inconclusive
from harness.core.verdict import Outcome, Verdict, inconclusive, passed
from harness.measure.calibration_target_forwarded import ForwardedService
from harness.measure.evaluation.attempt_attribution import Traced
from harness.measure.evaluation.series_outages import runs_of_failure
from harness.remote import script_transport
from harness.remote.agents.agent_factory import agent_of
from harness.remote.agents.agent_launch import AgentPlan, AgentSeries, bearable
from harness.remote.recording.recording import NEW, Clock, NodeEvent, Noise, Sample, Series
from harness.services import service_registry

CUT_S = 0.3
MIN_MEASURED_AROUND_S = 0.3  # measured before and after the cut
CUT_TOLERANCE_S = 0.001  # for what making the cut itself takes
MAX_MISSING_SHARE = 0.1  # of all attempts that may be missing around the cut
EDGE_PERIODS = 2  # periods around the beginning and the end of a cut: an attempt that is missing there moves them
MAX_LATE_PERIODS = 0.5  # of a period: an attempt that is later than that makes the figure coarser than a period
MAX_TRIES = 3  # where attempts came late: then the host was busy, and the check says nothing of the meter
ATTEMPT_TIMEOUT_S = 0.25
PERIODS_AROUND, PERIODS_CUT = 4, 3  # at least, where the period is coarse

KnownCut = Callable[[str, float], tuple[float, float]]
"""Cut a host off for so many seconds; returns begin and end, in seconds on the harness's monotonic clock."""


@dataclass(frozen=True)
class Calibration:
    """What was cut and what was measured, in seconds; `measured_s` None when the cut was not seen. `kept`: did every attempt around the
    cut come in time? `sharp`: did those that decide where it begins and ends?"""

    cut_s: float
    measured_s: float | None
    period_s: float
    how: str
    verdict: Verdict
    kept: bool = True
    sharp: bool = True


def judge(cut_start: float, cut_end: float, series: Series, samples: list[Sample], how: str, *, clock_error_s: float = 0.0) -> Calibration:
    """Hold what the samples say against the cut that was made. Pure. The length needs no clock; the place in time is held to its error.

    Inconclusive when the cut was not seen, seen as several, longer or shorter than it was by more than a period, seen at another time
    than it was (phases are cut by that), or when the attempts did not come as often as the meter says, so that it was right by chance.
    """
    cut_s, period = cut_end - cut_start, series.period_s
    rows = [Traced(s.at, s.seconds, s.outcome, None, s.detail) for s in sorted(samples)]
    around = max(MIN_MEASURED_AROUND_S, PERIODS_AROUND * period)
    starts = [attempt.at for attempt in rows if attempt.evidence and cut_start - around <= attempt.at <= cut_end + around]
    longest_interval_s = max((b - a for a, b in pairwise(starts)), default=float("inf"))
    bearable_interval_s = period + max(MAX_LATE_PERIODS * period, CUT_TOLERANCE_S)
    gaps = [(a, b) for a, b in pairwise(starts) if b - a > bearable_interval_s]
    reach = EDGE_PERIODS * period
    sharp = len(starts) > 1 and not any(a <= edge + reach and edge - reach <= b for a, b in gaps for edge in (cut_start, cut_end))

    def calibration_of(measured: float | None, verdict: Verdict) -> Calibration:
        return Calibration(cut_s, measured, period, how, verdict, kept=longest_interval_s <= bearable_interval_s, sharp=sharp)

    margin_s = clock_error_s + period + max(ATTEMPT_TIMEOUT_S, series.limit_s)
    runs = [r for r in runs_of_failure(series, rows) if r.end is not None and r.end > cut_start - margin_s and r.start < cut_end + margin_s]
    if not runs or runs[-1].end is None:
        return calibration_of(None, inconclusive(f"a known cut of {cut_s:.3f} s was not seen at all ({how})"))
    start, end = runs[0].start, runs[-1].end
    difference_s = end - start - cut_s
    sentence = f"a known cut of {cut_s:.4f} s was measured as {end - start:.4f} s ({difference_s:+.4f} s; period {period:g} s; {how})"
    faults = [f"as {len(runs)} outages"] if len(runs) > 1 else []
    if abs(difference_s) > period + CUT_TOLERANCE_S:
        faults.append("wrong by more than a period")
    # the first to fail may have been under way when the cut began, the first right one begins within a period after its end
    if max(abs(start - cut_start), abs(end - cut_end)) > period + CUT_TOLERANCE_S + clock_error_s:
        faults.append(f"not when it was made ({start - cut_start:+.4f} s at its start, {end - cut_end:+.4f} s at its end)")
    mean_interval_s = (starts[-1] - starts[0]) / (len(starts) - 1) if len(starts) > 1 else float("inf")
    if mean_interval_s > (1 + MAX_MISSING_SHARE) * period:
        faults.append(f"by attempts that came every {mean_interval_s * 1000:.3g} ms")
    if faults:
        widest_gap = (
            f" (one attempt came {longest_interval_s * 1000:.3g} ms after the one before)"
            if longest_interval_s > bearable_interval_s
            else ""
        )
        return calibration_of(
            end - start, inconclusive(f"{sentence}; {', '.join(faults)}{widest_gap}; the figures of this run cannot be trusted")
        )
    return calibration_of(end - start, passed(sentence))


def calibrate(subject: ClusterUnderTest, *, period_s: float, cut: KnownCut | None) -> Calibration:
    """Measure a known cut from the client: `cut` where the environment offers one, else a service on the client's loopback.

    What keeps it from being done makes it inconclusive, and so every figure of the run. It is done again only where attempts came late.
    """
    for _ in range(MAX_TRIES):
        calibration = _calibrate(subject, period_s, cut)
        if calibration.verdict.outcome is Outcome.PASS or calibration.kept:
            break
    return calibration


def _calibrate(subject: ClusterUnderTest, period_s: float, cut: KnownCut | None) -> Calibration:
    how = "the client's links cut by the lab" if cut is not None else "a service on the client's loopback taken away"
    try:
        client = subject.cluster.client.name
        capabilities = subject.capabilities(client)
        period_s = capabilities.period_s(period_s)
        if cut is not None:
            return _measure(subject, vip_series(subject.cluster, period_s), cut, how)
        if not capabilities.full:
            with ForwardedService(subject.hosts[client]) as forwarded:
                return _measure(subject, forwarded.series(period_s, ATTEMPT_TIMEOUT_S), forwarded.cut, f"{how} by its sshd")
        with _Loopback(subject) as service:
            return _measure(subject, service.series(period_s), service.cut, how, clients_clock=True)
    except HarnessError as error:
        return Calibration(CUT_S, None, period_s, how, inconclusive(f"the meter could not be checked against a known cut: {error}"))


def vip_series(cluster: Cluster, period_s: float) -> AgentSeries:
    """New connections from the client to the cluster's first service."""
    service = cluster.services[0]
    hello = service_registry.hello(service, cluster)
    name = f"{cluster.client.name}/{service.name}/calibration"
    return AgentSeries(
        name, str(cluster.vip), service.port, NEW, bearable(period_s, hello), ATTEMPT_TIMEOUT_S, hello.say, hello.expect, hello.again
    )


def _measure(subject: ClusterUnderTest, series: AgentSeries, cut: KnownCut, how: str, *, clients_clock: bool = False) -> Calibration:
    client = subject.cluster.client.name
    sink = SampleSink()
    agent = agent_of(
        subject.hosts[client], subject.capabilities(client), subject.python(client), AgentPlan([series], lifetime_s=60.0), sink
    )
    around_s, length_s = max(MIN_MEASURED_AROUND_S, PERIODS_AROUND * series.period_s), max(CUT_S, PERIODS_CUT * series.period_s)
    agent.start()
    try:
        sink.wait_until_good(around_s, Deadline(10.0))
        cut_start, cut_end = cut(client, length_s)
        if clients_clock:
            cut_start, cut_end = cut_start + sink.offset_s, cut_end + sink.offset_s
        sink.wait_until_good(around_s, Deadline(10.0), since=cut_end)
    finally:
        agent.stop()
    measured = Series(series.id, client, "", NEW, series.port, series.period_s, series.limit_s)
    # a cut by the client's own clock, and samples that came before its offset was last measured: both errors count
    clock_error_s = 2 * sink.clock_error_s if clients_clock else sink.clock_error_s
    return judge(cut_start, cut_end, measured, sink.rows, how, clock_error_s=clock_error_s)


class SampleSink:
    """Keeps the samples of one series; `clock_error_s` is the worst of all clocks that they were stamped by."""

    def __init__(self) -> None:
        self.rows: list[Sample] = []
        self.clock_error_s = 0.0
        self.offset_s = 0.0
        self._changed = threading.Condition()

    def wait_until_good(self, seconds: float, deadline: Deadline, *, since: float = 0.0) -> None:
        """Until every attempt of the last `seconds` was answered, and there were some. Raises DeadlineExceeded."""

        def is_steady() -> bool:
            begin = max(since, time.monotonic() - seconds - ATTEMPT_TIMEOUT_S)
            rows = [s for s in self.rows[-2000:] if s.at >= begin]
            return len(rows) > 2 and rows[-1].at - rows[0].at >= seconds and all(s.outcome == "answered" for s in rows)

        with self._changed:
            while not is_steady():
                deadline.require("a steady path for the known cut")
                self._changed.wait(deadline.within(0.5))

    def samples(self, series: str, rows: list[Sample]) -> None:
        """Takes the attempts of the known cut."""
        with self._changed:
            self.rows.extend(rows)
            self._changed.notify_all()

    def event(self, event: NodeEvent) -> None:
        """Nothing of the kind matters for a second's measuring; a lost agent shows as a path that does not become steady."""

    def noise(self, noise: Noise) -> None:
        """As for events."""

    def clock(self, clock: Clock) -> None:
        """Takes the host's clock."""
        self.clock_error_s, self.offset_s = max(self.clock_error_s, clock.error_s), clock.offset_s


class _Loopback:
    """A service on the client's loopback, for as long as the block lasts."""

    def __init__(self, subject: ClusterUnderTest) -> None:
        self._subject = subject
        self._client = subject.cluster.client.name

    def __enter__(self) -> _Loopback:
        self._process = script_transport.start(
            self._subject.hosts[self._client], self._subject.python(self._client), "calibration_target", {}
        )
        self._lines = self._process.lines()
        self._port = self._read_reply()["port"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()

    def series(self, period_s: float) -> AgentSeries:
        return AgentSeries(f"{self._client}/loopback/calibration", "127.0.0.1", self._port, NEW, period_s, ATTEMPT_TIMEOUT_S, b"", b"^here")

    def cut(self, host: str, seconds: float) -> tuple[float, float]:
        self._process.send(b"cut %f\n" % seconds)
        reply = self._read_reply()
        return reply["begun"], reply["ended"]

    def _read_reply(self) -> dict[str, Any]:
        line = next(self._lines, None)
        if line is None:
            raise Inconclusive(f"{self._client}: the service for the known cut ended before it was used")
        return json.loads(line)
