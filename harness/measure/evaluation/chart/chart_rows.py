"""The rows of the picture beside the paths: nodes, VIP, services, probe, balancer. Pure.

A chart row begins as `unknown` and stays so until there is evidence. `both` is the state in which both nodes do what one of them should.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.measure.evaluation import observation_gaps
from harness.measure.evaluation.attempt_attribution import LOOPBACK
from harness.measure.evaluation.expected_responder import runs
from harness.measure.measurement_result import ChartRow
from harness.remote.recording.recording import Recording

UNKNOWN, UP, LOST, NOBODY, BOTH = "unknown", "up", "lost", "nobody", "both"
PROBES_MISSED = 1.5  # intervals without an answer until a node counts as not answering: a probe falls due every one
PERIODS_MISSED = 5  # of the finest series from outside, until a node counts as not receiving connections
MIN_REACH_S = 0.25

Rows = list[tuple[float, float, str]]


def chart_rows(recording: Recording, start: float, end: float) -> list[ChartRow]:
    """Every chart row, from `start` to `end`."""
    nodes = recording.header.nodes
    return [
        *(ChartRow(node, _node_spans(recording, node, start, end)) for node in nodes),
        ChartRow("VIP", _vip_spans(recording, start, end)),
        *(ChartRow(f"{node} services", _service_spans(recording, node, start, end)) for node in nodes),
        ChartRow("probe", _probe_spans(recording, start, end)),
        ChartRow("balancer", _balancer_spans(recording, start, end)),
    ]


def _node_spans(recording: Recording, node: str, start: float, end: float) -> Rows:
    changes = [(_first_heard_at(recording, node), UP)]
    for begin, stop in observation_gaps.lost_spans(recording, node):
        changes += [(begin, LOST), (stop, UP)]
    return _spans_of(changes, start, end)


def _first_heard_at(recording: Recording, node: str) -> float:
    """When anything was first heard of a node."""
    moments = [e.at for e in recording.events if e.host == node and e.kind not in observation_gaps.LOST]
    moments += [s.at for s in recording.sightings if s.host == node]
    for series in recording.header.series:
        if series.origin == node:
            moments += [row.at for row in recording.samples.get(series.id, ())[:1]]
    return min(moments, default=float("inf"))


def _vip_spans(recording: Recording, start: float, end: float) -> Rows:
    """Who holds the VIP. Whether a node still does that was lost while it did, is not known until something is heard of it."""
    changes: list[tuple[float, str]] = []
    holders: set[str] = set()
    lost_holders: set[str] = set()
    for event in sorted(recording.events, key=lambda e: e.at):
        if event.kind in ("vip-up", "vip-down"):
            (holders.add if event.kind == "vip-up" else holders.discard)(event.host)
            lost_holders.discard(event.host)
        elif event.kind == "host-lost" and event.host in holders:
            holders.discard(event.host)
            lost_holders.add(event.host)
        else:
            continue
        changes.append((event.at, _only_node(sorted(holders), UNKNOWN if lost_holders else NOBODY)))
    return _spans_of(changes, start, end)


def _service_spans(recording: Recording, node: str, start: float, end: float) -> Rows:
    names = {series.port: series.service for series in recording.header.series}
    changes: list[tuple[float, str]] = []
    listening: set[str] = set()
    for event in sorted((e for e in recording.events if e.host == node), key=lambda e: e.at):
        if event.kind in ("listener-up", "listener-down"):
            service = names.get(event.data.get("port", 0))
            if service is None:
                continue
            (listening.add if event.kind == "listener-up" else listening.discard)(service)
        elif event.kind == "host-lost":
            listening.clear()
        else:
            continue
        changes.append((event.at, LOST if event.kind == "host-lost" else ", ".join(sorted(listening)) or "none"))
    return _spans_of(changes, start, end)


def _probe_spans(recording: Recording, start: float, end: float) -> Rows:
    header = recording.header
    answers: dict[str, list[float]] = {node: [] for node in header.nodes}
    for s in recording.sightings:
        if s.what == "syn-ack" and s.outgoing and s.sport == header.probe_port and s.interface != LOOPBACK and s.host in answers:
            answers[s.host].append(s.at)
    return _activity_spans(recording, answers, max(PROBES_MISSED * header.probe_interval_s, MIN_REACH_S), start, end)


def _balancer_spans(recording: Recording, start: float, end: float) -> Rows:
    """Where the balancer sends new connections of the client."""
    header, hosts = recording.header, recording.node_of_address
    ports = {series.port for series in header.series}
    arrivals: dict[str, list[float]] = {node: [] for node in header.nodes}
    for s in recording.sightings:
        outside = s.what == "syn" and not s.outgoing and s.interface != LOOPBACK and hosts.get(s.src) == header.client
        if outside and s.dport in ports and s.host in arrivals:
            arrivals[s.host].append(s.at)
    finest = min((t.period_s for t in header.series if t.origin == header.client), default=0.0)
    return _activity_spans(recording, arrivals, max(PERIODS_MISSED * finest, MIN_REACH_S), start, end)


def _activity_spans(recording: Recording, moments: Mapping[str, list[float]], reach: float, start: float, end: float) -> Rows:
    """Who was active when, by moments of which none is further than `reach` from the one before."""
    spans = {node: runs(sorted(rows), reach) for node, rows in moments.items()}
    for rows in spans.values():
        if rows and rows[-1][1] > end - reach:  # the recording ends before it could have been active again
            rows[-1] = (rows[-1][0], float("inf"))
    edges = sorted({edge for rows in spans.values() for span in rows for edge in span if edge <= end})
    if not edges:
        return _spans_of([], start, end)
    nobody = UNKNOWN if observation_gaps.unwatched_nodes(recording) else NOBODY
    changes = []
    for edge in edges:
        active = [node for node, rows in spans.items() if any(a <= edge < b or a == b == edge for a, b in rows)]
        changes.append((edge, _only_node(active, nobody)))
    return _spans_of(changes, start, end)


def _only_node(nodes: list[str], nobody: str = NOBODY) -> str:
    return nobody if not nodes else nodes[0] if len(nodes) == 1 else BOTH


def _spans_of(changes: Iterable[tuple[float, str]], start: float, end: float) -> Rows:
    """Changes of state, as spans from `start` to `end`; what is not known yet is `unknown`."""
    rows: Rows = []
    since, state = start, UNKNOWN
    for at, new in sorted(changes, key=lambda change: change[0]):
        at = min(max(at, start), end)
        if new == state:
            continue
        _add_span(rows, since, at, state)
        since, state = at, new
    _add_span(rows, since, end, state)
    return rows


def _add_span(rows: Rows, start: float, end: float, state: str) -> None:
    if rows and rows[-1][2] == state:
        rows[-1] = (rows[-1][0], end, state)
    elif end > start:
        rows.append((start, end, state))
