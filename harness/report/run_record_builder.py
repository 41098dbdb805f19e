"""What the pytest plugin feeds while a run goes on, and what turns it into run.json and its renderings at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.config.cluster_config import Cluster
from harness.config.cluster_manager_config import DEFAULT_CHECK_LIMIT_S
from harness.core.errors import ExitCode, HarnessError
from harness.core.verdict import Verdict, inconclusive
from harness.report.record.gate_record import GateRecord
from harness.report.record.measurement_record import CalibrationRecord, MeasurementRecord
from harness.report.record.run_directory import Run, load_average
from harness.report.record.run_record import (
    AS_FOUND,
    Attempts,
    AuditRecord,
    CheckRecord,
    ClusterKind,
    ClusterSummary,
    DisruptionRecord,
    HostNote,
    HostSummary,
    Judgement,
    Moment,
    PathName,
    ProbeSummary,
    RecoveryRecord,
    Result,
    RunRecord,
    RunState,
    ServiceSummary,
    TestRecord,
)
from harness.report.record.run_verdict import judge_recovery, judge_test
from harness.report.report_rendering import render
from harness.report.statistics.series_figures import series_of

_UNFINISHED = Judgement.of(inconclusive("the run ended before this test did"))


@dataclass(frozen=True)
class Finished:
    """The end of a run: what to exit with, what was judged, and the files a person can open."""

    exit_code: ExitCode
    verdict: Judgement
    files: list[Path]


class ReportBuilder:
    """Collects one run's findings in the order they come. Every test boundary is stored, so that a killed run stays readable."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._open: TestRecord | None = None
        self._finished: Finished | None = None
        self._unstored: str | None = None  # why run.json could not be written at some time

    def cluster_is(self, cluster: Cluster, kind: ClusterKind, *, active: str | None = None) -> None:
        """Say what the run is made on, as soon as that is known; `active` is the node seen active, if it was looked for."""
        self.run.record.cluster = summarise_cluster(cluster, kind, active=active)
        self.run.save()

    def begin_test(self, id: str, title: str, *, situation: str = "", properties: Mapping[str, str] | None = None) -> None:
        """Open test `id`; `title` is the sentence that holds when it passes. Until it ends it counts as unfinished."""
        if self._open is not None:
            raise ValueError(f"test {self._open.id} has not ended, so {id} cannot begin")
        self._open = TestRecord(
            id=id, title=title, situation=situation, started=Moment.now(), verdict=_UNFINISHED, properties=dict(properties or {})
        )
        self.run.record.tests.append(self._open)
        self.run.note("harness", "test", f"begins: {title}", test=id)
        self._store()

    def describe(self, *, situation: str | None = None, **properties: str) -> None:
        """Add to the open test what only became known inside it."""
        test = self._current("describe")
        if situation is not None:
            test.situation = situation
        test.properties = test.properties | properties

    def add_check(
        self,
        verdict: Verdict,
        *,
        expected: str,
        observed: str,
        path: PathName | str | None = None,
        what: str = "",
        service: str | None = None,
        origin: str | None = None,
        destination: str | None = None,
        wire: str | None = None,
        node: str | None = None,
        identity: str | None = None,
        seconds: float | None = None,
        attempts: Mapping[str, int] | None = None,
    ) -> CheckRecord:
        """Record one comparison in the open test. `attempts` counts attempts by outcome; `seconds` is how long it took."""
        check = CheckRecord(
            path=PathName(path) if path else None,
            what=what,
            service=service,
            origin=origin,
            destination=destination,
            expected=expected,
            observed=observed,
            wire=wire,
            node=node,
            identity=identity,
            verdict=Judgement.of(verdict),
            seconds=seconds,
            attempts=Attempts(total=sum(attempts.values()), outcomes=dict(attempts)) if attempts else None,
        )
        self._current("add_check").checks.append(check)
        subject = " ".join(filter(None, (check.path and f"{check.path} path", service, what))) or "check"
        self.run.note("harness", "check", f"{subject}: {verdict}", expected=expected, observed=observed)
        return check

    def disruption(self, name: str, *, target: str | None = None, at: float | None = None) -> OpenDisruption:
        """Record that disruption `name` of node `target` began now, or at monotonic time `at`."""
        record = DisruptionRecord(name=name, target=target, began=Moment.now(at))
        self._current("disruption").disruptions.append(record)
        self.run.note("harness", "disruption", f"{name}{f' of {target}' if target else ''} begins", at=at)
        return OpenDisruption(self.run, record)

    def end_test(self, verdict: Verdict) -> Judgement:
        """Close the open test. Returns the verdict it got: the given one, or that of something worse recorded in it."""
        test = self._current("end_test")
        return self._close(test, self._judge(test, verdict))

    def skip(self, reason: str) -> None:
        """Close the open test as skipped, unless something recorded in it was already worse than a pass."""
        test = self._current("skip")
        worst = self._judge(test, inconclusive(reason))
        self._close(test, worst if worst.outcome is Result.FAIL else Judgement(outcome=Result.SKIPPED, reason=reason))

    def audit(self, name: str, verdict: Verdict, *, after: str | None = None) -> None:
        """Record what must hold after test `after`. A failed audit fails the run."""
        record = self.run.record
        if name == AS_FOUND:  # there is one, and the last word counts
            record.audits = [a for a in record.audits if a.name != AS_FOUND]
        record.audits.append(AuditRecord(name=name, after=after, verdict=Judgement.of(verdict)))
        self.run.note("harness", "audit", f"{name}: {verdict}", after=after)

    def disturbed(self, reason: str) -> None:
        """Store that the cluster is disturbed and nobody has seen it as it was found, until `audit` says better. Raises OSError."""
        if not any(a.name == AS_FOUND for a in self.run.record.audits):
            self.audit(AS_FOUND, inconclusive(reason))
            self.run.save()

    def measurement(self, record: MeasurementRecord) -> None:
        """Store one measured disruption at once, with the verdict that the meter's recording gave it.

        A test does not pass over its own measurement that failed.
        """
        measured = record.measured
        self.run.record.measurements.append(record)
        self.run.note("harness", "measurement", f"{record.id}: {measured.verdict}", at=measured.end, recording=record.recording)
        self._store()

    def set_aside(self, id: str) -> None:
        """The noise of a measuring host spoiled measurement `id`, which will be done again: it stays readable, and counts for nothing."""
        record = self.run.record
        spoiled = next(m for m in record.measurements if m.id == id)
        record.measurements = [m for m in record.measurements if m is not spoiled]
        record.set_aside = [*record.set_aside, spoiled]
        self.host_note(
            spoiled.measured.target, f"{id} was set aside and measured again: {(spoiled.measured.noise or spoiled.measured.timing).reason}"
        )
        self._store()

    def calibration(self, record: CalibrationRecord) -> None:
        """Store at once how the meter's check of itself went."""
        self.run.record.calibration = record
        self.run.note("harness", "calibration", str(record.verdict), cut_s=record.cut_s, measured_s=record.measured_s)
        self._store()

    def host_note(self, host: str, text: str) -> None:
        """Something about a host that a reader should know, such as a clock that is off or a capture that was not allowed."""
        self.run.record.host_notes.append(HostNote(host=host, text=text))
        self.run.note(host, "note", text)

    def finish(
        self, state: RunState = RunState.FINISHED, reason: str = "", *, gate: Callable[[RunRecord], GateRecord] | None = None
    ) -> Finished:
        """End the run: judge it, write run.json, then render. What goes wrong in rendering is noted in run.json, which stays.

        Call it before teardown. `state` and `reason` say why a run ended early, `gate` has a say in its verdict. A second call changes
        nothing.
        """
        if self._finished:
            return self._finished
        if self._open:
            self._close(self._open, self._judge(self._open, inconclusive(_UNFINISHED.reason)))
        record = self.run.record
        record.state, record.state_reason = state, reason
        record.ended = Moment.now()
        record.seconds = max(0.0, record.ended.at - record.started.at)
        record.environment.load_at_end = load_average()
        record.evidence = self.run.list_evidence()
        record.series = series_of(record)
        record.gate = gate(record) if gate is not None else None
        if self.run.timeline.fault:
            self.run.evidence_fault("timeline.jsonl", f"it lacks events: {self.run.timeline.fault}")
        try:
            files = [self.run.save()]
        except OSError as error:  # such as a full disk: what it was to say is said on the terminal all the same
            files = []
            record.state, record.state_reason = RunState.UNUSABLE, f"the report could not be written: {error.strerror or error}"
            self.run.judge()
        self.run.note("harness", "run", f"run {self.run.id} ended; {record.verdict.outcome}: {record.verdict.reason}")
        self._finished = Finished(ExitCode(record.exit_code), record.verdict, files + (self._render() if files else []))
        return self._finished

    def _render(self) -> list[Path]:
        try:
            return render(self.run.directory)
        except Exception as error:
            is_ours = isinstance(error, HarnessError)
            self.run.evidence_fault("report.html and junit.xml", str(error) if is_ours else f"{type(error).__name__}: {error}")
            with contextlib.suppress(OSError):  # there is one already, without this
                self.run.save()
            return []

    def _judge(self, test: TestRecord, verdict: Verdict) -> Judgement:
        measurements = [m for m in self.run.record.measurements if m.test == test.id]
        return judge_test(verdict, test.checks, test.disruptions, measurements)

    def _close(self, test: TestRecord, verdict: Judgement) -> Judgement:
        test.verdict = verdict
        test.seconds = max(0.0, time.monotonic() - test.started.at)
        self._open = None
        self.run.note("harness", "test", f"{verdict.outcome}: {test.title}", test=test.id, reason=verdict.reason)
        self._store()
        return verdict

    def _store(self) -> None:
        """Store what is known so far. What cannot be written now (a full disk) is told once and tried again with the next; the run's end
        says whether all of it is there.
        """
        try:
            self.run.save()
        except OSError as error:
            if self._unstored is None:
                self._unstored = error.strerror or str(error)
                self.run.evidence_fault("run.json", f"it could not be written while the run went on: {self._unstored}")

    def _current(self, method: str) -> TestRecord:
        if self._open is None:
            raise ValueError(f"{method} needs an open test: call begin_test first")
        return self._open


