"""*IP resource lost*, as text on a machine of its own: nothing but the VIP goes, and it comes back as it was."""

from __future__ import annotations

import pytest
from namespaced_host import own_machine, path

from harness.core.deadline import Deadline
from harness.disrupt.network.ip_resource import lost_script
from harness.hosts.deadman.deadman_switch import Deadman, remains
from harness.hosts.host import CommandFailed
from harness.hosts.local_host import LocalHost


@pytest.fixture
def here():
    with own_machine() as host:
        one = LocalHost("here", prefix=[*host._prefix, "env", f"PATH={path()}"])
        one.check("ip link add eth1 type veth peer name wire && ip link set eth1 up && ip link set wire up")
        yield one


def addresses(host: LocalHost) -> list[str]:
    return host.check("ip -o -4 addr show dev eth1").splitlines()


@pytest.mark.parametrize("promote", [0, 1])
def test_other_services_addresses_are_not_taken_along(here, promote):
    """The VIP as the first of its subnet, with others behind it: nothing is done, and the others are named."""
    here.check(f"echo {promote} >/proc/sys/net/ipv4/conf/all/promote_secondaries")
    here.check("for n in 200 201 202; do ip addr add 10.20.1.$n/24 dev eth1; done; ip addr add 10.20.2.11/24 dev eth1")
    before = addresses(here)
    deadman = Deadman(here, "lost", longest=60)
    with pytest.raises(CommandFailed, match=r"subnet on its NIC, and 10\.20\.1\.201/24 10\.20\.1\.202/24 would be deleted"):
        deadman.do(lost_script("10.20.1.200", "true"), limit=120)
    assert addresses(here) == before
    deadman.undo(Deadline(120))
    assert addresses(here) == before and remains(here) == []


@pytest.mark.parametrize(
    "given",
    ["10.20.1.200/32 label eth1:1", "10.20.1.200/24 brd + label eth1:vip noprefixroute", "10.20.1.200/24 valid_lft 500 preferred_lft 400"],
)
def test_it_comes_back_as_it_was(here, given):
    here.check(f"ip addr add 10.20.2.11/24 dev eth1; ip addr add {given} dev eth1; ip addr add 10.20.3.1/32 dev eth1")
    before = addresses(here)
    deadman = Deadman(here, "lost", longest=60)
    deadman.do(lost_script("10.20.1.200", "true"), limit=120)
    assert not any("10.20.1.200" in line for line in addresses(here)) and len(addresses(here)) == 2
    assert deadman.undo(Deadline(120)) is True

    def settled(lines: list[str]) -> list[str]:
        return sorted(" ".join(w for w in line.split() if not w.endswith("sec")) for line in lines)

    assert settled(addresses(here)) == settled(before)


def test_it_is_left_to_the_manager_where_it_is_not_wanted_here(here):
    here.check("ip addr add 10.20.1.200/32 dev eth1")
    deadman = Deadman(here, "lost", longest=60)
    deadman.do(lost_script("10.20.1.200", "false"), limit=120)
    assert deadman.undo(Deadline(120)) is True and addresses(here) == []
