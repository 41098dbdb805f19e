"""The cluster under test, read from one TOML file. Every fault of a file is reported at once, with its place.

Defaults are the documented example's (facts DES-04) and Azure's own (facts PRB-05, PRB-07, IDLE-01).
"""

from __future__ import annotations

import copy
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, field_validator, model_validator

from harness.config import trust
from harness.config.azure_config import Azure
from harness.config.cluster_manager_config import Manager
from harness.config.config_types import Name, OneOf, Part, Port, Seconds
from harness.config.load_balancer_config import IpResource, LoadBalancer
from harness.config.network_capture_config import NetworkCaptureTable
from harness.core.errors import BadUse
from harness.core.files import expand_user
from harness.core.toml_file import content, toml
from harness.plugins.extension_points import MANAGERS, SERVICES


class Design(StrEnum):
    """How the balancer hands packets over: `nat` is floating IP off (the seed's), `floating` is floating IP on."""

    NAT = "nat"
    FLOATING = "floating"


class SshAccess(Part):
    """How to log in to a host. `host` is where to connect, the host's own address when not given."""

    host: str | None = None
    port: Port = 22
    user: str = "root"
    key: Path | None = None
    known_hosts: Path | None = None
    jump: Name | None = Field(None, description="name of another host of this file to go through")
    sudo: bool = Field(False, description="what needs root is run through `sudo -n`; docs/sudoers.md")
    python: str = Field("python3", description="a Python 3.6 or newer on that host, for the attempts and the packet capture")
    connect_limit_s: Seconds = 5.0


class Machine(Part):
    """A host of the cluster file, and how it is logged in to."""

    name: Name
    address: IPv4Address = Field(description="the private address in Subnet#1")
    platform: Literal["linux", "windows"] = Field("linux", description="what runs there: a POSIX shell or PowerShell answers over SSH")
    ssh: SshAccess = SshAccess()


class Client(Machine):
    """The machine that clients' connections are made from."""


class Node(Machine):
    """A cluster node: two NICs, the first in the balancer's pool."""

    second_address: IPv4Address = Field(description="the private address in Subnet#2")


class Service(Part):
    """A service that the cluster protects. `settings` is for its kind: user, database, password_file …"""

    name: Name
    kind: Annotated[str, OneOf(SERVICES)]
    port: Port
    tag: str = Field(description="its resource in the cluster manager")
    runs_on: Literal["active", "both"] = Field(
        "active",
        description='"both": every host runs it by itself, outside of the cluster manager, and only the VIP and the probe choose a node; '
        "its tag may be any word then, such as its unit's name",
    )
    settings: dict[str, str] = Field({})

    @field_validator("settings", mode="before")
    @classmethod
    def _words_as_a_line(cls, settings: Any) -> Any:
        """A command may be given as a list of words, as those of [power] are."""
        if not isinstance(settings, dict):
            return settings
        command_words = {
            k: v for k, v in settings.items() if k.endswith("_command") and isinstance(v, list) and all(isinstance(w, str) for w in v)
        }
        return settings | {key: shlex.join(words) for key, words in command_words.items()}


class Power(Part):
    """Commands on the harness's own machine that cut and restore a node's power; `{node}` becomes its name.

    A fence device's, a hypervisor's or a cloud's command line fits. Without it, tests that need power loss are skipped.
    `{seconds}` in `off` and `freeze` becomes the time after which the environment itself must give the power back or thaw the
    node, for a command that can see to that: then nothing stays broken even when the harness dies. `on` and `thaw` must do no
    harm to a node that is on or runs already.
    """

    off: list[str]
    on: list[str]
    reboot: list[str] | None = Field(None, description="a hard reset, without an orderly shutdown; the node comes back by itself")
    freeze: list[str] | None = Field(None, description="stop the node where it stands, silent on the wire (a hypervisor's pause)")
    thaw: list[str] | None = Field(None, description="let a frozen node go on; needed with freeze")

    @model_validator(mode="after")
    def _freezes_and_thaws(self) -> Power:
        if (self.freeze is None) is not (self.thaw is None):
            raise ValueError("freeze and thaw come together: what is frozen must be thawed; give both or neither")
        return self


class Budget(Part):
    """How long a path may be out beyond what the timers explain (facts TIME-07)."""

    margin_s: Seconds = 5.0
    recovery_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        0.0, description="how long a database may recover after a crash before it serves (PostgreSQL says 57P03 meanwhile)"
    )


