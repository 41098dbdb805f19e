"""Which health attributes of a node keep everything off it, by the cluster's node-health-strategy (Pacemaker Explained, "Tracking Node
Health"). Pure."""

from __future__ import annotations

import re
from xml.etree import ElementTree as xml

from harness.managers.parse.pacemaker_parse import document
from harness.managers.rules.pacemaker_attribute_rules import attributes_of
from harness.managers.switchover_readiness import Case, NodeOutput

PREFIX = "#health"
COLOURS = ("red", "yellow", "green")
INFINITY = 1_000_000
SCORE = re.compile(r"[+-]?[0-9]{1,9}")
# What a colour weighs by each strategy; with `progressive` the options node-health-COLOUR say so, and what they are by themselves hangs on
# Pacemaker's version.
WEIGHTS = {
    "migrate-on-red": {"red": -INFINITY, "yellow": 0, "green": 0},
    "only-green": {"red": -INFINITY, "yellow": -INFINITY, "green": 0},
    "progressive": {"red": -INFINITY, "yellow": 0, "green": 0},
}


def by_health(to: str, cib: NodeOutput) -> Case:
    """Why the scheduler would have nothing on `to`, where it would not: ask only then, as a version of Pacemaker may weigh red less."""
    root = document(cib.text or "")
    if root is None:
        return Case()
    options = {v.get("name", ""): v.get("value", "") for v in root.iterfind("configuration/crm_config//nvpair")}
    strategy = options.get("node-health-strategy", "none")
    weights = dict(WEIGHTS.get(strategy, {}))
    total = 0
    if strategy == "progressive":
        weights |= {colour: score for colour in COLOURS if (score := _score(options.get(f"node-health-{colour}", ""))) is not None}
        total = _score(options.get("node-health-base", "0")) or 0
    counted = {name: (value, _weight(value, weights)) for name, value in _health(to, root).items()} if weights else {}
    if sum((weight for _, weight in counted.values()), total) > -INFINITY:
        return Case()
    held = [(name, value) for name, (value, weight) in counted.items() if weight < 0]
    if not held:
        return Case()
    words = " and ".join(f"{value} ({name})" for name, value in held)
    return Case(against=[f"{to}'s health is {words}, and node-health-strategy is {strategy}, so it takes nothing over"])


def _health(to: str, root: xml.Element) -> dict[str, str]:
    return {name: value for name, value in attributes_of(to, root).items() if name.startswith(PREFIX)}


def _weight(value: str, weights: dict[str, int]) -> int:
    """A colour's, or the number that stands for one."""
    score = weights.get(value.lower())
    return (_score(value) or 0) if score is None else score


def _score(text: str) -> int | None:
    """`INFINITY` is a million to Pacemaker, and no more counts."""
    if text.lstrip("+-").upper() == "INFINITY":
        return -INFINITY if text.startswith("-") else INFINITY
    return max(-INFINITY, min(INFINITY, int(text))) if SCORE.fullmatch(text) else None
