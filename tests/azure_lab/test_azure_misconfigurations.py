"""Each misconfiguration, switched on: the API says it, the lab has it where it can, and nothing of it is left afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.lab.azure.state import misconfigurations


def balancer(lab) -> dict[str, Any]:
    return lab.network.load_balancers.get(lab.group, "ilb").as_dict()


def part(lab, kind: str) -> dict[str, Any]:
    return balancer(lab)["properties"][kind][0]["properties"]


def rule(lab) -> dict[str, Any]:
    return part(lab, "loadBalancingRules")


def probe(lab) -> dict[str, Any]:
    return part(lab, "probes")


def frontend(lab) -> dict[str, Any]:
    return part(lab, "frontendIPConfigurations")


def first_nic(lab) -> dict[str, Any]:
    return lab.network.network_interfaces.get(lab.group, "lknode01-nic1").as_dict()["properties"]


def next_hop(lab) -> str:
    poller = lab.network.network_interfaces.begin_get_effective_route_table(lab.group, "lknode01-nic1")
    return next(r.next_hop_type for r in poller.result(30).value if "10.20.1.0/24" in r.address_prefix and r.state == "Active")


def denied(lab, node: str) -> list[str]:
    rules = lab.network.security_rules.list(lab.group, f"{node}-nic1-nsg")
    return [r.source_address_prefix for r in rules if r.access == "Deny"]


# What each reads as, healthy and wrong.
READ: dict[str, tuple[Callable[[Any], Any], Any, Any]] = {
    "basic-sku": (lambda lab: balancer(lab)["sku"]["name"], "Standard", "Basic"),
    "public-frontend": (lambda lab: "publicIPAddress" in frontend(lab), False, True),
    "dynamic-frontend": (lambda lab: frontend(lab)["privateIPAllocationMethod"], "Static", "Dynamic"),
    "other-frontend": (lambda lab: frontend(lab)["privateIPAddress"], "10.20.1.200", "10.20.1.201"),
    "probe-protocol": (lambda lab: probe(lab)["protocol"], "Tcp", "Http"),
    "probe-port": (lambda lab: probe(lab)["port"], 12345, 12346),
    "probe-interval": (lambda lab: probe(lab)["intervalInSeconds"], 1, 11),
    "probe-threshold": (lambda lab: probe(lab)["probeThreshold"], 1, 3),
    "number-of-probes": (lambda lab: probe(lab)["numberOfProbes"], 1, 3),
    "rule-without-probe": (lambda lab: "probe" in rule(lab), True, False),
    "floating-ip": (lambda lab: rule(lab)["enableFloatingIP"], False, True),
    "backend-port": (lambda lab: rule(lab)["backendPort"], 1521, 1522),
    "session-persistence": (lambda lab: rule(lab)["loadDistribution"], "Default", "SourceIP"),
    "idle-timeout": (lambda lab: rule(lab)["idleTimeoutInMinutes"], 1, 12),
    "tcp-reset": (lambda lab: rule(lab)["enableTcpReset"], False, True),
    "missing-rule": (lambda lab: rule(lab)["frontendPort"], 1521, 5432),
    "secondary-in-pool": (lambda lab: len(first_nic(lab)["ipConfigurations"]), 1, 2),
    "ip-forwarding": (lambda lab: first_nic(lab)["enableIPForwarding"], False, True),
    "diverted-routes": (next_hop, "VnetLocal", "VirtualAppliance"),
    "node-outside-pool": (lambda lab: (list(lab.health()), lab.member("lknode02")["in_pool"])[1], True, False),
    "admin-state-up": (lambda lab: lab.member("lknode02")["admin_state"], "none", "up"),
    "admin-state-down": (lambda lab: lab.health()["10.20.1.12"][1], "Down_Probe_TcpProbeTimeout", "Down_Admin"),
    "all-probed-up": (lambda lab: lab.health()["10.20.1.12"][1], "Down_Probe_TcpProbeTimeout", "Up_Probe_AllDownIsUp"),
    "nsg-denies-probes": (lambda lab: denied(lab, "lknode01"), [], ["168.63.129.16/32"]),
    "nsg-denies-clients": (lambda lab: denied(lab, "lknode02"), [], ["10.20.1.20/32"]),
}


def test_every_misconfiguration_is_tested() -> None:
    assert set(READ) == set(misconfigurations.sentences())


@pytest.mark.parametrize("kind", READ)
def test_a_misconfiguration_is_said_and_taken_back(lab, kind: str) -> None:
    read, healthy, wrong = READ[kind]
    assert read(lab) == healthy
    lab.hand.misconfigure(kind)
    assert read(lab) == wrong
    assert lab.hand.misconfigurations()["on"] == [kind]
    lab.hand.clear()
    assert read(lab) == healthy
