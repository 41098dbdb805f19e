"""What a gate said of a run, as run.json stores it."""

from __future__ import annotations

from pydantic import Field

from harness.report.record.record_types import Number, Record, Text


class GateFinding(Record):
    """One thing that the gate looked at."""

    about: Text
    """Such as `budget: switchover, client path, phase vip moved`."""
    outcome: Text
    """pass, fail, or refused: the figures do not allow a word."""
    reason: Text
    p: Number | None = None
    """Of a comparison with the baseline: how surprising the figures are, corrected for the number of comparisons."""
    shift_s: Number | None = None
    visible_s: Number | None = None
    """The shift beyond what is allowed that would have been seen in 80 %; null where there is none."""


class GateRecord(Record):
    """The gate's word on a run."""

    file: Text
    sha256: Text
    """Of the gate file, so that a signature is under what was demanded."""
    outcome: Text
    """pass, fail, or refused."""
    reason: Text
    baseline: list[Text] = Field([])
    """Ids of the runs that the figures were held against."""
    findings: list[GateFinding] = Field([])
