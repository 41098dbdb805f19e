"""Which member a flow goes to, and what becomes of it afterwards (facts FLOW; OQ-04, OQ-17)."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.lab.conftest import Bench, Process
from tests.lab.connections import (
    ADDRESS,
    APP,
    CLIENT,
    END,
    NODE1,
    NODE2,
    PROBE,
    QUIET,
    RESPONDER,
    SECOND_APP,
    UDP,
    UDP_CLIENT,
    UDP_ECHO,
    ask,
    at_once,
    carries,
    connect_from,
    gently,  # noqa: F401
    heard,
    identities,
    keep,
    side_by_side,
    stop,
    switches,
    vip_on,
)

BOTH = {NODE1, NODE2}
QUICK = {"probe": {"interval_s": 0.15}}
RULES = {"rules": [{"protocol": "udp", "port": UDP}]}
ESTABLISHED = 1  # TCP_ESTABLISHED
# The first of the client's fixed source ports: below those that the kernel gives out, of which one may be in TIME_WAIT. With the lab's one
# hash seed their distribution is always the same.
PORTS = 21000
CHOSEN = {"address": "10.20.1.23"}  # a client whose TCP and UDP go to different nodes under SourceIPProtocol


@pytest.fixture(scope="module")
def pair(make_lab) -> list[Bench]:
    """A lab of either design with a UDP rule."""
    return [make_lab(design, load_balancer=QUICK, lab=RULES) for design in ("nat", "floating")]


@pytest.fixture(scope="module")
def by_source(make_lab) -> Bench:
    return make_lab("nat", client=CHOSEN, load_balancer={"distribution": "SourceIP", **QUICK}, lab=RULES)


@pytest.fixture(scope="module")
def by_source_and_protocol(make_lab) -> Bench:
    return make_lab("nat", client=CHOSEN, load_balancer={"distribution": "SourceIPProtocol", **QUICK}, lab=RULES)


@pytest.fixture(scope="module")
def resetting(make_lab) -> list[Bench]:
    """Open questions answered the other way: adminState Down resets, and a verdict takes 0.5 s to reach the data path."""
    unknowns = {"admin_down_established": "reset", "verdict_to_data_path_s": 0.5}
    return [make_lab(design, load_balancer=QUICK, lab={"unknowns": unknowns}) for design in ("nat", "floating")]


@pytest.fixture
def every_mode(pair, by_source, by_source_and_protocol) -> list[Bench]:
    return [*pair, by_source, by_source_and_protocol]


class Pool:
    """Both nodes with the application, UDP service and VIP that floating IP wants; each probed through a responder of its own."""

    def __init__(self, lab: Bench, *healthy: str) -> None:
        self.lab = lab
        floating = lab.data["design"] == "floating"
        with at_once() as submit:
            listeners = {node: submit(lab.listen, node, APP) for node in (NODE1, NODE2)}
            for node in (NODE1, NODE2):  # UDP answers from the address it is bound to
                submit(lab.start, node, UDP_ECHO, lab.vip if floating else "0.0.0.0", UDP, node)
            responders = {node: submit(lab.start, node, RESPONDER, "0.0.0.0", PROBE) for node in healthy}
        self.listeners = {node: begun.result() for node, begun in listeners.items()}
        self.responders = {node: begun.result() for node, begun in responders.items()}
        lab.wait_healthy(*healthy)
        if healthy:
            self.arrived(set(healthy))

    def down(self, node: str) -> None:
        stop(self.responders.pop(node))
        self.lab.wait_for(self.lab.healthy, f"{node} being unhealthy", until=lambda healthy: node not in healthy)

    def up(self, node: str) -> None:
        self.responders[node] = self.lab.start(node, RESPONDER, "0.0.0.0", PROBE)
        self.lab.wait_for(self.lab.healthy, f"{node} being healthy", until=lambda healthy: node in healthy)

    def arrived(self, nodes: set[str]) -> None:
        """Wait until the data path has followed."""
        self.lab.wait_for(lambda: switches(self.lab)[-1:], "the switch", until=lambda last: bool(last) and set(last[0]) == nodes)


@pytest.fixture
def pool(request):
    """`pool(lab, *healthy)` sets both nodes up; their VIPs go with the test."""
    with ExitStack() as stack:

        def make(lab: Bench, *healthy: str) -> Pool:
            lab.wait_healthy()
            lab.wait_for(lambda: switches(lab)[-1:], "an empty data path", until=lambda last: last in ([], [[]]))
            if lab.data["design"] == "floating":
                stack.enter_context(vip_on(lab, NODE1, NODE2))
            return Pool(lab, *healthy)

        yield make


@pytest.fixture
def undo():
    """Operations of the lab to carry out at the end, whatever happens."""
    with ExitStack() as stack:
        yield lambda lab, operation, **arguments: stack.callback(lambda: lab.ask(operation, **arguments))


def kept_on(lab: Bench, node: str) -> Process:
    """A kept connection that goes to this node."""
    for _ in range(40):
        end = lab.start(CLIENT, END, "connect", lab.vip, APP, 0)
        if f'"{node}"' in ask(end, "hear 2"):
            return end
        stop(end)
    raise AssertionError(f"no connection went to {node}")


def udp(lab: Bench, count: int = 1, first: int = 23000) -> Process:
    return lab.start(CLIENT, UDP_CLIENT, lab.vip, UDP, first, count)


def udp_goes(client: Process, lab: Bench, where: str) -> None:
    lab.wait_for(lambda: ask(client, str(QUIET)), f"UDP: {where}", until=lambda a: set(a) == {where})


@pytest.mark.fact("FLOW-01", "FLOW-03")
@side_by_side("pair")
def test_distribution_is_a_hash_of_the_flow(pair, pool):
    """The same 5-tuple goes to the same member every time; another source or destination port may go elsewhere; it is not round robin."""
    pool(pair, NODE1, NODE2)
    first = connect_from(pair, PORTS, 40)
    assert set(first) == BOTH and min(first.count(n) for n in BOTH) >= 8
    assert connect_from(pair, PORTS, 40) == first
    assert first not in (first[:2] * 20, [NODE1] * 20 + [NODE2] * 20)
    for node in BOTH:
        pair.listen(node, SECOND_APP)
    assert connect_from(pair, PORTS, 40, port=SECOND_APP) != first  # the destination port counts too


@pytest.mark.fact("FLOW-02", "FLOW-04")
def test_source_ip_keeps_a_client_on_one_node(by_source, pool):
    """SourceIP sends every flow of a client to one node, whatever port and protocol; if its application is down there, all are refused."""
    made = pool(by_source, NODE1, NODE2)
    (node,) = set(connect_from(by_source, PORTS, 20))
    for n in BOTH:
        by_source.listen(n, SECOND_APP)
    assert set(connect_from(by_source, PORTS, 20, port=SECOND_APP)) == {node}
    assert set(heard(udp(by_source, 20), by_source)) == {node}
    stop(made.listeners[node])
    assert identities(by_source) == ["refused"] * 20
    (other,) = BOTH - {node}
    assert by_source.connect(CLIENT, ADDRESS[other], APP)[0]["outcome"] == "answered"


@pytest.mark.fact("FLOW-02")
def test_source_ip_protocol_parts_the_protocols(by_source_and_protocol, pool):
    """SourceIPProtocol sends all TCP of a client to one node and all its UDP to one, which may be the other (as for this client)."""
    pool(by_source_and_protocol, NODE1, NODE2)
    (tcp_node,) = set(connect_from(by_source_and_protocol, PORTS, 20))
    (udp_node,) = set(heard(udp(by_source_and_protocol, 20), by_source_and_protocol))
    assert tcp_node != udp_node


@pytest.mark.fact("FLOW-04")
@side_by_side("every_mode")
def test_one_healthy_member_gets_everything(every_mode, pool):
    """With exactly one healthy member every distribution mode sends all flows to it."""
    made = pool(every_mode, NODE1)
    assert set(connect_from(every_mode, PORTS, 20)) == set(heard(udp(every_mode, 10), every_mode)) == {NODE1}
    made.up(NODE2)
    made.down(NODE1)
    every_mode.wait_healthy(NODE2)
    assert set(connect_from(every_mode, PORTS, 20)) == set(heard(udp(every_mode, 10, first=23100), every_mode)) == {NODE2}


@pytest.mark.fact("FLOW-03", "FLOW-05")
@side_by_side("pair")
def test_a_member_goes_down(pair, pool):
    """Established TCP flows to a member that goes probe-down continue; new flows of the very ports that it had go to the other."""
    made = pool(pair, NODE1, NODE2)
    old = kept_on(pair, NODE1)
    first = connect_from(pair, PORTS, 20)
    made.down(NODE1)
    assert carries(old)
    assert NODE1 in first and set(connect_from(pair, PORTS, 20)) == {NODE2}
    assert carries(old)


@pytest.mark.fact("FLOW-06")
@side_by_side("pair")
def test_udp_moves(pair, pool):
    """UDP flows of a probe-down member move to the healthy one, with their source ports; those of the healthy one stay."""
    made = pool(pair, NODE1, NODE2)
    client = udp(pair, 10)
    assert set(heard(client, pair)) == BOTH
    made.down(NODE1)
    udp_goes(client, pair, NODE2)


@pytest.mark.fact("FLOW-07", "FLOW-08")
@side_by_side("pair")
def test_all_members_down(pair, pool):
    """With all members probe-down new flows are silent and UDP flows end, but established TCP flows continue."""
    made = pool(pair, NODE1)
    old, client = keep(pair), udp(pair)
    assert heard(client, pair) == [NODE1]
    made.down(NODE1)
    assert identities(pair, count=5, limit=QUIET) == ["silent"] * 5
    udp_goes(client, pair, "silent")
    assert carries(old)
    assert pair.connect(CLIENT, ADDRESS[NODE1], APP)[0]["outcome"] == "answered"


@pytest.mark.fact("FLOW-08", "FLOW-10", "API-03", "API-04")
@side_by_side("pair")
def test_all_probed_up(pair, pool, undo):
    """With noHealthyBackendsBehavior = AllProbedUp and nobody healthy all members get flows, but none that is administratively down;
    one healthy member gets all of them again."""
    made = pool(pair)
    assert identities(pair, count=3, limit=QUIET) == ["silent"] * 3
    undo(pair, "no_healthy_backends", behaviour="AllProbedDown")
    pair.ask("no_healthy_backends", behaviour="AllProbedUp")
    assert set(connect_from(pair, PORTS, 20)) == BOTH
    assert pair.reason(NODE1) == pair.reason(NODE2) == "Up_Probe_AllDownIsUp"
    undo(pair, "admin", node=NODE1, state="none")
    pair.ask("admin", node=NODE1, state="down")
    assert set(connect_from(pair, PORTS, 20)) == {NODE2} and pair.reason(NODE1) == "Down_Admin"
    pair.ask("admin", node=NODE1, state="none")
    assert set(connect_from(pair, PORTS, 20)) == BOTH
    made.up(NODE2)
    pair.wait_healthy(NODE2)
    assert set(connect_from(pair, PORTS, 20)) == {NODE2}


@pytest.mark.fact("FLOW-09", "FLOW-11", "API-03")
@side_by_side("pair")
def test_admin_state_up(pair, pool, undo):
    """adminState Up makes a member eligible whatever its probe says, and its flows persist; left over, it falsifies a failover."""
    made = pool(pair, NODE1)
    undo(pair, "admin", node=NODE1, state="none")
    pair.ask("admin", node=NODE1, state="up")
    old = kept_on(pair, NODE1)
    stop(made.responders.pop(NODE1))
    made.up(NODE2)  # the cluster has failed over, and its probe says so
    assert pair.reason(NODE1) == "Up_Admin" and pair.healthy() == [NODE1, NODE2]
    assert set(connect_from(pair, PORTS, 20)) == BOTH and carries(old)
    pair.ask("admin", node=NODE1, state="none")  # following the probe again
    pair.wait_healthy(NODE2)
    assert set(connect_from(pair, PORTS, 20)) == {NODE2} and carries(old)


@pytest.mark.fact("FLOW-10", "OQ-04", "API-04")
@side_by_side("pair")
def test_admin_state_down(pair, pool, undo):
    """adminState Down ends new flows to a healthy member, moves its UDP and, by default, lets its established TCP flows persist."""
    pool(pair, NODE1, NODE2)
    old, client = kept_on(pair, NODE1), udp(pair, 10)
    assert set(heard(client, pair)) == BOTH
    undo(pair, "admin", node=NODE1, state="none")
    pair.ask("admin", node=NODE1, state="down")
    assert pair.reason(NODE1) == "Down_Admin"
    assert set(connect_from(pair, PORTS, 20)) == {NODE2}
    udp_goes(client, pair, NODE2)
    assert carries(old)
    pair.ask("admin", node=NODE1, state="none")
    pair.wait_healthy(NODE1, NODE2)
    assert set(connect_from(pair, PORTS, 20)) == BOTH


@pytest.mark.fact("OQ-04")
@side_by_side("resetting")
def test_admin_state_down_resets_where_told_so(resetting, pool, undo):
    """With admin_down_established = reset both ends of that member's established flows get a reset, and no other member's."""
    pool(resetting, NODE1, NODE2)
    mine, other = kept_on(resetting, NODE1), kept_on(resetting, NODE2)
    assert carries(mine) and carries(other)
    undo(resetting, "admin", node=NODE1, state="none")
    resetting.ask("admin", node=NODE1, state="down")
    assert ask(mine, "hear 5") == "reset"
    gone = resetting.wait_for(
        lambda: resetting.sh(NODE1, f"ss -Htn state established sport = :{APP}").stdout.split(), "the server's end", until=lambda s: not s
    )
    assert gone == [] and resetting.sh(NODE2, f"ss -Htn state established sport = :{APP}").stdout.split()
    assert ask(other, f"hear {QUIET}") == "silent" and carries(other)


@pytest.mark.fact("OQ-17")
@side_by_side("resetting")
def test_a_verdict_may_take_time_to_reach_the_data_path(resetting, pool):
    """With verdict_to_data_path_s = 0.5 every change reaches the data path 0.5 s after its verdict, even where one undoes another."""
    made = pool(resetting, NODE1)
    since = len(resetting.events())
    made.up(NODE2)
    made.down(NODE2)
    made.arrived({NODE1})
    resetting.wait_for(lambda: switches(resetting, since), "both switches", until=lambda seen: len(seen) == 2)
    events = resetting.events()[since:]
    verdicts = [e["wall"] for e in events if e["kind"] == "probe"]
    arrivals = [e["wall"] for e in events if e["kind"] == "switch"]
    assert switches(resetting, since) == [[NODE1, NODE2], [NODE1]]
    assert all(arrival - verdict >= 0.49 for verdict, arrival in zip(verdicts, arrivals, strict=True))


@pytest.mark.fact("FLOW-13")
@side_by_side("pair")
def test_a_member_leaves_the_pool(pair, pool, undo):
    """Taking a node out of the pool stops new flows, its established ones continue until its power goes."""
    pool(pair, NODE1, NODE2)
    old = kept_on(pair, NODE1)
    undo(pair, "pool", node=NODE1, member=True)
    pair.ask("pool", node=NODE1, member=False)
    assert set(connect_from(pair, PORTS, 20)) == {NODE2} and pair.reason(NODE1) == "NA"
    assert carries(old)
    pair.ask("power", node=NODE1, to="off")
    try:
        assert ask(old, "send") == "sent" and ask(old, f"hear {QUIET}") == "silent"
    finally:
        pair.ask("power", node=NODE1, to="on")


@pytest.mark.fact("FLOW-14")
@side_by_side("pair")
def test_a_killed_machine_says_nothing(pair, pool):
    """A killed node's flows end in silence: the client gets no reset, hears nothing and goes on believing in its connection."""
    made = pool(pair, NODE1)
    old = keep(pair)
    pair.ask("power", node=NODE1, to="off")
    try:
        assert ask(old, "send") == "sent"
        assert ask(old, "hear 1") == "silent" and ask(old, "state") == ESTABLISHED
    finally:
        pair.ask("power", node=NODE1, to="on")
        made.lab.wait_healthy()


