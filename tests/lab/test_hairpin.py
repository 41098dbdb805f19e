"""A node that connects to its own load balancer, fact by fact (HAIR), and the open question of its wire form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from harness.lab.topology import FABRIC_MAC
from tests.lab.frame_capture import (
    ADDRESS,
    APP,
    CLIENT,
    NODE1,
    NODE2,
    SILENT,
    Eyes,
    holding,
    in_service,
    only_up,
    outcomes,
    quiet,
    reach,
    shell,
)

MANY = 40


def route_to_vip(bench: Any, node: str) -> str:
    return bench.sh(node, f"ip -o route get {bench.vip}").stdout


def own_syn(eyes: Eyes, bench: Any) -> Any:
    """The SYN that a node sent to the frontend."""
    return eyes.wait_for("the SYN leaving", dst=bench.vip, flags="S", nic="eth0", out=True)


@pytest.mark.fact("HAIR-01", "HAIR-08")
def test_flow_mapped_back_to_its_origin_times_out(each_design: Any) -> None:
    """The active node without the VIP gets silence from the frontend, and its route leads to a NIC; put back, all is local again."""
    each_design.listen(NODE1, APP)
    with only_up(each_design, NODE1):
        eyes = Eyes(each_design, NODE1)
        assert quiet(each_design, NODE1, each_design.vip) == "silent"
        own_syn(eyes, each_design)
        assert "dev eth0" in route_to_vip(each_design, NODE1)
        assert not route_to_vip(each_design, NODE1).startswith("local")
        assert reach(each_design, NODE1, ADDRESS[NODE1]) == NODE1
        with holding(each_design, NODE1):
            assert [reach(each_design, host, each_design.vip) for host in (CLIENT, NODE1)] == [NODE1, NODE1]
            assert route_to_vip(each_design, NODE1).startswith("local")


@pytest.mark.fact("HAIR-08")
def test_without_the_vip_clients_are_served_in_nat_only(each_design: Any) -> None:
    """With the VIP removed on the active node the inside path is silent; clients notice under floating IP only."""
    each_design.listen(NODE1, APP)
    with only_up(each_design, NODE1):
        assert quiet(each_design, NODE1, each_design.vip) == "silent"
        client = (reach if each_design.data["design"] == "nat" else quiet)(each_design, CLIENT, each_design.vip)
        assert client == (NODE1 if each_design.data["design"] == "nat" else "silent")


@pytest.mark.fact("HAIR-02")
def test_flow_mapped_to_the_other_member_succeeds(each_design: Any) -> None:
    """A member's connection to the frontend works when it is mapped to the other member, and crosses the wire."""
    each_design.listen(NODE1, APP)
    each_design.listen(NODE2, APP)
    with in_service(each_design, NODE1):
        standby, active = Eyes(each_design, NODE2), Eyes(each_design, NODE1)
        done = each_design.connect(NODE2, each_design.vip, APP)[0]
        assert done["hello"]["host"] == NODE1
        assert done["hello"]["peer"] == [ADDRESS[NODE2], done["port"]]
        assert active.wait_for(flags="S", dport=APP, out=False).seq == own_syn(standby, each_design).seq
    with only_up(each_design, NODE2):
        assert quiet(each_design, NODE2, each_design.vip) == "silent"


@pytest.mark.fact("HAIR-03")
def test_every_or_about_half_of_the_flows_fail(each_design: Any) -> None:
    """Alone healthy, a node without the VIP always fails; with both healthy, about half of its flows do."""
    each_design.listen(NODE1, APP)
    each_design.listen(NODE2, APP)
    with holding(each_design, NODE2):
        with only_up(each_design, NODE1):
            alone = Counter(outcomes(each_design.connect(NODE1, each_design.vip, APP, count=MANY, limit=SILENT)))
        with only_up(each_design, NODE1, NODE2):
            both = Counter(outcomes(each_design.connect(NODE1, each_design.vip, APP, count=MANY, limit=SILENT)))
    assert alone == {"silent": MANY}
    assert set(both) == {"silent", NODE2}
    assert MANY / 5 < both["silent"] < MANY * 4 / 5


@pytest.mark.fact("HAIR-04")
def test_hairpin_in_nat_comes_back_with_source_and_destination_alike(nat: Any) -> None:
    """The SYN to the VIP comes back from the fabric as DIP to DIP, with its own port and sequence number, and gets no answer."""
    nat.listen(NODE1, APP)
    with only_up(nat, NODE1):
        eyes = Eyes(nat, NODE1)
        assert quiet(nat, NODE1, nat.vip) == "silent"
        sent = own_syn(eyes, nat)
        back = eyes.wait_for("its return", seq=sent.seq, flags="S", nic="eth0", out=False)
        assert (back.src, back.dst, back.sport, back.dport) == (ADDRESS[NODE1], ADDRESS[NODE1], sent.sport, APP)
        assert back.frame.src == FABRIC_MAC
        assert [s for s in eyes.all(dport=sent.sport) if s.flags] == []


