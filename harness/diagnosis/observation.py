"""What was tried and captured during a look, as data and back, so that an archive holds it beside what hosts say of themselves. Pure.

The data may be a stranger's: what is not of the right form raises ValueError, and what names nothing of the cluster is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.config.cluster_config import Cluster
from harness.core.finding import Finding, Weight
from harness.diagnosis.evidence import Direct, Evidence, PathSeen, ProbesSeen

OF_A_PATH = ("path", "origin", "outcome", "reason", "identity", "full_says", "overload")
SETS_OF_A_PATH = ("outcomes", "ways", "nodes", "arrived_as")
FLAGS_OF_A_PATH = ("answers_left", "answers_came", "hung")


@dataclass(frozen=True)
class Observation:
    """How paths were, what was tried past the balancer, and its probes, while `active` was the active node. `findings` are of what is no
    host of the cluster: its services and Azure."""

    active: str | None = None
    moved: bool = False
    paths: Sequence[PathSeen] = ()
    probes: Mapping[str, ProbesSeen] = field(default_factory=dict)
    direct: Sequence[Direct] = ()
    asked_by_probe: Mapping[str, str] = field(default_factory=dict)
    findings: Sequence[Finding] = ()


def as_data(evidence: Evidence, findings: Sequence[Finding]) -> dict[str, Any]:
    """What `parse` reads."""
    return {
        "active": evidence.active,
        "moved": evidence.moved,
        "paths": [_of_path(one) for one in evidence.paths],
        "probes": [
            {**asdict(one), "syns": list(one.syns.items()), **_sorted(one, "came_by", "answers_by")}
            | {"misdelivered": list(one.misdelivered.items())}
            for one in evidence.probes.values()
        ],
        "direct": [asdict(one) for one in evidence.direct],
        "asked_by_probe": dict(evidence.asked_by_probe),
        "findings": [asdict(one) for one in findings],
    }


def parse(data: Mapping[str, Any], cluster: Cluster) -> Observation:
    """What `as_data` made. Raises ValueError, KeyError, TypeError or AttributeError for what it did not."""
    nodes, machines = {n.name for n in cluster.nodes}, {m.name for m in cluster.machines}
    probes = [ProbesSeen(**_probes(one)) for one in data["probes"] if one["node"] in nodes]
    direct = [
        Direct(_text(d["origin"]), _text(d["node"]), _number(d["port"]), _text(d["outcome"]), _text(d["detail"])) for d in data["direct"]
    ]
    return Observation(
        data["active"] if data["active"] in nodes else None,
        data["moved"] is True,
        [one for one in _paths(data["paths"], cluster) if one.origin in machines],
        {one.node: one for one in probes},
        [one for one in direct if one.node in nodes and one.origin in machines],
        {node: _text(said) for node, said in data["asked_by_probe"].items() if node in nodes},
        [_finding(f) for f in data["findings"]],
    )


def _of_path(one: PathSeen) -> dict[str, Any]:
    texts, flags = ({name: getattr(one, name) for name in names} for names in (OF_A_PATH, FLAGS_OF_A_PATH))
    return {**texts, "service": one.service.name, **_sorted(one, *SETS_OF_A_PATH), **flags, "full": one.full}


def _sorted(one: object, *names: str) -> dict[str, list[str]]:
    return {name: sorted(getattr(one, name)) for name in names}


def _paths(data: Sequence[Mapping[str, Any]], cluster: Cluster) -> Iterator[PathSeen]:
    services = {s.name: s for s in cluster.services}
    for one in data:
        texts = {name: _text(one[name]) for name in OF_A_PATH}
        sets = {name: frozenset(_texts(one[name])) for name in SETS_OF_A_PATH}
        flags = {name: one[name] is True for name in FLAGS_OF_A_PATH}
        if one["service"] in services:
            full = one["full"] if isinstance(one["full"], bool) else None
            yield PathSeen(service=services[one["service"]], full=full, **texts, **sets, **flags)  # type: ignore[arg-type]


def _probes(one: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: _number(one[name]) for name in ("answered", "refused")}
    nics = {name: frozenset(_texts(one[name])) for name in ("came_by", "answers_by")}
    syns = {_number(port): _number(times) for port, times in one["syns"]}
    astray = {_text(address): _number(times) for address, times in one.get("misdelivered", ())}  # which older archives lack
    return {"node": one["node"], "seconds": float(one["seconds"]), "syns": syns, "misdelivered": astray, **counts, **nics}


def _finding(one: Mapping[str, Any]) -> Finding:
    host, what, says, do = (_text(one[name]) for name in ("host", "what", "says", "do"))
    return Finding(Weight(one["weight"]), host, what, says, do, _texts(one["facts"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.100} is no text")
    return value


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list | tuple):
        raise ValueError(f"{values!r:.100} is no list")
    return tuple(_text(value) for value in values)


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 32:
        raise ValueError(f"{value!r:.100} is no number of that kind")
    return value
