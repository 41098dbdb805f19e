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
SETS_OF_A_PATH = ("outcomes", "ways", "nodes", "arrived_as", "other_ports")
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
        "paths": [_path_data(path) for path in evidence.paths],
        "probes": [
            {**asdict(probes), "syns": list(probes.syns.items()), **_sorted_sets(probes, "came_by", "answers_by")}
            | {"misdelivered": list(probes.misdelivered.items()), "swallowed": list(probes.swallowed.items())}
            for probes in evidence.probes.values()
        ],
        "direct": [asdict(attempt) for attempt in evidence.direct],
        "asked_by_probe": dict(evidence.asked_by_probe),
        "findings": [asdict(finding) for finding in findings],
    }


def parse(data: Mapping[str, Any], cluster: Cluster) -> Observation:
    """What `as_data` made. Raises ValueError, KeyError, TypeError or AttributeError for what it did not."""
    nodes, machines = {n.name for n in cluster.nodes}, {m.name for m in cluster.machines}
    probes = [ProbesSeen(**_read_probes(row)) for row in data["probes"] if row["node"] in nodes]
    direct = [_read_direct(row) for row in data["direct"]]
    return Observation(
        data["active"] if data["active"] in nodes else None,
        data["moved"] is True,
        [path for path in _read_paths(data["paths"], cluster) if path.origin in machines],
        {of_node.node: of_node for of_node in probes},
        [attempt for attempt in direct if attempt.node in nodes and attempt.origin in machines],
        {node: _text(answer) for node, answer in data["asked_by_probe"].items() if node in nodes},
        [_read_finding(f) for f in data["findings"]],
    )


def _path_data(path: PathSeen) -> dict[str, Any]:
    texts, flags = ({name: getattr(path, name) for name in names} for names in (OF_A_PATH, FLAGS_OF_A_PATH))
    return {
        **texts,
        "service": path.service.name,
        **_sorted_sets(path, *SETS_OF_A_PATH),
        **flags,
        "full": path.full,
        "answered_s": path.answered_s,
    }


def _sorted_sets(record: object, *names: str) -> dict[str, list[str]]:
    return {name: sorted(getattr(record, name)) for name in names}


def _read_paths(data: Sequence[Mapping[str, Any]], cluster: Cluster) -> Iterator[PathSeen]:
    services = {s.name: s for s in cluster.services}
    for row in data:
        texts = {name: _text(row[name]) for name in OF_A_PATH}
        sets = {name: frozenset(_texts(row.get(name, ()))) for name in SETS_OF_A_PATH}  # older archives lack other_ports
        flags = {name: row[name] is True for name in FLAGS_OF_A_PATH}
        if row["service"] in services:
            full = row["full"] if isinstance(row["full"], bool) else None
            took_s = float(row["answered_s"]) if isinstance(row.get("answered_s"), int | float) else None  # which older archives lack
            yield PathSeen(service=services[row["service"]], full=full, answered_s=took_s, **texts, **sets, **flags)  # type: ignore[arg-type]


def _read_direct(row: Mapping[str, Any]) -> Direct:
    origin, node, outcome, detail = (_text(row[name]) for name in ("origin", "node", "outcome", "detail"))
    local_port = _number(row["local_port"]) if row.get("local_port") is not None else None  # which older archives lack, as the next
    seen = {name: row.get(name) is True for name in ("arrived", "answer_left")}
    return Direct(origin, node, _number(row["port"]), outcome, detail, local_port, **seen)


def _read_probes(row: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: _number(row[name]) for name in ("answered", "refused")}
    nics = {name: frozenset(_texts(row[name])) for name in ("came_by", "answers_by")}
    syns = {_number(port): _number(times) for port, times in row["syns"]}
    # Which older archives lack, as the next.
    lost = {name: {_text(a): _number(times) for a, times in row.get(name, ())} for name in ("misdelivered", "swallowed")}
    every_s = float(row["every_s"]) if isinstance(row.get("every_s"), int | float) else None
    seconds = {"seconds": float(row["seconds"]), "every_s": every_s}
    return {"node": row["node"], "syns": syns, **lost, **seconds, **counts, **nics}


def _read_finding(row: Mapping[str, Any]) -> Finding:
    host, what, says, do = (_text(row[name]) for name in ("host", "what", "says", "do"))
    return Finding(Weight(row["weight"]), host, what, says, do, _texts(row["facts"]))


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
