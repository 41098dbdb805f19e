"""The stand-in for deployments, with what was deployed being alive: machines with power, NICs in a pool, security rules, tags, locks.

What is made has the properties that the template gives it, and the real packages can disturb it. No lab and no Azure is behind it.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arm_answers import error_body
from deployments import Deployments

Said = tuple[int | None, Any]
CHILDREN = (
    "ipConfigurations",
    "frontendIPConfigurations",
    "backendAddressPools",
    "probes",
    "loadBalancingRules",
    "subnets",
    "securityRules",
)
TAGS, LOCKS = "/providers/microsoft.resources/tags/default", "/providers/microsoft.authorization/locks"
KEY = "lkharness-undo"


class Subscription(Deployments):
    """`power` by machine. `refuses` is asked for an answer instead of the truth, by method and path. `scripts_busy`: so many run-commands
    are refused, because another one runs. `events`: a restart is an event that waits for its machine's consent."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.power: dict[str, str] = {}
        self.boots: dict[str, int] = {}
        self.waiting: dict[str, str] = {}  # scheduled events: the machine by the event's id
        self.events = False
        self.scripts_busy = 0
        self.refuses: Callable[[str, str], Said | None] = lambda method, path: None

    def look(self, deployment: dict[str, Any]) -> None:
        super().look(deployment)
        for one in deployment["wanted"]:
            there = self.resources.get(one.id.lower())
            if there is not None and "properties" not in there:
                there["properties"] = _with_ids(one.id, copy.deepcopy(one.body["properties"]))
                there |= {key: one.body[key] for key in ("sku", "location") if key in one.body}

    def besides(self, method: str, path: str, body: Any) -> Said | None:
        key = path.lower()
        if said := self.refuses(method, path):
            return said
        if key.endswith(TAGS):
            return self._tags(method, key.removesuffix(TAGS), body)
        if key.endswith(LOCKS):
            name = key.removesuffix(LOCKS).rpartition("/")[2]
            return 200, {"value": [{"name": "lock", "properties": {"level": "CanNotDelete"}}] if name in self.locked else []}
        if method == "DELETE" and "/securityrules/" in key:
            return self._rule_gone(path)
        if found := re.fullmatch(r"(.*/virtualmachines/([^/]+))/(poweroff|start|restart|runcommand)", key):
            return self._told(found[1], found[2], found[3], body) if found[1] in self.resources else None
        if method == "PUT":
            return self._put(path, body)
        if method != "GET":
            return None
        if key in self.resources:
            return 200, self.shown(key)
        parent, _, last = key.rpartition("/")
        if parent in self.resources:  # a list of children
            children = self.shown(parent).get("properties", {})
            return next(((200, {"value": children[c]}) for c in CHILDREN if c.lower() == last and c in children), (200, {"value": []}))
        owner, _, kind = parent.rpartition("/")
        if owner in self.resources:
            children = [c for k in CHILDREN if k.lower() == kind for c in self.shown(owner).get("properties", {}).get(k, [])]
            return next(((200, c) for c in children if c["name"].lower() == last), (404, error_body("NotFound", f"{path} was not found.")))
        return None

    def shown(self, key: str) -> dict[str, Any]:
        """As a GET has it: with what follows from other resources."""
        one = copy.deepcopy(self.resources[key])
        properties, kind = one.setdefault("properties", {}), str(one.get("type", "")).lower()
        if kind.endswith("/virtualmachines"):
            power = self.power.get(one["name"], "running")
            properties |= {"provisioningState": "Succeeded", "instanceView": {"statuses": [{"code": f"PowerState/{power}"}]}}
        if kind.endswith("/networkinterfaces"):
            machine = next((r["id"] for r in self.resources.values() if key in r.get("uses", []) and "virtualMachines" in r["type"]), None)
            properties |= {"virtualMachine": {"id": machine}} if machine else {}
        for pool in properties.get("backendAddressPools", []) if kind.endswith("/loadbalancers") else []:
            states = pool.pop("states", {})
            members = self._members(pool["id"])
            pool.setdefault("properties", {})
            pool["properties"]["backendIPConfigurations"] = [{"id": id} for id in members]
            pool["properties"]["loadBalancerBackendAddresses"] = [
                {"name": name, "properties": {"adminState": states.get(name, "None"), "networkInterfaceIPConfiguration": {"id": id}}}
                for id in members
                for name in (id.split("/")[-3],)
            ]
        return one

    def _members(self, pool: str) -> list[str]:
        return [
            c["id"]
            for r in self.resources.values()
            for c in r.get("properties", {}).get("ipConfigurations", [])
            for p in c["properties"].get("loadBalancerBackendAddressPools") or []
            if p["id"].lower() == pool.lower()
        ]

    def _tags(self, method: str, key: str, body: Any) -> Said:
        if key not in self.resources:
            return 404, error_body("ResourceNotFound", f"{key} was not found.")
        tags = self.resources[key].setdefault("tags", {})
        if method == "PATCH":
            given = body["properties"]["tags"]
            kept = {k: v for k, v in tags.items() if k not in given}
            self.resources[key]["tags"] = kept if body["operation"] == "Delete" else {**tags, **given}
        return 200, {"properties": {"tags": self.resources[key]["tags"]}}

    def _rule_gone(self, path: str) -> Said:
        owner, _, name = path.partition("/securityRules/")
        if owner.rpartition("/")[2] in self.locked:
            return 409, error_body("ScopeLocked", f"The scope '{path}' cannot perform delete operation because of a lock.")
        properties = self.resources[owner.lower()]["properties"]
        properties["securityRules"] = [r for r in properties.get("securityRules", []) if r["name"] != name]
        return 200, None

    def _put(self, path: str, body: Any) -> Said | None:
        key = path.lower()
        if found := re.fullmatch(r"(.*)/(securityRules|backendAddressPools)/([^/]+)", path):
            owner, kind, name = self.resources[found[1].lower()], found[2], found[3]
            children = owner["properties"].setdefault(kind, [])
            if kind == "securityRules":
                owner["properties"][kind] = [c for c in children if c["name"] != name]
                owner["properties"][kind].append({"id": path, "name": name, "properties": body["properties"]})
            else:
                members = body["properties"]["loadBalancerBackendAddresses"]
                pool = next(c for c in children if c["name"] == name)
                pool["states"] = {m["name"]: m["properties"].get("adminState", "None") for m in members}
            return 200, {"id": path, "name": name, "properties": body["properties"]}
        if "/networkinterfaces/" in key and key in self.resources:
            self.resources[key]["properties"] = {k: v for k, v in body["properties"].items() if k != "virtualMachine"}
            return 200, self.shown(key)
        return None

    def _told(self, key: str, machine: str, what: str, body: Any) -> Said:
        name = self.resources[key]["name"]
        if what == "runcommand":
            return self._script(name, body)
        if what == "restart" and self.events:
            self.waiting[f"E{len(self.boots) + len(self.waiting)}"] = name
        elif what == "restart":
            self.reboot(name)
        else:
            self.power[name] = "stopped" if what == "poweroff" else "running"
        return 202, None

    def _script(self, machine: str, body: Any) -> Said:
        if self.scripts_busy:
            self.scripts_busy -= 1
            return 409, error_body("Conflict", "Run command extension execution is in progress. Please wait for completion.")
        script = "\n".join(body["script"])
        found = re.search(r"begin ([0-9a-f]{16})", script)
        assert found
        out = self.says(machine) if "ssh_host_" in script else ""
        message = f"Enable succeeded: \n[stdout]\nbegin {found[1]}\n{out}\nend {found[1]} 0\n\n[stderr]\n\nend {found[1]}\n"
        return 200, {"value": [{"code": "ProvisioningState/succeeded", "message": message}]}

    def reboot(self, name: str) -> None:
        self.power[name] = "running"
        self.boots[name] = self.boots.get(name, 0) + 1

    def approve(self) -> None:
        """Every restart that waits comes now: its machine consented, or its notice is over."""
        for id in list(self.waiting):
            self.reboot(self.waiting.pop(id))

    def notice_is_over(self, ours: set[str]) -> None:
        """What waits comes, and no tag's time goes on."""
        self.approve()
        for one in (self.resources[key] for key in ours):
            if text := (one.get("tags") or {}).get(KEY):
                said = json.loads(text)
                if {"since", "until"} <= set(said):
                    one["tags"][KEY] = json.dumps({**said, "until": said["since"]}, separators=(",", ":"))

    def disturbed(self, ours: set[str]) -> dict[str, str]:
        """What of ours is not as it was made, by name and why."""
        left: dict[str, str] = {}
        for key in ours:
            one = self.shown(key)
            properties = one["properties"]
            if self.power.get(one["name"], "running") != "running":
                left[one["name"]] = "is off"
            for rule in properties.get("securityRules", []):
                if rule["name"].startswith("lkharness"):
                    left[one["name"]] = f"has {rule['name']}"
            for configuration in properties.get("ipConfigurations", []):
                node = re.fullmatch(r"lknode0[12]-nic1|lknode0[12]-eth0", one["name"])
                if node and not configuration["properties"].get("loadBalancerBackendAddressPools"):
                    left[one["name"]] = "is in no pool"
            for pool in properties.get("backendAddressPools", []):
                if any(m["properties"]["adminState"] != "None" for m in pool["properties"]["loadBalancerBackendAddresses"]):
                    left[one["name"]] = "has an adminState"
            if KEY in (one.get("tags") or {}):
                left[one["name"]] = f"bears {one['tags'][KEY]}"
        return left


def _with_ids(id: str, properties: dict[str, Any]) -> dict[str, Any]:
    for kind in CHILDREN:
        for child in properties.get(kind, []):
            child["id"] = f"{id}/{kind}/{child['name']}"
    return properties
