"""What captures of a cluster's hosts show: which wire codes, and which cause. The cluster file says who is who; no host is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.check.captured_evidence import probes
from harness.config.cluster_config import Cluster, Design, Service
from harness.core.errors import BadUse, ExitCode
from harness.core.text import count, one_line
from harness.core.verdict import Outcome, Verdict, inconclusive
from harness.diagnosis import wire_code_causes
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence, PathSeen, ProbesSeen
from harness.diagnosis.wire_code_causes import RouteTaken
from harness.expectations.connectivity_matrix import Cell, Origin, PathObservation, Role, expectation, judge, judge_outcomes
from harness.explain.capture_attempts import CapturedAttempt, Seen, Span, directed, taken_at, tried
from harness.explain.explanation_output import LocatedCause, first
from harness.managers.manager import ClusterState, NodeState
from harness.remote.captures import capture_file
from harness.remote.captures.wire_codes import MEANING
from harness.remote.recording.packets import Packet

MAX_FILES = 16
MIN_PROBE_INTERVALS = 2  # intervals that a capture must have lasted to show that no probe comes
NOT_ASKED = "a capture does not hold what the cluster manager says"


@dataclass(frozen=True)
class CapturedPath:
    """What one path did, by all its attempts: `ways` counts wire codes, or what they can be where too few hosts were watched."""

    path: str
    service: Service
    expected: Cell
    tried: tuple[CapturedAttempt, ...]
    ways: Mapping[str, int]
    verdict: Verdict

    @property
    def name(self) -> str:
        """`path/service`."""
        return f"{self.path}/{self.service.name}"

    @property
    def outcomes(self) -> str:
        """How many connections ended in which way, the most frequent first."""
        return ", ".join(f"{number} {outcome}" for outcome, number in Counter(one.outcome for one in self.tried).most_common())

    def as_data(self) -> dict[str, Any]:
        """The path as `explain --json` prints it."""
        return {
            "path": self.path,
            "service": self.service.name,
            "expected": str(self.expected),
            "attempts": len(self.tried),
            "outcomes": dict(Counter(one.outcome for one in self.tried)),
            "wire": dict(self.ways),
            "outcome": str(self.verdict.outcome),
            "reason": self.verdict.reason,
        }


@dataclass(frozen=True)
class CaptureExplanation:
    """What the captures show, and what explains it."""

    active: str | None
    watched: tuple[str, ...]
    paths: tuple[CapturedPath, ...]
    causes: tuple[LocatedCause, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def exit_code(self) -> ExitCode:
        """0 when every path passed, 1 when one failed, 3 when that cannot be told."""
        if any(one.failed for one in self.causes) or any(p.verdict.outcome is Outcome.FAIL for p in self.paths):
            return ExitCode.FAILED
        clear = self.paths and all(p.verdict.outcome is Outcome.PASS for p in self.paths)
        return ExitCode.PASSED if clear else ExitCode.INCONCLUSIVE

    def as_data(self) -> dict[str, Any]:
        """The explanation as `explain --json` prints it."""
        return {
            "active": self.active,
            "watched": list(self.watched),
            "causes": [one.as_data() for one in self.causes],
            "paths": [p.as_data() for p in self.paths],
            "notes": list(self.notes),
            "exit_code": int(self.exit_code),
        }

    def as_text(self) -> str:
        """The explanation for a terminal, causes first."""
        lines = [one.as_text() for one in self.causes]
        lines += [""] if lines else []
        for p in self.paths:
            codes = ", ".join(f"{code} × {number}" for code, number in p.ways.items())
            lines.append(f"{p.verdict.outcome:13} {p.path:8} {p.service.name:9} {count(len(p.tried), 'attempt')}: {p.outcomes}; {codes}")
        shown = {code for p in self.paths for code in wire_code_causes.codes(" ".join(p.ways))}
        lines += [f"{code}: {MEANING[code]}" for code in sorted(shown)]
        if not self.paths:
            lines.append("no connection to one of the cluster's services is in it")
        return "\n".join([*lines, *(one_line(note) for note in self.notes)])


def look(files: Sequence[str], cluster: Cluster) -> CaptureExplanation:
    """Each of `files` is a capture, or HOST=capture. Raises BadUse for what cannot be read, or is of nobody known."""
    ports = {*(s.port for s in cluster.services), cluster.load_balancer.probe.port}
    seen: dict[str, list[Packet]] = {}
    spans: dict[str, Span] = {}
    notes: list[str] = []
    if len(files) > MAX_FILES:
        raise BadUse(f"{len(files)} captures are more than the {MAX_FILES} that are looked at together")
    for given in files:
        host, path = _named(given, cluster)
        captured = capture_file.read(path, ports)
        name = host or taken_at(path.name, captured.packets, cluster)
        if name in seen:
            raise BadUse(f"{path}: is the second capture of {name}; give one of each host, or say whose it is with HOST={path.name}")
        machine = next(m for m in cluster.machines if m.name == name)
        seen[name] = directed(captured.packets, machine, cluster)
        spans[name] = (captured.first, captured.last)
        notes += [f"{path.name}: taken on {name}, {count(captured.looked, 'packet')}", *captured.notes]
    return explained(seen, cluster, spans, notes)


def _named(given: str, cluster: Cluster) -> tuple[str, Path]:
    host, equals, path = given.partition("=")
    return (host, Path(path)) if equals and host in {m.name for m in cluster.machines} else ("", Path(given))


def explained(seen: Seen, cluster: Cluster, spans: Mapping[str, Span], notes: Sequence[str] = ()) -> CaptureExplanation:
    """`spans`: from when to when each host was captured, by its own clock."""
    found = tried(seen, cluster, spans)
    probed = _probed(seen, cluster, spans)
    active = _active(found, probed)
    paths = tuple(_paths(found, cluster, active, seen))
    unasked = {n.name: NodeState(n.name, False, {}, (), NOT_ASKED) for n in cluster.nodes}
    evidence = Evidence(cluster, ClusterState(unasked), active, paths=[_path_seen(p, seen) for p in paths], probes=probed)
    diagnosis = diagnose(evidence)
    told = [LocatedCause(c, "the capture", under, c.is_fault) for c, under in zip(diagnosis.causes, diagnosis.under, strict=True)]
    known = {name for one in told for name in one.symptoms}
    left = [p for p in paths if p.verdict.outcome is Outcome.FAIL and p.name not in known]
    told += [one for path in dict.fromkeys(p.path for p in left) for one in _by_wire([p for p in left if p.path == path], cluster)]
    moved = [f"both nodes served while it was captured; paths are named by {active}, which served last"] if _moved(found) else []
    return CaptureExplanation(active, tuple(seen), paths, tuple(first(told)), (*notes, *moved))


def _probed(seen: Seen, cluster: Cluster, spans: Mapping[str, Span]) -> dict[str, ProbesSeen]:
    """The probes that each node saw. That a node saw none is only told where another's were captured, and for long enough: a capture may
    have been made of the services' ports alone."""
    found = {n.name: probes(n, seen[n.name], cluster, _length(spans, n.name)) for n in cluster.nodes if n.name in seen}
    enough = MIN_PROBE_INTERVALS * cluster.load_balancer.probe.interval_s
    captured = any(one.syns for one in found.values())
    return {name: one for name, one in found.items() if one.syns or (captured and one.seconds >= enough)}