class OpenDisruption:
    """A disruption that is going on: say when it took effect, what it did to each path, and when it was undone."""

    def __init__(self, run: Run, record: DisruptionRecord) -> None:
        self._run = run
        self.record = record

    def took_effect(self, *, at: float | None = None) -> None:
        """Notes that the disruption's effect was seen, now or at that moment of the harness's clock."""
        self.record.took_effect = Moment.now(at)
        self._run.note("harness", "disruption", f"{self.record.name} took effect", at=at)

    def undone(self, *, at: float | None = None) -> None:
        """Notes that the disruption is undone, now or at that moment."""
        self.record.undone = Moment.now(at)
        self._run.note("harness", "disruption", f"{self.record.name} is undone", at=at)

    def recovery(
        self,
        path: PathName | str,
        seconds: float | None,
        *,
        budget: float,
        service: str | None = None,
        period: float | None = None,
        fault: str | None = None,
    ) -> Verdict:
        """Record and judge for how long `path` was out, in seconds from the disruption; None means it did not recover in time.

        `period` is the measuring period, `fault` says why the measurement itself cannot be relied on.
        """
        path = PathName(path)
        verdict = judge_recovery(path, seconds, budget, period=period or 0.0, fault=fault)
        self.record.recoveries.append(
            RecoveryRecord(path=path, service=service, seconds=seconds, budget_s=budget, period_s=period, verdict=Judgement.of(verdict))
        )
        self._run.note("harness", "recovery", f"{self.record.name}: {verdict.reason}")
        return verdict