class Cluster(Part):
    """Everything the harness knows before it looks."""

    name: Name
    design: Design = Design.NAT
    subnet1: IPv4Network = IPv4Network("10.20.1.0/24")
    subnet2: IPv4Network = IPv4Network("10.20.2.0/24")
    client: Client
    nodes: Annotated[list[Node], Field(min_length=2, max_length=2)]
    load_balancer: LoadBalancer = LoadBalancer()
    ip_resource: IpResource = IpResource()
    services: Annotated[list[Service], Field(min_length=1)]
    manager: Manager = Manager()
    power: Power | None = None
    network_capture: NetworkCaptureTable | None = None
    azure: Azure | None = None
    budget: Budget = Budget()
    lab: dict[str, Any] = Field({}, description="settings of the lab, which checks them itself; ignored on any other cluster")
    _left_out: tuple[str, ...] = PrivateAttr(())

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> Cluster:
        faults = [*self._name_faults(), *self._address_faults(), *self._reference_faults()]
        if not info.context or not info.context.get("only_looked_at"):
            faults += self._frontend_faults()
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _name_faults(self) -> list[str]:
        names = Counter([self.client.name, *(n.name for n in self.nodes)])
        ports = Counter(s.port for s in self.services)
        service_names = Counter(s.name for s in self.services)
        tags = Counter([self.ip_resource.tag, *(s.tag for s in self.services)])
        return [
            *(f"nodes: the name {name} is used {n} times; every host needs its own" for name, n in names.items() if n > 1),
            *(f"services: port {port} is used {n} times; every service needs its own" for port, n in ports.items() if n > 1),
            *(f"services: the tag {tag} is used {n} times; every resource has its own" for tag, n in tags.items() if n > 1),
            *(f"services: the name {name} is used {n} times; every service needs its own" for name, n in service_names.items() if n > 1),
        ]

    def _address_faults(self) -> list[str]:
        place_address_net = [("client.address", self.client.address, self.subnet1)]
        for i, node in enumerate(self.nodes):
            place_address_net += [
                (f"nodes[{i}].address", node.address, self.subnet1),
                (f"nodes[{i}].second_address", node.second_address, self.subnet2),
            ]
        place_address_net.append(("load_balancer.frontend", self.load_balancer.frontend, self.subnet1))
        faults = [f"{place}: {a} is outside {net}" for place, a, net in place_address_net if a not in net]
        faults += [f"{place}: {a} is reserved by Azure in {net} (FAB-03)" for place, a, net in place_address_net if a in reserved(net)]
        place_by_address: dict[IPv4Address, str] = {}
        for place, address, _ in place_address_net:
            if address in place_by_address:
                faults.append(f"{place}: {address} is already taken by {place_by_address[address]}")
            place_by_address.setdefault(address, place)
        if self.subnet1.overlaps(self.subnet2):
            faults.append(f"subnet2: {self.subnet2} overlaps subnet1 {self.subnet1}")
        return faults

    def _frontend_faults(self) -> list[str]:
        """What a person may have written down truly, and wants to hear from a look: it is the cluster's fault, and not the file's."""
        ip_address, frontend = self.ip_resource.address, self.load_balancer.frontend
        return (
            [] if ip_address == frontend else [f"ip_resource.address: {ip_address} is not the load balancer's frontend {frontend} (DES-09)"]
        )

    def _reference_faults(self) -> list[str]:
        names = {m.name for m in self.machines}
        return [
            *self._platform_faults(),
            *(
                f"azure.virtual_machines: {host} is no host of this file; name {', '.join(sorted(names))}"
                for host in (self.azure.virtual_machines if self.azure else {})
                if host not in names
            ),
            *(
                f"network_capture.hosts: {host} is no host of this file; name {', '.join(sorted(names))}"
                for host in (self.network_capture.hosts if self.network_capture else [])
                if host not in names
            ),
            *(
                f"{m.name}: ssh.jump names {m.ssh.jump}, which is not another host of this file"
                for m in self.machines
                if m.ssh.jump is not None and (m.ssh.jump not in names or m.ssh.jump == m.name)
            ),
        ]

    def _platform_faults(self) -> list[str]:
        platform = platform_of(self.manager.kind)
        return [
            *(
                f'{n.name}: a node of {self.manager.kind} runs {platform}; set its platform = "{platform}"'
                for n in self.nodes
                if n.platform != platform
            ),
            *(
                f"{m.name}: ssh.sudo is for Linux; log in as an administrator there"
                for m in self.machines
                if m.platform == "windows" and m.ssh.sudo
            ),
        ]

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the file asks of this machine and nobody has agreed to, so that it is not in here; a sentence each."""
        return self._left_out

    def that_leaves_out(self, requests: Iterable[str]) -> Cluster:
        """The same, with that said."""
        copy = self.model_copy()
        copy._left_out = tuple(requests)
        return copy

    @property
    def machines(self) -> list[Machine]:
        """The client and both nodes."""
        return [self.client, *self.nodes]

    @property
    def vip(self) -> IPv4Address:
        """The address that all three paths lead to."""
        return self.load_balancer.frontend

    def node(self, name: str) -> Node:
        """The node of that name; raises StopIteration for another."""
        return next(n for n in self.nodes if n.name == name)

    def peer_of(self, name: str) -> Node:
        """The other node."""
        return next(n for n in self.nodes if n.name != name)


def platform_of(manager: str) -> str:
    """What the nodes of a cluster with that kind of manager run. Raises Unusable for a plug-in that cannot be used."""
    platform: str = MANAGERS.get(manager).platform
    return platform


def reserved(subnet: IPv4Network) -> set[IPv4Address]:
    """The five addresses that Azure keeps in every subnet (facts FAB-03)."""
    return {*(subnet.network_address + i for i in range(4)), subnet.broadcast_address}


def load(path: Path, *, trusted: bool = False, only_looked_at: bool = False) -> Cluster:
    """Read a cluster file. Relative paths in it (keys, known_hosts) count from the file's own folder.

    What it asks of this machine (see `harness.config.trust`) is left out, and said in `left_out`, unless it is `trusted` for once or
    somebody
    has agreed to it. Raises BadUse with one line per fault, each with its place.
    """
    return load_with_data(path, trusted=trusted, only_looked_at=only_looked_at)[0]


def load_with_data(path: Path, *, trusted: bool = False, only_looked_at: bool = False) -> tuple[Cluster, dict[str, Any]]:
    """The same, with the content as it was written, whatever was agreed to. The file is read once: what was hashed is what is used."""
    raw = content(path)
    data = toml(raw, path)
    cluster = parse(data, path, only_looked_at=only_looked_at)
    if trusted or not (requests := trust.trust_requests(data)) or trust.is_agreed(raw):
        return cluster, data
    return trust.withhold(cluster, requests), data


def read(path: Path) -> dict[str, Any]:
    """A cluster file's content, not yet judged, and whether agreed to or not. Raises BadUse when it cannot be read or is not TOML."""
    return toml(content(path), path)


