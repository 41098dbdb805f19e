"""A NIC's undoing, as text on a machine of its own: back is what was the node's own, and nothing that somebody took meanwhile."""

from __future__ import annotations

import pytest
from namespaced_host import own_machine, path

from harness.core.deadline import Deadline
from harness.disrupt.network.nic_down import nic_script, what_would_be_lost
from harness.hosts.deadman.deadman_switch import Deadman, remains
from harness.hosts.host import CommandFailed
from harness.hosts.local_host import LocalHost

OWN = ("10.20.1.11", "10.20.2.11")
VIP, FOREIGN = "10.20.1.200/32", "10.20.1.201/32"


@pytest.fixture
def here():
    with own_machine() as host:
        one = LocalHost("here", prefix=[*host._prefix, "env", f"PATH={path()}"])
        one.check("ip link add eth1 type veth peer name wire && ip link set eth1 up && ip link set wire up")
        yield one


def network(host: LocalHost) -> list[str]:
    """Every address and route of the NIC; seconds that run are left out."""
    line = "ip -o addr show dev eth1 scope global; ip -o route show table all dev eth1; ip -o -6 route show table all dev eth1"
    words = host.check(f"{{ {line}; }} | sed -e 's/[0-9]*sec//g' -e 's/^[0-9]*: //'").splitlines()
    return sorted(w.strip() for w in words if "fe80" not in w and "ff00" not in w and "multicast" not in w)


def down(host: LocalHost) -> Deadman:
    deadman = Deadman(host, "nic", longest=120)
    deadman.do(nic_script("10.20.2.11", OWN), limit=120)
    assert "state DOWN" in host.check("ip link show eth1")
    return deadman


def up(host: LocalHost, deadman: Deadman) -> str:
    assert deadman.undo(Deadline(60)) is True
    assert remains(host) == []
    return deadman.undo_output


def test_what_the_kernel_keeps_or_drops_is_as_before(here):
    """Static routes of both families, another table's, a static IPv6 address, and one with a lifetime and no prefix route of its own."""
    here.check("ip addr add 10.20.2.11/24 brd + dev eth1 noprefixroute valid_lft 3000 preferred_lft 2000")
    here.check("ip route add 10.20.2.0/24 dev eth1 proto kernel scope link src 10.20.2.11 metric 100")
    here.check("ip addr add fd00:20::11/64 dev eth1 nodad && ip route add 10.99.0.0/16 via 10.20.2.1 dev eth1 metric 7")
    here.check("ip route add default via 10.20.2.1 dev eth1 table 77 proto static && ip -6 route add fd99::/64 via fd00:20::1 dev eth1")
    before = network(here)
    up(here, down(here))
    assert network(here) == before
    assert here.check("cat /proc/sys/net/ipv6/conf/eth1/keep_addr_on_down").strip() == "0"


def test_what_a_manager_took_is_not_given_back(here):
    """The cluster's VIP, and one of another service on the same NIC, went to the other node meanwhile: neither is put back or demanded."""
    here.check(f"ip addr add 10.20.2.11/24 dev eth1; ip addr add {VIP} dev eth1; ip addr add {FOREIGN} dev eth1")
    here.check("ip route add 10.98.0.0/16 via 10.20.2.1 dev eth1 src 10.20.1.201")
    deadman = down(here)
    here.check(f"ip addr del {VIP} dev eth1; ip addr del {FOREIGN} dev eth1")
    said = up(here, deadman)
    assert "10.20.1.20" not in "\n".join(network(here))
    assert f"note: eth1 had {FOREIGN} before and has it no longer" in said
    assert any("10.20.2.11/24" in line for line in network(here))


def test_what_stayed_is_left(here):
    """Nothing moved: both VIPs are still there, once."""
    here.check(f"ip addr add 10.20.2.11/24 dev eth1; ip addr add {VIP} dev eth1; ip addr add {FOREIGN} dev eth1")
    before = network(here)
    assert "note:" not in up(here, down(here)) and network(here) == before


def test_what_cannot_be_true_again_is_not_demanded(here):
    """A default route by router advertisement, and a VIP's own prefix route after the VIP has gone."""
    here.check("ip addr add 10.20.2.11/24 dev eth1; ip addr add 10.20.1.200/24 dev eth1; ip addr add fd00:20::11/64 dev eth1 nodad")
    here.check("ip -6 route add default via fd00:20::1 dev eth1 proto ra expires 1799")
    deadman = down(here)
    here.check("ip addr del 10.20.1.200/24 dev eth1")
    up(here, deadman)
    assert not here.check("ip route show 10.20.1.0/24")