def summarise_cluster(cluster: Cluster, kind: ClusterKind, *, active: str | None = None) -> ClusterSummary:
    """What a report says of a cluster: no logins, keys or service settings."""
    balancer, manager = cluster.load_balancer, cluster.manager
    return ClusterSummary(
        name=cluster.name,
        kind=kind,
        design=cluster.design.value,
        vip=str(cluster.vip),
        client=HostSummary(name=cluster.client.name, address=str(cluster.client.address)),
        nodes=[HostSummary(name=n.name, address=str(n.address), second_address=str(n.second_address)) for n in cluster.nodes],
        services=[ServiceSummary(name=s.name, kind=s.kind, port=s.port) for s in cluster.services],
        probe=ProbeSummary(
            protocol=balancer.probe.protocol,
            port=balancer.probe.port,
            interval_s=balancer.probe.interval_s,
            threshold=balancer.probe.threshold,
        ),
        timers={
            "manager.heartbeat_s": manager.heartbeat_s,
            "manager.check_interval_s": manager.check_interval_s,
            "manager.takeover_s": manager.takeover_s,
            "manager.boot_s": manager.boot_s,
            "load_balancer.idle_timeout_s": balancer.idle_timeout_s,
            "manager.check_limit_s": manager.check_limit_s or DEFAULT_CHECK_LIMIT_S,
            **({"manager.hc_timeout_s": manager.hc_timeout_s} if manager.hc_timeout_s is not None else {}),
            "budget.margin_s": cluster.budget.margin_s,
            "budget.recovery_s": cluster.budget.recovery_s,
        },
        heartbeats_missed=manager.heartbeats_missed,
        active_at_start=active,
        manager=manager.kind,
    )
