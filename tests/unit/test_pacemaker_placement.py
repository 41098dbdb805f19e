"""Why Pacemaker would not have something on the other node: an opt-in cluster, capacities, tickets. Its simulation tells none of it."""

from __future__ import annotations

import pytest
from test_pacemaker_adapter import MONITOR

from harness.managers.parse.pacemaker_parse import read
from harness.managers.rules.pacemaker_placement_rules import by_placement
from harness.managers.switchover_readiness import NodeOutput

TO = "lknode02"
GROUP = '<group id="cluster-services"><primitive id="web"/><primitive id="ip">{}</primitive></group>'
NEEDS = '<utilization id="u"><nvpair id="u1" name="memory" value="4096"/></utilization>'
HAS = f'<nodes><node id="2" uname="{TO}"><utilization id="v"><nvpair id="v1" name="memory" value="{{}}"/></utilization></node></nodes>'
TICKET = '<rsc_ticket id="t1" rsc="cluster-services" ticket="site-a" loss-policy="stop"/>'
APART = '<rsc_colocation id="c1" rsc="ip" with-rsc="cluster-services" score="-INFINITY"/>'
ORDER = '<rsc_order id="o1" first="ip" then="cluster-services"/>'
STAYS = '<meta_attributes id="m"><nvpair id="m1" name="target-role" value="Stopped"/></meta_attributes>'
ALLOWED = f'<rsc_location id="a" rsc="cluster-services" node="{TO}" score="100"/>'

EXCLUSIVE = ALLOWED.replace(TO, "lknode01").replace("/>", ' resource-discovery="exclusive"/>')


def cib(option: str = "", value: str = "", *, nodes: str = "", needs: str = "", rules: str = "", status: str = "") -> NodeOutput:
    options = f'<crm_config><nvpair id="o" name="{option}" value="{value}"/></crm_config>' if option else "<crm_config/>"
    inside = f"{options}{nodes}<resources>{GROUP.format(needs)}</resources><constraints>{rules}</constraints>"
    return NodeOutput(f"<cib><configuration>{inside}</configuration><status>{status}</status></cib>")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (cib(), ()),
        (cib("symmetric-cluster", "true"), ()),
        (cib("symmetric-cluster", "false"), ("opt-in", "symmetric-cluster=false", f"allows {TO} for", "web")),
        (cib("symmetric-cluster", "false", rules=ALLOWED.replace(TO, "lknode01")), ("opt-in",)),
        (cib("symmetric-cluster", "false", rules=ALLOWED.replace("100", "-100")), ("opt-in",)),
        (cib(rules=EXCLUSIVE), ("the constraint a has resource-discovery=exclusive", "cluster-services may run nowhere but on lknode01")),
        (cib(rules=EXCLUSIVE + EXCLUSIVE.replace("lknode01", TO)), ()),
        (cib(rules=EXCLUSIVE.replace("exclusive", "always")), ()),
        (cib(rules=EXCLUSIVE.replace("cluster-services", "another")), ()),
        (cib(rules=EXCLUSIVE + EXCLUSIVE.replace('node="lknode01"', "")), ()),  # a rule may name any node
        (cib("placement-strategy", "utilization", nodes=HAS.format(1024), needs=NEEDS), ("need 4096 of memory", "capacity of 1024")),
        (cib("placement-strategy", "minimal", needs=NEEDS), ("capacity of 0",)),
        (cib("placement-strategy", "utilization", nodes=HAS.format(8192), needs=NEEDS), ()),
        (cib("placement-strategy", "default", nodes=HAS.format(1024), needs=NEEDS), ()),
        (cib("placement-strategy", "utilization", nodes=HAS.format("9" * 40), needs=NEEDS), ("capacity of 0",)),
        (cib(rules=TICKET), ("needs the ticket site-a", "t1")),
        (cib(rules=TICKET, status='<tickets><ticket_state id="site-a" granted="true"/></tickets>'), ()),
        (cib(rules=TICKET.replace("cluster-services", "another")), ()),
        (cib(rules=APART), ("the colocation c1", "ip and cluster-services apart", "-INFINITY")),
        (cib(rules=APART.replace("-INF", "INF")), ()),
        (cib(rules=APART.replace("ip", "another")), ()),
        (cib(rules=ORDER, needs=STAYS), ("cluster-services starts only after ip", "the order o1", "told to stay stopped")),
        (cib(rules=ORDER), ()),
        (cib(rules=ORDER.replace("<rsc_order", '<rsc_order kind="Optional"'), needs=STAYS), ()),
        # Orders that hold up no start: not both at once; after a stop, which has been; of a stop.
        (cib(rules=ORDER.replace("<rsc_order", '<rsc_order kind="Serialize"'), needs=STAYS), ()),
        (cib(rules=ORDER.replace("<rsc_order", '<rsc_order first-action="stop"'), needs=STAYS), ()),
        (cib(rules=ORDER.replace("<rsc_order", '<rsc_order then-action="stop"'), needs=STAYS), ()),
        (cib(rules=ORDER.replace('then="cluster-services"', 'then="another"'), needs=STAYS), ()),
        (NodeOutput("not connected"), ()),
    ],
)
def test_what_keeps_it_off_the_node(told: NodeOutput, words: tuple[str, ...]) -> None:
    found = by_placement(TO, told, read(MONITOR)).against
    assert len(found) == bool(words) and all(word in found[0] for word in words), found


def test_an_opt_in_cluster_may_allow_a_whole_group() -> None:
    rest = [*read(MONITOR).resources]
    more = "".join(f'<rsc_location id="a-{tag}" rsc="{tag}" node="{TO}" score="1"/>' for tag in rest if tag not in ("web", "ip"))
    assert by_placement(TO, cib("symmetric-cluster", "false", rules=ALLOWED + more), read(MONITOR)).against == []
