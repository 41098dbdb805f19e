"""How figures of a measurement are said to a person. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.measure.evaluation.attempt_attribution import WRONG_NODE
from harness.measure.evaluation.series_outages import Run
from harness.remote.recording.recording import PINNED, Series

WORDS = {WRONG_NODE: "answered by the wrong node"}


def seconds(value: float, period: float = 0.01) -> str:
    """A duration, with as many places as the period supports: two at 10 ms, three at 1 ms."""
    return f"{value:.{places(period)}f} s"


def places(period: float) -> int:
    """How many decimals of a second a period is worth."""
    return max(2, math.ceil(-math.log10(period))) if 0 < period < 1 else 2


def figure(value: float, least: float, most: float, period: float) -> str:
    """`1.24 s (1.23 to 1.25 s)`: the measured figure, and where the true one lies."""
    digits = places(period)
    return f"{value:.{digits}f} s ({max(0.0, least):.{digits}f} to {most:.{digits}f} s)"


def describe_series(series: Series, path: str) -> str:
    """`client path to listener`, with the origin where that is a node."""
    words = f"{path} path" if path else f"path from {series.origin}"
    if path and path != "client":
        words += f" from {series.origin}"
    return f"{words} to {series.service}" + (" (kept connection)" if series.kind == PINNED else "")


def describe_failures(series: Series, run: Run, *, all_watched: bool) -> str:
    """`124 attempts silent, none reached a node`."""
    noun = "heartbeat" if series.kind == PINNED else "attempt"
    (first, n), *others = run.outcomes.items()
    counts = [f"{n} {noun}{'s' if n != 1 else ''} {WORDS.get(first, first)}", *(f"{n} {WORDS.get(what, what)}" for what, n in others)]
    return ", ".join([*counts, *_describe_nodes(run.attributed, all_watched)])


def _describe_nodes(attributed: Mapping[str, int], all_watched: bool) -> list[str]:
    nowhere = "no node" if all_watched else "no node that was watching"
    names = {node: node or nowhere for node in attributed}
    if len(names) != 1:
        return [f"{n} reached {names[node]}" for node, n in attributed.items()]
    (node,) = names
    if node:
        return [f"{'it' if attributed[node] == 1 else 'all'} reached {node}"]
    return [f"none reached {nowhere.replace('no ', 'a ', 1)}"]
