"""What only the lab has: its profile, the switches for what is unknown of Azure, extra rules, NSGs.

They stand in the cluster file's `[lab]` table, so that one file describes a lab completely.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from harness.config.cluster_config import Cluster, Part, Port, Seconds, faults_of
from harness.core.errors import BadUse
from harness.lab import topology

SSH_PORT = 22

AzureTag = Literal["VirtualNetwork", "AzureLoadBalancer", "Internet", "*"]
GUESTS = ("namespace", "container", "machine")  # what a lab's host can be made of
MANAGERS = ("lifekeeper", "pacemaker")  # that a lab can have
PLATFORMS = ("linux", "windows")  # of its nodes; Windows is a stand-in on Linux
# What a manager's kind is in the cluster file where the nodes are such stand-ins; there it is a stand-in, too.
ON_WINDOWS = {"lifekeeper": "lifekeeper-windows", "wsfc": "wsfc"}
# What a lab runs for services of that kind: the module of harness.lab.services, and the dialogue that shows it to work. PostgreSQL is
# Debian's own.
STAND_INS = {
    "oracle": ("tns_listener", "tns"),
    "http": ("http_server", "http"),
    "tcp": ("echo", "echo"),
    "mssql": ("tds_server", "tds"),
}
DATABASES = ("postgres", "mssql")  # a PostgreSQL of their own on the disk that moves


class NsgRule(Part):
    """One custom rule of a network security group (facts NSG-02)."""

    name: str
    direction: Literal["inbound", "outbound"] = "inbound"
    priority: Annotated[int, Field(ge=100, le=4096)]
    source: AzureTag | IPv4Network = "*"
    destination: AzureTag | IPv4Network = "*"
    protocol: Literal["tcp", "udp", "icmp", "*"] = "*"
    ports: list[Port] = Field([], description="destination ports; none means any")
    access: Literal["allow", "deny"]


def parse_rules(rules: object) -> list[NsgRule]:
    """A list of rules from JSON. Raises ValueError with every fault and its place."""
    try:
        return TypeAdapter(list[NsgRule]).validate_python(rules)
    except ValidationError as error:
        raise ValueError("the rules cannot be used: " + "; ".join(f"rules{fault}" for fault in faults_of(error))) from None


class ExtraRule(Part):
    """A load-balancing rule besides those of the cluster's services."""

    protocol: Literal["tcp", "udp"] = "tcp"
    port: Port
    backend_port: Port | None = None


class Unknowns(Part):
    """What is not known of real Azure (facts, section 13): each a switch, with the catalogue's own default."""

    idle_under_floating: Literal["applies", "ignored"] = Field("applies", description="OQ-01")
    icmp_on_ha_ports: Literal["drop", "pass"] = Field("drop", description="OQ-02")
    arp_answers: Literal["all", "assigned+frontend", "assigned"] = Field("all", description="OQ-03")
    admin_down_established: Literal["persist", "reset"] = Field("persist", description="OQ-04")
    flap_penalty_intervals: Annotated[int, Field(ge=0)] = Field(0, description="OQ-05")
    probe_connection: Literal["close", "hold", "keep-alive"] = Field("close", description="OQ-06")
    backend_port_under_floating: Literal["honour", "ignore"] = Field("honour", description="OQ-09")
    probe_answer_through_other_nic: Literal["drop", "accept"] = Field("drop", description="OQ-10")
    mss_clamp: Literal["off", "on"] = Field("off", description="OQ-13, ILB-25")
    http_probe_refused: Literal["count", "at-once"] = Field("count", description="OQ-14")
    nsg_destination_under_floating: Literal["DIP", "VIP"] = Field("DIP", description="OQ-15")
    new_flow_from_vip: Literal["drop", "pass"] = Field("drop", description="OQ-16")
    verdict_to_data_path_s: Annotated[float, Field(ge=0)] = Field(0.0, description="OQ-17")
    hairpin_under_floating: Literal["return", "swallow"] = Field("return", description="OQ-18")
    first_success_after_boot: Literal["threshold", "one"] = Field("threshold", description="OQ-19")


