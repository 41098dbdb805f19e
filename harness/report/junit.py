"""junit.xml for CI servers, from the same record as everything else. pytest's own knows neither paths nor inconclusive."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping

from harness.core.text.host_text import xml_safe
from harness.report.lab_disclaimer import is_lab, lab_manager
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_record import AuditRecord, CauseRecord, Judgement, Result, RunRecord, TestRecord
from harness.report.statistics.outage_statistics import figures, worst_outages
from harness.report.statistics.path_summary import summarise_paths, worst_recovery

_CHILD = {Result.FAIL: "failure", Result.INCONCLUSIVE: "error", Result.SKIPPED: "skipped"}


def junit(run: RunRecord) -> str:
    """The run as one test suite: a failure is <failure>, an inconclusive test <error type="inconclusive">.

    What failed outside a test (an audit, the set-up) becomes a case of its own, so that a CI server cannot miss it.
    """
    suite = ET.Element("testsuite", _texts({"name": "lkharness", "timestamp": run.started.iso, "time": f"{run.seconds:.3f}"}))
    _add_properties(suite, _suite_properties(run))
    verdicts: list[Judgement] = []
    for test in run.tests:
        _add_case(suite, test.id, test.verdict, test.seconds, _case_properties(run, test), test.title, run.cause_of(test.id))
        verdicts.append(test.verdict)
    for audit in run.audits:
        _add_case(suite, _audit_id(audit), audit.verdict, 0.0, _audit_properties(audit), audit.name, run.cause_of_audit(audit))
        verdicts.append(audit.verdict)
    if run.gate is not None:
        outcome = {"pass": Result.PASS, "fail": Result.FAIL}.get(run.gate.outcome, Result.INCONCLUSIVE)
        gate_judgement = Judgement(outcome=outcome, reason=run.gate.reason)
        findings = {f"gate.{finding.about}": f"{finding.outcome}: {finding.reason}" for finding in run.gate.findings}
        _add_case(suite, "gate::passed", gate_judgement, 0.0, findings, f"the gate {run.gate.file}")
        verdicts.append(gate_judgement)
    run_outcome = run.verdict.outcome
    if run_outcome is not Result.PASS and not any(v.outcome in (Result.FAIL, Result.INCONCLUSIVE) for v in verdicts):
        _add_case(suite, "run::whole", run.verdict, run.seconds, {}, "the run as a whole")
        verdicts.append(run.verdict)
    outcomes = [v.outcome for v in verdicts]
    totals = {
        "tests": len(outcomes),
        "failures": outcomes.count(Result.FAIL),
        "errors": outcomes.count(Result.INCONCLUSIVE),
        "skipped": outcomes.count(Result.SKIPPED),
    }
    if run.not_as_found:
        ET.SubElement(suite, "system-err").text = xml_safe(run.not_as_found)
    suite.attrib.update({key: str(value) for key, value in totals.items()})
    root = ET.Element("testsuites", {"name": "lkharness", "time": f"{run.seconds:.3f}", **{k: str(v) for k, v in totals.items()}})
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite_properties(run: RunRecord) -> dict[str, str]:
    properties = {
        "run": run.run_id,
        "schema_version": str(run.schema_version),
        "harness": run.harness_version,
        "verdict": f"{run.verdict.outcome}: {run.verdict.reason}",
        "exit_code": str(run.exit_code),
    }
    if run.cluster:
        properties |= {"cluster": run.cluster.name, "kind": run.cluster.kind.value, "design": run.cluster.design}
    if is_lab(run):
        properties["manager"] = lab_manager(run)
    properties |= {f"worst_recovery.{s.path}": worst_recovery(s) for s in summarise_paths(run) if s.worst}
    for path, figure in worst_outages(run).items():
        properties[f"worst_recovered_after_s.{path}"] = _figure(figure.series.recovered_after_s)
        properties[f"worst_recovered_after.{path}"] = f"{figure.sentence} ({figure.record.id})"
    if run.calibration:
        properties["calibration"] = str(run.calibration.verdict)
    return properties


def _case_properties(run: RunRecord, test: TestRecord) -> dict[str, str]:
    properties = {"title": test.title, "situation": test.situation, "design": run.cluster.design if run.cluster else ""}
    measurements = [m for m in run.measurements if m.test == test.id]
    all_series = [series for m in measurements for series in m.measured.series]
    properties |= test.properties
    properties |= {
        "path": _join_values([c.path.value for c in test.checks if c.path] + [t.path for t in all_series]),
        "service": _join_values([c.service for c in test.checks if c.service] + [t.service for t in all_series]),
        "node": _join_values([c.node for c in test.checks if c.node] + [m.measured.after or "" for m in measurements]),
        "disruption": _join_values([d.name for d in test.disruptions] + [m.measured.disruption for m in measurements]),
    }
    for disruption in test.disruptions:
        for recovery in disruption.recoveries:
            key = ".".join(filter(None, (disruption.name, recovery.path.value, recovery.service)))
            properties[f"recovery_s.{key}"] = _figure(recovery.seconds)
            properties[f"budget_s.{key}"] = f"{recovery.budget_s:.3f}"
    for record in run.measurements:
        if record.test == test.id:
            properties |= _measurement_properties(record)
    return properties


def _measurement_properties(record: MeasurementRecord) -> dict[str, str]:
    """Every figure under run.json's name for it: recovered_after_s.<id>.<path>.<service>.<kind> (docs/reading-a-report.md)."""
    measured = record.measured
    properties = {
        f"measured.{record.id}": f"{measured.verdict.outcome}: {measured.verdict.reason}",
        f"disruption.{record.id}": measured.disruption,
        f"before.{record.id}": measured.before,
        f"after.{record.id}": measured.after or "",
        f"budget_s.{record.id}": _figure(measured.budget_s),
        f"recording.{record.id}": record.recording,
    }
    for figure in figures(record):
        series = figure.series
        key = ".".join((record.id, series.path or series.origin, series.service, series.kind))
        properties[f"recovered_after_s.{key}"] = _figure(series.recovered_after_s)
        properties[f"unknown.{key}"] = series.unknown or ("" if figure.known else figure.words)
        if series.recovered_after_s:
            at_least_s, at_most_s = figure.bounds
            properties |= {f"min_s.{key}": _figure(at_least_s), f"max_s.{key}": _figure(at_most_s)}
            properties[f"counted_from.{key}"] = series.counted_from
        properties[f"longest_gap_s.{key}"] = _figure(series.longest_gap_s)
        properties[f"stalled_s.{key}"] = _figure(series.stalled_s)
        properties[f"period_s.{key}"] = f"{series.period_s:g}"
        longest = figure.longest
        if longest is not None:
            number, outage = longest
            properties[f"outage_s.{key}"] = _figure(outage.seconds)
            for phase in record.phases_of(series.id, number):
                properties[f"phase_s.{key}.{phase.name.replace(' ', '_')}"] = _figure(phase.seconds)
    if measured.tokens:
        properties |= {
            f"tokens_lost.{record.id}": str(len(measured.tokens.lost)),
            f"tokens_doubled.{record.id}": str(len(measured.tokens.doubled)),
        }
    return properties


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _audit_id(audit: AuditRecord) -> str:
    """Unique, and the same night after night: CI servers keep a history by it."""
    module, _, test = (audit.after or "").rpartition("::")
    return f"audit/{module}::{audit.name} after {test}" if test else f"audit::{audit.name}"


