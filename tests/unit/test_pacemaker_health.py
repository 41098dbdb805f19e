"""Which health attributes of a node keep everything off it, by each strategy; what weighs too little is not told."""

from __future__ import annotations

import pytest
from diagnosis_sample import evidence
from test_pacemaker_attributes import cib, rule

from harness.diagnosis.engine import diagnose
from harness.managers.manager import Answer, Question, Says
from harness.managers.rules.pacemaker_attribute_rules import held_against
from harness.managers.rules.pacemaker_health_rules import by_health
from harness.managers.switchover_readiness import NodeOutput

TO = "lknode02"
CIB = """<cib><configuration><crm_config><cluster_property_set id="o">{options}</cluster_property_set></crm_config><nodes>
<node id="2" uname="lknode02"><instance_attributes id="n">{lasting}</instance_attributes></node></nodes></configuration><status>
<node_state id="1" uname="lknode01"><transient_attributes id="1"><instance_attributes id="t1"><nvpair id="x" name="#health-x" value="red"/>
</instance_attributes></transient_attributes></node_state><node_state id="2" uname="lknode02"><transient_attributes id="2">
<instance_attributes id="t2">{now}</instance_attributes></transient_attributes></node_state></status></cib>"""


def pairs(values: dict[str, str]) -> str:
    return "".join(f'<nvpair id="{name}" name="{name}" value="{value}"/>' for name, value in values.items())


def told(strategy: str, options: dict[str, str] | None = None, lasting: str = "", **now: str) -> list[str]:
    health = {f"#health-{name}": value for name, value in now.items()}
    chosen = {"node-health-strategy": strategy} | {f"node-health-{name}": value for name, value in (options or {}).items()}
    text = CIB.format(options=pairs(chosen), lasting=pairs({"#health-lasts": lasting}) if lasting else "", now=pairs(health))
    return by_health(TO, NodeOutput(text)).against


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (told("only-green", smart="yellow"), "health is yellow (#health-smart), and node-health-strategy is only-green"),
        (told("only-green", smart="green", lasting="yellow"), "yellow (#health-lasts)"),
        (told("migrate-on-red", a="red", b="yellow"), "red (#health-a), and"),
        (told("progressive", {"yellow": "-INFINITY"}, x="yellow"), "yellow (#health-x)"),
        (told("progressive", {"yellow": "-600000"}, x="yellow", y="YELLOW"), "yellow (#health-x) and YELLOW (#health-y)"),
        (told("progressive", cpu="-INFINITY"), "-INFINITY (#health-cpu)"),
    ],
)
def test_what_is_too_bad_is_told(found: list[str], words: str) -> None:
    assert len(found) == 1 and TO in found[0] and words in found[0], found


@pytest.mark.parametrize(
    "found",
    [
        told("none", smart="red"),
        told("custom", smart="red"),
        told("migrate-on-red", smart="yellow"),
        told("only-green", smart="green"),
        told("only-green"),
        told("progressive", {"yellow": "-10"}, smart="yellow"),
        told("progressive", {"red": "-10"}, smart="red"),
        told("progressive", {"yellow": "-600000", "base": "500000"}, x="yellow", y="yellow"),
        told("a word of another version", smart="red"),
        by_health(TO, NodeOutput("no XML")).against,
        by_health(TO, NodeOutput(None, "no answer")).against,
    ],
)
def test_what_is_not_too_bad_is_not_told(found: list[str]) -> None:
    assert found == []


def test_a_rule_of_one_s_own_for_health() -> None:
    """By node-health-strategy=custom."""
    low = rule('<expression id="h" attribute="#health-cpu" operation="eq" value="yellow"/>')
    output = cib(low, lasting='<nvpair id="c" name="#health-cpu" value="yellow"/>')
    assert held_against(TO, output)["needs-network"] == "the node attribute #health-cpu is yellow on lknode02"
    kind = rule('<expression id="k" attribute="#kind" operation="eq" value="cluster"/>')
    assert held_against(TO, cib(kind)) == {}


def test_the_remedy_names_the_attribute() -> None:
    why = told("only-green", smart="yellow")
    told_causes = diagnose(evidence(may_move={Question.LOST: Answer(Says.NO, tuple(why))})).causes
    (cause,) = [c for c in told_causes if "health is yellow" in c.says]
    assert "attrd_updater -D -n '#health-smart' -N lknode02" in cause.do
