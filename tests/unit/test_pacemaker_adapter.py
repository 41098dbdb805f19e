"""What Pacemaker's tools print, read: on recorded shapes, and on texts that nobody expects."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.managers.manager import CommPath, NodeState, ResourceState
from harness.managers.parse.pacemaker_parse import comm_paths, hand_move_ids, node_state, notices, read
from harness.managers.rules.pacemaker_switchover_rules import by_cluster

IN, OUT, FAILED = ResourceState.IN_SERVICE, ResourceState.STANDBY, ResourceState.FAILED
UNKNOWN, UNPROTECTED = ResourceState.UNKNOWN, ResourceState.UNPROTECTED
PAIRS = {"10.20.1.11": "10.20.1.12", "10.20.2.11": "10.20.2.12"}

# As crm_mon 2.1.5 --output-as=xml -1 printed it, shortened to what matters and one resource of each place.
MONITOR = """\
<pacemaker-result api-version="2.25" request="crm_mon --output-as=xml -1">
  <summary>
    <current_dc present="true" name="lknode01" id="1" with_quorum="true" mixed_version="false"/>
    <cluster_options stonith-enabled="true" maintenance-mode="false" stop-all-resources="false"/>
  </summary>
  <nodes>
    <node name="lknode01" id="1" online="true" standby="false" maintenance="false" pending="false" unclean="false" type="member"/>
    <node name="lknode02" id="2" online="true" standby="false" maintenance="false" pending="false" unclean="false" type="member"/>
  </nodes>
  <resources>
    <resource id="fence" resource_agent="stonith:fence_lab" role="Started" active="true" managed="true" failed="false">
      <node name="lknode01" id="1" cached="true"/>
    </resource>
    <group id="cluster-services" number_resources="1" managed="true">
      <resource id="web" resource_agent="ocf:heartbeat:anything" role="Started" active="true" blocked="false" managed="true" failed="false">
        <node name="lknode01" id="1" cached="true"/>
      </resource>
    </group>
    <clone id="ping-clone"><resource id="ping" resource_agent="ocf:pacemaker:ping" role="Started" active="true" managed="true"/></clone>
    <resource id="ip" resource_agent="ocf:heartbeat:IPaddr2" role="Started" active="true" blocked="false" managed="true" failed="false">
      <node name="lknode01" id="1" cached="true"/>
    </resource>
  </resources>
  <node_history/>
  <status code="0" message="OK"/>
</pacemaker-result>
"""
OLD = re.sub(r"</?pacemaker-result[^>]*>", "", MONITOR).replace('  <status code="0" message="OK"/>\n', "")
OLD = f'<?xml version="1.0"?>\n<crm_mon version="1.1.24">{OLD}</crm_mon>\n'.replace("ocf:heartbeat", "ocf::heartbeat")  # PCM-01, PCM-03
DOWN = """\
<pacemaker-result api-version="2.25" request="crm_mon --output-as=xml -1">
  <status code="102" message="Not connected"><errors><error>crm_mon: cluster is not available on this node</error></errors></status>
</pacemaker-result>
"""
LINKS = """\
Local node ID 1, transport knet
LINK ID 0 udp
\taddr\t= 10.20.1.11
\tstatus:
\t\tnodeid:          1:\tlocalhost
\t\tnodeid:          2:\tconnected
LINK ID 1 udp
\taddr\t= 10.20.2.11
\tstatus:
\t\tnodeid:          1:\tlocalhost
\t\tnodeid:          2:\tdisconnected
"""
RINGS = """\
Printing ring status.
Local node ID 1
RING ID 0
\tid\t= 10.20.1.11
\tstatus\t= ring 0 active with no faults
RING ID 1
\tid\t= 10.20.2.11
\tstatus\t= Marking ringid 1 interface 10.20.2.11 FAULTY
"""
EARLY_3 = """\
Local node ID 1
LINK ID 0
\taddr\t= 10.20.1.11
\tstatus:
\t\tnodeid  1:\tlink enabled:1\tlink connected:1
\t\tnodeid  2:\tlink enabled:1\tlink connected:1
LINK ID 1
\taddr\t= 10.20.2.11
\tstatus:
\t\tnodeid  1:\tlink enabled:0\tlink connected:1
\t\tnodeid  2:\tlink enabled:1\tlink connected:0
"""


def state(node: str, monitor: str, links: str = LINKS) -> NodeState:
    return node_state(node, monitor, links, "peer", PAIRS)


def changed(old: str, new: str) -> str:
    """The recorded text with every occurrence replaced; there must be one."""
    assert old in MONITOR
    return MONITOR.replace(old, new)


def web(attributes: str) -> str:
    """The recorded text with other attributes on the web resource."""
    return re.sub(r'(<resource id="web" resource_agent="\S+") [^>]*>', rf"\1 {attributes}>", MONITOR)


@pytest.mark.parametrize("text", [MONITOR, OLD, f"warning: something first\n{MONITOR}"])
def test_a_healthy_cluster(text: str) -> None:
    """Each node's own row; fence devices and clones say nothing about who is active."""
    active, standby = state("lknode01", text), state("lknode02", text)
    assert active.resources == {"web": IN, "ip": IN} and active.has_everything
    assert standby.resources == {"web": OUT, "ip": OUT} and standby.stands_by


