"""Which of a NIC's pools a disruption means: the one that the rules of the cluster's own frontend send to. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.azure.faults.network_faults import Nic, pool_of_frontend
from harness.azure.inventory import resource_reader
from harness.azure.inventory.resource_model import Balancer, Frontend, Pool, Rule
from harness.config import cluster_config
from harness.core.errors import Unusable
from harness.disrupt import disruption
from harness.lab.lifecycle import default_cluster

VIP = IPv4Address("10.20.1.200")
GROUP = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/loadBalancers"
OUTBOUND = f"{GROUP}/outbound/backendAddressPools/outbound"


def pool_id(name: str) -> str:
    return f"{GROUP}/ilb/backendAddressPools/{name}"


def rule(name: str, pool: str, frontend: str = "frontend") -> Rule:
    return Rule(name, f"{GROUP}/ilb/rules/{name}", f"{GROUP}/ilb/frontendIPConfigurations/{frontend}", pool_ids=(pool_id(pool),))


def balancer(*rules: Rule) -> Balancer:
    """With a frontend of another cluster's beside this one's."""
    frontends = [Frontend(n, f"{GROUP}/ilb/frontendIPConfigurations/{n}", a) for n, a in (("other", "10.20.1.201"), ("frontend", str(VIP)))]
    pools = [Pool(n, pool_id(n)) for n in ("others", "Pool", "second")]
    return Balancer("ilb", f"{GROUP}/ilb", frontends=tuple(frontends), rules=rules, pools=tuple(pools))


ILB = balancer(rule("theirs", "others", "other"), rule("tcp-1521", "Pool"), rule("tcp-5432", "Pool"))


def test_an_outbound_balancers_pool_is_not_meant() -> None:
    assert pool_of_frontend("lknode01", [OUTBOUND, pool_id("Pool")], ILB, VIP) == "ilb/Pool"


def test_the_disruption_leaves_the_pool_that_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource_reader, "balancer", lambda clients, vip: ILB)
    cluster = cluster_config.parse(
        default_cluster.cluster_data(overrides={"azure": {"subscription": "s", "resource_group": "G"}}), Path("x")
    )
    assert cluster.vip == VIP
    subject: Any = SimpleNamespace(cluster=cluster, active="lknode01", timeline=SimpleNamespace(note=None))
    one: Any = disruption.get_disruption("azure pool left")(subject)
    nic = GROUP.replace("loadBalancers", "networkInterfaces") + "/nic1"
    one._cached_nic = Nic(nic, "ipconfig1", f"{nic}/ipConfigurations/ipconfig1", (OUTBOUND, pool_id("POOL")), None)
    assert one._undoing()[1].pool == "ilb/Pool"


def test_a_pool_of_another_frontends_rules_is_not_meant() -> None:
    assert pool_of_frontend("lknode01", [pool_id("others"), pool_id("Pool")], ILB, VIP) == "ilb/Pool"


def test_letters_case_does_not_matter() -> None:
    assert pool_of_frontend("lknode01", [OUTBOUND.upper(), pool_id("POOL").upper()], ILB, VIP) == "ilb/Pool"


@pytest.mark.parametrize("pools", [[], [OUTBOUND], [pool_id("others")]])
def test_one_that_is_in_no_such_pool_is_not_disturbed(pools: list[str]) -> None:
    with pytest.raises(Unusable, match=r"lknode01 is in no backend pool that a rule of ilb for 10\.20\.1\.200 sends to"):
        pool_of_frontend("lknode01", pools, ILB, VIP)


def test_half_a_cluster_is_not_disturbed() -> None:
    """Rules for one frontend with a pool each: whoever leaves one of them is still sent the other's connections."""
    both = balancer(rule("a", "Pool"), rule("b", "second"))
    with pytest.raises(Unusable, match=r"in several pools .*: Pool, second"):
        pool_of_frontend("lknode01", [pool_id("Pool"), pool_id("second")], both, VIP)
    assert pool_of_frontend("lknode01", [pool_id("second")], both, VIP) == "ilb/second"
