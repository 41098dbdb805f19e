"""What is in another resource group than the file's is not disturbed: `lkharness azure heal` would not find its tag there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.azure.faults.network_faults import Member, Nic
from harness.azure.inventory import resource_reader
from harness.azure.inventory.resource_model import Balancer, Frontend, Pool, Rule
from harness.config import cluster_config
from harness.core.errors import Inconclusive
from harness.disrupt import disruption
from harness.lab.lifecycle import default_cluster

GROUPS = "/subscriptions/s/resourceGroups"
CLUSTER = cluster_config.parse(
    default_cluster.cluster_data(overrides={"azure": {"subscription": "s", "resource_group": "Cluster-RG"}}), Path("x")
)


def undoing(name: str, monkeypatch: pytest.MonkeyPatch, *, nic: str = "CLUSTER-rg", guard: str = "CLUSTER-rg", pool: str = "CLUSTER-rg"):
    """What a disruption would tag, where the NIC, its security group and its pool are in these resource groups."""
    place = f"{GROUPS}/{nic}/providers/Microsoft.Network/networkInterfaces/nic1"
    balancer = f"{GROUPS}/{pool}/providers/Microsoft.Network/loadBalancers/ilb"
    group = f"{GROUPS}/{guard}/providers/Microsoft.Network/networkSecurityGroups/shared"
    monkeypatch.setattr("harness.azure.faults.network_faults.Network.member", lambda *about: Member(balancer, "ilb/pool", "one", "None"))
    its_pool = f"{balancer}/backendAddressPools/pool"
    frontend, rule = Frontend("f", f"{balancer}/f", str(CLUSTER.vip)), Rule("r", "r", f"{balancer}/f", pool_ids=(its_pool,))
    there = Balancer("ilb", balancer, frontends=(frontend,), rules=(rule,), pools=(Pool("pool", its_pool),))
    monkeypatch.setattr(resource_reader, "balancer", lambda clients, vip: there)
    monkeypatch.setattr("harness.azure.faults.management_locks.must_be_unlocked", lambda *about: None)
    timeline = SimpleNamespace(note=None)
    active = SimpleNamespace(cluster=CLUSTER, active="lknode01", standby_of=lambda a: "lknode02", timeline=timeline)
    one = disruption.get_disruption(name)(active)
    one._cached_nic = Nic(place, "ipconfig1", f"{place}/ipConfigurations/ipconfig1", (its_pool,), group)
    return one._undoing()


@pytest.mark.parametrize(
    ("name", "elsewhere", "what"),
    [
        ("azure NSG deny", {"guard": "hub"}, "shared is in the resource group hub"),
        ("azure pool left", {"nic": "hub"}, "nic1 is in the resource group hub"),
        ("azure pool left", {"pool": "hub"}, "ilb is in the resource group hub"),
        ("azure adminState down", {"pool": "hub"}, "ilb is in the resource group hub"),
    ],
)
def test_it_is_refused_with_what_to_do(name, elsewhere, what, monkeypatch):
    with pytest.raises(Inconclusive, match=f"{name} was not done: {what}, .* must be in Cluster-RG; move it there"):
        undoing(name, monkeypatch, **elsewhere)


@pytest.mark.parametrize("name", ["azure NSG deny", "azure pool left", "azure adminState down"])
def test_the_group_is_the_same_whatever_its_letters_case(name, monkeypatch):
    assert "CLUSTER-rg" in undoing(name, monkeypatch)[0]
