"""A small stand-in for ARM's resource groups, deployments and deletions, for tests of making and removing: HTTPS, its own CA, tokens.

It makes nothing: it works out the template as Azure would be told to (with our own reading of it) and lists what there would be. It refuses
to delete what another resource still refers to, as Azure does. No lab and no Azure is behind it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
import trustme

from harness.azure.provision import deletion_retry, teardown
from harness.azure.provision.creation_record import kind_of
from harness.azure.provision.deployment_request import DeploymentRequest
from harness.azure.provision.template import template
from harness.cli import main

SUBSCRIPTION = "00000000-0000-4000-8000-00000000de01"
STEPS = 3  # so many looks at a deployment until it has ended
OPTIONS = ["--azure", "where.toml", "--location", "westeurope", "--owner", "me", "--ssh-key", "key.pub", "--yes"]


def up(*more: str) -> int:
    return main(["azure", "up", *OPTIONS, *more])


def run_of(said: str) -> str:
    found = re.search(r"run ([0-9a-f]{8}) makes", said)
    assert found, said
    return found[1]


@dataclass(frozen=True)
class Answer:
    """What the stand-in answers to a deployment's PUT instead of the truth, and whether it accepts it all the same.

    `status` None: the connection is dropped without a word.
    """

    status: int | None
    body: Any = None
    accepted: bool = False


class Deployments(ThreadingHTTPServer):
    """`resources` and `groups` by id in lower case. `fails` maps a resource's name to the error that its making meets.

    `on_look` is called at every look at a deployment, with how many there were: what it returns is answered instead of the truth.
    `on_put` likewise, at every PUT of one.

    What Azure does besides (each with its source): `unlisted` names of resources that no list of all types shows yet, and `ghosts` what it
    still shows (azure-rest-api-specs 21221), while a GET by id and a provider's own list are true; `on_delete` is called with a resource's
    name and how often its deletion was asked for, and what it returns is answered; `locked` are names under a CanNotDelete lock (azure-cli
    16958); a fresh group is unknown for `fresh_404` requests (terraform-provider-azurerm 18268).
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.groups: dict[str, dict[str, Any]] = {}
        self.resources: dict[str, dict[str, Any]] = {}
        self.deployments: dict[str, dict[str, Any]] = {}
        self.fails: dict[str, dict[str, Any]] = {}
        self.never_ends = self.read_only = self.may_not_cancel = False
        self.on_look: Callable[[int], tuple[int, Any] | None] = lambda looks: None
        self.status_message: Any = None  # of an operation that failed, instead of its error
        self.public_addresses: dict[str, Any] = {"ipAddress": "203.0.113.5"}
        self.on_put: Callable[[int], Answer | None] = lambda puts: None
        self.looks = self.puts = 0
        self.unlisted: set[str] = set()
        self.ghosts: list[dict[str, Any]] = []
        self.locked: set[str] = set()
        self.on_delete: Callable[[str, int], tuple[int, Any] | None] = lambda name, times: None
        self.deletes: dict[str, int] = {}
        self.fresh_404 = self._fresh = 0
        self.skus: list[dict[str, Any]] = [_sku("Standard_D2s_v5")]
        self.usages: list[dict[str, Any]] = []
        self.image_plan: dict[str, str] | None = None
        self.terms_accepted = True
        self.says: Callable[[str], str] = lambda machine: f"{host_key(machine)} root@{machine}\n"  # what a script prints there
        self.asked: list[tuple[str, str]] = []
        ca = trustme.CA()
        ca.cert_pem.write_to_path(folder / "ca.pem")
        (folder / "secret").write_text("a secret of the test\n")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(tls)
        self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.folder = folder

    def besides(self, method: str, path: str, body: Any) -> tuple[int | None, Any] | None:
        """What a subscription knows that holds more than deployments (`subscription.py`); None for what is asked of those."""
        return None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    def settings(self) -> str:
        """The [azure] table that leads here."""
        return f"""[azure]
subscription = "{SUBSCRIPTION}"
resource_group = "lk-test"
tenant = "00000000-0000-4000-8000-00000000de02"
credential = "client-secret"
client_id = "00000000-0000-4000-8000-00000000de03"
client_secret_file = "secret"
authority = "{self.url}"
resource_manager = "{self.url}"
audience = "https://management.azure.com"
ca_file = "ca.pem"
instance_discovery = false
poll_s = 0.05
"""

    def add(self, kind: str, name: str, group: str = "lk-test", **more: Any) -> str:
        """A resource that is there already."""
        id = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/{kind}/{name}"
        self.resources[id.lower()] = {"id": id, "name": name, "type": kind, **more}
        return id

    def add_group(self, name: str, **tags: str) -> None:
        id = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}"
        self.groups[id.lower()] = {"id": id, "name": name, "location": "westeurope", "tags": tags}

    def names(self) -> set[str]:
        return {r["name"] for r in self.resources.values()}

    def deploy(self, id: str, body: dict[str, Any]) -> None:
        given = {name: said["value"] for name, said in body["properties"]["parameters"].items()}
        _, _, subscription, _, group, *_ = id.split("/")
        wanted = template.resources(body["properties"]["template"], given, subscription=subscription, group=group)
        about = {"tags": body.get("tags", {}), "parameters": body["properties"]["parameters"]}
        self.deployments[id.lower()] = {
            "looks": 0,
            "wanted": wanted,
            "operations": [],
            "state": "Running",
            "cancelled": False,
            "steps": STEPS,
            **about,
        }

    def expire(self, group: str) -> None:
        """The time of what was made in a group is over, by its tags and by its deployment's record."""
        past = "2020-01-01T00:00:00Z"
        for one in [*self.resources.values(), *self.groups.values()]:
            if f"/resourcegroups/{group}" in one["id"].lower():
                one["tags"]["lkharness-expires"] = past
        for id, deployment in self.deployments.items():
            if f"/resourcegroups/{group}/" in id:
                deployment["parameters"]["tags"]["value"]["lkharness-expires"] = past

    def killed_up(self, looks: int, group: str = "lk-test", **tags: str) -> str:
        """A deployment as an `azure up` leaves it that is killed after so many looks; its run."""
        request = DeploymentRequest("westeurope", "me", time.time() + 3600, {"design": "nat", "sshPublicKey": "ssh-ed25519 AAAA me"})
        given = {**request.parameters, "tags": {**request.tags, **tags}}
        id = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Resources/deployments/lkharness-{request.run}"
        self.deploy(id, {"properties": {"template": template.load(), "parameters": {k: {"value": v} for k, v in given.items()}}})
        self.deployments[id.lower()]["steps"] = 20  # it is looked at several times before anybody cancels it
        for _ in range(looks):
            self.look(self.deployments[id.lower()])
        return request.run

    def go_on(self) -> None:
        """Whatever still runs comes to its end by itself."""
        self.never_ends = False
        for deployment in self.deployments.values():
            for _ in range(2 * deployment["steps"]):
                self.look(deployment)

    def put(self, id: str, body: dict[str, Any]) -> tuple[int | None, Any]:
        """One that still runs cannot be put again: Azure's DeploymentActive."""
        self.puts += 1
        said = self.on_put(self.puts)
        if said and not said.accepted:
            return said.status, said.body
        if self.deployments.get(id.lower(), {}).get("state") == "Running":
            return 409, _error("DeploymentActive", "Unable to edit or replace the deployment: the previous one is still active.")
        self.deploy(id, body)
        return (said.status, said.body) if said else (201, {"id": id, "properties": {"provisioningState": "Accepted"}})

    def look(self, deployment: dict[str, Any]) -> None:
        """A part more of it is made each time that it is looked at."""
        if deployment["state"] != "Running":
            return
        deployment["looks"] += 1
        share = 1 if deployment["cancelled"] else len(deployment["wanted"]) if deployment["looks"] >= deployment["steps"] else 4
        for resource in [r for r in deployment["wanted"] if r.id.lower() not in self.resources][:share]:
            if resource.name in self.fails:
                failed = _operation(resource, "Failed", self.fails[resource.name])
                if self.status_message is not None:
                    failed["properties"]["statusMessage"] = self.status_message
                deployment["operations"].append(failed)
                deployment["state"] = "Failed"
                return
            extra = {"uses": sorted(_uses(resource.body["properties"]))}
            body = {"id": resource.id, "name": resource.name, "type": resource.type, "tags": resource.body["tags"], **extra}
            if resource.type.endswith("/publicIPAddresses"):
                body["properties"] = self.public_addresses
            self.resources[resource.id.lower()] = body
            if disk := resource.body["properties"].get("storageProfile", {}).get("osDisk"):
                group = resource.id.split("/")[4]
                self.add("Microsoft.Compute/disks", disk["name"], group, managedBy=resource.id, tags=resource.body["tags"])
            deployment["operations"].append(_operation(resource, "Succeeded", None))
        if deployment["cancelled"]:  # what was under way comes into being all the same
            deployment["state"] = "Canceled"
        elif deployment["looks"] >= deployment["steps"] and not self.never_ends:
            deployment["state"] = "Succeeded"

    def cancel(self, key: str) -> tuple[int, Any]:
        """It ends at the look after the next."""
        if self.may_not_cancel:
            said = (
                "The client does not have authorization to perform action 'Microsoft.Resources/deployments/cancel/action' over scope 's'."
            )
            return 403, _error("AuthorizationFailed", said)
        if key not in self.deployments:
            return 404, _error("DeploymentNotFound", "no such deployment")
        if self.deployments[key]["state"] != "Running":
            return 409, _error("DeploymentCannotBeCancelled", "it is not running")
        self.deployments[key]["cancelled"] = True
        return 204, None

    def delete(self, id: str) -> tuple[int, Any]:
        key, name = id.lower(), id.rpartition("/")[2]
        if name in self.locked:
            said = (
                f"The scope '{id}' cannot perform delete operation because following scope(s) are locked: '{id}'. Please remove the lock."
            )
            return 409, _error("ScopeLocked", said)
        self.deletes[name] = self.deletes.get(name, 0) + 1
        if answer := self.on_delete(name, self.deletes[name]):
            return answer
        if key in self.groups:
            del self.groups[key]
            for every in (self.resources, self.deployments):
                for one in [k for k in every if k.startswith(key + "/")]:
                    del every[one]
            return 202, None
        if self.deployments.get(key, {}).get("state") == "Running":  # its reference: one that is running cannot be deleted
            return 409, _error("DeploymentCannotBeDeleted", "it is running")
        if key in self.deployments:
            del self.deployments[key]
            return 204, None
        if key not in self.resources:
            return 404, _error("ResourceNotFound", f"The Resource '{id}' was not found.")
        others = [r for k, r in self.resources.items() if k != key]
        users = [r["name"] for r in others if any(u == key or u.startswith(key + "/") for u in r.get("uses", []))]
        if users:
            return 400, _error("InUse", f"{id} is in use by {', '.join(users)}.")
        gone = self.resources.pop(key)
        if gone["type"].lower().endswith("virtualmachines"):  # deleteOption: Delete
            disks = [k for k, r in self.resources.items() if str(r.get("managedBy", "")).lower() == key]
            extensions = [k for k in self.resources if k.startswith(key + "/")]
            for other in [u for u in gone.get("uses", []) if "/networkinterfaces/" in u] + disks + extensions:
                self.resources.pop(other, None)
        return 202, None


