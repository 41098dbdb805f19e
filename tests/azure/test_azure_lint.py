"""Every misconfiguration that the facts know, set in a healthy cluster, is found and named, and nothing else is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import azure_payloads
import pytest
from azure_payloads import Wire

from harness.azure.lint.lint_load_balancer import judge
from harness.core.finding import Finding, Weight

SECOND = "ipConfigurations/second"


def found(spoil: Callable[[Wire], None], **over: Any) -> list[Finding]:
    wire = Wire()
    spoil(wire)
    return judge(azure_payloads.cluster(**over), wire.seen())


@pytest.mark.parametrize("design", ["nat", "floating"])
def test_a_healthy_cluster_has_no_finding(design: str) -> None:
    assert found(lambda w: w.each_rule(enableFloatingIP=design == "floating"), design=design) == []


def test_a_healthy_cluster_with_ha_ports_has_no_finding() -> None:
    def wide(w: Wire) -> None:
        w.balancer["properties"]["loadBalancingRules"] = [azure_payloads.rule(0, protocol="All")]

    assert found(wide, load_balancer={"ha_ports": True}) == []


def secondary(w: Wire) -> None:
    """The pool holds a secondary ip configuration of the node's first NIC."""
    w.leave_pool("lknode01")
    configurations = w.nics["lknode01-nic1"]["properties"]["ipConfigurations"]
    other = copy.deepcopy(configurations[0])
    other["id"] = f"{azure_payloads.nic_id('lknode01', 1)}/{SECOND}"
    other["name"] = "second"
    other["properties"] |= {"primary": False, "privateIPAddress": "10.20.1.13"}
    other["properties"]["loadBalancerBackendAddressPools"] = [{"id": f"{azure_payloads.LB}/backendAddressPools/pool"}]
    configurations.append(other)


def second_nic(w: Wire) -> None:
    w.leave_pool("lknode01")
    configuration = w.nics["lknode01-nic2"]["properties"]["ipConfigurations"][0]
    configuration["properties"]["loadBalancerBackendAddressPools"] = [{"id": f"{azure_payloads.LB}/BACKENDADDRESSPOOLS/Pool"}]


def stranger(w: Wire) -> None:
    w.pool["loadBalancerBackendAddresses"].append({"name": "old", "properties": {"ipAddress": "10.20.1.99"}})


def admin(state: str) -> Callable[[Wire], None]:
    return lambda w: w.pool["loadBalancerBackendAddresses"][1]["properties"].update(adminState=state)


def denying(name: str, priority: int, source: str, *more: dict, host: str = "lknode01", ports: str = "0-65535") -> Callable[[Wire], None]:
    denies = azure_payloads.security_rule(f"securityRules/{name}", priority, "Deny", source, ports)
    return lambda w: w.filters.update({f"{host}-nic1": azure_payloads.effective(*more, denies)})


def stopped(w: Wire) -> None:
    w.machines["lknode02"]["properties"]["instanceView"]["statuses"][1] = {"code": "PowerState/deallocated"}


def moved(w: Wire) -> None:
    w.nics["lknode02-nic2"]["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"] = "10.20.2.13"


def swapped(w: Wire) -> None:
    for n in (1, 2):
        w.nics[f"lknode01-nic{n}"]["properties"]["primary"] = n == 2


def udr(kind: str) -> Callable[[Wire], None]:
    own = {"source": "User", "state": "Active", "addressPrefix": ["10.20.1.0/24"], "nextHopType": kind, "nextHopIpAddress": ["10.20.9.4"]}
    return lambda w: w.routes.update({"lknode01-nic1": azure_payloads.routes(own)})


