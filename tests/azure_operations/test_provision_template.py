"""What the template makes, in either design and placement: worked out offline, true to the schema of what it uses."""

from __future__ import annotations

import copy
import functools
import json
import os
from itertools import product
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry
from referencing.jsonschema import DRAFT4

from harness.azure.provision.template import template
from harness.core.errors import BadUse

SCHEMA = json.loads((template.FILE.parent / "schema.json").read_text())
PUBLIC = os.environ.get("LKHARNESS_ARM_SCHEMAS")  # a folder with schemas/DATE/Microsoft.….json, as Microsoft publishes them
FILES = {"Microsoft.Network": "2024-05-01/Microsoft.Network.NRP.json", "Microsoft.Compute": "2024-07-01/Microsoft.Compute.json"}
BASE: dict[str, Any] = {
    "location": "westeurope",
    "tags": {"lkharness-run": "abc"},
    "design": "nat",
    "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI",
}
WAYS = [
    pytest.param({"design": design, "placement": placement, "haPorts": ha, **outside}, id=f"{design}, {placement}, {name}")
    for design, placement, (name, ha, outside) in product(
        ("nat", "floating"),
        ("zones", "availability-set"),
        (
            ("closed", False, {"ports": [1521, 5432]}),
            ("ha ports, jump host, way out", True, {"publicAddress": True, "sshSource": "192.0.2.7/32", "outbound": True}),
        ),
    )
]


def made(**over: Any) -> list[template.Resource]:
    return template.resources(template.load(), {**BASE, **over}, subscription="00000000", group="group")


def one(found: list[template.Resource], name: str) -> dict[str, Any]:
    return next(r for r in found if r.name == name).body


@pytest.mark.parametrize("over", WAYS)
def test_true_to_our_schema(over):
    validator = jsonschema.Draft7Validator(SCHEMA)
    for resource in made(**over):
        assert [f"{resource.name}: {e.json_path}: {e.message}" for e in validator.iter_errors(resource.body)] == []


@pytest.mark.skipif(not PUBLIC, reason="LKHARNESS_ARM_SCHEMAS names no folder with Microsoft's own ARM schemas")
@pytest.mark.parametrize("over", WAYS)
def test_true_to_microsofts_schema(over):
    """Also stricter than it is: a property that it does not know is a fault. (Its list of sizes ends years ago; so a size of then.)"""
    for resource in made(**over, vmSize="Standard_D2s_v3", clientSize="Standard_D2s_v3"):
        provider, kind = resource.type.split("/")
        schema = _public(provider)
        assert resource.api_version == FILES[provider].split("/")[0]
        where = {"$schema": schema["$schema"], "$ref": f"#/resourceDefinitions/{kind}", **{k: v for k, v in schema.items() if k != "id"}}
        validator = jsonschema.Draft4Validator(where, registry=Registry(retrieve=_anything))  # type: ignore[call-arg]
        assert [f"{resource.name}: {e.json_path}: {e.message}" for e in validator.iter_errors(resource.body)] == []


@functools.cache
def _public(provider: str) -> dict[str, Any]:
    return _closed(json.loads((Path(PUBLIC or "") / "schemas" / FILES[provider]).read_text()))


def _closed(schema: Any) -> Any:
    if isinstance(schema, dict):
        closed = {key: _closed(value) for key, value in schema.items()}
        if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
            closed.setdefault("additionalProperties", False)
        return closed
    return [_closed(item) for item in schema] if isinstance(schema, list) else schema


def _anything(uri: str) -> Any:
    """Expressions are worked out already, and no extension is used: what another file would say of either matches nothing."""
    return DRAFT4.create_resource({"definitions": _Nothing()})


class _Nothing(dict):
    def __getitem__(self, key: str) -> Any:
        return {"not": {}}

    def __contains__(self, key: object) -> bool:
        return True