def host_key(machine: str) -> str:
    """A machine's public host key, such as ssh-keygen writes it; no private one belongs to it."""
    kind = b"ssh-ed25519"
    raw = len(kind).to_bytes(4, "big") + kind + (32).to_bytes(4, "big") + hashlib.sha256(machine.encode()).digest()
    return f"{kind.decode()} {base64.b64encode(raw).decode()}"


def _sku(name: str, family: str = "standardDSv5Family", cores: str = "2", **more: Any) -> dict[str, Any]:
    """As Resource SKUs - List has one."""
    place = {"location": "westeurope", "zones": ["1", "2", "3"]}
    about = {"resourceType": "virtualMachines", "name": name, "family": family, "locations": ["westeurope"], "locationInfo": [place]}
    return {**about, "capabilities": [{"name": "vCPUs", "value": cores}], "restrictions": [], **more}


def _uses(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["id"].lower()} if isinstance(value.get("id"), str) and value["id"].startswith("/") else set()
        return own.union(*map(_uses, value.values()))
    return set().union(*map(_uses, value)) if isinstance(value, list) else set()


def _operation(resource: template.Resource, state: str, error: dict[str, Any] | None) -> dict[str, Any]:
    target = {"id": resource.id, "resourceName": resource.name, "resourceType": resource.type}
    return {"properties": {"provisioningState": state, "targetResource": target, "statusMessage": {"error": error} if error else None}}