@pytest.mark.parametrize(
    ("attributes", "means"),
    [
        ('role="Started" active="true" managed="true" failed="false" pending="Monitoring"', IN),
        ('role="Promoted" active="true" managed="true" failed="false"', IN),
        ('role="Master" active="true"', IN),  # attributes that an older version does not have
        ('role="Started" active="true" managed="false" failed="false"', UNPROTECTED),
        ('role="Started" active="true" managed="true" blocked="true" failed="false"', UNPROTECTED),
        ('role="Started" active="true" managed="true" failed="true"', FAILED),
        ('role="Started" active="true" managed="true" failed="true" failure_ignored="true"', IN),
        ('role="Stopping" active="true" managed="true" failed="false"', UNKNOWN),
        ('role="Started" active="true" managed="true" failed="false" pending="Stopping"', UNKNOWN),
        ('role="Starting" active="true" managed="true" failed="false"', UNKNOWN),
        ('role="Migrating" active="true" managed="true" failed="false"', UNKNOWN),
        ('role="Whatever" active="true" managed="true" failed="false"', UNKNOWN),
        ('role="Started" active="false" managed="true" failed="false"', UNKNOWN),
    ],
)
def test_states_in_passing(attributes: str, means: ResourceState) -> None:
    assert state("lknode01", web(attributes)).resources["web"] is means
    assert state("lknode02", web(attributes)).resources["web"] is OUT


def test_on_both_nodes_is_seen_by_both() -> None:
    two = changed('<node name="lknode01" id="1" cached="true"/>', '<node name="lknode01" id="1"/><node name="lknode02" id="2"/>')
    assert state("lknode01", two).has_everything and state("lknode02", two).has_everything


@pytest.mark.parametrize(
    ("counts", "means"),
    [
        ('migration-threshold="3" fail-count="2"', OUT),
        ('migration-threshold="3" fail-count="3"', FAILED),
        ('migration-threshold="1000000" fail-count="INFINITY"', FAILED),
        ('migration-threshold="1000000" fail-count="1000000"', FAILED),
        ('migration-threshold="x" fail-count="²"', OUT),
        ('migration-threshold="1000000"', OUT),
    ],
)
def test_a_node_where_it_will_not_be_tried_again(counts: str, means: ResourceState) -> None:
    history = f'<node_history><node name="lknode02"><resource_history id="web" {counts}/></node></node_history>'
    assert state("lknode02", changed("<node_history/>", history)).resources == {"web": means, "ip": OUT}


def test_a_hard_error_bars_its_node() -> None:
    """Not installed, not configured … are not tried again; an agent's other errors are."""

    def failure(code: int) -> str:
        return f'<failures><failure op_key="web_monitor_0" node="lknode02" exitcode="{code}"/></failures><node_history/>'

    assert state("lknode02", changed("<node_history/>", failure(5))).resources["web"] is FAILED
    assert state("lknode02", changed("<node_history/>", failure(1))).resources["web"] is OUT


@pytest.mark.parametrize("flag", ["pending", "unclean", "standby", "maintenance"])
def test_a_node_that_takes_nothing_over_is_no_standby(flag: str) -> None:
    text = re.sub(rf'(name="lknode02" id="2" online[^>]* {flag}=)"false"', r'\1"true"', MONITOR)
    seen = state("lknode02", text)
    assert not seen.running and not seen.stands_by and seen.why.startswith("lknode02 is")
    assert state("lknode01", text).has_everything


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (DOWN, "Not connected; crm_mon: cluster is not available on this node"),
        ("sh: 1: crm_mon: not found", "it said: sh: 1: crm_mon: not found"),
        ("", "nothing"),
        ("<crm_mon/>", "without nodes"),
        ('<!DOCTYPE crm_mon [<!ENTITY a "a">]><crm_mon><nodes/><resources/></crm_mon>', "no XML"),
        (MONITOR.replace("lknode01", "other"), "knows no node lknode01; it knows other, lknode02"),
    ],
)
def test_a_node_that_cannot_be_asked_says_why(text: str, why: str) -> None:
    seen = state("lknode01", text)
    assert not seen.running and not seen.has_something and why in seen.why
    assert seen.stopped is (text == DOWN)


