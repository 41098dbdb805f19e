"""For what part of a run's measured time a path was in service."""

from __future__ import annotations

from harness.report.record.record_types import Number, Record, Seconds, Text


class AvailabilityRecord(Record):
    """One path to one service, by new connections, over all measurements of a run."""

    path: Text
    service: Text
    measured_s: Seconds
    out_s: Seconds
    """By the meter's figures: from the first failed attempt of each outage to the first right answer."""
    min_out_s: Seconds
    max_out_s: Seconds
    """The true figure lies between these, by the period and the clocks. What was not measured may have been out: it is in this one."""
    percent: Number
    """100 × (1 - out_s / measured_s)."""
    unmeasured_s: Seconds = 0.0
    """When nobody looked: gaps in the measuring, and rests. The whole is `measured_s` and this."""