def _succeeded(operation: dict[str, Any]) -> bool:
    return bool(operation["properties"]["provisioningState"] == "Succeeded")


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one packet
    disable_nagle_algorithm = True
    server: Deployments

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path).rstrip("/"), dict(parse_qsl(parts.query))
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "/oauth2/" in path or "openid" in path:
            return self._say(*self._login(path))
        self.server.asked.append((self.command, path))
        body = json.loads(raw) if raw else None
        self._say(*self._answer(path, query, body))

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = _serve

    def _login(self, path: str) -> tuple[int, Any]:
        base = self.server.url
        if path.endswith("/token"):
            return 200, {"token_type": "Bearer", "expires_in": 3600, "access_token": "a-token"}
        tenant = path.split("/")[1]
        return 200, {
            "token_endpoint": f"{base}/{tenant}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/authorize",
            "issuer": f"{base}/{tenant}/v2.0",
        }

    def _answer(self, path: str, query: dict[str, str], body: Any) -> tuple[int | None, Any]:
        server, key = self.server, path.lower()
        if (said := server.besides(self.command, path, body)) is not None:
            return said
        if server.read_only and self.command != "GET":
            return 403, _error("AuthorizationFailed", "The client does not have authorization to perform action 'a/write' over scope 's'.")
        if server._fresh and "/resourcegroups/" in key:
            server._fresh -= 1
            return 404, _error("ResourceGroupNotFound", f"Resource group '{path.split('/')[4]}' could not be found.")
        if (said := _of_region(server, key)) is not None:
            return 200, said
        if self.command == "DELETE":
            return server.delete(path)
        if key.endswith("/runcommand"):
            mark = re.search(r"'begin ([0-9a-f]+)'", "\n".join(body["script"]))
            out = f"begin {mark[1]}\n{server.says(path.split('/')[-2])}\nend {mark[1]} 0\n" if mark else ""
            return 200, {"value": [{"code": "ComponentStatus/StdOut/succeeded", "message": out}]}
        if key.endswith("/cancel"):
            return server.cancel(key.removesuffix("/cancel"))
        if found := re.fullmatch(r"(.*/deployments/[^/]+)(/operations)?", key):
            if self.command == "PUT":
                return server.put(path, body)
            deployment = server.deployments.get(found[1])
            if deployment is None:
                return 404, _error("DeploymentNotFound", "no such deployment")
            if found[2]:
                return 200, {"value": deployment["operations"]}
            server.looks += 1
            if said := server.on_look(server.looks):
                return said
            server.look(deployment)
            made = [{"id": o["properties"]["targetResource"]["id"]} for o in deployment["operations"] if _succeeded(o)]
            ended = {"outputResources": made} if deployment["state"] == "Succeeded" else {}
            properties = {"provisioningState": deployment["state"], "parameters": deployment["parameters"], **ended}
            return 200, {"id": path, "tags": deployment["tags"], "properties": properties}
        if key.endswith("/resources"):
            scope = key.removesuffix("/resources")
            every = [r for r in [*server.resources.values(), *server.ghosts] if r["name"] not in server.unlisted]
            return 200, {"value": [_shown(r, query) for r in every if r["id"].lower().startswith(scope + "/") and _wanted(r, query)]}
        if found := re.fullmatch(r"(.*/resourcegroups/[^/]+)/providers/([^/]+/[^/]+)", key):
            group, kind = found.groups()
            if kind == "microsoft.resources/deployments":
                return 200, {"value": [{"name": k.rpartition("/")[2]} for k in server.deployments if k.startswith(group + "/")]}
            return 200, {"value": [r for k, r in server.resources.items() if k.startswith(group + "/") and kind_of(k) == kind]}
        if key.endswith("/resourcegroups"):
            return 200, {"value": [g for g in server.groups.values() if _wanted(g, query)]}
        if self.command == "PUT" and re.fullmatch(r"/subscriptions/[^/]+/resourcegroups/[^/]+", key):
            new = key not in server.groups
            server.groups[key] = {"id": path, "name": path.rpartition("/")[2], **body}
            server._fresh = server.fresh_404 if new else 0
            return 201 if new else 200, server.groups[key]
        there = server.groups.get(key) or server.resources.get(key)
        return (200, there) if there else (404, _error("ResourceGroupNotFound", f"'{path}' could not be found."))

    def _say(self, status: int | None, body: Any) -> None:
        if status is None:
            self.close_connection = True
            return
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if status == 202:
            self.send_header("Location", f"{self.server.url}/subscriptions/{SUBSCRIPTION}/resourcegroups?api-version=2021-04-01")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """The test looks at `asked`."""