CLIENTS_ONLY = azure_payloads.security_rule("securityRules/clients", 200, "Allow", "10.20.1.0/24")
PROBES_ONLY = azure_payloads.security_rule("securityRules/probes", 200, "Allow", "AzureLoadBalancer", expanded=("168.63.129.16/32",))
FAULTS: dict[str, tuple[Callable[[Wire], Any], str, str, str, dict[str, Any]]] = {
    # what is wrong: how it is made, the first fact, whose finding it is, words of it, what the file says
    "basic SKU": (lambda w: w.balancer.update(sku={"name": "Basic"}), "ILB-26", "ilb", "Basic, not Standard", {}),
    "no SKU told": (lambda w: w.balancer.pop("sku"), "ILB-26", "ilb", "Basic, not Standard", {}),
    "dynamic frontend": (lambda w: w.frontend.update(privateIPAllocationMethod="Dynamic"), "DES-05", "ilb", "dynamically", {}),
    "other frontend": (lambda w: w.frontend.update(privateIPAddress="10.20.1.201"), "DES-09", "ilb", "no frontend has", {}),
    "node outside the pool": (lambda w: w.leave_pool("lknode02"), "DES-09", "lknode02", "is not in it", {}),
    "secondary ip configuration": (secondary, "ILB-13", "lknode01", "secondary ip configuration second (10.20.1.13)", {}),
    "second NIC in the pool": (second_nic, "DES-09", "lknode01", "holds 10.20.2.11 of lknode01-nic2", {}),
    "a stranger in the pool": (stranger, "PRB-22", "ilb", "old (10.20.1.99)", {}),
    "no probe": (lambda w: w.rules[0]["properties"].pop("probe"), "PRB-19", "ilb", "no health probe", {}),
    "probe protocol": (lambda w: w.probe.update(protocol="Https"), "PRB-04", "ilb", "by https", {}),
    "probe path": (
        lambda w: w.probe.update(protocol="Http", requestPath="health"), "PRB-13", "ilb", "asks for health",
        {"load_balancer": {"probe": {"protocol": "http", "path": "/up"}}},
    ),
    "probe port": (lambda w: w.probe.update(port=22), "PRB-22", "ilb", "port 22, and the file says 12345", {}),
    "probe interval": (lambda w: w.probe.update(intervalInSeconds=15), "PRB-05", "ilb", "every 15 s", {}),
    "probe threshold": (lambda w: w.probe.update(probeThreshold=3), "PRB-07", "ilb", "probeThreshold is 3", {}),
    "threshold lost to the portal": (
        lambda w: (w.probe.pop("probeThreshold"), w.probe.update(numberOfProbes=2)), "PRB-07", "ilb",
        "(its default), and the file says 2; numberOfProbes = 2 does nothing", {"load_balancer": {"probe": {"threshold": 2}}},
    ),
    "all probed up": (lambda w: w.probe.update(noHealthyBackendsBehavior="AllProbedUp"), "FLOW-08", "ilb", "AllProbedUp", {}),
    "floating IP": (lambda w: w.rules[1]["properties"].update(enableFloatingIP=True), "DES-01", "ilb", "on, and the design is nat", {}),
    "floating IP off": (
        lambda w: (w.each_rule(enableFloatingIP=True), w.rules[2]["properties"].update(enableFloatingIP=False)), "DES-01", "ilb",
        "off, and the design is floating", {"design": "floating"},
    ),
    "session persistence": (lambda w: w.rules[0]["properties"].update(loadDistribution="SourceIP"), "FLOW-02", "ilb", "SourceIP", {}),
    "idle timeout": (lambda w: w.rules[0]["properties"].update(idleTimeoutInMinutes=30), "IDLE-01", "ilb", "1800 s", {}),
    "reset": (lambda w: w.rules[0]["properties"].update(enableTcpReset=True), "IDLE-03", "ilb", "is on, and the file says off", {}),
    "no rule for a service": (lambda w: w.rules.pop(1), "ILB-19", "ilb", "port 5432 (database)", {}),
    "a UDP rule is none": (lambda w: w.rules[1]["properties"].update(protocol="Udp"), "ILB-19", "ilb", "port 5432 (database)", {}),
    "ports differ": (lambda w: w.rules[0]["properties"].update(backendPort=1522), "ILB-09", "ilb", "port 1521 on to 1522", {}),
    "HA ports": (
        lambda w: w.balancer["properties"].update(loadBalancingRules=[azure_payloads.rule(0, protocol="All")]), "ILB-18", "ilb",
        "carries all ports", {},
    ),
    "a rule beside HA ports": (
        lambda w: w.rules.append(azure_payloads.rule(0, protocol="All")), "ILB-20", "ilb", "3 other rules",
        {"load_balancer": {"ha_ports": True}},
    ),
    "adminState down": (admin("Down"), "FLOW-11", "lknode02", "adminState is Down", {}),
    "adminState up": (admin("Up"), "FLOW-11", "lknode02", "gets every connection", {}),
    "probes denied": (denying("no-probes", 300, "168.63.129.16/32"), "NSG-08", "lknode01", "rule no-probes (priority 300)", {}),
    "deny all but clients": (denying("all", 4000, "0.0.0.0/0", CLIENTS_ONLY), "NSG-08", "lknode01", "rule all (priority 4000)", {}),
    "clients denied": (
        denying("db", 300, "0.0.0.0/0", ports="5432-5432"), "NSG-04", "lknode01", "10.20.1.20 (client) and 10.20.1.12 (standby)", {},
    ),
    "standby denied": (
        denying("peer", 300, "10.20.1.11/32", host="lknode02", ports="1521"), "NSG-04", "lknode02", "10.20.1.11 (standby)", {},
    ),
    "diverted": (udr("VirtualAppliance"), "FAB-13", "lknode01", "10.20.1.0/24 by VirtualAppliance 10.20.9.4", {}),
    "black hole": (udr("None"), "FAB-13", "lknode01", "lkclient and lknode02", {}),
    "stopped": (stopped, "PRB-17", "lknode02", "deallocated", {}),
    "address unknown to Azure": (moved, "FAB-10", "lknode02", "second_address", {}),
    "probes on the second NIC": (swapped, "FAB-12", "lknode01", "not the primary one", {}),
}  # fmt: skip