class GuestSettings(Part):
    """What one host of the lab is made of (docs/guests.md)."""

    kind: Literal["namespace", "container", "machine"] = Field(
        "namespace", description="namespaces of this machine, a container of an image with its systemd, or a virtual machine of one"
    )
    image: str = Field("pacemaker", description="of a container or a machine: an image that `lkharness lab image list` shows")
    memory_mb: Annotated[int, Field(ge=256)] = Field(768, description="of a machine")
    processors: Annotated[int, Field(ge=1, le=64)] = Field(1, description="of a machine")
    dhcp: bool = Field(False, description="its NICs ask for their addresses, as on Azure, instead of being given them; not for namespaces")


class LabSettings(Part):
    """The `[lab]` table."""

    profile: Literal["fast", "azure"] = "fast"
    no_healthy_backends: Literal["AllProbedDown", "AllProbedUp"] = "AllProbedDown"
    unknowns: Unknowns = Unknowns()
    rules: list[ExtraRule] = Field([], description="load-balancing rules besides those of the services")
    nsg: dict[str, list[NsgRule]] = Field({}, description="custom rules by NIC (`lknode01.eth0`) or subnet (`subnet1`)")
    guests: dict[str, GuestSettings] = Field({}, description="what a host is made of, by its name; a host not named is a namespace")
    capture: Literal["hosts", "fabric"] | None = Field(
        None,
        description="where the hosts' packets are captured: on the hosts alone, or at the fabric's end of their links, so that nothing "
        "runs on them for it; left out, on the hosts but for containers and for hosts that cannot",
    )
    fence: Literal["lab", "azure"] = Field(
        "lab",
        description="what Pacemaker fences with: the lab's own device, or the distribution's fence_azure_arm through the lab's Azure API",
    )
    shared_disk_mb: Annotated[int, Field(ge=128)] = 256
    lifekeeper: dict[str, float | str] = Field({}, description="further settings of the LifeKeeper stand-in's /etc/default/LifeKeeper")
    hc_timeout_s: Seconds | None = Field(None, description="how long the health-check resource waits for a probe (product default unknown)")

    def kind_of(self, host: str) -> str:
        """What the host is made of."""
        return self.guests[host].kind if host in self.guests else "namespace"

    def captured_at_fabric(self, host: str) -> bool:
        """Are its packets captured at the fabric's end of its links, although the host might do it?"""
        return self.capture == "fabric" or (self.capture is None and self.kind_of(host) != "namespace")

    @property
    def with_dhcp(self) -> list[str]:
        """The hosts whose NICs ask for their addresses."""
        return [name for name, guest in self.guests.items() if guest.dhcp]

    @property
    def containers(self) -> dict[str, GuestSettings]:
        """The hosts that are containers."""
        return {name: guest for name, guest in self.guests.items() if guest.kind == "container"}

    @property
    def machines(self) -> dict[str, GuestSettings]:
        """The hosts that are virtual machines."""
        return {name: guest for name, guest in self.guests.items() if guest.kind == "machine"}


def has_windows(cluster: Cluster) -> bool:
    """Whether the nodes are to be stand-ins for Windows hosts."""
    return any(node.platform == "windows" for node in cluster.nodes)


def make_lab_config(cluster: Cluster, path: Path) -> LabSettings:
    """The lab settings of a cluster file. Raises BadUse with every fault and its place."""
    settings = parse(cluster.lab, path)
    places = topology.make_topology(cluster).nsg_places
    unknown = [
        f"  lab.nsg.{place}: there is no such NIC or subnet; there are {', '.join(places)}" for place in settings.nsg if place not in places
    ]
    unknown += _guests_that_cannot_be(cluster, settings) + _fence_that_cannot_be(cluster, settings)
    faults = unknown + [f"  {fault}" for fault in _cannot_be_carried(cluster)]
    if faults:
        raise BadUse(f"{path}: {len(faults)} fault(s)\n" + "\n".join(faults))
    return settings


