"""What Azure Resource Manager answers: resources, operations and errors as its reference has them, for the stand-in of the tests."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from harness.azure.provision.template import template

SUBSCRIPTION = "00000000-0000-4000-8000-00000000de01"


def host_key(machine: str) -> str:
    """A machine's public host key, such as ssh-keygen writes it; no private one belongs to it."""
    kind = b"ssh-ed25519"
    raw = len(kind).to_bytes(4, "big") + kind + (32).to_bytes(4, "big") + hashlib.sha256(machine.encode()).digest()
    return f"{kind.decode()} {base64.b64encode(raw).decode()}"


def vm_size(name: str, family: str = "standardDSv5Family", cores: str = "2", **more: Any) -> dict[str, Any]:
    """As Resource SKUs - List has one."""
    place = {"location": "westeurope", "zones": ["1", "2", "3"]}
    about = {"resourceType": "virtualMachines", "name": name, "family": family, "locations": ["westeurope"], "locationInfo": [place]}
    return {**about, "capabilities": [{"name": "vCPUs", "value": cores}], "restrictions": [], **more}


def referred_ids(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["id"].lower()} if isinstance(value.get("id"), str) and value["id"].startswith("/") else set()
        return own.union(*map(referred_ids, value.values()))
    return set().union(*map(referred_ids, value)) if isinstance(value, list) else set()


def operation_body(resource: template.Resource, state: str, error: dict[str, Any] | None) -> dict[str, Any]:
    target = {"id": resource.id, "resourceName": resource.name, "resourceType": resource.type}
    return {"properties": {"provisioningState": state, "targetResource": target, "statusMessage": {"error": error} if error else None}}


def has_succeeded(operation: dict[str, Any]) -> bool:
    return bool(operation["properties"]["provisioningState"] == "Succeeded")


def error_body(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def has_tag(resource: dict[str, Any], query: dict[str, str]) -> bool:
    found = re.fullmatch(r"tagName eq '([^']+)'(?: and tagValue eq '([^']*)')?", query.get("$filter", ""))
    if not found:
        return True
    tags = resource.get("tags") or {}
    return found[1] in tags and found[2] in (None, tags[found[1]])


def listed_body(resource: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
    """Azure leaves the tags out of a list of resources that is filtered by a tag (its reference, Resources - List, $filter)."""
    return {k: v for k, v in resource.items() if k != "tags"} if "tagName" in query.get("$filter", "") else resource
