"""Which node attribute bans a node by a constraint's rule, and what sets it: as in the guides for ocf:pacemaker:ping."""

from __future__ import annotations

import pytest
from diagnosis_sample import evidence, faults
from test_pacemaker_adapter import MONITOR

from harness.diagnosis.engine import diagnose
from harness.managers.manager import Answer, Question, Says
from harness.managers.parse.pacemaker_parse import read
from harness.managers.rules.pacemaker_attribute_rules import held_against
from harness.managers.rules.pacemaker_switchover_rules import by_cluster
from harness.managers.switchover_readiness import NodeOutput

TO = "lknode02"
PING = """<clone id="ping-clone"><primitive id="ping-gw" class="ocf" provider="pacemaker" type="ping"><instance_attributes id="i">
<nvpair id="h" name="host_list" value="10.20.1.1 10.20.1.9"/>{}</instance_attributes></primitive></clone>"""
RULE = '<rsc_location id="needs-network" rsc="web"><rule id="r" score="{}" boolean-op="{}">{}</rule></rsc_location>'
UNSET = '<expression id="u" attribute="pingd" operation="not_defined"/>'
LOW = '<expression id="l" attribute="pingd" operation="lt" value="{}" type="{}"/>'


def cib(rules: str, *, value: str | None = "0", lasting: str = "", resources: str = PING.format("")) -> NodeOutput:
    pair = "" if value is None else f'<nvpair id="v" name="pingd" value="{value}"/>'
    status = f'<node_state id="2" uname="{TO}"><transient_attributes id="2"><instance_attributes id="s">{pair}</instance_attributes>'
    own = f'<nodes><node id="2" uname="{TO}"><instance_attributes id="n">{lasting}</instance_attributes></node></nodes>'
    inside = f"{own}<resources>{resources}</resources><constraints>{rules}</constraints>"
    return NodeOutput(f"<cib><configuration>{inside}</configuration><status>{status}</transient_attributes></node_state></status></cib>")


def rule(*expressions: str, score: str = "-INFINITY", joined: str = "or") -> str:
    return RULE.format(score, joined, "".join(expressions))


BOTH = rule(UNSET, LOW.format(1, "number"))


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (cib(BOTH), f"the node attribute pingd is 0 on {TO}, which is below 1; ping-gw (ping) sets it by pinging 10.20.1.1 10.20.1.9"),
        (cib(BOTH, value=None), f"the node attribute pingd is not set on {TO}; ping-gw (ping) sets it by pinging 10.20.1.1 10.20.1.9"),
        (cib(BOTH, value="1000"), ""),
        (cib(BOTH, resources=""), f"the node attribute pingd is 0 on {TO}, which is below 1"),
        (cib(rule(UNSET, LOW.format(1, "number"), joined="and")), ""),
        (cib(rule(UNSET, score="100"), value=None), ""),
        (cib(rule(LOW.format("9", "string"), joined="and"), value="1000"), f"the node attribute pingd is 1000 on {TO}, which is below 9; "
         "ping-gw (ping) sets it by pinging 10.20.1.1 10.20.1.9"),
        (cib(rule(LOW.format("9", "number")), value="1000"), ""),
        (cib(rule('<expression id="n" attribute="#uname" operation="eq" value="lknode01"/>', UNSET, joined="and"), value=None), ""),
        (cib(rule('<expression id="n" attribute="#uname" operation="eq" value="lknode02"/>')), ""),  # by the name: no attribute is to blame
        (cib(rule('<date_expression id="d" operation="gt" start="2001-01-01"/>', UNSET, joined="and"), value=None),
         f"the node attribute pingd is not set on {TO}; ping-gw (ping) sets it by pinging 10.20.1.1 10.20.1.9"),
        (cib(rule(f'<rule id="x" boolean-op="and">{UNSET}{LOW.format(1, "")}</rule>', LOW.format(5, ""), joined="or"), value="3"),
         f"the node attribute pingd is 3 on {TO}, which is below 5; ping-gw (ping) sets it by pinging 10.20.1.1 10.20.1.9"),
        (cib(rule('<expression id="s" attribute="site" operation="ne" value="a"/>'), lasting='<nvpair id="q" name="site" value="b"/>'),
         f"the node attribute site is b on {TO}, which is other than a"),
        (cib(rule(UNSET), value=None, resources=PING.format('<nvpair id="z" name="name" value="gw"/>')),
         f"the node attribute pingd is not set on {TO}"),
        (NodeOutput("not connected"), ""),
    ],
)  # fmt: skip
def test_what_the_rule_holds_against_the_node(told: NodeOutput, says: str) -> None:
    assert held_against(TO, told) == ({"needs-network": says, "r": says} if says else {})


def test_the_ban_says_it_and_the_remedy_goes_by_it() -> None:
    bans = "".join(f'<ban id="{id}" resource="web" node="{TO}" weight="-1000000"/>' for id in ("needs-network", "other"))
    monitor = MONITOR.replace("</resources>", f"</resources><bans>{bans}</bans>", 1)
    told = by_cluster(TO, read(monitor), attributes=held_against(TO, cib(BOTH))).against
    assert [why.split(": ")[0] for why in told] == [f"the constraint {id} forbids {TO} (for web)" for id in ("needs-network", "other")]
    assert told[0].endswith("by pinging 10.20.1.1 10.20.1.9")
    causes = faults(diagnose(evidence(may_move={Question.LOST: Answer(Says.NO, tuple(told))})))
    assert ["attrd_updater -Q -n pingd -A" in c.do and "FAB-02" in c.do for c in causes] == [True, False]