@pytest.mark.fact("FLOW-14")
@side_by_side("pair")
def test_a_killed_process_does_say_something(pair, pool):
    """The control of the killed node: when only its process dies, the client hears of it."""
    made = pool(pair, NODE1)
    old = keep(pair)
    stop(made.listeners[NODE1])
    assert ask(old, "hear 5") in ("closed", "reset")


@pytest.mark.fact("FLOW-15")
@side_by_side("pair")
def test_a_graceful_switchover(pair, pool):
    """After a switchover old connections stay on the old node and new ones go to the new; only the old node's application ends hers."""
    made = pool(pair, NODE1)
    old = keep(pair)
    made.up(NODE2)
    made.down(NODE1)
    pair.wait_healthy(NODE2)
    assert identities(pair, count=5) == [NODE2] * 5
    assert carries(old) and ask(old, f"hear {QUIET}") == "silent"
    stop(made.listeners[NODE1])
    assert ask(old, "hear 5") in ("closed", "reset")


@pytest.mark.fact("FLOW-15")
@side_by_side("pair")
def test_a_switchover_that_takes_the_vip_away(pair, pool):
    """With floating IP on and the VIP removed the old node discards its old connections and the client hangs; in nat they do not care."""
    made = pool(pair, NODE1)
    old = keep(pair)
    assert carries(old)
    if pair.data["design"] == "floating":
        assert pair.sh(NODE1, f"ip address del {pair.vip}/32 dev eth1").returncode == 0
        try:
            assert not carries(old, limit=1) and ask(old, "state") == ESTABLISHED
            assert made.lab.connect(CLIENT, ADDRESS[NODE1], APP)[0]["outcome"] == "answered"
        finally:
            pair.sh(NODE1, f"ip address add {pair.vip}/32 dev eth1")
    else:
        with vip_on(pair, NODE1):
            assert carries(old)
        assert carries(old)
