"""The end of a run: an attached cluster is restored, the run's record is judged and written, and entered into the history beside it."""

from __future__ import annotations

from functools import partial

from harness.attach.disruptive_run import DisruptiveRun
from harness.core.errors import BadUse, HarnessError
from harness.gate import baseline_runs
from harness.gate.gate_file import LoadedGate
from harness.notify.notifier import MAX_OLDER, Notifier
from harness.report.ci_job_summary import SERVICE_SUMMARY, append_to_job
from harness.report.record.run_record import AS_FOUND, Result, RunRecord, RunState
from harness.report.run_record_builder import Finished, ReportBuilder


def leave_as_found(report: ReportBuilder, run: DisruptiveRun, cluster: str, *, broken: bool) -> bool:
    """Restore a cluster that was disturbed and release its lease; the report's first line says what is not.

    Returns whether Ctrl-C cut that short."""
    interrupted = False
    try:
        verdict = run.end(broken=broken)
    except BaseException as error:  # whatever ends it, a test's timeout too, leaves the cluster to the watchdog, and is reported
        interrupted = isinstance(error, KeyboardInterrupt)
        cause = "somebody ended it (Ctrl-C)" if interrupted else f"{type(error).__name__}: {error}"
        verdict = run.not_put_back(f"putting it back was cut short: {cause}")
    try:
        if verdict is not None:
            report.audit(AS_FOUND, verdict)
    finally:
        for fault in run.give_back():
            report.host_note(cluster, fault)
    return interrupted


def finish(
    report: ReportBuilder,
    died: HarnessError | None,
    *,
    interrupted: bool,
    gate: LoadedGate | None = None,
    notifier: Notifier | None = None,
) -> Finished:
    """End the run by what became of its session: `died` kept the cluster from being used, somebody `interrupted` it, or neither; then the
    `gate` has its say, and the `notifier` tells whoever is to hear that something changed."""
    if died is not None:
        finished = report.finish(RunState.BAD_USE if isinstance(died, BadUse) else RunState.UNUSABLE, str(died))
    elif interrupted:
        finished = report.finish(RunState.INTERRUPTED, "somebody ended it (Ctrl-C or SIGTERM)")
    else:
        reports = report.run.directory.parent
        finished = report.finish(gate=partial(baseline_runs.judge_finished_run, gate, reports) if gate is not None else None)
    if finished.files:
        entered = _enter_into_history(report)
        _tell_service(report)
        if notifier is not None:
            _notify(report, notifier, entered=entered)
    return finished


def _notify(report: ReportBuilder, notifier: Notifier, *, entered: bool) -> None:
    """A receiver that is not reached changes nothing of the run. Whose runs are whose is asked of the history, if this run is in it."""
    try:
        fault = notifier.tell(report.run, _runs_of_same_cluster(report) if entered else None)
    except Exception as error:  # the library has many, and its words may hold a URL, which is secret
        fault = f"{type(error).__name__} kept it from being sent"
    if fault:
        report.run.evidence_fault("the notification", fault)
        report.run.save()


def _runs_of_same_cluster(report: ReportBuilder) -> list[str] | None:
    """The folders of this cluster's newest runs; None where the history cannot tell."""
    from harness.history.run_import import runs_of_same_cluster

    cluster = report.run.record.cluster
    try:
        return runs_of_same_cluster(report.run.directory, cluster, MAX_OLDER + 1) if cluster is not None else None
    except HarnessError:  # then the newest runs of any cluster are looked at
        return None


def _tell_service(report: ReportBuilder) -> None:
    """Where a CI service names a file for a job's summary, the run's is appended to it."""
    summary = report.run.directory / "summary.md"
    fault = append_to_job(summary.read_text(encoding="utf-8")) if summary.is_file() else ""
    if fault:
        report.run.evidence_fault(f"the summary in {SERVICE_SUMMARY}", fault)


def exit_code(finished: Finished, record: RunRecord, exitstatus: int, failures: int) -> int:
    """The run's own code, when every one of the session's `failures` is the run's; otherwise pytest's."""
    own_failures = record.counts.failed + record.counts.inconclusive + sum(a.verdict.outcome is not Result.PASS for a in record.audits)
    return int(finished.exit_code) if own_failures >= failures else exitstatus


def _enter_into_history(report: ReportBuilder) -> bool:
    """Whether the run is in it. None is lost by not being so: `lkharness history` enters later what is not in."""
    try:
        from harness.history.run_import import enter  # its library is needed by nothing else in a run

        return enter(report.run.directory)
    except Exception as error:  # such as a harness that was updated while the run went on
        reason = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
        report.run.evidence_fault("its entry in the history", reason)
        return False
