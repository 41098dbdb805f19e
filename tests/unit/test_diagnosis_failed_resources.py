"""What is said of a resource that failed: by whether it is served all the same, or in service on the other node."""

from __future__ import annotations

from diagnosis_sample import CLUSTER, FAILED, IN, OUT, SILENT, WEB, evidence, faults, node, only, paths, probed, state, with_host

from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose

NOT_THERE = "so what it serves is not there"
IP = CLUSTER.ip_resource.tag


def test_what_runs_and_is_marked_failed_is_not_said_to_be_gone() -> None:
    cause = only(evidence(state=state({WEB.tag: FAILED}), paths=paths()), "lknode01", "as failed on lknode01, but it", "port 80", "serves")
    assert cause.certainty is Certainty.CERTAIN and NOT_THERE not in cause.says
    probes = {"lknode01": probed("lknode01"), "lknode02": probed("lknode02")}
    only(
        evidence(state=state({"lbhc-12345": FAILED}), paths=paths(), probes=probes), "lknode01", "as failed", "(the probe port) there, and"
    )
    only(evidence(state=state({IP: FAILED}), paths=paths()), "lknode01", "as failed", "10.20.1.200 is on eth1")


def test_what_is_left_failed_on_the_standby_is_about_the_next_failover() -> None:
    cause = only(evidence(state=state(standby={WEB.tag: FAILED})), "lknode02", "left failed on lknode02", "in service on lknode01")
    assert cause.certainty is Certainty.LIKELY and NOT_THERE not in cause.says
    nowhere = evidence(state=state({WEB.tag: OUT}, {WEB.tag: FAILED}))
    assert [c for c in faults(diagnose(nowhere)) if NOT_THERE in c.says and c.host == "lknode02"]


def test_what_is_gone_is_said_to_be_gone() -> None:
    base = node("lknode01")
    closed = [s for s in base.listeners or () if s.port != WEB.port]
    gone = with_host(node("lknode01", listeners=closed), state=state({WEB.tag: FAILED}), paths=paths(client=SILENT, standby=SILENT))
    assert [c.certainty for c in faults(diagnose(gone)) if NOT_THERE in c.says and WEB.tag in c.says] == [Certainty.CERTAIN]
    taken = with_host(base, state=state({WEB.tag: FAILED}), paths=paths(client=SILENT, standby=SILENT))  # another program has its port
    assert [c for c in faults(diagnose(taken)) if NOT_THERE in c.says]


def test_what_did_not_fail_is_not_told() -> None:
    assert faults(diagnose(evidence(state=state({WEB.tag: IN}), paths=paths()))) == []
