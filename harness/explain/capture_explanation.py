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
from harness.core.text.host_text import one_line
from harness.core.text.wording import count
from harness.core.verdict import Outcome, Verdict, inconclusive
from harness.diagnosis import wire_code_causes
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence, PathSeen, ProbesSeen
from harness.diagnosis.wire_code_causes import RouteTaken
from harness.expectations.connectivity_matrix import Cell, Origin, PathObservation, Role, expectation, judge, judge_outcomes
from harness.expectations.wire_code_meanings import MEANINGS
from harness.explain.capture_attempts import CapturedAttempt, Seen, Span, captured_attempts, find_capture_host, with_directions
from harness.explain.explanation_output import LocatedCause, failures_first
from harness.managers.manager import ClusterState, NodeState
from harness.remote.captures import capture_file
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
    attempts: tuple[CapturedAttempt, ...]
    ways: Mapping[str, int]
    verdict: Verdict

    @property
    def name(self) -> str:
        """`path/service`."""
        return f"{self.path}/{self.service.name}"

    @property
    def outcomes(self) -> str:
        """How many connections ended in which way, the most frequent first."""
        return ", ".join(f"{number} {outcome}" for outcome, number in Counter(attempt.outcome for attempt in self.attempts).most_common())

    def as_data(self) -> dict[str, Any]:
        """The path as `explain --json` prints it."""
        return {
            "path": self.path,
            "service": self.service.name,
            "expected": str(self.expected),
            "attempts": len(self.attempts),
            "outcomes": dict(Counter(attempt.outcome for attempt in self.attempts)),
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
        if any(cause.failed for cause in self.causes) or any(p.verdict.outcome is Outcome.FAIL for p in self.paths):
            return ExitCode.FAILED
        clear = self.paths and all(p.verdict.outcome is Outcome.PASS for p in self.paths)
        return ExitCode.PASSED if clear else ExitCode.INCONCLUSIVE

    def as_data(self) -> dict[str, Any]:
        """The explanation as `explain --json` prints it."""
        return {
            "active": self.active,
            "watched": list(self.watched),
            "causes": [cause.as_data() for cause in self.causes],
            "paths": [p.as_data() for p in self.paths],
            "notes": list(self.notes),
            "exit_code": int(self.exit_code),
        }

    def as_text(self) -> str:
        """The explanation for a terminal, causes first."""
        lines = [cause.as_text() for cause in self.causes]
        lines += [""] if lines else []
        for p in self.paths:
            codes = ", ".join(f"{code} × {number}" for code, number in p.ways.items())
            lines.append(f"{p.verdict.outcome:13} {p.path:8} {p.service.name:9} {count(len(p.attempts), 'attempt')}: {p.outcomes}; {codes}")
        codes_shown = {code for p in self.paths for code in wire_code_causes.codes(" ".join(p.ways))}
        lines += [f"{code}: {MEANINGS[code]}" for code in sorted(codes_shown)]
        if not self.paths:
            lines.append("no connection to one of the cluster's services is in it")
        return "\n".join([*lines, *(one_line(note) for note in self.notes)])


def explain_captures(files: Sequence[str], cluster: Cluster) -> CaptureExplanation:
    """Each of `files` is a capture, or HOST=capture. Raises BadUse for what cannot be read, or is of nobody known."""
    ports = {*(s.port for s in cluster.services), cluster.load_balancer.probe.port}
    packets_by_host: dict[str, list[Packet]] = {}
    spans: dict[str, Span] = {}
    notes: list[str] = []
    if len(files) > MAX_FILES:
        raise BadUse(f"{len(files)} captures are more than the {MAX_FILES} that are looked at together")
    for argument in files:
        host, path = _split_host(argument, cluster)
        captured = capture_file.read(path, ports)
        name = host or find_capture_host(path.name, captured.packets, cluster)
        if name in packets_by_host:
            raise BadUse(f"{path}: is the second capture of {name}; give one of each host, or say whose it is with HOST={path.name}")
        machine = next(m for m in cluster.machines if m.name == name)
        packets_by_host[name] = with_directions(captured.packets, machine, cluster)
        spans[name] = (captured.first, captured.last)
        notes += [f"{path.name}: taken on {name}, {count(captured.looked, 'packet')}", *captured.notes]
    return explain_packets(packets_by_host, cluster, spans, notes)


def _split_host(argument: str, cluster: Cluster) -> tuple[str, Path]:
    host, equals, path = argument.partition("=")
    return (host, Path(path)) if equals and host in {m.name for m in cluster.machines} else ("", Path(argument))


def explain_packets(packets_by_host: Seen, cluster: Cluster, spans: Mapping[str, Span], notes: Sequence[str] = ()) -> CaptureExplanation:
    """`spans`: from when to when each host was captured, by its own clock."""
    attempts = captured_attempts(packets_by_host, cluster, spans)
    probes_by_node = _find_probes(packets_by_host, cluster, spans)
    active = _find_active_node(attempts, probes_by_node)
    paths = tuple(_paths(attempts, cluster, active, packets_by_host))
    unasked = {n.name: NodeState(n.name, False, {}, (), NOT_ASKED) for n in cluster.nodes}
    evidence = Evidence(
        cluster, ClusterState(unasked), active, paths=[_path_seen(p, packets_by_host) for p in paths], probes=probes_by_node
    )
    diagnosis = diagnose(evidence)
    causes = [LocatedCause(c, "the capture", under, c.is_fault) for c, under in zip(diagnosis.causes, diagnosis.under, strict=True)]
    symptoms = {name for cause in causes for name in cause.symptoms}
    unexplained = [p for p in paths if p.verdict.outcome is Outcome.FAIL and p.name not in symptoms]
    causes += [
        cause
        for path in dict.fromkeys(p.path for p in unexplained)
        for cause in _causes_by_wire([p for p in unexplained if p.path == path], cluster)
    ]
    moved_notes = (
        [f"both nodes served while it was captured; paths are named by {active}, which served last"] if _has_moved(attempts) else []
    )
    return CaptureExplanation(active, tuple(packets_by_host), paths, tuple(failures_first(causes)), (*notes, *moved_notes))


def _find_probes(packets_by_host: Seen, cluster: Cluster, spans: Mapping[str, Span]) -> dict[str, ProbesSeen]:
    """The probes that each node saw. That a node saw none is only told where another's were captured, and for long enough: a capture may
    have been made of the services' ports alone."""
    probes_by_node = {
        n.name: probes(n, packets_by_host[n.name], cluster, _watched_seconds(spans, n.name))
        for n in cluster.nodes
        if n.name in packets_by_host
    }
    enough = MIN_PROBE_INTERVALS * cluster.load_balancer.probe.interval_s
    captured = any(probes_seen.syns for probes_seen in probes_by_node.values())
    return {
        name: probes_seen
        for name, probes_seen in probes_by_node.items()
        if probes_seen.syns or (captured and probes_seen.seconds >= enough)
    }


def _watched_seconds(spans: Mapping[str, Span], host: str) -> float:
    first_at, last_at = spans.get(host, (0.0, 0.0))
    return max(0.0, last_at - first_at)


def _serving_nodes(attempts: Sequence[CapturedAttempt]) -> list[str]:
    """The nodes that answered clients, in the order in which they did."""
    return [attempt.way.node for attempt in attempts if attempt.path == "client" and attempt.way.node and attempt.way.code in ("W1", "W2")]


def _has_moved(attempts: Sequence[CapturedAttempt]) -> bool:
    return len(set(_serving_nodes(attempts))) > 1


def _find_active_node(attempts: Sequence[CapturedAttempt], probes_by_node: Mapping[str, ProbesSeen]) -> str | None:
    """The node that alone answers the balancer's probe, or else the one that served a client last, or itself."""
    answering = [name for name, probe in probes_by_node.items() if probe.answered]
    if len(answering) == 1:
        return answering[0]
    served = _serving_nodes(attempts) or [attempt.way.node for attempt in attempts if attempt.way.node and attempt.way.code == "W3"]
    return served[-1] if served else None


def _paths(attempts: Sequence[CapturedAttempt], cluster: Cluster, active: str | None, packets_by_host: Seen) -> Iterator[CapturedPath]:
    for service in cluster.services:
        attempts_at_service = [attempt for attempt in attempts if attempt.attempt.port == service.port]
        for path in dict.fromkeys(_path(attempt, active) for attempt in attempts_at_service):
            attempts_on_path = tuple(attempt for attempt in attempts_at_service if _path(attempt, active) == path)
            expected = expectation(cluster.design, Origin(path))
            observed = [_path_observation(attempt, active) for attempt in attempts_on_path]
            unseen = [attempt for attempt in attempts_on_path if not attempt.way.is_known]
            if unseen and len(unseen) == len(attempts_on_path):
                verdict = judge_outcomes(expected, observed, unseen[0].way.reason)
            else:
                verdict = judge(expected, observed)
            if active is None and verdict.outcome is Outcome.PASS:
                verdict = inconclusive(f"{verdict.reason}; which node is active is not in it")
            codes = Counter(attempt.way.code if attempt.way.is_known else _possible_code(attempt, cluster) for attempt in attempts_on_path)
            yield CapturedPath(path, service, expected, attempts_on_path, dict(codes.most_common()), verdict)


def _path(attempt: CapturedAttempt, active: str | None) -> str:
    return "client" if attempt.path == "client" else "inside" if attempt.path == active else "standby"


def _path_observation(attempt: CapturedAttempt, active: str | None) -> PathObservation:
    role = None
    if attempt.outcome == "answered" and attempt.way.node is not None:
        role = Role.ACTIVE if attempt.way.node == active else Role.STANDBY
    return PathObservation(attempt.outcome, attempt.way.code, role, str(attempt.way))


def _possible_code(attempt: CapturedAttempt, cluster: Cluster) -> str:
    """What an attempt's code can be where not all hosts were watched, by its outcome alone."""
    if all(n.name in attempt.watched for n in cluster.nodes):
        return "W?"
    floating = cluster.design is Design.FLOATING
    match attempt.outcome:
        case "answered":
            return "W2?" if floating else "W1?"
        case "refused":
            return "W5?"
    own_codes = "" if attempt.path == "client" else ("W9 or " if floating else "W4 or ")
    return f"{own_codes}W7 or W8?" if floating else f"{own_codes}W8?"


def _path_seen(p: CapturedPath, packets_by_host: Seen) -> PathSeen:
    routes = [attempt.way for attempt in p.attempts]
    origin = p.attempts[0].attempt.origin
    return PathSeen(
        p.path,
        origin,
        p.service,
        str(p.verdict.outcome),
        p.verdict.reason,
        outcomes=frozenset(attempt.outcome for attempt in p.attempts),
        ways=frozenset(w.code for w in routes),
        nodes=frozenset(w.node for w in routes if w.node and w.node != origin),
        arrived_as=frozenset(w.destination for w in routes if w.destination and w.node != origin),
    )


def _causes_by_wire(paths: Sequence[CapturedPath], cluster: Cluster) -> Iterator[LocatedCause]:
    """What the codes say by themselves of one path, once for each code and node, whatever the services."""
    groups: dict[tuple[str, str], list[tuple[CapturedPath, CapturedAttempt]]] = {}
    for p in paths:
        for attempt in p.attempts:
            as_expected = any(e.outcome == attempt.outcome and attempt.way.code in (e.way, "W?") for e in p.expected.ways)
            codes = [attempt.way.code] if attempt.way.is_known else wire_code_causes.codes(_possible_code(attempt, cluster))[-1:]
            for code in codes if not as_expected else ():
                groups.setdefault((code, attempt.way.node or ""), []).append((p, attempt))
    for (code, node), pairs in groups.items():
        path_names = list(dict.fromkeys(p.name for p, _ in pairs))
        attempts = [attempt for _, attempt in pairs]
        lines = [_attempts_line(p, attempts) for p in paths if p.name in path_names]
        lines += dict.fromkeys(str(attempt.way) for attempt in attempts[:2])
        services = [p.service for p in paths if p.name in path_names]
        names, port = ", ".join(s.name for s in services), services[0].port if len(services) == 1 else None
        route = RouteTaken(code, paths[0].path, names, port, attempts[0].attempt.origin, node, str(cluster.vip))
        cause = wire_code_causes.cause(route, tuple(one_line(f"{line} (capture)") for line in lines))
        if cause is not None:
            yield LocatedCause(_limit_certainty(cause, attempts), "the capture", tuple(path_names), failed=True)


def _attempts_line(p: CapturedPath, attempts: Sequence[CapturedAttempt]) -> str:
    times = [attempt.attempt.host_time for attempt in attempts if attempt.attempt.port == p.service.port]
    began = p.attempts[0].attempt.host_time
    span = f"{min(times) - began:.2f} to {max(times) - began:.2f} s after the first"
    return f"{p.name}: {len(times)} of {count(len(p.attempts), 'attempt')}, {span}"


def _limit_certainty(cause: Cause, attempts: Sequence[CapturedAttempt]) -> Cause:
    """Where the code was only inferred from the outcome, the cause is no more than likely."""
    if all(attempt.way.is_known for attempt in attempts) or cause.certainty is not Certainty.CERTAIN:
        return cause
    unseen = f"not all hosts were watched: {attempts[0].way.reason}"
    return replace(cause, certainty=Certainty.LIKELY, otherwise="; ".join(filter(None, [unseen, cause.otherwise])))
