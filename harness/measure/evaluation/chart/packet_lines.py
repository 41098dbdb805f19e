"""The packets that a reader wants to see beside a chosen moment: those around the boundaries and around the ends of outages. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from harness.remote.recording.recording import CapturedPacket, Recording

AROUND_S = 0.03
MAX_PACKET_LINES = 300  # per measurement: a report has to stay small, and the captures beside it hold all of them


def lines(recording: Recording, moments: Iterable[float]) -> list[tuple[float, str, str]]:
    """(time, host, sentence) of the packets near the moments, in order of time; each moment gets its fair part of what is shown."""
    seen = sorted(recording.sightings)
    times = [s.at for s in seen]
    wanted = sorted(set(moments))
    share = max(1, MAX_PACKET_LINES // max(1, len(wanted)))
    chosen: set[int] = set()
    for moment in wanted:
        near = range(bisect_left(times, moment - AROUND_S), bisect_right(times, moment + AROUND_S))
        chosen.update(place for _, place in sorted((abs(times[place] - moment), place) for place in near)[:share])
    return [(seen[place].at, seen[place].host, sentence(seen[place])) for place in sorted(chosen)]


def sentence(seen: CapturedPacket) -> str:
    """One packet in words."""
    way = "on" if seen.interface == "lo" else "out of" if seen.outgoing else "into"
    where = f"{way} {seen.interface}" if seen.interface else "in its socket table"
    return f"packet {seen.what} {seen.src}:{seen.sport} → {seen.dst}:{seen.dport}, {where}"