def _length(spans: Mapping[str, Span], host: str) -> float:
    first_at, last_at = spans.get(host, (0.0, 0.0))
    return max(0.0, last_at - first_at)


def _served(found: Sequence[CapturedAttempt]) -> list[str]:
    """The nodes that answered clients, in the order in which they did."""
    return [one.way.node for one in found if one.path == "client" and one.way.node and one.way.code in ("W1", "W2")]


def _moved(found: Sequence[CapturedAttempt]) -> bool:
    return len(set(_served(found))) > 1


def _active(found: Sequence[CapturedAttempt], probed: Mapping[str, ProbesSeen]) -> str | None:
    """The node that alone answers the balancer's probe, or else the one that served a client last, or itself."""
    up = [name for name, probe in probed.items() if probe.answered]
    if len(up) == 1:
        return up[0]
    served = _served(found) or [one.way.node for one in found if one.way.node and one.way.code == "W3"]
    return served[-1] if served else None


def _paths(found: Sequence[CapturedAttempt], cluster: Cluster, active: str | None, seen: Seen) -> Iterator[CapturedPath]:
    for service in cluster.services:
        mine = [one for one in found if one.attempt.port == service.port]
        for path in dict.fromkeys(_path(one, active) for one in mine):
            these = tuple(one for one in mine if _path(one, active) == path)
            expected = expectation(cluster.design, Origin(path))
            observed = [_observed(one, active) for one in these]
            unseen = [one for one in these if not one.way.known]
            if unseen and len(unseen) == len(these):
                verdict = judge_outcomes(expected, observed, unseen[0].way.reason)
            else:
                verdict = judge(expected, observed)
            if active is None and verdict.outcome is Outcome.PASS:
                verdict = inconclusive(f"{verdict.reason}; which node is active is not in it")
            ways = Counter(one.way.code if one.way.known else _may_be(one, cluster) for one in these)
            yield CapturedPath(path, service, expected, these, dict(ways.most_common()), verdict)


