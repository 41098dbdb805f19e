"""The wire format: Azure's oddities, what makes no sense, and the official examples, but that of resource health, which nothing reads."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure_payloads
import pytest

from harness.azure import backend_health
from harness.azure.client import sdk_clients
from harness.azure.faults import network_faults
from harness.azure.inventory import resource_parser
from harness.azure.inventory.resource_model import same
from harness.azure.run_command import run_command_call
from harness.core.errors import Unusable

HERE = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("LKHARNESS_AZURE_EXAMPLES") or HERE.parent / "shared" / "azure-examples")


def example(name: str, *, whole: bool = False) -> Any:
    """The body of an official example's answer, or with `whole` every answer that it has, by status."""
    if not FOLDER.is_dir():
        pytest.skip(f"there are no official examples at {FOLDER}; name their folder with LKHARNESS_AZURE_EXAMPLES")
    answers = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["responses"]
    return answers if whole else answers["200"]["body"]


def through(model: str, body: Any, module: str = "network") -> Any:
    """What the packages make of a payload has to be the payload."""
    import importlib

    made = getattr(importlib.import_module(f"azure.mgmt.{module}.models"), model)(copy.deepcopy(body))
    assert made.as_dict() == body
    return made.as_dict()


def test_the_official_load_balancer() -> None:
    found = resource_parser.balancer(through("LoadBalancer", example("LoadBalancerGet")))
    [rule], [probe], [frontend] = found.rules, found.probes, found.frontends
    assert (found.sku, frontend.static, frontend.public, frontend.address) == ("Basic", False, False, "10.0.1.4")
    assert (rule.frontend_port, rule.floating_ip, rule.idle_minutes, rule.tcp_reset) == (80, True, 15, True)
    assert (probe.protocol, probe.path, probe.interval_s, probe.threshold, probe.number_of_probes) == ("http", "healthcheck.aspx", 15, 1, 2)
    assert found.probe_of(rule) == probe and found.rules_of(frontend) == [rule] and [p.name for p in found.pools_of(rule)] == ["be-lb"]


def test_the_official_health() -> None:
    told = backend_health.parse_member_health(through("LoadBalancerHealthPerRule", example("LoadBalancerHealth")))
    assert told == {"10.1.0.4": backend_health.MemberHealth("Up", "Up_Probe_Success")}


def test_the_official_interface() -> None:
    nic = resource_parser.nic(through("NetworkInterface", example("NetworkInterfaceGet")))
    assert [c.address for c in nic.configurations] == ["172.20.2.4", "172.20.2.16"]  # the second is written with its prefix
    assert nic.main is not None and nic.main.public and nic.primary and not nic.forwarding and (nic.machine_id or "").endswith("/vm1")


def test_the_official_effective_rules() -> None:
    [group] = resource_parser.filters(through("EffectiveNetworkSecurityGroupListResult", example("NetworkInterfaceEffectiveNSGList")))
    assert [(r.name, r.direction, r.allows) for r in group.rules] == [
        ("rule1", "inbound", True), ("default-allow-rdp", "inbound", True), ("AllowInternetOutBound", "outbound", True),
    ]  # fmt: skip
    assert group.rules[1].sources == ("1.1.1.1/32",) and "32.0.0.0/3" in group.rules[2].destinations


def test_the_official_effective_routes() -> None:
    routes = resource_parser.routes(through("EffectiveRouteListResult", example("NetworkInterfaceEffectiveRouteTableList")))
    assert len(routes) == 6 and all(r.active and r.source == "Default" for r in routes) and routes[0].next_hop == "VnetLocal"


def test_the_official_machine_and_its_power() -> None:
    machine = resource_parser.machine(through("VirtualMachine", example("VirtualMachine_Get"), "compute"))
    assert machine.name == "myVM" and machine.system == "windows" and machine.nic_ids
    # The example's view has no power state at all, so none is claimed.
    view = example("VirtualMachine_Get_InstanceView")
    codes = [s["code"] for s in view.get("statuses", [])]
    assert resource_parser.power(view) == next((c.split("/")[1].lower() for c in codes if c.startswith("PowerState/")), None)


def test_the_official_run_command() -> None:
    body = example("VirtualMachineRunCommand")
    statuses = through("RunCommandResult", body, "compute")["value"]
    assert run_command_call.split_streams(statuses) == (statuses[0]["message"], "") and statuses[0]["message"].startswith(
        "This is a sample"
    )


def test_the_official_security_group() -> None:
    """A rule that is to come before all others does; the default rules of the group are of another list."""
    from azure.mgmt.network.models import NetworkSecurityGroup

    body = example("NetworkSecurityGroupGet")
    through("NetworkSecurityGroup", body)
    group = NetworkSecurityGroup(copy.deepcopy(body))
    assert [r.name for r in group.properties.security_rules] == ["rule1"]
    assert network_faults.priority_before(group.properties.security_rules, "testnsg") == 129


@pytest.mark.parametrize("name", ["VirtualMachine_PowerOff_MaximumSet_Gen", "VirtualMachine_Start_MaximumSet_Gen"])
def test_the_official_answer_to_a_power_trigger(name: str) -> None:
    """It has no body, and tells by Location alone where its operation is."""
    from requests.structures import CaseInsensitiveDict  # as the packages' transport has headers

    answers = example(name, whole=True)
    assert answers["200"] == {}
    heard: list[sdk_clients.Call] = []
    ear = sdk_clients._make_request_log_policy(heard.append)
    response = SimpleNamespace(status_code=202, headers=CaseInsensitiveDict(answers["202"]["headers"]))
    ear.next = SimpleNamespace(send=lambda request: SimpleNamespace(http_response=response))
    ear.send(SimpleNamespace(http_request=SimpleNamespace(method="POST", url="https://a/b")))
    assert heard[0].operation == answers["202"]["headers"]["location"] and "operation" in heard[0].answered


@pytest.mark.parametrize(
    ("codes", "power"),
    [(["ProvisioningState/updating", "PowerState/running"], "running"), (["PowerState/deallocated"], "deallocated"), (["OSState/x"], None)],
)
def test_power_is_found_by_its_prefix(codes: list[str], power: str | None) -> None:
    assert resource_parser.power({"statuses": [{"code": c} for c in codes]}) == power


def test_what_azure_leaves_out_has_azures_default() -> None:
    bare = {
        "name": "lb",
        "id": "/x/lb",
        "properties": {"loadBalancingRules": [{"name": "r", "id": "/x/r", "properties": {"protocol": "All", "frontendPort": 0}}]},
    }
    found = resource_parser.balancer(bare)
    assert (found.sku, found.rules[0].idle_minutes, found.rules[0].distribution, found.rules[0].ha_ports) == ("Basic", 4, "Default", True)


def test_ids_are_compared_whatever_their_case() -> None:
    assert same("/Subscriptions/A/x", "/subscriptions/a/X") and not same(None, None) and not same("", "")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda w: w.probe.update(port="many"),
        lambda w: w.probe.update(port=True),
        lambda w: w.probe.update(intervalInSeconds={}),
        lambda w: w.balancer.update(properties=[]),
        lambda w: w.balancer["properties"].update(probes="none"),
        lambda w: w.balancer.pop("id"),
        lambda w: w.rules[0].pop("name"),
    ],
)
def test_what_makes_no_sense_is_said_with_its_place(spoil: Any) -> None:
    """The packages' models take anything; what cannot be is one sentence, not a wrong verdict."""
    wire = azure_payloads.Wire()
    spoil(wire)
    with pytest.raises(Unusable, match="Azure's answer cannot be read"):
        wire.seen()
