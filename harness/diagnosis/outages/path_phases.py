"""One path's outage cut at the moments that this path had to wait for. Pure.

A measurement's boundaries are the cluster's: the last service to listen ends “service up”, whichever path waits for another. Here a
path's own service counts, only its own database's recovery, and the balancer only where the path leads through it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.measure.measurement_result import Boundary, Measured, Outage, TrackResult

OWN = ("noticed", "stopped", "vip moved", "service up", "database ready", "probe answered", "balancer switched")
ANSWER, STILL_OUT, LASTED = "first answer", "still out", "the disruption itself"
UNDONE = "it is undone"
BALANCED = ("probe answered", "balancer switched")
REACH_S = 0.25  # a boundary so soon after an outage's end is what ended it: both are seen by polling


@dataclass(frozen=True)
class Piece:
    """A part of an outage, by the name of what it waited for; `end` is the moment that ended it, where one was seen."""

    name: str
    seconds: float
    end: Boundary | None = None


@dataclass(frozen=True)
class PathPhases:
    """`pieces` in order, without a hole; `unseen` are the moments of this path that nobody saw, each with the reason."""

    pieces: tuple[Piece, ...]
    unseen: tuple[Boundary, ...] = ()

    @property
    def longest(self) -> Piece:
        return max(self.pieces, key=lambda piece: piece.seconds)

    def of(self, names: Sequence[str]) -> float:
        return sum(piece.seconds for piece in self.pieces if piece.name in names)


def serving(measured: Measured) -> str:
    """The node on which everything was waited for: the one that served in the end, as far as that was seen."""
    return measured.after or measured.before


def cut(measured: Measured, track: TrackResult, outage: Outage) -> PathPhases:
    """The outage of that track, by its own moments."""
    found = list(_own(measured, track, outage))
    stop = outage.start + outage.seconds
    seen = sorted((b for b in found if b.at is not None), key=lambda b: b.at or 0.0)
    pieces: list[Piece] = []
    since = outage.start
    for boundary in seen:
        at = boundary.at or 0.0
        if outage.start < at < stop:
            pieces.append(Piece(boundary.name, at - since, boundary))
            since = at
    if outage.end is None:
        pieces.append(Piece(STILL_OUT, stop - since))
    else:
        reach = stop + max(2 * track.period_s, REACH_S)
        ending = next((b for b in seen if stop <= (b.at or 0.0) <= reach), None)
        pieces.append(Piece(ending.name if ending else ANSWER, stop - since, ending))
    return PathPhases(tuple(pieces), tuple(b for b in found if b.at is None))


def _own(measured: Measured, track: TrackResult, outage: Outage) -> Iterator[Boundary]:
    whole = {b.name: b for b in measured.boundaries}
    for name in OWN:
        boundary = whole.get(name, Boundary(name, None, "not observed: the record does not have it"))
        if name in BALANCED and track.path == "inside":
            continue
        if name == "database ready" and not boundary.evidence.startswith(f"{track.service}: "):
            continue
        if name == "service up":
            boundary = _service_up(measured, track, outage, boundary)
        yield boundary
    undone = [at for at, host, text in measured.log if host == "harness" and text.startswith(UNDONE)]
    if undone:
        yield Boundary(LASTED, undone[0], UNDONE, "harness")


def _service_up(measured: Measured, track: TrackResult, outage: Outage, whole: Boundary) -> Boundary:
    """When this track's own service began to listen on the node that served: by the picture's lane of that node."""
    node = serving(measured)
    spans = next((lane.spans for lane in measured.lanes if lane.name == f"{node} services"), [])
    began, before = [], ""
    for start, _, state in spans:
        if track.service in state.split(", ") and track.service not in before.split(", "):
            began.append(start)
        before = state
    stop = outage.start + outage.seconds + max(2 * track.period_s, REACH_S)
    mine = [at for at in began if max(outage.start, measured.anchor) < at <= stop]
    if mine:
        return Boundary("service up", mine[-1], f"{track.service} listens", node)
    why = whole.evidence if whole.at is None else f"not observed: {track.service} was not seen to begin listening on {node}"
    return Boundary("service up", None, why, node)
