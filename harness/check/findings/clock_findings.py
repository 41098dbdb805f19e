"""Clocks that are apart, as findings. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.check.node_facts import NodeFacts
from harness.core.finding import Finding, Weight

MAX_CLOCK_DIFFERENCE_S = 1.0  # clocks further apart than this cannot be put side by side in logs


def findings(seen: Mapping[str, NodeFacts]) -> Iterator[Finding]:
    """Hosts whose clocks are apart from each other's; the harness's own does not count."""
    told = {name: one.offset for name, one in seen.items() if one.offset is not None}
    if len(told) < 2:
        return
    last, first = max(told, key=lambda n: told[n][0]), min(told, key=lambda n: told[n][0])
    apart, unsure = told[last][0] - told[first][0], told[last][1] + told[first][1]
    if apart - unsure > MAX_CLOCK_DIFFERENCE_S:
        do = "let both follow one time server; until then the lines of their logs cannot be put side by side"
        yield Finding(Weight.FAULT, last, "clock", f"it is {apart:.1f} s ahead of {first}'s", do)
