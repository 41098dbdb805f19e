"""Clocks that are apart, as findings. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.check.node_facts import NodeFacts
from harness.core.finding import Finding, Weight

MAX_CLOCK_DIFFERENCE_S = 1.0  # clocks further apart than this cannot be put side by side in logs


def findings(facts_by_node: Mapping[str, NodeFacts]) -> Iterator[Finding]:
    """Hosts whose clocks are apart from each other's; the harness's own does not count."""
    offsets = {name: facts.offset for name, facts in facts_by_node.items() if facts.offset is not None}
    if len(offsets) < 2:
        return
    last, first = max(offsets, key=lambda n: offsets[n][0]), min(offsets, key=lambda n: offsets[n][0])
    apart, unsure = offsets[last][0] - offsets[first][0], offsets[last][1] + offsets[first][1]
    if apart - unsure > MAX_CLOCK_DIFFERENCE_S:
        do = "let both follow one time server; until then the lines of their logs cannot be put side by side"
        yield Finding(Weight.FAULT, last, "clock", f"it is {apart:.1f} s ahead of {first}'s", do)
