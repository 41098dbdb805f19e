"""What the file does not name is named before anything is done: a third node, a second hierarchy, another group."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from permissive_manager import PermittingManager

from harness.attach.disruption_preconditions import reasons_against
from harness.attach.preflight import Preflight
from harness.config import cluster_config
from harness.core.errors import Inconclusive
from harness.disrupt import disruption
from harness.lab.lifecycle import default_cluster
from harness.managers.manager import ClusterState, CommPath, NodeState, ResourceState
from harness.managers.parse.lcdstatus_parse import rows_with_depth
from harness.managers.unlisted_members import of_lifekeeper, of_pacemaker, unrelated_in_lifekeeper, unrelated_in_pacemaker

CLUSTER = cluster_config.parse(default_cluster.cluster_data(), Path("a test's"))
NODES = ("lknode01", "lknode02")
ONE = """\
LOCAL     TAG              ID              STATE     PRIO  PRIMARY
lknode01  listener-1521    listener-1521   ISP          1  lknode01
lknode01   ip-10.20.1.200  IP-10.20.1.200  ISP          1  lknode01
lknode01    disk           disk            ISP          1  lknode01
lknode01   lbhc-12345      lbhc-12345      ISP          1  lknode01
"""
PATHS = """
MACHINE   NETWORK ADDRESSES/DEVICE       STATE     PRIO
lknode02  TCP     10.20.1.11/10.20.1.12  ALIVE        1
"""
SECOND = """\
lknode01  pgsql            pgsql           ISP          1  lknode01
lknode01   ip-10.20.1.201  IP-10.20.1.201  ISP          1  lknode01
"""
SHARED = """\
lknode01  web              web             ISP          1  lknode01
lknode01   ip-10.20.1.200  IP-10.20.1.200  ISP          1  lknode01
"""


def test_the_depth_is_the_indent_under_the_title():
    assert list(rows_with_depth(ONE)) == [("listener-1521", 0), ("ip-10.20.1.200", 1), ("disk", 2), ("lbhc-12345", 1)]


@pytest.mark.parametrize(
    ("printed", "resource", "said"),
    [
        (ONE + PATHS, "listener-1521", []),
        (ONE + PATHS, "lbhc-12345", []),  # above and below it
        (ONE + SHARED + PATHS, "web", []),  # they share a child
        (ONE + SECOND + PATHS, "listener-1521", ["does not move ip-10.20.1.201, pgsql,"]),
        (ONE + SECOND + PATHS, "pgsql", ["does not move disk, ip-10.20.1.200, lbhc-12345, listener-1521,"]),
        (ONE + PATHS, "oracle", ["knows no resource oracle"]),
        (ONE + PATHS + "LKNODE02.customer TCP 10.20.2.11/10.20.2.12 ALIVE 2\n", "listener-1521", []),
        (ONE + PATHS + "lknode03  TCP     10.20.1.11/10.20.1.13  ALIVE        1\n", "listener-1521", ["lknode03 is a node"]),
    ],
)
def test_lifekeeper(printed: str, resource: str, said: list[str]):
    found = of_lifekeeper(printed, "lknode01", resource, NODES)
    assert len(found) == len(said) and all(word in one for word, one in zip(said, found, strict=True)), found


def node(name: str) -> str:
    return f'<node name="{name}" id="{name}" online="true"/>'


def primitive(tag: str, agent: str = "ocf:heartbeat:Dummy") -> str:
    return f'<resource id="{tag}" resource_agent="{agent}" role="Started" managed="true"><node name="n1"/></resource>'


def monitor(resources: str, nodes: tuple[str, ...] = ("n1", "n2")) -> str:
    inside = f"<nodes>{''.join(map(node, nodes))}</nodes><resources>{resources}</resources>"
    return f'<pacemaker-result api-version="2.25">{inside}<status code="0" message="OK"/></pacemaker-result>'


GROUP = f'<group id="grp">{primitive("ip")}{primitive("lb")}</group>'
OTHER = f'<group id="sap">{primitive("ascs")}</group>'
CLONE = f'<clone id="c">{primitive("ping")}</clone>'
FENCE = primitive("fence", "stonith:fence_azure_arm")
WITH = '<rsc_colocation id="x" rsc="db" with-rsc="{}" score="{}"/>'
REFERENCES = '<resource_ref id="db"/><resource_ref id="grp"/>'
SET = f'<rsc_colocation id="x" score="INFINITY"><resource_set id="s">{REFERENCES}</resource_set></rsc_colocation>'


@pytest.mark.parametrize(
    ("resources", "rules", "nodes", "said"),
    [
        (GROUP + CLONE + FENCE, "", ("n1", "n2"), []),
        (GROUP + OTHER, "", ("n1", "n2"), ["moving grp (manager.resource) does not move ascs, sap,"]),
        (GROUP + primitive("db"), "", ("n1", "n2"), ["does not move db,"]),
        (GROUP + primitive("db"), WITH.format("grp", "INFINITY"), ("n1", "n2"), []),
        (GROUP + primitive("db"), WITH.format("ip", "INFINITY"), ("n1", "n2"), []),
        (GROUP + primitive("db"), SET, ("n1", "n2"), []),
        (GROUP + primitive("db"), WITH.format("grp", "100"), ("n1", "n2"), ["does not move db,"]),
        (GROUP + primitive("db"), WITH.format("c", "INFINITY"), ("n1", "n2"), ["does not move db,"]),
        (GROUP, "", ("n1", "n2", "n3"), ["n3 is a node of the cluster"]),
        (primitive("ip"), "", ("n1", "n2"), ["knows no resource grp"]),
    ],
)
def test_pacemaker(resources: str, rules: str, nodes: tuple[str, ...], said: list[str]):
    found = of_pacemaker(monitor(resources, nodes), f"<constraints>{rules}</constraints>", "grp", ("n1", "n2"))
    assert len(found) == len(said) and all(word in one for word, one in zip(said, found, strict=True)), found


def test_what_cannot_be_read_is_no_yes():
    assert of_pacemaker("not connected", "<constraints/>", "grp", ("n1", "n2"))


def cib(resources: str, rules: str = "") -> str:
    found = f"<resources>{resources}</resources><constraints>{rules}</constraints>"
    return f"<cib><configuration>{found}</configuration><status/></cib>\nnow 1700000000"


def named(*tags: str) -> str:
    return "".join(f'<primitive id="{tag}" class="ocf" provider="heartbeat" type="Dummy"/>' for tag in tags)


OWN = {"grp", "ip"}
GIVEN = '<primitive id="{}"><instance_attributes id="i"><nvpair id="j" name="{}" value="{}"/></instance_attributes></primitive>'
PROBED = GIVEN.replace('name="{}"', 'name="port"')
OTHER_PROBED = f'<group id="sap">{named("ascs")}{PROBED.format("nc-2", 62001)}</group>'
CLONED = f'<clone id="c">{GIVEN.format("fs", "directory", "/share")}</clone>'  # on both nodes, for every application
SAP, PG = GIVEN.format("ascs", "profile", "/share/sap"), GIVEN.format("pg", "pgdata", "/share/pg")
ORDER = '<rsc_order id="o" first="db" then="grp" {}/>'


@pytest.mark.parametrize(
    ("resources", "rules", "beside"),
    [
        (f'<group id="grp">{named("ip", "lb")}</group>', "", set()),
        (f'<group id="grp">{named("ip")}</group><group id="sap">{named("ascs")}</group>', "", {"sap", "ascs"}),
        (f'<group id="grp">{named("ip")}</group>{named("db")}', WITH.format("grp", "INFINITY"), set()),
        (f'<group id="grp">{named("ip")}</group>{named("db")}', WITH.format("grp", "100"), set()),
        (f'<group id="grp">{named("ip")}</group>{named("db")}', WITH.format("grp", "-5000"), {"db"}),
        (f'<group id="grp">{named("ip")}</group>{named("db")}', ORDER.format(""), set()),
        (f'<group id="grp">{named("ip")}</group>{named("db")}', ORDER.format('kind="Optional"'), {"db"}),
        (f'<group id="grp">{named("ip")}</group>{named("nc-1", "azure-lb-1")}', "", set()),  # they may answer the probe
        (f'<group id="grp">{named("ip")}</group>{named("azure-lb-1", "x12345")}', "", {"azure-lb-1"}),  # of which one has its port
        (f'<group id="grp">{named("ip")}</group>{PROBED.format("lb-1", 12345)}{PROBED.format("nc-2", 62001)}', "", {"nc-2"}),
        (f'<group id="grp">{named("ip")}</group>{PROBED.format("nc-1", "$port")}{PROBED.format("nc-2", 62001)}', "", {"nc-2"}),
        (f'<group id="grp">{named("ip")}{PROBED.format("nc-1", 12345)}</group>{OTHER_PROBED}', "", {"sap", "ascs", "nc-2"}),
        (
            f'<group id="grp">{named("ip")}{GIVEN.format("ip", "pgdata", "/srv/x/pg")}</group>{GIVEN.format("fs", "directory", "/srv/x")}',
            "",
            set(),
        ),
        (
            f'<group id="grp">{named("ip")}{GIVEN.format("ip", "pgdata", "/srv/xy")}</group>{GIVEN.format("fs", "directory", "/srv/x")}',
            "",
            {"fs"},
        ),
        (
            f'<group id="grp">{named("ip")}{GIVEN.format("ip", "pgdata", "/srv/x/")}</group>{GIVEN.format("fs", "directory", "/srv/x")}',
            "",
            set(),
        ),
        (  # two file systems that take turns in one place are two applications'
            f'<group id="grp">{named("ip")}{GIVEN.format("a", "directory", "/data")}</group>{GIVEN.format("b", "directory", "/data/")}',
            "",
            {"b"},
        ),
        (f'<group id="grp">{named("ip")}</group>{CLONED}<group id="sap">{SAP}</group>', "", {"sap", "ascs"}),
        (f'<group id="grp">{named("ip")}{PG}</group>{CLONED}<group id="sap">{SAP}</group>', "", {"sap", "ascs"}),
        (named("db", "web"), "", set()),  # nothing of the file's is there, so nothing is known to be another's
        (f'<group id="grp">{named("ip")}</group><clone id="c">{named("ping")}</clone>', "", set()),
    ],
)
def test_what_nothing_ties_to_the_files_is_another_applications(resources: str, rules: str, beside: set[str]):
    assert unrelated_in_pacemaker(cib(resources, rules), OWN, 12345) == beside


def test_another_hierarchy_is_another_applications_and_one_that_shares_a_child_is_not():
    assert unrelated_in_pacemaker("not connected", OWN, 12345) == frozenset()
    assert unrelated_in_lifekeeper([ONE + SECOND + PATHS, ONE], {"listener-1521"}, 12345) == {"pgsql", "ip-10.20.1.201"}
    assert unrelated_in_lifekeeper([ONE + SHARED + PATHS], {"listener-1521"}, 12345) == frozenset()
    second = SECOND + "lknode01   lbhc-62001      lbhc-62001      ISP          1  lknode01\n"
    assert unrelated_in_lifekeeper([ONE + second + PATHS], {"listener-1521"}, 12345) == {"pgsql", "ip-10.20.1.201", "lbhc-62001"}
    assert unrelated_in_lifekeeper([ONE.replace("lbhc-12345", "lbhc") + second + PATHS], {"listener-1521"}, 12345) == frozenset()
    assert unrelated_in_lifekeeper(["", ONE + PATHS], {"ip-10.20.1.200"}, 12345) == frozenset()


def test_a_state_without_them_has_one_active_node():
    here = NodeState("a", True, {"ip": ResourceState.IN_SERVICE, "sap": ResourceState.STANDBY}, (CommPath("b", "x", True),))
    there = NodeState("b", True, {"ip": ResourceState.STANDBY, "sap": ResourceState.IN_SERVICE}, (CommPath("a", "x", True),))
    state = ClusterState({"a": here, "b": there})
    assert (state.active, state.leading) == (None, None)
    assert state.without({"sap"}).active == "a" and state.without({"sap"}).healthy


CUTS = {name for name, kind in disruption.all_of().items() if kind.cuts}


def guard(unlisted_members: list[str], paths: int = 2) -> Preflight:
    one, other = CLUSTER.nodes
    ends = [(one.address, other.address), (one.second_address, other.second_address)]
    ways = tuple(CommPath("other", f"{a}/{b}", True) for a, b in ends[:paths])
    states = {
        n.name: NodeState(n.name, True, {"ip": ResourceState.IN_SERVICE if n is CLUSTER.nodes[0] else ResourceState.STANDBY}, ways)
        for n in CLUSTER.nodes
    }
    manager = PermittingManager(ClusterState(states), unlisted_members=unlisted_members)
    nics = [SimpleNamespace(interface=f"eth{i}", address=str(a)) for i, a in enumerate((one.address, one.second_address))]
    subject = SimpleNamespace(
        manager=manager,
        cluster=CLUSTER,
        facts={one.name: SimpleNamespace(addresses=lambda: nics)},
        state=lambda **limit: manager.state(**limit),
        standby_of=lambda active: CLUSTER.peer_of(active).name,
    )
    return Preflight(subject, frozenset({"switchover", *CUTS}), str)  # type: ignore[arg-type]


def test_a_stranger_stops_everything():
    guard([]).demand_permission("switchover")
    with pytest.raises(Inconclusive, match="switchover was not done, and nothing was: n3 is a node"):
        guard(["n3 is a node of the cluster that its file does not name"]).demand_permission("switchover")


def test_one_ring_is_enough_where_none_is_cut():
    """As Pacemaker is usually built on Azure."""
    guard([], paths=1).demand_permission("switchover")
    for name in CUTS:
        guard([]).demand_permission(name)
        with pytest.raises(Inconclusive, match="names 1 communication paths instead of 2"):
            guard([], paths=1).demand_permission(name)
    assert {"one comm path cut", "NIC down Subnet#1", "NIC down Subnet#2"} == CUTS


def test_none_at_all_is_not():
    lonely = {n: NodeState(n, True, {"ip": ResourceState.IN_SERVICE}, ()) for n in NODES}
    assert any("names 0 communication paths instead of 1" in one for one in reasons_against(ClusterState(lonely)))


def test_within_another_disruption_the_plan_and_the_lease_are_asked():
    """The cluster is not healthy then, which is the point; what was not shown is not done all the same."""
    broken = guard(["n3"], paths=0)
    broken.demand_permission("switchover", within=True)
    with pytest.raises(Inconclusive, match="not in the plan"):
        broken.demand_permission("power loss", within=True)