def _audit_properties(audit: AuditRecord) -> dict[str, str]:
    return {"after": audit.after or ""}


def _join_values(values: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(value for value in values if value))


def _add_case(
    suite: ET.Element,
    id: str,
    verdict: Judgement,
    seconds: float,
    properties: Mapping[str, str],
    title: str,
    cause: CauseRecord | None = None,
) -> None:
    class_name, _, name = id.rpartition("::")
    class_name = class_name.removesuffix(".py").replace("/", ".").replace(".py::", ".")
    case = ET.SubElement(suite, "testcase", _texts({"classname": class_name or "lkharness", "name": name or id, "time": f"{seconds:.3f}"}))
    _add_properties(case, properties)
    if verdict.outcome in _CHILD:
        shown_cause = cause if verdict.outcome in (Result.FAIL, Result.INCONCLUSIVE) else None
        child = ET.SubElement(case, _CHILD[verdict.outcome], _texts({"message": shown_cause.sentence if shown_cause else verdict.reason}))
        if verdict.outcome is Result.INCONCLUSIVE:
            child.set("type", "inconclusive")
        reason = "" if shown_cause and verdict.reason in shown_cause.says else verdict.reason
        child.text = xml_safe("\n".join(filter(None, [title, *(_cause_lines(shown_cause) if shown_cause else ()), reason])))


def _cause_lines(cause: CauseRecord) -> list[str]:
    """What proves the cause of the message and what to do, before the symptom."""
    lines = [f"the cause is {cause.certainty}", *(f"seen: {line}" for line in cause.evidence), f"do: {cause.do}"]
    return [*lines, f"otherwise: {cause.otherwise}"] if cause.otherwise else lines


def _add_properties(parent: ET.Element, properties: Mapping[str, str]) -> None:
    """Properties that say something; an empty one is left out."""
    filled = {key: value for key, value in properties.items() if value}
    if filled:
        element = ET.SubElement(parent, "properties")
        for key, value in filled.items():
            ET.SubElement(element, "property", _texts({"name": key, "value": value}))


def _texts(attributes: Mapping[str, str]) -> dict[str, str]:
    return {key: xml_safe(value) for key, value in attributes.items()}
