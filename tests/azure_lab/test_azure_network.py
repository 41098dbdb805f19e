"""The load balancer, its pool, security groups and routes through the real SDK, against what the lab itself has."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

DENY = {"protocol": "*", "sourcePortRange": "*", "destinationPortRange": "*", "destinationAddressPrefix": "*", "access": "Deny"}
NSG = "lknode01-nic1-nsg"


def rule(source: str, priority: int = 100, **more: Any) -> dict[str, Any]:
    return {"properties": {**DENY, "sourceAddressPrefix": source, "priority": priority, "direction": "Inbound", **more}}


def test_the_load_balancer_is_the_file_s(lab) -> None:
    balancer = lab.network.load_balancers.get(lab.group, "ilb")
    assert balancer.sku.name == "Standard"
    frontend = balancer.frontend_ip_configurations[0]
    assert (frontend.private_ip_address, frontend.private_ip_allocation_method) == ("10.20.1.200", "Static")
    probe = balancer.probes[0].as_dict()["properties"]
    assert (probe["protocol"], probe["port"], probe["intervalInSeconds"], probe["probeThreshold"]) == ("Tcp", 12345, 1, 1)
    rules = {r.name: (r.frontend_port, r.backend_port, r.enable_floating_ip, r.load_distribution) for r in balancer.load_balancing_rules}
    assert rules == {f"rule-{port}": (port, port, False, "Default") for port in (1521, 5432, 80)}
    assert balancer.load_balancing_rules[0].as_dict()["properties"]["idleTimeoutInMinutes"] == 1


def test_nics_subnets_and_groups_belong_together(lab) -> None:
    nics = {n.name: n for n in lab.network.network_interfaces.list(lab.group)}
    pool = lab.network.load_balancer_backend_address_pools.get(lab.group, "ilb", "pool")
    members = {c.id.split("/")[8] for c in pool.backend_ip_configurations}
    assert members == {"lknode01-nic1", "lknode02-nic1"}
    assert {n for n, nic in nics.items() if nic.ip_configurations[0].load_balancer_backend_address_pools} == members
    network = lab.network.virtual_networks.get(lab.group, "vnet")
    assert [s.address_prefix for s in network.subnets] == ["10.20.1.0/24", "10.20.2.0/24"]
    assert {s.name: s.network_security_group.id.split("/")[-1] for s in network.subnets} == {f"subnet{i}": f"subnet{i}-nsg" for i in (1, 2)}
    known = {g.id for g in lab.network.network_security_groups.list(lab.group)}
    assert {nic.network_security_group.id for nic in nics.values()} <= known
    machines = {m.name: m for m in lab.compute.virtual_machines.list(lab.group)}
    assert [n.id for n in machines["lknode01"].network_profile.network_interfaces] == [nics[f"lknode01-nic{i}"].id for i in (1, 2)]
    assert not list(lab.network.route_tables.list(lab.group))


def test_health_is_the_prober_s_true_verdict(lab) -> None:
    assert lab.health() == {f"10.20.1.1{i}": ("Down", "Down_Probe_TcpProbeTimeout") for i in (1, 2)}
    lab.ask("admin", node="lknode01", state="up")
    lab.ask("admin", node="lknode02", state="down")
    assert lab.health() == {"10.20.1.11": ("Up", "Up_Admin"), "10.20.1.12": ("Down", "Down_Admin")}
    lab.compute.virtual_machines.begin_power_off(lab.group, "lknode02", skip_shutdown=True).result(30)
    assert list(lab.health()) == ["10.20.1.11"]  # a stopped machine is missing (API-05)
    with pytest.raises(ResourceNotFoundError):
        lab.health("rule-9")


def test_admin_state_by_the_pool(lab) -> None:
    pools = lab.network.load_balancer_backend_address_pools
    pool = pools.get(lab.group, "ilb", "pool")
    assert {a.admin_state for a in pool.load_balancer_backend_addresses} == {"None"}
    pool.load_balancer_backend_addresses[1].admin_state = "Down"
    after = pools.begin_create_or_update(lab.group, "ilb", "pool", pool).result(30)
    assert [a.admin_state for a in after.load_balancer_backend_addresses] == ["None", "Down"]
    assert (lab.member("lknode01")["admin_state"], lab.member("lknode02")["admin_state"]) == ("none", "down")
    pool.load_balancer_backend_addresses[1].admin_state = "Sideways"
    with pytest.raises(HttpResponseError, match="Sideways"):
        pools.begin_create_or_update(lab.group, "ilb", "pool", pool)


def test_a_nic_leaves_the_pool_and_comes_back(lab) -> None:
    nics = lab.network.network_interfaces
    nic = nics.get(lab.group, "lknode02-nic1")
    pools = nic.ip_configurations[0].load_balancer_backend_address_pools
    nic.ip_configurations[0].load_balancer_backend_address_pools = []
    nics.begin_create_or_update(lab.group, nic.name, nic).result(30)
    assert not lab.member("lknode02")["in_pool"]
    assert list(lab.health()) == ["10.20.1.11"]
    nic.ip_configurations[0].load_balancer_backend_address_pools = pools
    assert nics.begin_create_or_update(lab.group, nic.name, nic).result(30).ip_configurations[0].load_balancer_backend_address_pools
    assert lab.member("lknode02")["in_pool"]


def test_a_change_made_for_another_version_is_refused(lab) -> None:
    nics = lab.network.network_interfaces
    nic = nics.get(lab.group, "lknode02-nic1")
    lab.ask("pool", node="lknode02", member=False)
    with pytest.raises(HttpResponseError) as refused:
        nics.begin_create_or_update(lab.group, nic.name, nic, headers={"If-Match": nic.etag})
    assert refused.value.status_code == 412


def test_a_security_rule_really_denies(lab) -> None:
    rules = lab.network.security_rules
    put = rules.begin_create_or_update(lab.group, NSG, "no-probes", rule("168.63.129.16")).result(30)
    assert put.provisioning_state == "Succeeded"
    assert [r["source"] for r in lab.ask("nsg")["lknode01.eth0"]] == ["168.63.129.16/32"]
    effective = lab.network.network_interfaces.begin_list_effective_network_security_groups(lab.group, "lknode01-nic1").result(30)
    named = {r.name: r for g in effective.value for r in g.effective_security_rules}
    assert named["securityRules/no-probes"].source_address_prefix == "168.63.129.16"
    assert "168.63.129.16/32" in named["defaultSecurityRules/AllowVnetInBound"].expanded_source_address_prefix  # NSG-07
    rules.begin_delete(lab.group, NSG, "no-probes").result(30)
    assert lab.ask("nsg")["lknode01.eth0"] == []
    rules.begin_delete(lab.group, NSG, "no-probes").result(30)  # 204: it is gone already


def test_rules_keep_their_words_and_have_several_ends(lab) -> None:
    rules = lab.network.security_rules
    wanted = rule("*", 210)
    wanted["properties"] |= {
        "sourceAddressPrefixes": ["10.20.1.20", "Internet"],
        "destinationPortRanges": ["80", "8000-8002"],
        "protocol": "Tcp",
    }
    del wanted["properties"]["sourceAddressPrefix"], wanted["properties"]["destinationPortRange"]
    rules.begin_create_or_update(lab.group, NSG, "several", wanted).result(30)
    there = lab.ask("nsg")["lknode01.eth0"]
    assert [(r["name"], r["source"]) for r in there] == [("several", "10.20.1.20/32"), ("several~1", "Internet")]
    assert there[0]["ports"] == [80, 8000, 8001, 8002]
    said = rules.get(lab.group, NSG, "several")
    assert (said.source_address_prefixes, said.destination_port_ranges) == (["10.20.1.20", "Internet"], ["80", "8000-8002"])


def test_rules_set_in_the_lab_itself_are_said(lab) -> None:
    given = {"name": "mine", "direction": "outbound", "priority": 300, "destination": "10.20.2.0/24", "ports": [443], "access": "deny"}
    lab.ask("nsg", place="subnet1", rules=[given])
    said = lab.network.security_rules.get(lab.group, "subnet1-nsg", "mine")
    assert (said.direction, said.priority, said.destination_address_prefix) == ("Outbound", 300, "10.20.2.0/24")
    assert (said.destination_port_range, said.access, said.source_address_prefix) == ("443", "Deny", "*")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (rule("*", 99), "SecurityRuleInvalidPriority"),
        (rule("Storage"), "LabCannot"),
        (rule("*", sourcePortRange="1024-65535"), "LabCannot"),
        (rule("*", destinationPortRange="0-99999"), "SecurityRuleInvalidPortRange"),
        (rule("*", destinationPortRange="1-5000"), "LabCannot"),
        (rule("*", 150), "SecurityRuleConflict"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rules_that_cannot_be_are_refused(lab, wrong: dict[str, Any], code: str) -> None:
    rules = lab.network.security_rules
    rules.begin_create_or_update(lab.group, NSG, "first", rule("10.0.0.0/8", 150)).result(30)
    with pytest.raises(HttpResponseError) as refused:
        rules.begin_create_or_update(lab.group, NSG, "second", wrong)
    assert refused.value.error.code == code
    assert [r["name"] for r in lab.ask("nsg")["lknode01.eth0"]] == ["first"]


def test_what_all_probes_down_means_can_be_set(lab) -> None:
    balancers = lab.network.load_balancers
    balancer = balancers.get(lab.group, "ilb")
    balancer.probes[0].no_healthy_backends_behavior = "AllProbedUp"
    balancers.begin_create_or_update(lab.group, "ilb", balancer).result(30)
    assert lab.ask("status")["no_healthy_backends"] == "AllProbedUp"
    assert {reason for _, reason in lab.health().values()} == {"Up_Probe_AllDownIsUp"}
    lab.ask("no_healthy_backends", behaviour="AllProbedDown")
    balancer.load_balancing_rules[0].enable_floating_ip = True
    with pytest.raises(HttpResponseError, match="enableFloatingIP"):
        balancers.begin_create_or_update(lab.group, "ilb", balancer)


def test_effective_routes_are_the_platform_s(lab) -> None:
    routes = lab.network.network_interfaces.begin_get_effective_route_table(lab.group, "lknode01-nic1").result(30).value
    assert {r.next_hop_type for r in routes if "10.20.1.0/24" in r.address_prefix} == {"VnetLocal"}
    lab.ask("power", node="lknode01", to="off")
    with pytest.raises(HttpResponseError, match="running"):
        lab.network.network_interfaces.begin_get_effective_route_table(lab.group, "lknode01-nic1")


def test_the_floating_design_with_ha_ports(make_azure_lab) -> None:
    lab = make_azure_lab(design="floating", load_balancer={"ha_ports": True, "tcp_reset": True, "idle_timeout_s": 300.0})
    (only,) = lab.network.load_balancers.get(lab.group, "ilb").load_balancing_rules
    assert (only.name, only.protocol, only.frontend_port, only.backend_port) == ("ha-ports", "All", 0, 0)
    assert (only.enable_floating_ip, only.enable_tcp_reset, only.idle_timeout_in_minutes) == (True, True, 5)
    assert len(lab.health("ha-ports")) == 2