@pytest.mark.fact("HAIR-05")
def test_martian_and_accept_local(nat: Any) -> None:
    """Linux drops the packet that came back; with accept_local it answers over loopback, where its client half rejects the answer."""
    nat.listen(NODE1, APP)
    accept = ("sysctl -qw net.ipv4.conf.all.accept_local=1", "sysctl -qw net.ipv4.conf.all.accept_local=0")
    with only_up(nat, NODE1):
        eyes = Eyes(nat, NODE1)
        assert quiet(nat, NODE1, nat.vip) == "silent"
        eyes.wait_for("its return", src=ADDRESS[NODE1], dst=ADDRESS[NODE1], nic="eth0", out=False)
        assert eyes.all(nic="lo", sport=APP) == []
        with shell(nat, NODE1, accept):
            assert quiet(nat, NODE1, nat.vip) == "silent"
            answer = eyes.wait_for("the answer over loopback", nic="lo", sport=APP, flags="SA")
            assert (answer.src, answer.dst) == (ADDRESS[NODE1], ADDRESS[NODE1])
            eyes.wait_for("the client half's rejection", nic="lo", dport=APP, sport=answer.dport, flags="R")
        with holding(nat, NODE1):
            assert reach(nat, NODE1, nat.vip) == NODE1


def returned(bench: Any) -> bool:
    """Whether a floating-IP hairpin's SYN came back to its sender; a SYN of the client's that arrives after it is the control."""
    bench.listen(NODE1, APP)
    with only_up(bench, NODE1):
        eyes = Eyes(bench, NODE1)
        assert quiet(bench, NODE1, bench.vip) == "silent"
        sent = own_syn(eyes, bench)
        assert quiet(bench, CLIENT, bench.vip) == "silent"
        eyes.wait_for("the client's SYN", src=ADDRESS[CLIENT], dst=bench.vip, flags="S", out=False)
        back = eyes.all(seq=sent.seq, flags="S", nic="eth0", out=False)
        assert {(s.src, s.dst, s.sport) for s in back} <= {(ADDRESS[NODE1], bench.vip, sent.sport)}
        assert [s for s in eyes.all(sport=APP) if s.dst != ADDRESS[CLIENT]] == []
        with holding(bench, NODE1):
            assert reach(bench, NODE1, bench.vip) == NODE1
    return bool(back)


@pytest.mark.fact("HAIR-06", "OQ-18")
def test_hairpin_under_floating_comes_back_unchanged_and_is_silent(floating: Any) -> None:
    """Floating IP on and no VIP on the node: its own SYN comes back unchanged, from itself to an address it lacks, and stays unanswered."""
    assert returned(floating)


@pytest.mark.fact("OQ-18")
def test_hairpin_under_floating_is_swallowed_when_switched_so(make_lab: Callable[..., Any]) -> None:
    """With `hairpin_under_floating = swallow` the SYN does not come back; the connect is silent all the same."""
    assert not returned(make_lab("floating", lab={"unknowns": {"hairpin_under_floating": "swallow"}}))


@pytest.mark.fact("HAIR-07")
def test_connection_of_the_vip_holder_never_leaves_it(each_design: Any) -> None:
    """A node that holds the VIP reaches itself on it with nothing on any NIC; seen on its loopback, so the capture was not blind."""
    each_design.listen(NODE1, APP)
    with in_service(each_design, NODE1):
        eyes = Eyes(each_design, NODE1)
        done = each_design.connect(NODE1, each_design.vip, APP)[0]
        assert (done["hello"]["host"], done["hello"]["own"][0]) == (NODE1, each_design.vip)
        assert reach(each_design, CLIENT, each_design.vip) == NODE1
        eyes.wait_for("the control on the NIC", src=ADDRESS[CLIENT], flags="S", nic="eth0", out=False)
        assert {s.nic for s in eyes.all() if done["port"] in (s.sport, s.dport)} == {"lo"}
        assert route_to_vip(each_design, NODE1).startswith("local")


@pytest.mark.fact("HAIR-07")
def test_connection_of_the_vip_holder_proves_nothing_of_the_balancer(each_design: Any) -> None:
    """It works while the balancer sends new flows to nobody, and the client gets silence."""
    each_design.listen(NODE1, APP)
    with only_up(each_design), holding(each_design, NODE1):
        assert reach(each_design, NODE1, each_design.vip) == NODE1
        assert quiet(each_design, CLIENT, each_design.vip) == "silent"


@pytest.mark.fact("HAIR-09")
def test_stale_vip_makes_the_standby_talk_to_itself(each_design: Any) -> None:
    """With the VIP left on it the standby is refused by itself, or answered by the wrong node; without it the active node answers."""
    each_design.listen(NODE1, APP)
    with in_service(each_design, NODE1):
        eyes = Eyes(each_design, NODE2)
        with holding(each_design, NODE2):
            assert reach(each_design, NODE2, each_design.vip) == "refused"
            own = each_design.listen(NODE2, APP)
            assert reach(each_design, NODE2, each_design.vip) == NODE2
            assert {s.nic for s in eyes.all(dst=each_design.vip)} == {"lo"}
            own.end()
        assert reach(each_design, NODE2, each_design.vip) == NODE1
