"""What a bundle says of a cluster's shape: a cluster file for a lab, what is done to that lab besides, and what it cannot have. Pure."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from harness.core.errors import BadUse

SSH_PORT = 22
KEPT = ("design", "subnet1", "subnet2", "load_balancer", "ip_resource", "budget", "lab")
OF_MANAGER = ("resource", "heartbeat_s", "heartbeats_missed", "check_interval_s", "takeover_s", "boot_s", "check_limit_s", "hc_timeout_s")
ANY = "0.0.0.0"
ANYWHERE = {ANY, "::", "*", "[::]"}
SETTABLE = re.compile(r"net\.(?:ipv4|core)\.[a-z0-9_.]{1,80}\Z", re.ASCII)
VALUE = re.compile(r"-?\d{1,10}(?:[ \t]-?\d{1,10}){0,3}\Z", re.ASCII)
MAX_CLOCK_OFFSET_S = 1.0  # a clock that is further off than this is worth a word


@dataclass(frozen=True)
class Binding:
    """On `node` the port is listened on by `service` (None: whatever answers the probe) at exactly these addresses. `sshd`: by sshd."""

    node: str
    port: int
    service: str | None
    addresses: tuple[str, ...]
    sshd: bool = False


@dataclass(frozen=True)
class Vip:
    """On `node` the VIP is at exactly these places: NIC and prefix."""

    node: str
    places: tuple[tuple[str, int], ...]


@dataclass
class Shape:
    """The lab that a bundle asks for: `data` is its cluster file's content, the rest is done to it when it is up."""

    data: dict[str, Any]
    active: str | None = None
    out: list[str] = field(default_factory=list)  # tags that are out of service on the active node
    bindings: list[Binding] = field(default_factory=list)
    vips: list[Vip] = field(default_factory=list)
    sysctls: dict[str, dict[str, str]] = field(default_factory=dict)  # of each host, by the lab's names
    cuts: list[tuple[str, str]] = field(default_factory=list)  # address to address, one way
    differs: list[str] = field(default_factory=list)  # sentences

    @property
    def needs_checks_off(self) -> bool:
        """Would the manager's own checks mend what is set here?"""
        return bool(self.bindings or self.vips or self.out)


def shape_of(index: Mapping[str, Any], cluster: Mapping[str, Any], of_kind: Mapping[str, Mapping[str, str]]) -> Shape:
    """The lab's shape. `of_kind`: the settings that the lab's own service of each kind needs. Raises BadUse for a bundle with holes."""
    try:
        return _BundleReader(index, cluster, of_kind).shape
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise BadUse(f"the bundle cannot be made a lab of: its {type(error).__name__} {error}; was it changed by hand?") from error