BROKEN = {
    "a wrong word": (("properties", "loadBalancingRules", 0, "properties", "enableFloatingIp"), True),
    "a wrong type": (("properties", "probes", 0, "properties", "port"), "12345"),
    "a wrong value": (("properties", "probes", 0, "properties", "intervalInSeconds"), 1),
    "Basic": (("sku", "name"), "Basic"),
    "a frontend without an address": (("properties", "frontendIPConfigurations", 0, "properties", "privateIPAllocationMethod"), "Dynamic"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_our_schema_sees_what_is_wrong(what):
    place, value = BROKEN[what]
    body: Any = copy.deepcopy(one(made(), "ilb"))
    inner = body
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(body)


@pytest.mark.parametrize("design", ["nat", "floating"])
def test_the_design_is_the_rules_floating_ip(design):
    rules = one(made(design=design, ports=[1521, 5432]), "ilb")["properties"]["loadBalancingRules"]
    assert [(r["name"], r["properties"]["frontendPort"]) for r in rules] == [("rule-1521", 1521), ("rule-5432", 5432)]
    assert {r["properties"]["enableFloatingIP"] for r in rules} == {design == "floating"}


def test_nodes_are_as_the_figure_has_them():
    found = made()
    nics = {r.name: r.body["properties"]["ipConfigurations"][0]["properties"] for r in found if r.type.endswith("networkInterfaces")}
    assert {n: p["privateIPAddress"] for n, p in nics.items()} == {
        "lknode01-nic1": "10.20.1.11",
        "lknode01-nic2": "10.20.2.11",
        "lknode02-nic1": "10.20.1.12",
        "lknode02-nic2": "10.20.2.12",
        "lkclient-nic1": "10.20.1.20",
    }
    assert {n for n, p in nics.items() if p.get("loadBalancerBackendAddressPools")} == {"lknode01-nic1", "lknode02-nic1"}
    assert [one(found, n)["zones"] for n in ("lknode01", "lknode02")] == [["1"], ["2"]]


def test_no_public_address_unless_asked():
    assert not [r for r in made() if "publicIPAddresses" in r.type]
    assert "publicIPAddress" not in json.dumps([r.body for r in made()])
    found = made(publicAddress=True, sshSource="192.0.2.7/32")
    assert [r.name for r in found if "publicIPAddresses" in r.type] == ["jump-address"]
    rule = one(found, "nsg1")["properties"]["securityRules"][0]["properties"]
    assert (rule["direction"], rule["access"], rule["protocol"]) == ("Inbound", "Allow", "Tcp")
    assert (rule["sourcePortRange"], rule["destinationPortRange"]) == ("*", "22"), "a client's own port is any"
    assert (rule["sourceAddressPrefix"], rule["destinationAddressPrefix"], rule["destinationPortRange"]) == (
        "192.0.2.7/32",
        "10.20.1.20",
        "22",
    )


def test_a_set_instead_of_zones():
    found = made(placement="availability-set")
    assert "zones" not in one(found, "lknode01") and "zones" not in one(found, "ilb")["properties"]["frontendIPConfigurations"][0]
    assert one(found, "lknode01")["properties"]["availabilitySet"]["id"] == next(r.id for r in found if r.type.endswith("availabilitySets"))


def test_every_resource_comes_after_what_it_needs_and_has_the_tags():
    found = made(publicAddress=True, outbound=True, sshSource="192.0.2.7/32", placement="availability-set")
    seen: set[str] = set()
    for resource in found:
        needs = {i for i in _ids(resource.body["properties"]) if i in {r.id for r in found} - {resource.id}}
        assert needs <= seen, f"{resource.name} needs what is made after it"
        assert needs <= resource.after | _before(found, resource.after), f"{resource.name} does not say that it needs {needs}"
        assert resource.body["tags"] == BASE["tags"]
        seen.add(resource.id)


def _before(found: list[template.Resource], ids: frozenset[str]) -> set[str]:
    return {i for r in found if r.id in ids for i in r.after | _before(found, r.after)}


def _ids(value: Any) -> set[str]:
    """The top-level resources that are referred to."""
    if isinstance(value, dict):
        own = {"/".join(value["id"].split("/")[:9])} if isinstance(value.get("id"), str) else set()
        return own.union(*map(_ids, value.values()))
    return set().union(*map(_ids, value)) if isinstance(value, list) else set()


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"design": "other"}, "design: 'other' is none of nat, floating"),
        ({"probePort": "12345"}, "probePort: '12345' is no int"),
        ({"idleTimeoutMinutes": 3}, "idleTimeoutMinutes: 3 is less than 4"),
        ({"colour": "red"}, "no parameter 'colour'"),
    ],
)
def test_wrong_parameters_are_told(over, says):
    with pytest.raises(BadUse, match=r"\w") as told:
        made(**over)
    assert says in str(told.value)


@pytest.mark.parametrize("text", ["[unknown()]", "[concat('a']", "[concat('a') 'b']", "[parameters('none')]", "[#]"])
def test_an_expression_that_is_not_known_is_a_fault(text):
    from harness.azure.provision.template.arm_expressions import Scope, evaluate

    with pytest.raises(BadUse, match="the template's expression"):
        evaluate(text, Scope({}, lambda name: None, lambda kind, *names: ""))
