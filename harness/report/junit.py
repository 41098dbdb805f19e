"""junit.xml for CI servers, from the same record as everything else. pytest's own knows neither paths nor inconclusive."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping

from harness.report.judge import summarise_paths
from harness.report.model import AuditRecord, Judgement, Result, RunRecord, TestRecord
from harness.report.text import xml_safe
from harness.report.wording import is_lab, worst_recovery

_CHILD = {Result.FAIL: "failure", Result.INCONCLUSIVE: "error", Result.SKIPPED: "skipped"}


def junit(run: RunRecord) -> str:
    """The run as one test suite: a failure is <failure>, an inconclusive test <error type="inconclusive">.

    What failed outside a test (an audit, the set-up) becomes a case of its own, so that a CI server cannot miss it.
    """
    suite = ET.Element("testsuite", _texts({"name": "lkharness", "timestamp": run.started.iso, "time": f"{run.seconds:.3f}"}))
    _add_properties(suite, _suite_properties(run))
    verdicts: list[Judgement] = []
    for test in run.tests:
        _add_case(suite, test.id, test.verdict, test.seconds, _case_properties(run, test), test.title)
        verdicts.append(test.verdict)
    for audit in run.audits:
        _add_case(suite, f"audit::{audit.name}", audit.verdict, 0.0, _audit_properties(audit), audit.name)
        verdicts.append(audit.verdict)
    whole = run.verdict.outcome
    if whole is not Result.PASS and not any(v.outcome in (Result.FAIL, Result.INCONCLUSIVE) for v in verdicts):
        _add_case(suite, "run::whole", run.verdict, run.seconds, {}, "the run as a whole")
        verdicts.append(run.verdict)
    outcomes = [v.outcome for v in verdicts]
    totals = {
        "tests": len(outcomes),
        "failures": outcomes.count(Result.FAIL),
        "errors": outcomes.count(Result.INCONCLUSIVE),
        "skipped": outcomes.count(Result.SKIPPED),
    }
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
        properties["manager"] = "a stand-in for LifeKeeper"
    properties |= {f"worst_recovery.{s.path}": worst_recovery(s) for s in summarise_paths(run) if s.worst}
    return properties


def _case_properties(run: RunRecord, test: TestRecord) -> dict[str, str]:
    properties = {"title": test.title, "situation": test.situation, "design": run.cluster.design if run.cluster else ""}
    properties |= test.properties
    properties |= {
        "path": _listed(c.path.value for c in test.checks if c.path),
        "service": _listed(c.service for c in test.checks if c.service),
        "node": _listed(c.node for c in test.checks if c.node),
        "disruption": _listed(d.name for d in test.disruptions),
    }
    for disruption in test.disruptions:
        for recovery in disruption.recoveries:
            place = ".".join(filter(None, (disruption.name, recovery.path.value, recovery.service)))
            properties[f"recovery_s.{place}"] = "" if recovery.seconds is None else f"{recovery.seconds:.3f}"
            properties[f"budget_s.{place}"] = f"{recovery.budget_s:.3f}"
    return properties


def _audit_properties(audit: AuditRecord) -> dict[str, str]:
    return {"after": audit.after or ""}


def _listed(values: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(values))


def _add_case(suite: ET.Element, id: str, verdict: Judgement, seconds: float, properties: Mapping[str, str], title: str) -> None:
    place, _, name = id.rpartition("::")
    place = place.removesuffix(".py").replace("/", ".").replace(".py::", ".")
    case = ET.SubElement(suite, "testcase", _texts({"classname": place or "lkharness", "name": name or id, "time": f"{seconds:.3f}"}))
    _add_properties(case, properties)
    if verdict.outcome in _CHILD:
        child = ET.SubElement(case, _CHILD[verdict.outcome], _texts({"message": verdict.reason}))
        if verdict.outcome is Result.INCONCLUSIVE:
            child.set("type", "inconclusive")
        child.text = xml_safe(f"{title}\n{verdict.reason}")


def _add_properties(parent: ET.Element, properties: Mapping[str, str]) -> None:
    """Properties that say something; an empty one is left out."""
    found = {key: value for key, value in properties.items() if value}
    if found:
        listed = ET.SubElement(parent, "properties")
        for key, value in found.items():
            ET.SubElement(listed, "property", _texts({"name": key, "value": value}))


def _texts(attributes: Mapping[str, str]) -> dict[str, str]:
    return {key: xml_safe(value) for key, value in attributes.items()}