def _path(one: CapturedAttempt, active: str | None) -> str:
    return "client" if one.path == "client" else "inside" if one.path == active else "standby"


def _observed(one: CapturedAttempt, active: str | None) -> PathObservation:
    by = None
    if one.outcome == "answered" and one.way.node is not None:
        by = Role.ACTIVE if one.way.node == active else Role.STANDBY
    return PathObservation(one.outcome, one.way.code, by, str(one.way))


def _may_be(one: CapturedAttempt, cluster: Cluster) -> str:
    """What an attempt's code can be where not all hosts were watched, by its outcome alone."""
    if all(n.name in one.watched for n in cluster.nodes):
        return "W?"
    floating = cluster.design is Design.FLOATING
    match one.outcome:
        case "answered":
            return "W2?" if floating else "W1?"
        case "refused":
            return "W5?"
    back = "" if one.path == "client" else ("W9 or " if floating else "W4 or ")
    return f"{back}W7 or W8?" if floating else f"{back}W8?"


def _path_seen(p: CapturedPath, seen: Seen) -> PathSeen:
    ways = [one.way for one in p.tried]
    origin = p.tried[0].attempt.origin
    return PathSeen(
        p.path,
        origin,
        p.service,
        str(p.verdict.outcome),
        p.verdict.reason,
        outcomes=frozenset(one.outcome for one in p.tried),
        ways=frozenset(w.code for w in ways),
        nodes=frozenset(w.node for w in ways if w.node and w.node != origin),
        arrived_as=frozenset(w.destination for w in ways if w.destination and w.node != origin),
    )


def _by_wire(paths: Sequence[CapturedPath], cluster: Cluster) -> Iterator[LocatedCause]:
    """What the codes say by themselves of one path, once for each code and node, whatever the services."""
    groups: dict[tuple[str, str], list[tuple[CapturedPath, CapturedAttempt]]] = {}
    for p in paths:
        for one in p.tried:
            wanted = any(e.outcome == one.outcome and one.way.code in (e.way, "W?") for e in p.expected.ways)
            codes = [one.way.code] if one.way.known else wire_code_causes.codes(_may_be(one, cluster))[-1:]
            for code in codes if not wanted else ():
                groups.setdefault((code, one.way.node or ""), []).append((p, one))
    for (code, node), those in groups.items():
        shown = list(dict.fromkeys(p.name for p, _ in those))
        mine = [one for _, one in those]
        lines = [_counted(p, mine) for p in paths if p.name in shown]
        lines += dict.fromkeys(str(one.way) for one in mine[:2])
        services = [p.service for p in paths if p.name in shown]
        names, port = ", ".join(s.name for s in services), services[0].port if len(services) == 1 else None
        way = RouteTaken(code, paths[0].path, names, port, mine[0].attempt.origin, node, str(cluster.vip))
        cause = wire_code_causes.cause(way, tuple(one_line(f"{line} (capture)") for line in lines))
        if cause is not None:
            yield LocatedCause(_as_known(cause, mine), "the capture", tuple(shown), failed=True)


def _counted(p: CapturedPath, those: Sequence[CapturedAttempt]) -> str:
    mine = [one.attempt.host_time for one in those if one.attempt.port == p.service.port]
    began = p.tried[0].attempt.host_time
    span = f"{min(mine) - began:.2f} to {max(mine) - began:.2f} s after the first"
    return f"{p.name}: {len(mine)} of {count(len(p.tried), 'attempt')}, {span}"


def _as_known(cause: Cause, those: Sequence[CapturedAttempt]) -> Cause:
    """Where the code was only inferred from the outcome, the cause is no more than likely."""
    if all(one.way.known for one in those) or cause.certainty is not Certainty.CERTAIN:
        return cause
    unseen = f"not all hosts were watched: {those[0].way.reason}"
    return replace(cause, certainty=Certainty.LIKELY, otherwise="; ".join(filter(None, [unseen, cause.otherwise])))