def parse(data: dict[str, Any], path: Path, *, only_looked_at: bool = False) -> Cluster:
    """Make a Cluster of parsed TOML; `path` is where it came from, for messages and relative paths. `only_looked_at`: a cluster whose
    address is not the frontend is no bad file then, but something to be found."""
    try:
        cluster = Cluster.model_validate(data, context={"only_looked_at": only_looked_at})
    except ValidationError as error:
        faults = [*faults_of(error), *_faults_of_the_rest(data, error)]
        count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
        raise BadUse(f"{path}: {count}\n" + "\n".join(f"  {fault}" for fault in faults)) from None
    return _with_absolute_paths(cluster, path.resolve().parent)


def faults_of(error: ValidationError) -> Iterator[str]:
    """Every fault that pydantic found, with its place."""
    for fault in error.errors(include_url=False):
        place = _place(fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        for line in message.splitlines():
            yield f"{place}: {line}" if place else line


def _faults_of_the_rest(data: dict[str, Any], error: ValidationError) -> list[str]:
    """How the parts that are sound by themselves fail to fit together, which is only looked at when every part is sound.

    So the faulty values are left out and the rest is judged again; where something that is needed is faulty there is no telling.
    """
    faulty_places = [fault["loc"] for fault in error.errors() if fault["loc"]]
    if not faulty_places:
        return []
    remaining = copy.deepcopy(data)
    for loc in faulty_places:
        _leave_out(remaining, loc)
    try:
        Cluster.model_validate(remaining)
    except ValidationError as rest_error:
        return [] if any(fault["loc"] for fault in rest_error.errors()) else list(faults_of(rest_error))
    return []


def _leave_out(data: Any, loc: tuple[int | str, ...]) -> None:
    for step in loc[:-1]:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return  # already gone with something above it
    if isinstance(data, dict):
        data.pop(loc[-1], None)


def _place(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def _with_absolute_paths(cluster: Cluster, base: Path) -> Cluster:
    def absolute(path: Path) -> Path:
        return base / expand_user(path)

    def settled_machine(machine):
        paths = {key: absolute(value) for key in ("key", "known_hosts") if (value := getattr(machine.ssh, key))}
        return machine.model_copy(update={"ssh": machine.ssh.model_copy(update=paths)})

    def settled_service(service: Service) -> Service:
        settings = {key: str(absolute(Path(value))) if key.endswith("_file") else value for key, value in service.settings.items()}
        return service.model_copy(update={"settings": settings})

    def settled_azure(azure: Azure) -> Azure:
        paths = {key: absolute(value) for key in ("client_secret_file", "ca_file") if (value := getattr(azure, key))}
        return azure.model_copy(update=paths)

    return cluster.model_copy(
        update={
            "azure": cluster.azure and settled_azure(cluster.azure),
            "client": settled_machine(cluster.client),
            "nodes": [settled_machine(n) for n in cluster.nodes],
            "services": [settled_service(s) for s in cluster.services],
        }
    )