@pytest.mark.parametrize("text", [LINKS, RINGS, EARLY_3])
def test_communication_paths_of_every_corosync(text: str) -> None:
    assert comm_paths(text, "peer", PAIRS) == (
        CommPath("peer", "10.20.1.11/10.20.1.12", True),
        CommPath("peer", "10.20.2.11/10.20.2.12", False),
    )


def test_what_speaks_against_a_switchover() -> None:
    assert by_cluster("lknode02", read(MONITOR)).answer.yes
    text = changed('maintenance-mode="false"', 'maintenance-mode="true"').replace('with_quorum="true"', 'with_quorum="false"')
    said = str(
        by_cluster("lknode02", read(text.replace('managed="true" failed="false">', 'managed="false" target_role="Stopped">'))).answer
    )
    for reason in ("maintenance mode", "without quorum", "fence", "web, ip are not managed", "web, ip are told to stay stopped"):
        assert (reason in said) is (reason != "fence"), said
    assert "cannot tell" in str(by_cluster("lknode02", read(changed('with_quorum="true"', ""))).answer)
    assert by_cluster("lknode02", read(DOWN)).answer.because[0].startswith("lknode02: Pacemaker does not answer")


def test_constraints_left_by_hand() -> None:
    """PCM-05; a location that somebody wants is none of them."""
    text = """<constraints><rsc_location id="cli-ban-g-on-a" rsc="g"/><rsc_location id="cli-prefer-g" rsc="g"/>
      <rsc_location id="cli-prefer-h" rsc="h"/><rsc_location id="home" rsc="g"/></constraints>"""
    assert hand_move_ids(text, ["g"]) == ["cli-ban-g-on-a", "cli-prefer-g"]
    assert hand_move_ids("no XML", ["g"]) == []


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("notice: Result of monitor operation for web on lknode01: not running | CIB update 9", True),
        ("notice: Result of monitor operation for web on lknode01: ok | CIB update 9", False),
        ("notice: Result of probe operation for web on lknode02: not running | rc=7", False),
        ("notice: Requesting local execution of stop operation for web on lknode01 | op_key=web_stop_0", True),
        ("notice: Requesting local execution of monitor operation for web on lknode01 | op_key=x", False),
        ("notice: Node lknode02 state is now lost | nodeid=2 previous=member", True),
        ("warning: Cluster node lknode02 will be fenced: peer is no longer part of the cluster", True),
        ("notice: Client pacemaker-controld.23 wants to fence (reboot) lknode02 using any device", True),
        ("notice: Requesting fencing (reboot) of node lknode02 | action=1 timeout=20000", True),
        ("notice: Node lknode02 state is now member | nodeid=2 previous=lost", False),
        ("info: Diff: +++ 1.5.33 (null) error:", False),
    ],
)
def test_notices(text: str, means: bool) -> None:
    assert notices(f"Nov 22 19:50:18.654 lknode01 pacemaker-controld  [23] (log_executor_event) \t{text}") is means
    assert notices(text) is False


pieces = st.sampled_from(
    [
        *MONITOR.splitlines(),
        *DOWN.splitlines(),
        *LINKS.splitlines(),
        *RINGS.splitlines(),
        *("<nodes>", "</nodes>", "<resources>", "</resources>", "<node/>", "<resource/>", "<status/>", "<status code='x'/>", "&x;", "\0"),
        *('fail-count="9999999999"', "nodeid:", "LINK ID", "addr = ", "<crm_mon>", "</crm_mon>", "<resource id='web' role='Started'>"),
    ]
)
texts = st.one_of(st.text(), st.lists(pieces).map("\n".join), st.lists(pieces, max_size=8).map("".join))


@given(texts, texts)
@example(MONITOR.replace("Started", "Stopped"), RINGS)
@example(DOWN + MONITOR, EARLY_3)
@example(MONITOR[:1200], LINKS[:60])
@example("<crm_mon><nodes/><resources>" + "<group>" * 3000 + "</group>" * 3000 + "</resources></crm_mon>", "")
def test_no_text_makes_it_raise_or_call_a_node_active_without_a_row(monitor: str, links: str) -> None:
    """Whatever is printed is read without an error, and nobody is active of whom no resource names the node."""
    seen = state("lknode01", monitor, links)
    assert seen.running or seen.why
    if 'node name="lknode01"' not in monitor or "Started" not in monitor:
        assert not seen.has_something
    hand_move_ids(monitor, ["web"]), notices(monitor), by_cluster("lknode01", read(monitor))
