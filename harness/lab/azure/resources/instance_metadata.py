"""What the instance metadata service says to a machine: itself, its network, a token of its identity."""

from __future__ import annotations

from typing import Any

from harness.lab.azure.resources import vms
from harness.lab.azure.state import resource_ids
from harness.lab.azure.state.azure_state import AzureState
from harness.lab.azure.state.http_types import Problem


class Refusal(Exception):
    """An answer that is none: the status, and the error as this service says it, which is not as the resource manager does."""

    def __init__(self, status: int, error: str, **details: Any) -> None:
        super().__init__(error)
        self.status, self.body = status, {"error": error, **details}


def host_at(state: AzureState, address: str) -> str:
    """The machine whose NIC has that address. Raises Refusal."""
    for nic in state.topology.nics:
        if str(nic.address) == address:
            return nic.host
    raise Refusal(404, "Not found")


def instance(state: AzureState, host: str) -> dict[str, Any]:
    """`/metadata/instance`: every value a text, as the service has them."""
    return {"compute": _compute(state, host), "network": {"interface": [_interface(nic) for nic in state.topology.of(host)]}}


def _compute(state: AzureState, host: str) -> dict[str, Any]:
    machine = vms.resource(state, host)
    properties, tags = machine["properties"], machine.get("tags", {})
    image, disk = properties["storageProfile"]["imageReference"], properties["storageProfile"]["osDisk"]
    user = properties["osProfile"]["adminUsername"]
    return {
        "azEnvironment": "AzurePublicCloud",
        "isHostCompatibilityLayerVm": "false",
        "location": machine["location"],
        "name": host,
        "offer": image["offer"],
        "osProfile": {"adminUsername": user, "computerName": host, "disablePasswordAuthentication": "true"},
        "osType": disk["osType"],
        "placementGroupId": "",
        "platformFaultDomain": "0",
        "platformUpdateDomain": "0",
        "priority": "",
        "provider": "Microsoft.Compute",
        "publicKeys": [],
        "publisher": image["publisher"],
        "resourceGroupName": resource_ids.GROUP,
        "resourceId": machine["id"],
        "sku": image["sku"],
        "storageProfile": {
            "dataDisks": [],
            "imageReference": {"id": "", **image},
            "osDisk": {"name": disk["name"], "osType": disk["osType"], "caching": disk["caching"], "createOption": disk["createOption"]},
        },
        "subscriptionId": resource_ids.SUBSCRIPTION,
        "tags": ";".join(f"{name}:{value}" for name, value in tags.items()),
        "tagsList": [{"name": name, "value": value} for name, value in tags.items()],
        "version": image["version"],
        "vmId": properties["vmId"],
        "vmScaleSetName": "",
        "vmSize": properties["hardwareProfile"]["vmSize"],
        "zone": machine["zones"][0],
    }


def _interface(nic: Any) -> dict[str, Any]:
    subnet = {"address": str(nic.subnet.network_address), "prefix": str(nic.subnet.prefixlen)}
    addresses = [{"privateIpAddress": str(nic.address), "publicIpAddress": ""}]
    return {
        "ipv4": {"ipAddress": addresses, "subnet": [subnet]},
        "ipv6": {"ipAddress": []},
        "macAddress": nic.mac.replace(":", "").upper(),
    }


def part(document: dict[str, Any], path: str, *, text: bool) -> Any:
    """What is at `path` below it; as text a value itself, and of a branch the names of what is below, one a line. Raises Refusal."""
    value: Any = document
    for key in filter(None, path.split("/")):
        value = _below(value, key)
    if isinstance(value, str) and not text:
        raise Refusal(400, "Bad request. A single value is given as text only: format=text")
    if not text or isinstance(value, str):
        return value
    below = value.items() if isinstance(value, dict) else enumerate(value)
    return "\n".join(f"{name}{'' if isinstance(child, str) else '/'}" for name, child in below)


def _below(value: Any, key: str) -> Any:
    if isinstance(value, dict) and key in value:
        return value[key]
    if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
        return value[int(key)]
    raise Refusal(404, "Not found")


def token(state: AzureState, host: str, query: dict[str, str]) -> dict[str, str]:
    """A token of the machine's system-assigned identity, which the nodes have and the client has not. Raises Refusal."""
    resource = query.get("resource", "")
    if not resource:
        raise Refusal(400, "invalid_request", error_description="Required query variable 'resource' is missing")
    other_identities = [query[name] for name in ("client_id", "object_id", "msi_res_id", "mi_res_id") if query.get(name)]
    if other_identities or host not in {node.name for node in state.cluster.nodes}:
        raise Refusal(400, "invalid_request", error_description="Identity not found")
    try:
        return state.tokens.of_machine(host, resource)
    except Problem as problem:
        raise Refusal(problem.status, problem.code, error_description=str(problem)) from problem
