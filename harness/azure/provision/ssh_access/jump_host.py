"""The way in from outside the virtual network: the client's public address, which Azure chooses and so must be read back."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address

from harness.azure.client.arm import Arm
from harness.azure.client.operation_runner import OperationRunner
from harness.azure.client.sdk_clients import Clients
from harness.azure.provision.deployment_request import DeploymentRequest
from harness.azure.provision.template.template import Resource
from harness.core.deadline import Deadline
from harness.core.errors import Unusable

READ_TIMEOUT_S = 60.0


def requested_address(request: DeploymentRequest, clients: Clients) -> Resource | None:
    """The public address that the client's NIC refers to, None when the wish has none (the NAT gateway's is no way in)."""
    resources = request.resources(clients.azure)
    referenced_ids = {
        str(c["properties"]["publicIPAddress"]["id"]).lower()
        for r in resources
        if r.type.endswith("/networkInterfaces")
        for c in r.body["properties"]["ipConfigurations"]
        if "publicIPAddress" in c["properties"]
    }
    return next((r for r in resources if r.id.lower() in referenced_ids), None)


def public_address(clients: Clients, address: Resource) -> IPv4Address:
    """What Azure chose. Raises Unusable, or what reading was refused with."""
    doing = f"reading the public address {address.name}"
    arm, operations = Arm(clients), OperationRunner(clients, lambda *_, **__: None)
    address_json = operations.read(lambda: arm.get(address.id, doing, api=address.api_version), Deadline(READ_TIMEOUT_S), doing)
    ip_address = (address_json.get("properties") or {}).get("ipAddress")
    try:
        return IPv4Address(ip_address)
    except (AddressValueError, TypeError) as error:
        raise Unusable(f"{doing}: Azure tells no address ({ip_address!r})") from error