@pytest.mark.parametrize("wrong", FAULTS)
def test_it_is_found_and_named_alone(wrong: str) -> None:
    spoil, fact, host, words, over = FAULTS[wrong]
    [one] = found(spoil, **over)
    assert (one.weight, one.facts[0], one.host) == (Weight.FAULT, fact, host)
    assert words in f"{one.what}: {one.says}" and one.do


NOTES: dict[str, tuple[Callable[[Wire], Any], str, dict[str, Any]]] = {
    "numberOfProbes": (lambda w: w.probe.update(numberOfProbes=3), "PRB-08", {}),
    "slow probe": (lambda w: w.probe.update(intervalInSeconds=300), "PRB-06", {"load_balancer": {"probe": {"interval_s": 300}}}),
    "IP forwarding": (lambda w: w.nics["lknode01-nic1"]["properties"].update(enableIPForwarding=True), "FAB-08", {}),
}


@pytest.mark.parametrize("what", NOTES)
def test_what_is_no_fault_is_noted(what: str) -> None:
    spoil, fact, over = NOTES[what]
    [one] = found(spoil, **over)
    assert (one.weight, one.facts[0]) == (Weight.NOTE, fact)


def test_a_public_frontend_is_no_internal_one() -> None:
    def public(w: Wire) -> None:
        w.frontend.pop("privateIPAddress")
        w.frontend["publicIPAddress"] = {"id": "/x"}

    assert [(f.what, f.facts) for f in found(public)] == [("frontend", ("DES-05",))]


def test_deny_all_but_probes_lets_no_client_in() -> None:
    """Two services of three are denied to both origins by one rule; the third has a rule of its own (NSG-06)."""
    own = azure_payloads.security_rule("securityRules/web", 210, "Allow", "VirtualNetwork", "80", ("10.20.0.0/16", "168.63.129.16/32"))
    findings = found(denying("all", 4000, "0.0.0.0/0", PROBES_ONLY, own))
    assert [f.what for f in findings] == ["NSG", "NSG"] and all("NSG-06" in f.facts for f in findings)


def test_a_nic_group_judges_after_the_subnets_own() -> None:
    """Both have to let a packet in, and the one that does not is named (NSG-09)."""

    def both(w: Wire) -> None:
        w.filters["lknode01-nic1"]["value"].append(
            {
                "networkSecurityGroup": {"id": "/nsg/of-nic"},
                "association": {"networkInterface": {"id": azure_payloads.nic_id("lknode01", 1)}},
                "effectiveSecurityRules": [
                    azure_payloads.security_rule("securityRules/x", 100, "Deny", "*"),
                    *azure_payloads.default_rules(),
                ],
            }
        )

    assert {f.facts[0] for f in found(both)} == {"NSG-08", "NSG-04"}
    assert all("of-nic (NIC)" in f.says for f in found(both))


def test_what_was_not_told_is_unknown_and_not_guessed_at() -> None:
    wire = Wire()
    seen = replace(wire.seen(), filters={}, routes={}, machines={}, nics=(), read_errors=("reading lknode01: no",))
    weights = {f.weight for f in judge(azure_payloads.cluster(), seen)}
    assert weights == {Weight.UNKNOWN}


def test_several_faults_are_all_named() -> None:
    def worse(w: Wire) -> None:
        w.balancer["sku"] = {"name": "Basic"}
        w.probe["port"] = 80
        w.leave_pool("lknode01")

    assert {f.facts[0] for f in found(worse)} == {"ILB-26", "PRB-22", "DES-09"}
