"""One path's outage cut at the moments that this path had to wait for. Pure.

A measurement's boundaries are the cluster's: the last service to listen ends “service up”, whichever path waits for another. Here a
path's own service counts, only its own database's recovery, and the balancer only where the path leads through it. An outage that is not
the one the boundaries are of (everything moved back, or came back where it was) is cut by the chart rows of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.measure.measurement_result import Boundary, Measured, Outage, SeriesResult

OWN = ("noticed", "stopped", "vip moved", "service up", "database ready", "probe answered", "balancer switched")
ANSWER, STILL_OUT, LASTED = "first answer", "still out", "the disruption itself"
UNDOING = "the undoing begins"  # as a measurement's log has it
BALANCED = ("probe answered", "balancer switched")
BOUNDARY_TOLERANCE_S = 0.25  # a boundary so soon after an outage's end is what ended it: both are seen by polling
CHART_ROWS = {"vip moved": "VIP", "probe answered": "probe", "balancer switched": "balancer"}
SAID = {
    "vip moved": "the VIP is on {node}",
    "probe answered": "{node} answers the balancer's probe",
    "balancer switched": "connections of the client arrive at {node}",
}


@dataclass(frozen=True)
class Piece:
    """A part of an outage, by the name of what it waited for; `end` is the moment that ended it, where one was seen."""

    name: str
    seconds: float
    end: Boundary | None = None


@dataclass(frozen=True)
class PathPhases:
    """`pieces` in order, without a hole; `node` served in the end; `unseen` are this path's moments that nobody saw, and why."""

    pieces: tuple[Piece, ...]
    node: str
    unseen: tuple[Boundary, ...] = ()

    @property
    def longest(self) -> Piece:
        """The longest phase."""
        return max(self.pieces, key=lambda piece: piece.seconds)

    def of(self, names: Sequence[str]) -> float:
        """How long the phases of these names were together, in seconds."""
        return sum(piece.seconds for piece in self.pieces if piece.name in names)


class OutageCutter:
    """Cuts the outages of one measurement."""

    def __init__(self, measured: Measured) -> None:
        self.measured = measured
        self._cluster_boundaries = {b.name: b for b in measured.boundaries}
        self._chart_rows = {chart_row.name: chart_row.spans for chart_row in measured.chart_rows}
        self._undoing = [at for at, host, text in measured.log if host == "harness" and text.startswith(UNDOING)]

    def cut(self, series: SeriesResult, outage: Outage) -> PathPhases:
        """The outage of that series, by its own moments."""
        node = self._serving_node(series, outage)
        boundaries = list(self._own_boundaries(series, outage, node))
        stop = outage.start + outage.seconds
        observed = sorted((b for b in boundaries if b.at is not None), key=lambda b: b.at or 0.0)
        pieces: list[Piece] = []
        since = outage.start
        for boundary in observed:
            at = boundary.at or 0.0
            if outage.start < at < stop:
                pieces.append(Piece(boundary.name, at - since, boundary))
                since = at
        if outage.end is None:
            pieces.append(Piece(STILL_OUT, stop - since))
        else:
            ending = next((b for b in observed if stop <= (b.at or 0.0) <= _reach(series, outage)), None)
            pieces.append(Piece(ending.name if ending else ANSWER, stop - since, ending))
        return PathPhases(tuple(pieces), node, tuple(b for b in boundaries if b.at is None))

    def _serving_node(self, series: SeriesResult, outage: Outage) -> str:
        """The node that answered this path after the outage, or else in the end, as far as that was seen."""
        if outage.end is not None:
            for segment in series.segments:
                if segment.end > outage.end and segment.outcome == "answered" and segment.node:
                    return segment.node
        return self.measured.after or self.measured.before

    def _own_boundaries(self, series: SeriesResult, outage: Outage, node: str) -> Iterator[Boundary]:
        for name in OWN:
            boundary = self._cluster_boundaries.get(name, Boundary(name, None, "not observed: the record does not have it"))
            if name in BALANCED and series.path == "inside":
                continue
            if name == "database ready" and not boundary.evidence.startswith(f"{series.service}: "):
                continue
            if name == "service up":
                boundary = self._service_up(series, outage, node, boundary)
            elif name in CHART_ROWS and (boundary.at is None or not outage.start < boundary.at <= _reach(series, outage)):
                at = self._find_begin(CHART_ROWS[name], lambda state: state == node, series, outage)
                boundary = boundary if at is None else Boundary(name, at, SAID[name].format(node=node), node)
            yield boundary
        for at in self._undoing[:1]:
            yield Boundary(LASTED, at, UNDOING, "harness")

    def _service_up(self, series: SeriesResult, outage: Outage, node: str, cluster_boundary: Boundary) -> Boundary:
        """When this series's own service began to listen on the node that served it."""
        at = self._find_begin(f"{node} services", lambda state: series.service in state.split(", "), series, outage)
        if at is not None:
            return Boundary("service up", at, f"{series.service} listens", node)
        why = (
            cluster_boundary.evidence
            if cluster_boundary.at is None
            else f"not observed: {series.service} was not seen to begin listening on {node}"
        )
        return Boundary("service up", None, why, node)

    def _find_begin(self, chart_row: str, holds: Callable[[str], bool], series: SeriesResult, outage: Outage) -> float | None:
        """When it began to hold, the last time in the outage or right behind it."""
        latest, before = None, True  # what holds from the start of the chart row did not begin
        for start, _, state in self._chart_rows.get(chart_row, ()):
            now = holds(state)
            if now and not before and max(outage.start, self.measured.anchor) < start <= _reach(series, outage):
                latest = start
            before = now
        return latest


def _reach(series: SeriesResult, outage: Outage) -> float:
    return outage.start + outage.seconds + max(2 * series.period_s, BOUNDARY_TOLERANCE_S)