def _guests_that_cannot_be(cluster: Cluster, settings: LabSettings) -> list[str]:
    hosts = [m.name for m in cluster.machines]
    nodes = [n.name for n in cluster.nodes]
    faults = [f"  lab.guests.{name}: there is no such host; there are {', '.join(hosts)}" for name in settings.guests if name not in hosts]
    with_images = {**settings.containers, **settings.machines}
    if with_images and cluster.manager.kind != "pacemaker":
        kinds = " and ".join(sorted({f"{guest.kind}s" for guest in with_images.values()}))
        says = "the stand-in for LifeKeeper runs in namespaces only"
        faults.append(f"  lab.guests: {says}; give --manager pacemaker (in a file: manager.kind) for {kinds}")
    if with_images:
        faults += [f"  services: the stand-in for {s.name} (mssql) runs in namespaces only" for s in cluster.services if s.kind == "mssql"]
    faults += [
        f"  lab.guests.{name}.dhcp: a namespace has no DHCP client; leave it out, or make it a container or a machine"
        for name in settings.with_dhcp
        if settings.kind_of(name) == "namespace"
    ]
    if len({settings.kind_of(name) for name in nodes}) > 1:
        faults.append(f"  lab.guests: {' and '.join(nodes)} share a disk, so they must be of one kind")
    return faults


def _fence_that_cannot_be(cluster: Cluster, settings: LabSettings) -> list[str]:
    if settings.fence == "lab":
        return []
    if cluster.manager.kind != "pacemaker" or any(settings.kind_of(n.name) != "container" for n in cluster.nodes):
        return ['  lab.fence: fence_azure_arm is in an image only; make both nodes containers with Pacemaker, or set it to "lab"']
    return []


def _cannot_be_carried(cluster: Cluster) -> list[str]:
    """What a real cluster may have and a lab's hosts cannot."""
    faults = [f"services: {s.name} has port 22, where the lab's sshd listens" for s in cluster.services if s.port == SSH_PORT]
    kinds = (*MANAGERS, *ON_WINDOWS.values())
    if cluster.manager.kind not in kinds:
        faults.append(f"manager.kind: {cluster.manager.kind} runs in no lab, which has {' or '.join(kinds)}; attach its own cluster")
    if cluster.client.platform == "windows":
        faults.append(f"client: {cluster.client.name} is a Windows host, and a lab's client is Linux; leave its platform out")
    carried = sorted({"postgres", *STAND_INS})
    faults += [
        f"services: {s.name} is of kind {s.kind}, and the lab has servers of {', '.join(carried)} only; attach a cluster that runs it"
        for s in cluster.services
        if s.kind not in carried
    ]
    if cluster.load_balancer.probe.port == SSH_PORT:
        faults.append("load_balancer.probe.port is 22, where the lab's sshd listens, so that its responder cannot; take another port")
    if not Path(os.path.normpath(cluster.manager.root)).is_relative_to("/opt"):
        faults.append(f"manager.root: {cluster.manager.root} is not below /opt, the only place where a lab's hosts can have it")
    if cluster.manager.kind == "pacemaker" and cluster.load_balancer.probe.protocol == "http":
        faults.append('load_balancer.probe.protocol: azure-lb, Pacemaker\'s responder, answers no HTTP probe (PCM-08); set it to "tcp"')
    return faults


def parse(data: dict[str, Any], path: Path) -> LabSettings:
    """The `[lab]` table of a cluster file; raises BadUse with one line for each fault."""
    try:
        return LabSettings.model_validate(data)
    except ValidationError as error:
        raise BadUse(f"{path}: {error.error_count()} fault(s)\n" + "\n".join(f"  lab.{fault}" for fault in faults_of(error))) from None
