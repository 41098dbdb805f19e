"""One session of tests on one cluster: the run's folder, the cluster brought up or attached to, tests recorded, the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.attach.disruption_preconditions import Preconditions
from harness.attach.disruptive_run import DisruptiveRun
from harness.attach.execution_plan import PlannedDisruption, show
from harness.attach.lease import LeaseHeld
from harness.attach.watchdog import FILE as PUT_BACK
from harness.cluster.cluster_audit import audit
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.cluster.connection_sensitive_services import demand_bearable
from harness.collect.known_secrets import known_secrets
from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, DeadlineExceeded, HarnessError, Inconclusive
from harness.core.files import write_atomically
from harness.core.redaction import read_secrets
from harness.core.signals import handle_termination_signals
from harness.core.terminal import CLEANER
from harness.core.timeline import Timeline
from harness.core.verdict import Outcome, Verdict, failed, inconclusive, passed
from harness.disrupt.disruption import Disruption
from harness.gate.gate_file import LoadedGate
from harness.hosts.host import HostUnreachable
from harness.measure.measured_disruption import Start
from harness.measure.measurement_result import Measured
from harness.pytest_plugin import pytest_items, run_end, soak
from harness.pytest_plugin.cluster_fixture import ClusterFixture, Measure
from harness.pytest_plugin.live_view import LiveView
from harness.pytest_plugin.measurement_plan import Plan, Planned
from harness.pytest_plugin.measurement_session import MeasurementSession
from harness.pytest_plugin.run_evidence import RunEvidence, explain
from harness.pytest_plugin.session_lab import SessionLab
from harness.report.ci_annotations import ci_annotations
from harness.report.record.run_directory import Run
from harness.report.record.run_record import ClusterKind
from harness.report.run_record_builder import Finished, ReportBuilder
from harness.report.terminal_summary import summary

if TYPE_CHECKING:
    from harness.azure.backend_health import HealthWatch
    from harness.notify.notifier import Notifier

HEALTHY_TIMEOUT_S = 5.0  # an attached cluster is healthy or it is not; this only lets a passing state pass

VERDICT = pytest.StashKey[Verdict]()


class Session:
    """Made at configure time from the options; does nothing until a test asks for the cluster."""

    def __init__(
        self,
        cluster: cluster_config.Cluster,
        command: Sequence[str],
        reports: Path,
        *,
        lab_data: dict | None,
        allowed: bool,
        plan: Plan,
        data: dict | None = None,
        lab_azure: bool = False,
        readable: bool = False,
        gate: LoadedGate | None = None,
        keep: str = "never",
        run_file: Path | None = None,
    ) -> None:
        self.cluster = cluster
        self.has_azure = lab_azure or cluster.azure is not None  # a management API that can be asked
        self.finished: Finished | None = None
        self.interrupted = False
        self.view: LiveView | None = None
        self._command, self._reports, self._readable, self._run_file = command, reports, readable, run_file
        self._lab_data, self._gate, self._keep = lab_data, gate, keep
        self.kept = ""  # how to reach the run's lab, where it stays
        self._lab_azure, self._data = lab_azure, data or {}  # the cluster file as it was written
        self._evidence: RunEvidence | None = None
        self.notifier: Notifier | None = None
        self._allowed, self._plan = allowed, plan
        self._look = partial(Preconditions, named_disruptions=frozenset(plan.names), allow_unproven=plan.allow_unproven)
        self._measuring: MeasurementSession | None = None
        self._subject: ClusterUnderTest | None = None
        self._attached: DisruptiveRun | None = None
        self._report: ReportBuilder | None = None
        self._broken: str | None = None
        self._disturbs = False  # whether a disruption was begun, or about to be, since an audit last found nothing of it
        self._not_healthy: str | None = None
        self._died: HarnessError | None = None
        self._lab: SessionLab | None = None
        self._health: HealthWatch | None = None
        self._secrets = contextlib.ExitStack()

    def planned(self) -> list[Planned]:
        """Every measurement that the options ask for."""
        return self._plan.measurements(self.cluster, azure=self.has_azure, own_lab=self._lab_data is not None)

    @property
    def may_disturb(self) -> bool:
        """Whether this run may disturb the cluster."""
        return self._allowed

    why_not_disturb = "it would disturb the attached cluster; allow that with --allow-disruption"
    why_not_measure = (
        "nothing would be done to the attached cluster, but measuring it is a load of many connections a second and writes tokens to its "
        "databases; allow that with --allow-disruption"
    )

    def rehearse(self, planned_faults: Sequence[PlannedDisruption]) -> str:
        """The plan with every command of it, without a run and without doing any of it. Raises HarnessError."""
        CLEANER.knows(known_secrets(self.cluster, {})[0])  # there is no run whose cleaner would
        subject = ClusterUnderTest(self.cluster, Timeline())
        try:
            subject.reach()
            load = soak.load_on(subject, self._plan.soak, self._plan.options.period_s)
            plan = show(subject, planned_faults, self._look(subject)).as_text(commands=True)
            return "\n".join([*load, plan, "this was a dry run: nothing was done"])
        finally:
            subject.close()

    def attach(self, planned_faults: Sequence[PlannedDisruption], say: Callable[[str], None]) -> None:
        """Make the run's folder, then bring up the lab or reach the attached cluster. Raises HarnessError.

        `planned_faults` are what the tests would do to it; on an attached cluster `say` shows that to a person, before any of it is done.
        """
        handle_termination_signals()
        run = Run.create(self._reports, command=self._command, readable=self._readable)
        self._report = ReportBuilder(run)
        self._write_run_file(run)
        kind = ClusterKind.ATTACHED if self._lab_data is None else ClusterKind.LAB
        self._report.cluster_is(self.cluster, kind)
        if self._lab_data is not None:
            self._lab = SessionLab(self._lab_data, azure=self._lab_azure, keep=self._keep)
            self.cluster, self._data = self._lab.up(run)
        secrets, _ = known_secrets(self.cluster, {"services": [{"settings": s.settings} for s in self.cluster.services]})
        run.cleaner.knows(secrets)  # reports are passed on: what anybody wrote down of passwords is not
        self._secrets.enter_context(read_secrets.told_to(run.cleaner.knows))
        self._subject = ClusterUnderTest(self.cluster, run.timeline)
        self._subject.cleaner = run.cleaner
        self._evidence = RunEvidence(self._subject, self._report, self._data, is_own_cluster=self._lab_data is not None)
        self._subject.reach()
        demand_bearable(self._subject, many=bool(self._lab_data is None and self._allowed and planned_faults))
        for sentence in soak.load_on(self._subject, self._plan.soak, self._plan.options.period_s):
            say(sentence)
        self._watch_health(run)
        if self._lab_data is None and self._allowed and planned_faults:
            self._attached = DisruptiveRun(self._subject, run.id, run.directory, self._look)
            self._attached.take()
        self._report.cluster_is(self.cluster, kind, active=self._why_not_healthy(self._subject))
        if self._lab_data is None and not (
            health := self._audit_health(patience_s=0.0)
        ):  # what was broken before the first test is no test's fault
            self._not_healthy = self._not_healthy or health.reason
            self._evidence.collect_state()
        if self._attached is not None:
            self._attached.show_plan(planned_faults, say)

    def _write_run_file(self, run: Run) -> None:
        """Before anything is done: who asked for it takes what is not there for a run that never began. Raises BadUse."""
        if self._run_file is None:
            return
        try:
            write_atomically(self._run_file, f"{run.directory}\n")
        except OSError as error:
            raise BadUse(f"--run-file {self._run_file}: cannot be written ({error.strerror or error}); name a file that can be") from error

    def _watch_health(self, run: Run) -> None:
        """Where Azure can be asked, the balancer's own view of its members goes on the timeline; what is lacking for it, too."""
        if self.cluster.azure is None:
            return
        from harness.azure.backend_health import HealthWatch  # only a cluster with [azure] needs the Azure packages
        from harness.azure.client import sdk_clients

        self._health = HealthWatch(self.cluster, sdk_clients.make_clients(self.cluster.azure), run.timeline)
        self._health.start()

    def _why_not_healthy(self, subject: ClusterUnderTest) -> str | None:
        """The lab must be healthy. An attached cluster need not be: then only what disturbs nothing is tested, and finds what is wrong."""
        limit = self.cluster.manager.takeover_s + self.cluster.manager.boot_s
        try:
            return subject.wait_until_healthy(Deadline(limit if self._lab_data else HEALTHY_TIMEOUT_S)).active
        except DeadlineExceeded as error:
            if self._lab_data:
                raise
            self._not_healthy = str(error)
            assert self._report is not None
            self._report.host_note(self.cluster.name, f"the cluster was not healthy when the run attached to it: {error}")
            return None

    @contextlib.contextmanager
    def test(self, item: pytest.Item) -> Iterator[ClusterFixture]:
        """Record one test; audit the cluster behind it."""
        assert self._subject is not None and self._report is not None and self._evidence is not None
        self._report.begin_test(item.nodeid, pytest_items.title(item), properties={"design": str(self.cluster.design)})
        try:
            if reason := self._why_not_run(item):
                item.stash[VERDICT] = inconclusive(reason)
                raise Inconclusive(reason)
            self._subject.before_undoing = partial(pytest_items.end_timeout, item)
            yield ClusterFixture(
                self._subject, self._report, self._measure(item), self._before, partial(self._evidence.collect_state, item.nodeid)
            )
        finally:
            verdict = item.stash.get(VERDICT, inconclusive("the test was interrupted"))
            self._report.end_test(verdict)
        if not self._broken and not self._not_healthy and not self.interrupted:
            self._audit(item)

    def _why_not_run(self, item: pytest.Item) -> str:
        if self._broken:
            return f"not run, because the cluster was left broken: {self._broken}"
        if self._not_healthy and item.get_closest_marker("disruptive"):
            return f"not run, because a cluster that is not healthy must not be disturbed: {self._not_healthy}"
        return ""

    def _before(self, disruption: Disruption, within: bool = False) -> None:
        """May this disruption be done now, or `within` another? Raises Inconclusive. A lab is the run's own, to do with as it likes."""
        self._disturbs = True
        if self._lab_data is None:
            if self._attached is None:
                raise Inconclusive(f"{disruption.name} was not done: {self.why_not_disturb}")
            self._attached.demand_permission(disruption, within=within)
            self._tell_that_it_is_disturbed(disruption)

    def _tell_that_it_is_disturbed(self, disruption: Disruption) -> None:
        """From now on the record on the disk says that nobody has seen the cluster as it was found: that is what is read of a run that
        was killed."""
        assert self._report is not None
        try:
            self._report.disturbed(
                f"this run ended before it saw that; it had begun with {disruption.name}; look at {PUT_BACK} beside this"
            )
        except OSError as error:
            reason = f"the run's folder cannot be written to ({error.strerror})"
            raise Inconclusive(f"{disruption.name} was not done, and nothing was: {reason}") from error

    def _measure(self, item: pytest.Item) -> Measure:
        """What a trial measures a disruption with."""

        def measure(make: Callable[[], Disruption], start: Start) -> Measured:
            assert self._subject is not None and self._report is not None

            def guarded() -> Disruption:  # before each try
                pytest_items.renew_timeout(item, start.lasts_s)
                disruption = make()
                self._before(disruption)
                return disruption

            cut = self._lab.known_cut if self._lab is not None else None
            if self._measuring is None:
                self._measuring = MeasurementSession(self._subject, self._report, self._plan.options, cut, self.view, self._plan.soak)
            if self._plan.soak is not None:
                return soak.keep_measuring(self._measuring, guarded, start, self._plan.soak, test=item.nodeid)
            return self._measuring.measure(guarded, start, test=item.nodeid)

        return measure

    def _audit_health(self, after: str | None = None, patience_s: float | None = None, *, undone: bool = True) -> Verdict:
        assert self._subject is not None and self._report is not None
        try:
            verdict = audit(self._subject, patience_s=patience_s, undone=undone)
        except HarnessError as error:
            verdict = inconclusive(f"the cluster could not be audited: {error}")
        self._report.audit("the cluster is healthy", verdict, after=after)
        return verdict

    def _audit(self, item: pytest.Item) -> None:
        assert self._subject is not None
        verdict = self._audit_health(item.nodeid, undone=self._disturbs or bool(self._subject.standing))
        if verdict:
            self._disturbs = False
        else:
            self._broken = f"after {item.name}: {verdict.reason}"
        if verdict.outcome is Outcome.INCONCLUSIVE:
            raise Inconclusive(f"audit: {verdict.reason}")
        if verdict.outcome is Outcome.FAIL:
            assert self._evidence is not None
            self._evidence.collect_state(item.nodeid)
            pytest.fail(f"audit: {verdict.reason}", pytrace=False)

    def record_phase(self, item: pytest.Item, call: pytest.CallInfo, report: pytest.TestReport) -> None:
        """Keep what pytest found of a test, as a verdict; a broken measurement is told in one sentence, not in a traceback."""
        if call.excinfo is not None and isinstance(call.excinfo.value, HarnessError) and report.failed:
            report.longrepr = f"{type(call.excinfo.value).__name__}: {call.excinfo.value}"
        if self._report is not None:  # what pytest itself prints of a test that used the cluster goes by the same door
            pytest_items.clean(report, self.redact)
        if call.when == "teardown":
            return
        if report.skipped:
            item.stash[VERDICT] = inconclusive(f"skipped: {pytest_items.skip_reason(report)}")
        elif report.failed:
            unclear = call.excinfo is not None and isinstance(call.excinfo.value, HarnessError)
            item.stash[VERDICT] = (inconclusive if unclear else failed)(pytest_items.first_line(call))
            if not unclear and self._evidence is not None:
                self._evidence.collect_state(item.nodeid)
        elif call.when == "call":
            item.stash[VERDICT] = passed(pytest_items.title(item))

    def redact(self, text: str) -> str:
        """`text` without secrets and fit for a terminal."""
        return (self._report.run.cleaner if self._report else CLEANER).for_terminal(text)

    def record_setup_error(self, error: HarnessError) -> None:
        """Notes what keeps the cluster from being used at all."""
        self._died = error

    def close(self) -> None:
        """The report first, then the teardown; the lab goes in any case."""
        if self._subject is not None:
            self._subject.before_undoing()
        try:
            try:
                if self._measuring is not None:
                    self._measuring.close()
            finally:
                if self._report is not None:
                    try:
                        self._leave_as_found(self._report)
                    finally:  # even when a test's timeout falls into it
                        self._finish(self._report)
        finally:
            if self._health is not None:
                self._health.close()
            if self._subject is not None:
                self._subject.close()
            self._secrets.close()
            if self._lab is not None:
                self.kept = self._lab.down(passed=self.finished is not None and self.finished.exit_code == 0)
            if self._report is not None:
                self._report.run.close()

    def _leave_as_found(self, report: ReportBuilder) -> None:
        """An attached cluster that was disturbed is put back, or the report's first line says what is not."""
        if self._attached is None:
            return
        was_interrupted = run_end.leave_as_found(report, self._attached, self.cluster.name, broken=self._broken is not None)
        self.interrupted = self.interrupted or was_interrupted

    def _finish(self, report: ReportBuilder) -> None:
        self._collect_evidence(report.run)
        soak.record_availability(report, self._plan.soak, self._measuring)
        self.finished = run_end.finish(report, self._died, interrupted=self.interrupted, gate=self._gate, notifier=self.notifier)

    def _collect_evidence(self, run: Run) -> None:
        if self._lab is not None and (events := self._lab.events()) is not None:
            run.collect("lab-events.jsonl", lambda path: path.write_bytes(events))
        if self._evidence is not None and not isinstance(
            self._died, HostUnreachable | LeaseHeld
        ):  # else nobody to ask, or somebody else's evidence
            self._evidence.at_the_end()
        explain(run)

    def exit_code(self, exitstatus: int, failures: int) -> int:
        """The contract's code, when every failure of the session is one of this run's."""
        if self.finished is None or self._report is None:
            return exitstatus
        return run_end.exit_code(self.finished, self._report.run.record, exitstatus, failures)

    def not_as_found(self) -> str:
        """The sentence that says so, or empty."""
        return self.redact(self._report.run.record.not_as_found) if self._report is not None else ""

    def ci_annotations(self) -> list[str]:
        """What failed, in lines for the CI service that this is on; none elsewhere."""
        assert self._report is not None
        return ci_annotations(self._report.run.record, os.environ, self._report.run.cleaner.text)

    def summary(self) -> str:
        """The run's summary as text for the terminal."""
        assert self._report is not None
        return self.redact(summary(self._report.run.record, self._report.run.directory))