def test_who_manages_the_nic_puts_its_address_back(here, tmp_path):
    """NetworkManager took the address with the link: it is told to connect again, and its own attributes are what is there afterwards."""
    given = "10.20.2.11/24 metric 100 dev eth1 valid_lft 3600 preferred_lft 3600"
    nmcli = f'#!/bin/sh\ncase "$*" in *show*) echo "100 (connected)" ;; *connect*) ip addr add {given} ;; esac\n'
    (tmp_path / "nmcli").write_text(nmcli)
    (tmp_path / "nmcli").chmod(0o755)
    managed = LocalHost("here", prefix=[*here._prefix, "env", f"PATH={tmp_path}:{path()}"])
    managed.check(f"ip addr add {given}")
    before = network(managed)
    deadman = down(managed)
    managed.check("ip addr flush dev eth1")
    up(managed, deadman)
    assert network(managed) == before


def test_an_address_that_somebody_took_comes_back_as_it_was(here):
    """The node's own: with its lifetime and without a second prefix route."""
    here.check("ip addr add 10.20.2.11/24 brd + dev eth1 noprefixroute valid_lft 3000 preferred_lft 2000")
    here.check("ip route add 10.20.2.0/24 dev eth1 proto kernel scope link src 10.20.2.11 metric 100")
    before = network(here)
    deadman = down(here)
    here.check("ip addr flush dev eth1")
    up(here, deadman)
    assert network(here) == before


LOST = {
    "a VLAN's route": ("ip link add link eth1 name v10 type vlan id 10; ip addr add 10.30.0.1/24 dev v10; ip link set v10 up;"
                       "ip route add 10.97.0.0/16 via 10.30.0.2 dev v10", "the route 10.97.0.0/16 via 10.30.0.2"),
    "a macvlan's route": ("ip link add link eth1 name m0 type macvlan; ip addr add 10.30.0.1/24 dev m0; ip link set m0 up;"
                          "ip route add 10.97.0.0/16 via 10.30.0.2 dev m0", "the route 10.97.0.0/16 via 10.30.0.2"),
    "a VLAN's IPv6 address": ("ip link add link eth1 name v10 type vlan id 10; ip link set v10 up; ip addr add fd00:30::1/64 dev v10 nodad",
                              "the address fd00:30::1/64 on v10"),
    "a multipath route": ("ip route add 10.97.0.0/16 nexthop via 10.20.2.1 dev eth1 nexthop via 10.20.2.2 dev eth1",
                          "the multipath route 10.97.0.0/16"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOST)
def test_where_something_would_not_come_back_nothing_is_done(here, kind):
    """Above the NIC, or over it alone: it is named, in the plan and by the host itself right before it would be done."""
    line, named = LOST[kind]
    here.check("ip addr add 10.20.2.11/24 dev eth1")
    made = here.run(["bash", "-ec", line])
    if not made.ok:
        pytest.skip(f"this kernel has no such device: {made.err}")
    assert named in here.check(what_would_be_lost("10.20.2.11", OWN))
    deadman = Deadman(here, "nic", longest=120)
    with pytest.raises(CommandFailed, match=f"would come back without .*{named}"):
        deadman.do(nic_script("10.20.2.11", OWN), limit=120)
    assert "state UP" in here.check("ip link show eth1")
    assert deadman.undo(Deadline(60)) is True and remains(here) == []


def test_what_comes_back_by_itself_is_no_reason(here):
    """A VLAN with its own prefix only, and a multipath route that has a hop elsewhere."""
    here.check("ip addr add 10.20.2.11/24 dev eth1; ip link add eth2 type veth peer name wire2; ip link set eth2 up; ip link set wire2 up")
    here.check(
        "ip addr add 10.20.3.11/24 dev eth2; ip route add 10.96.0.0/16 nexthop via 10.20.2.1 dev eth1 nexthop via 10.20.3.1 dev eth2"
    )
    here.run("ip link add link eth1 name v10 type vlan id 10; ip addr add 10.30.0.1/24 dev v10; ip link set v10 up")
    assert here.check(what_would_be_lost("10.20.2.11", OWN)) == ""
    up(here, down(here))