def _of_region(server: Deployments, key: str) -> Any:
    """What a region has, and what the subscription may have of it."""
    if key.endswith("/microsoft.compute/skus"):
        return {"value": server.skus}
    if re.search(r"/microsoft.compute/locations/[^/]+/usages$", key):
        return {"value": server.usages}
    if key.endswith("/agreements/current"):
        return {"properties": {"accepted": server.terms_accepted}}
    if found := re.search(r"/vmimage/offers/[^/]+/skus/[^/]+/versions(/[^/]+)?$", key):
        about = {"name": "1.0.0", "location": "westeurope", "id": key}
        return {**about, "properties": {"plan": server.image_plan}} if found[1] else [about]
    return None


def _wanted(resource: dict[str, Any], query: dict[str, str]) -> bool:
    found = re.fullmatch(r"tagName eq '([^']+)'(?: and tagValue eq '([^']*)')?", query.get("$filter", ""))
    if not found:
        return True
    tags = resource.get("tags") or {}
    return found[1] in tags and found[2] in (None, tags[found[1]])


def _shown(resource: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
    """Azure leaves the tags out of a list of resources that is filtered by a tag (its reference, Resources - List, $filter)."""
    return {k: v for k, v in resource.items() if k != "tags"} if "tagName" in query.get("$filter", "") else resource


@contextmanager
def serving(folder: Path, kind: type[Deployments] = Deployments) -> Iterator[Deployments]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        patch.setattr(teardown, "NO_PROGRESS_TIMEOUT_S", 0.2)
        patch.setattr(deletion_retry, "BUSY_RESOURCE_TIMEOUT_S", 1.5)
        yield from _served(folder, kind)


def _served(folder: Path, kind: type[Deployments]) -> Iterator[Deployments]:
    server = kind(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
