"""A small stand-in for ARM's resource groups, deployments and deletions, for tests of making and removing: HTTPS, its own CA, tokens.

It makes nothing: it works out the template as Azure would be told to (with our own reading of it) and lists what there would be. It refuses
to delete what another resource still refers to, as Azure does. No lab and no Azure is behind it.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from arm_answers import SUBSCRIPTION, error_body, host_key, operation_body, referred_ids, vm_size
from arm_requests import RequestHandler

from harness.azure.provision import deletion_retry, teardown
from harness.azure.provision.deployment_request import DeploymentRequest
from harness.azure.provision.template import template

STEPS = 3  # so many looks at a deployment until it has ended


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
        super().__init__(("127.0.0.1", 0), RequestHandler)
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
        self.skus: list[dict[str, Any]] = [vm_size("Standard_D2s_v5")]
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
            return 409, error_body("DeploymentActive", "Unable to edit or replace the deployment: the previous one is still active.")
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
                failed = operation_body(resource, "Failed", self.fails[resource.name])
                if self.status_message is not None:
                    failed["properties"]["statusMessage"] = self.status_message
                deployment["operations"].append(failed)
                deployment["state"] = "Failed"
                return
            extra = {"uses": sorted(referred_ids(resource.body["properties"]))}
            body = {"id": resource.id, "name": resource.name, "type": resource.type, "tags": resource.body["tags"], **extra}
            if resource.type.endswith("/publicIPAddresses"):
                body["properties"] = self.public_addresses
            self.resources[resource.id.lower()] = body
            if disk := resource.body["properties"].get("storageProfile", {}).get("osDisk"):
                group = resource.id.split("/")[4]
                self.add("Microsoft.Compute/disks", disk["name"], group, managedBy=resource.id, tags=resource.body["tags"])
            deployment["operations"].append(operation_body(resource, "Succeeded", None))
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
            return 403, error_body("AuthorizationFailed", said)
        if key not in self.deployments:
            return 404, error_body("DeploymentNotFound", "no such deployment")
        if self.deployments[key]["state"] != "Running":
            return 409, error_body("DeploymentCannotBeCancelled", "it is not running")
        self.deployments[key]["cancelled"] = True
        return 204, None

    def delete(self, id: str) -> tuple[int, Any]:
        key, name = id.lower(), id.rpartition("/")[2]
        if name in self.locked:
            said = (
                f"The scope '{id}' cannot perform delete operation because following scope(s) are locked: '{id}'. Please remove the lock."
            )
            return 409, error_body("ScopeLocked", said)
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
            return 409, error_body("DeploymentCannotBeDeleted", "it is running")
        if key in self.deployments:
            del self.deployments[key]
            return 204, None
        if key not in self.resources:
            return 404, error_body("ResourceNotFound", f"The Resource '{id}' was not found.")
        others = [r for k, r in self.resources.items() if k != key]
        users = [r["name"] for r in others if any(u == key or u.startswith(key + "/") for u in r.get("uses", []))]
        if users:
            return 400, error_body("InUse", f"{id} is in use by {', '.join(users)}.")
        gone = self.resources.pop(key)
        if gone["type"].lower().endswith("virtualmachines"):  # deleteOption: Delete
            disks = [k for k, r in self.resources.items() if str(r.get("managedBy", "")).lower() == key]
            extensions = [k for k in self.resources if k.startswith(key + "/")]
            for other in [u for u in gone.get("uses", []) if "/networkinterfaces/" in u] + disks + extensions:
                self.resources.pop(other, None)
        return 202, None


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
