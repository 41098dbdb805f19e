"""The balancer's own view of its members is judged against the roles, by `check` and by the suites."""

from __future__ import annotations

import azure_payloads
import pytest
from arm_server import ArmServer

from harness.azure.backend_health_findings import MemberHealth, member_findings
from harness.azure.lint.azure_check import Survey
from harness.core.finding import Finding, Weight, verdicts
from harness.core.verdict import Outcome

CLUSTER = azure_payloads.cluster()
UP, DOWN = MemberHealth("Up", "Up_Probe_Success"), MemberHealth("Down", "Down_Probe_TcpProbeTimeout")
FIRST, SECOND = (str(n.address) for n in CLUSTER.nodes)


def said(first: MemberHealth | None, second: MemberHealth | None, active: str | None = None) -> list[Finding]:
    words = {a: w for a, w in ((FIRST, first), (SECOND, second)) if w}
    return member_findings(CLUSTER, {"rule-1521": words}, active)


@pytest.mark.parametrize("active", [None, CLUSTER.nodes[0].name])
def test_one_member_up_and_the_other_down_is_right(active: str | None) -> None:
    assert said(UP, DOWN, active) == [] == said(UP, None, active)


@pytest.mark.parametrize(
    ("first", "second", "active", "words"),
    [
        (UP, UP, None, "both nodes up"),
        (DOWN, DOWN, None, "no node up"),
        (None, None, None, "no node up"),
        (UP, DOWN, CLUSTER.nodes[1].name, "lknode01 up, and lknode02 is active"),
        (MemberHealth("Up", "Up_Admin"), DOWN, None, "Up_Admin"),
        (UP, MemberHealth("Down", "Down_Platform"), None, "Down_Platform"),
        (MemberHealth("Up", "Up_Probe_AllDownIsUp"), DOWN, None, "AllDownIsUp"),
    ],
)
def test_what_is_not_is_a_fault_that_says_to_look_again(first, second, active, words) -> None:
    found = said(first, second, active)
    assert found and all(f.weight is Weight.FAULT and "look again" in f.do for f in found)
    assert any(words in f.says for f in found)


def test_a_survey_asks_for_it(server: ArmServer) -> None:
    cluster = azure_payloads.cluster(azure=server.table())
    assert cluster.azure is not None
    first, second = (n.name for n in cluster.nodes)
    survey = Survey(cluster, cluster.azure)
    assert survey.findings(first) == []
    assert [f.what for f in survey.findings(second)] == ["health of rule-1521"]


def test_one_that_may_not_be_asked_is_unknown_and_the_rest_is_judged(server: ArmServer) -> None:
    cluster = azure_payloads.cluster(azure=server.table())
    assert cluster.azure is not None
    server.spoiled["/health"] = (403, {}, {"error": {"code": "AuthorizationFailed", "message": "to perform action 'a/health/action' over"}})
    [one] = Survey(cluster, cluster.azure).findings(cluster.nodes[0].name)
    assert one.weight is Weight.UNKNOWN and "a/health/action" in one.says
    assert [v.outcome for v in verdicts([one])] == [Outcome.INCONCLUSIVE]