class _BundleReader:
    def __init__(self, index: Mapping[str, Any], cluster: Mapping[str, Any], of_kind: Mapping[str, Mapping[str, str]]) -> None:
        self.cluster = cluster
        self.nodes: list[Mapping[str, Any]] = list(cluster["nodes"])
        self.facts = {h["name"]: h["facts"] for h in index["hosts"]}
        self.manager = index["manager"]
        self.shape = Shape(self._data(of_kind))
        self.vip = str(IPv4Address(self.shape.data.get("load_balancer", {}).get("frontend", "10.20.1.200")))
        self._note_differences(index["hosts"])
        self._roles()
        self._probe()
        for node in self.nodes:
            self._listeners(node)
            self._places(node)
            self._comm_paths(node)
        for machine in (cluster["client"], *self.nodes):
            self._sysctls(machine)
        self.shape.differs.append("firewalls and NSGs are the lab's own; what the hosts had is in the bundle (firewall.txt)")

    def _data(self, of_kind: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
        cluster = self.cluster
        data = {key: copy.deepcopy(cluster[key]) for key in KEPT if key in cluster}
        data["client"] = {key: cluster["client"][key] for key in ("name", "address")}
        data["nodes"] = [{key: node[key] for key in ("name", "address", "second_address")} for node in self.nodes]
        data["services"] = [
            {**{key: s[key] for key in ("name", "kind", "port", "tag")}, "settings": dict(of_kind.get(s["kind"], {}))}
            for s in cluster["services"]
            if s["port"] != SSH_PORT
        ]
        manager = cluster.get("manager", {})
        kind = manager.get("kind", "lifekeeper")
        data["manager"] = {key: manager[key] for key in OF_MANAGER if key in manager}
        data["manager"]["kind"] = kind if kind in ("lifekeeper", "pacemaker") else "lifekeeper"
        data["manager"].pop("root", None)  # a stranger's word for a folder that a lab would write into; the lab's own does
        return data

    def _note_differences(self, hosts: list[Mapping[str, Any]]) -> None:
        differences, cluster = self.shape.differs, self.cluster
        kind = cluster.get("manager", {}).get("kind", "lifekeeper")
        if kind not in ("lifekeeper", "pacemaker"):
            differences.append(f"the cluster manager is {kind}; the lab has the stand-in for LifeKeeper for Linux, on Linux hosts")
        differences += [
            f"{s['name']} has port 22, where the lab's sshd listens; it is left out" for s in cluster["services"] if s["port"] == SSH_PORT
        ]
        for host in hosts:
            if not host["reached"]:
                differences.append(f"{host['name']} was not reached, so nothing is known of it; here it is healthy")
            ahead = (host["facts"].get("clock_offset") or {}).get("ahead_s", 0.0)
            if abs(ahead) > MAX_CLOCK_OFFSET_S:
                differences.append(f"{host['name']}'s clock was {ahead:+.1f} s off; the lab's hosts share one clock")
        differences += [
            f"{n}: its cluster manager did not run ({s['why']}); here it runs" for n, s in self._states().items() if not s["running"]
        ]

    def _states(self) -> Mapping[str, Any]:
        return self.manager.get("nodes", {})

    def _roles(self) -> None:
        active = self.manager.get("active") or self.manager.get("leading")
        if active is None:
            self.shape.differs.append("no single node had anything in service; here the first node has")
        self.shape.active = active or self.nodes[0]["name"]
        states = self._states().get(self.shape.active, {}).get("resources", {})
        tags = {self._vip_tag(), *(s["tag"] for s in self.shape.data["services"])}
        for tag, state in states.items():
            if active and tag in tags and not state.startswith("in service"):
                self.shape.out.append(tag)

    def _vip_tag(self) -> str:
        return self.cluster.get("ip_resource", {}).get("tag", "ip-10.20.1.200")

    def _listeners(self, node: Mapping[str, Any]) -> None:
        """Every service's port and the probe's, where they are listened on otherwise than in a healthy lab."""
        listeners = self.facts.get(node["name"], {}).get("listeners")
        if listeners is None:
            return
        ports = [(s["port"], s["name"], s["tag"]) for s in self.shape.data["services"]] + [(self._probe_port(), None, None)]
        for port, service, tag in ports:
            on_port = [listener for listener in listeners if listener["port"] == port]
            addresses = {
                ANY if listener["address"] in ANYWHERE else str(IPv4Address(listener["address"]))
                for listener in on_port
                if ":" not in listener["address"].strip("[]:")
            }
            addresses = {ANY} if ANY in addresses else addresses
            expected = {ANY} if node["name"] == self.shape.active and tag not in self.shape.out else set()
            sshd = service is None and any(listener.get("process") == "sshd" for listener in on_port)
            if addresses != expected or sshd:
                self.shape.bindings.append(Binding(node["name"], self._lab_port(port), service, tuple(sorted(addresses)), sshd))

    def _probe(self) -> None:
        probe = self.shape.data.setdefault("load_balancer", {}).setdefault("probe", {})
        probe["port"] = self._lab_port(self._probe_port())
        if probe.get("protocol") == "http" and self.shape.data["manager"]["kind"] == "pacemaker":
            probe["protocol"] = "tcp"
            self.shape.differs.append("the probe is HTTP there; here it is TCP, because the lab's responder (azure-lb) answers no HTTP")

    def _probe_port(self) -> int:
        return self.cluster.get("load_balancer", {}).get("probe", {}).get("port", 12345)

    def _lab_port(self, port: int) -> int:
        """The lab's own sshd has port 22, so a probe to it goes to another port, where a second sshd answers."""
        if port != SSH_PORT:
            return port
        difference = "the probe's port is 22, which the lab's own sshd needs; here it is 12345, and a second sshd answers there"
        if difference not in self.shape.differs:
            self.shape.differs.append(difference)
        return 12345

    def _nics(self, machine: Mapping[str, Any]) -> dict[str, str]:
        """The lab's name of each NIC, by the name that it has on the host."""
        names = {machine["address"]: "eth0", machine.get("second_address"): "eth1"}
        lab_names = {"lo": "lo", "all": "all", "default": "default"}
        for address in self.facts.get(machine["name"], {}).get("addresses") or []:
            if address["address"] in names:
                lab_names[address["interface"]] = names[address["address"]]
        return lab_names

    def _places(self, node: Mapping[str, Any]) -> None:
        addresses = self.facts.get(node["name"], {}).get("addresses")
        if addresses is None:
            return
        nics = self._nics(node)
        vip_places, unknown_nics = set(), []
        for address in addresses:
            if address["address"] == self.vip:
                if address["interface"] in nics:
                    vip_places.add((nics[address["interface"]], int(address["prefix"])))
                else:
                    unknown_nics.append(address["interface"])
        if unknown_nics:
            self.shape.differs.append(f"{node['name']} has the VIP on {unknown_nics[0]}, a NIC that the lab's nodes lack")
        prefix = int(self.cluster.get("ip_resource", {}).get("prefix", 32))
        is_there = node["name"] == self.shape.active and self._vip_tag() not in self.shape.out
        if vip_places != ({("eth1", prefix)} if is_there else set()) and not unknown_nics:
            self.shape.vips.append(Vip(node["name"], tuple(sorted(vip_places))))

    def _comm_paths(self, node: Mapping[str, Any]) -> None:
        peer = next(n for n in self.nodes if n["name"] != node["name"])
        for path in self._states().get(node["name"], {}).get("comm_paths", []):
            if path["alive"]:
                continue
            for key in ("second_address", "address"):
                if re.search(rf"(?<![\d.]){re.escape(node[key])}(?![\d.])|(?<![\d.]){re.escape(peer[key])}(?![\d.])", path["addresses"]):
                    for pair in ((node[key], peer[key]), (peer[key], node[key])):
                        if pair not in self.shape.cuts:
                            self.shape.cuts.append(pair)
                    break
            else:
                self.shape.differs.append(f"{node['name']}'s communication path {path['addresses']} was dead; the lab has no such path")

    def _sysctls(self, machine: Mapping[str, Any]) -> None:
        nics, values = self._nics(machine), {}
        for name, value in (self.facts.get(machine["name"], {}).get("sysctls") or {}).items():
            match = re.fullmatch(r"(net\.ipv4\.conf\.)(.+)(\.\w+)", name)
            if match and match[2] not in nics:
                continue  # a NIC that the lab's hosts lack
            lab_name = f"{match[1]}{nics[match[2]]}{match[3]}" if match else name
            if SETTABLE.match(lab_name) and VALUE.match(str(value)):
                values[lab_name] = str(value)
        if values:
            self.shape.sysctls[machine["name"]] = values
