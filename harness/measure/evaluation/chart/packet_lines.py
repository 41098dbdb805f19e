"""The packets that a reader wants to see beside a chosen moment: those around the boundaries and around the ends of outages. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from harness.remote.recording.recording import CapturedPacket, Recording

MAX_DISTANCE_S = 0.03
MAX_PACKET_LINES = 300  # per measurement: a report has to stay small, and the captures beside it hold all of them


def lines(recording: Recording, moments: Iterable[float]) -> list[tuple[float, str, str]]:
    """(time, host, sentence) of the packets near the moments, in order of time; each moment gets its fair part of what is shown."""
    packets = sorted(recording.sightings)
    times = [s.at for s in packets]
    ordered = sorted(set(moments))
    share = max(1, MAX_PACKET_LINES // max(1, len(ordered)))
    chosen_indices: set[int] = set()
    for moment in ordered:
        candidates = range(bisect_left(times, moment - MAX_DISTANCE_S), bisect_right(times, moment + MAX_DISTANCE_S))
        chosen_indices.update(index for _, index in sorted((abs(times[index] - moment), index) for index in candidates)[:share])
    return [(packets[index].at, packets[index].host, sentence(packets[index])) for index in sorted(chosen_indices)]


def sentence(packet: CapturedPacket) -> str:
    """One packet in words."""
    way = "on" if packet.interface == "lo" else "out of" if packet.outgoing else "into"
    where = f"{way} {packet.interface}" if packet.interface else "in its socket table"
    return f"packet {packet.what} {packet.src}:{packet.sport} → {packet.dst}:{packet.dport}, {where}"
