"""What a sound cluster shows the diagnosis, for tests that change a part of it and ask what is named."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.config import cluster_config
from harness.diagnosis import required_flows
from harness.diagnosis.cause import Cause
from harness.diagnosis.engine import Diagnosis, diagnose
from harness.diagnosis.evidence import Evidence, HostSeen, PathSeen, ProbesSeen, Socket
from harness.diagnosis.firewall import parse
from harness.hosts.linux.linux_parse import InterfaceAddress, Route
from harness.lab.lifecycle import default_cluster
from harness.managers.manager import Answer, ClusterState, CommPath, NodeState, Question, ResourceState, Says

CLUSTER = cluster_config.parse(default_cluster.cluster_data(), Path("a test's"))
PROBE = "168.63.129.16"
WEB = next(s for s in CLUSTER.services if s.kind == "http")
TAGS = ["cluster-services", "ip-10.20.1.200", "lbhc-12345", *(s.tag for s in CLUSTER.services)]
IN, OUT, FAILED = ResourceState.IN_SERVICE, ResourceState.STANDBY, ResourceState.FAILED
BY_ETH0, LOCAL = Route("unicast", "eth0"), Route("local", "lo")


def state(active: dict[str, ResourceState] | None = None, standby: dict[str, ResourceState] | None = None) -> ClusterState:
    paths = tuple(CommPath("other", f"10.20.{subnet}.11/10.20.{subnet}.12", True) for subnet in (1, 2))
    one = NodeState("lknode01", True, dict.fromkeys(TAGS, IN) | (active or {}), paths)
    return ClusterState({"lknode01": one, "lknode02": NodeState("lknode02", True, dict.fromkeys(TAGS, OUT) | (standby or {}), paths)})


def listening(port: int, address: str = "0.0.0.0", **more: Any) -> Socket:
    return Socket("LISTEN", address, port, "0.0.0.0", 0, **{"waiting": 0, "room": 128, "process": "it", "pid": 5, **more})


def node(name: str, **more: Any) -> HostSeen:
    last = name[-1]
    vip = [InterfaceAddress("eth1", "10.20.1.200", 32, "UP")] if name == "lknode01" else []
    own = [InterfaceAddress("eth0", f"10.20.1.1{last}", 24, "UP"), InterfaceAddress("eth1", f"10.20.2.1{last}", 24, "UP"), *vip]
    routes = {(to, source): BY_ETH0 for to in (PROBE, "10.20.1.20", "10.20.1.11", "10.20.1.12") for source in ("", f"10.20.1.1{last}")}
    routes |= {(address, ""): LOCAL for address in (f"10.20.1.1{last}", f"10.20.2.1{last}")}
    listeners = [listening(p) for p in (12345, *(s.port for s in CLUSTER.services))] if name == "lknode01" else []
    told = {"addresses": own, "routes": routes, "listeners": listeners, "firewall": parse(""), "mtus": {"eth0": 1500, "eth1": 1500}}
    return HostSeen(name, **(told | more))


def path(origin: str, service: cluster_config.Service = WEB, outcome: str = "pass", **more: Any) -> PathSeen:
    host = {"client": "lkclient", "inside": "lknode01", "standby": "lknode02"}[origin]
    inside = origin == "inside"
    told: dict[str, Any] = {"outcomes": frozenset({"answered"}), "ways": frozenset({"W3" if inside else "W1"})}
    if not inside:
        told |= {"nodes": frozenset({"lknode01"}), "arrived_as": frozenset({"10.20.1.11"}), "answers_left": True, "answers_came": True}
    return PathSeen(origin, host, service, outcome, "a reason", **(told | more))


SILENT = {
    "outcome": "fail",
    "outcomes": frozenset({"silent"}),
    "ways": frozenset({"W8"}),
    "nodes": frozenset(),
    "arrived_as": frozenset(),
} | {
    "answers_left": False,
    "answers_came": False,
}


def paths(**of: dict[str, Any]) -> list[PathSeen]:
    return [path(origin, service, **of.get(origin, {})) for origin in ("client", "inside", "standby") for service in CLUSTER.services]


def probed(name: str, **more: Any) -> ProbesSeen:
    told: dict[str, Any] = {"syns": {12345: 4}, "came_by": frozenset({"eth0"})}
    told |= {"answered": 4, "answers_by": frozenset({"eth0"})} if name == "lknode01" else {"refused": 4}
    return ProbesSeen(name, 1.0, **(told | more))


def evidence(**more: Any) -> Evidence:
    told: dict[str, Any] = {
        "hosts": {"lknode01": node("lknode01"), "lknode02": node("lknode02"), "lkclient": client()},
        "paths": paths(),
        "probes": {"lknode01": probed("lknode01"), "lknode02": probed("lknode02")},
        "may_move": {q: Answer(Says.YES) for q in Question},
    }
    told |= {"cluster": CLUSTER, "state": state(), "active": "lknode01"} | more
    return Evidence(**({"firewalls": evaluated(told["hosts"])} | told))


def evaluated(hosts: dict[str, HostSeen]) -> dict[str, required_flows.FirewallVerdict]:
    return {
        n: required_flows.judge_firewall(CLUSTER, n, one.firewall, one.nic_of, place_packet=partial(one.place_packet, CLUSTER.vip))
        for n, one in hosts.items()
        if one.firewall is not None
    }


def client(**more: Any) -> HostSeen:
    return HostSeen("lkclient", **({"addresses": [InterfaceAddress("eth0", "10.20.1.20", 24, "UP")], "firewall": parse("")} | more))


def with_host(seen: HostSeen, **more: Any) -> Evidence:
    base = evidence(**more)
    hosts = {**base.hosts, seen.name: seen}
    return replace(base, hosts=hosts, firewalls=evaluated(hosts))


def faults(told: Diagnosis) -> list[Cause]:
    return [c for c in told.causes if c.is_fault]


def only(seen: Evidence, host: str, *words: str) -> Cause:
    """The one fault that was found, which is on this host and says these words somewhere."""
    (cause,) = faults(diagnose(seen))
    text = json.dumps(cause.as_data(), ensure_ascii=False)
    assert cause.host == host and not [w for w in words if w not in text], text
    return cause


def nft(*rules_: str, hook: str = "input") -> str:
    """An nft listing with one chain; each rule is JSON."""
    items: list[dict] = [{"table": {"family": "ip", "name": "t", "handle": 1}}]
    items.append({"chain": {"family": "ip", "table": "t", "name": "c", "type": "filter", "hook": hook, "prio": 0, "policy": "accept"}})
    items += [{"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 9, "expr": json.loads(r)}} for r in rules_]
    return json.dumps({"nftables": items})


def drop(protocol: str, field: str, right: object) -> str:
    return json.dumps(
        [{"match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}, {"drop": None}]
    )


SWALLOWED = {**SILENT, "nodes": frozenset({"lknode01"})}


def swallowed(*origins: str) -> list[PathSeen]:
    return [replace(p, **SWALLOWED) if p.service is WEB and p.path in origins else p for p in paths()]


def chosen(words: str, kind: str = "blackhole", rule: str = "400: from all ipproto tcp sport 80 blackhole") -> dict[str, Any]:
    nic = "eth0" if kind == "unicast" else None
    return {"chosen_routes": {("10.20.1.20", "10.20.1.11", words): Route(kind, nic)}, "rules": (rule,)}


def both(**told: tuple[Any, Any]) -> Evidence:
    """A sound cluster, of whose nodes each told its own of these."""
    base = evidence()
    hosts = {name: node(name, **{key: pair[i] for key, pair in told.items()}) for i, name in enumerate(("lknode01", "lknode02"))}
    return replace(base, hosts={**base.hosts, **hosts})
