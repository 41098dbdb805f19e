"""What the lab itself wrote down (its balancer, its storage, its power) against the moments that a run's explanation names. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SLACK_S = 0.05  # the lab's line is written after what it tells, and a packet is stamped where it comes in
ATTEMPT_S = 0.5  # the first SYN that shows a switch comes with the next attempt of some path, on a busy machine too
BEFORE_S = 1.0  # how long before a disruption what it changed may have been written


@dataclass(frozen=True, slots=True)
class LabEvent:
    """One line of lab-events.jsonl. `at` is seconds, on whatever clock `shifted` made of the file's wall clock."""

    at: float
    kind: str
    text: str
    data: Mapping[str, Any]

    @property
    def node(self) -> str:
        """Whom it is about: the storage names its node in the text only."""
        return str(self.data.get("node") or self.text.split()[0])


def read_events(file: Path) -> list[LabEvent]:
    """In the order of the file, on the wall clock."""
    lines = (json.loads(line) for line in file.read_text().splitlines())
    return [LabEvent(line["wall"], line["kind"], line["text"], line["data"]) for line in lines]


def disagreements(measured: Mapping[str, Any], events: Iterable[LabEvent], believed_s: float) -> list[str]:
    """Every boundary of one measurement that the lab's own events contradict, with what the lab has; none for all agreeing.

    `believed_s`: the time in which the balancer believes a node's answers, in seconds.
    """
    anchor, to_anchor = measured["anchor"], measured["wall_minus_mono"] + measured["anchor"]
    during = [LabEvent(event.at - to_anchor, event.kind, event.text, event.data) for event in events]
    during = [event for event in during if -BEFORE_S <= event.at <= measured["end"] - anchor + believed_s]
    at = {one["name"]: one["at"] - anchor for one in measured["boundaries"] if one["at"] is not None}
    before, after = measured["before"], measured["after"]
    wrong: list[str] = []

    def expect(name: str, kind: str, early: float, late: float, fits: Callable[[LabEvent], bool]) -> None:
        if name in at and not any(event.kind == kind and fits(event) and -early <= event.at - at[name] <= late for event in during):
            has = ", ".join(f"{event.text} {event.at:+.3f} s" for event in during if event.kind == kind)
            wrong.append(f"{name} {at[name]:+.3f} s, and the lab has of {kind}: {has or 'nothing'}")

    if after == before:
        return wrong  # nothing moved, so what the lab switched and reserved belongs to the undoing, or to both nodes answering
    expect("probe answered", "probe", SLACK_S, believed_s + ATTEMPT_S, lambda event: event.node == after and event.data["up"])
    expect("balancer switched", "switch", ATTEMPT_S, SLACK_S, lambda event: after in event.data["members"])
    expect("stopped", "released", SLACK_S, SLACK_S, lambda event: event.node == before)
    expect("service up", "reserved", measured["end"] - anchor, SLACK_S, lambda event: event.node == after)
    switched = next((event for event in during if event.at > 0 and event.kind == "switch" and after in event.data["members"]), None)
    if switched and "balancer switched" not in at:
        wrong.append(f"balancer switched was not observed, and the lab has: {switched.text} {switched.at:+.3f} s")
    return wrong
