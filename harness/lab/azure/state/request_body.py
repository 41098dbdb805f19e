"""The bodies of requests: read in full, of the form that the API's specification has, and held against what is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from email.message import Message
from io import BufferedIOBase
from typing import Any

from harness.lab.azure.state.http_types import Problem, Request, lab_cannot

Json = dict[str, Any]
OBJECTS = frozenset(
    {
        *("properties", "sku", "tags", "subnet", "probe", "networkSecurityGroup", "dnsSettings", "frontendIPConfiguration"),
        *("backendAddressPool", "networkInterfaceIPConfiguration", "publicIPAddress", "virtualMachine", "virtualNetwork"),
    }
)
LISTS_OF_OBJECTS = frozenset(
    {
        *("ipConfigurations", "loadBalancerBackendAddressPools", "frontendIPConfigurations", "backendAddressPools", "loadBalancingRules"),
        *("probes", "inboundNatRules", "inboundNatPools", "outboundRules", "loadBalancerBackendAddresses", "backendIPConfigurations"),
        *("applicationSecurityGroups", "sourceApplicationSecurityGroups", "destinationApplicationSecurityGroups"),
    }
)
TEXTS = frozenset(
    {
        *("id", "name", "location", "privateIPAddress", "privateIPAllocationMethod", "ipAddress", "adminState"),
        *("noHealthyBackendsBehavior",),
        *("protocol", "access", "direction", "sourcePortRange", "destinationPortRange", "sourceAddressPrefix", "destinationAddressPrefix"),
    }
)
LISTS_OF_TEXTS = frozenset(
    {
        *("sourcePortRanges", "destinationPortRanges", "sourceAddressPrefixes", "destinationAddressPrefixes", "dnsServers", "zones"),
    }
)


def read(headers: Message, stream: BufferedIOBase, max_bytes: int) -> bytes:
    """The body of a request whose length is said in its header.

    Raises ValueError for a length that is none, or above `max_bytes`: where the next request begins is not known then.
    """
    text = headers.get("Content-Length") or "0"
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"Content-Length is {text[:40]!r}")
    if int(text) > max_bytes:
        raise ValueError(f"a body of more than {max_bytes} bytes")
    return stream.read(int(text))


def resource(request: Request) -> Json:
    """The request's body, which describes a resource. Raises Problem for one whose parts are not of the specification's form."""
    if not isinstance(request.body, dict):
        raise Problem(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: it is no JSON object.")
    _check_form(request.body, "$")
    return request.body


def _check_form(value: Any, place: str) -> None:
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_form(item, f"{place}[{index}]")
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        expected = _expected_form(key, item)
        if item is not None and expected:
            message = f"The request content was invalid and could not be deserialized: {place}.{key} is not {expected}."
            raise Problem(400, "InvalidRequestContent", message)
        if key != "tags":  # its names are the caller's own
            _check_form(item, f"{place}.{key}")


def _expected_form(key: str, value: Any) -> str:
    """What the value under that key should be and is not, or nothing."""
    if key in OBJECTS and not isinstance(value, dict):
        return "an object"
    if key in LISTS_OF_OBJECTS and not (isinstance(value, list) and all(isinstance(item, dict) for item in value)):
        return "a list of objects"
    if key in TEXTS and not isinstance(value, str):
        return "a string"
    if key in LISTS_OF_TEXTS and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        return "a list of strings"
    return ""


def is_equal(old: Any, new: Any) -> bool:
    """Whether two values say the same: references by their ids, in any case of letters."""
    if isinstance(old, dict) and isinstance(new, dict) and "id" in old:
        return str(old["id"]).lower() == str(new.get("id")).lower()
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(is_equal(a, b) for a, b in zip(old, new, strict=True))
    return bool(new == old)


def demand_unchanged(old_values: Mapping[str, Any], new_values: Mapping[str, Any], name: str, *, apart_from: Iterable[str]) -> None:
    """Raises Problem for a key of a PUT that would change something or add it. What is there already may be left out here, and what is put
    and empty means nothing."""
    for key in sorted(set(new_values) - set(apart_from)):
        old_value, new_value = old_values.get(key), new_values[key]
        is_added = old_value is None and new_value not in (None, "", [], {}, False)
        if is_added or (old_value is not None and not is_equal(old_value, new_value)):
            raise lab_cannot(f"changing {key} of {name} to {new_value!r} while it runs; make the lab with it (`lkharness lab up --file`)")


def demand_same_place(old_resource: Json, body: Json) -> None:
    """Raises Problem for a resource that is put into another region, or under another name."""
    name, region = old_resource["name"], old_resource["location"]
    new_region = "".join(str(body.get("location") or region).split()).lower()  # "West Europe" is taken as well
    if new_region != region:
        message = f"The resource '{name}' already exists in location '{region}', and cannot be put in '{new_region}'."
        raise Problem(409, "InvalidResourceLocation", message)
    if str(body.get("name") or name).lower() != name.lower():
        raise Problem(400, "InvalidRequestContent", f"The name in the body is not that of the resource '{name}'.")
