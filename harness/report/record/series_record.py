"""The figures of one series over the repeats of a run, as run.json stores them."""

from __future__ import annotations

from pydantic import Field

from harness.report.record.record_types import Record, Seconds, Text


class SeriesRecord(Record):
    """One path to one service, by new connections or an established one, in all repeats of one disruption in one direction.

    The figures are seconds until the path had recovered (`recovered_after_s` of the measurements). Measurements whose timing could not be
    relied on, and those that know no figure, are counted in `left_out` and enter nothing else.
    """

    disruption: Text
    design: Text
    before: Text
    """The node that was active before: each direction is a series of its own."""
    target: Text
    path: Text
    """client, inside or standby."""
    service: Text
    kind: Text
    """new, or the kind of the established connection."""
    expects: Text = ""
    """recovers, untouched, out or any: what the path had to do."""
    period_s: Seconds
    """The meter's period, in seconds; the longest one, where repeats differ."""
    budget_s: Seconds
    """What was allowed, in seconds; the shortest, where repeats differ."""
    n: int
    """How many repeats the figures are made of."""
    never: int = 0
    """In how many of them the path did not come back; they count as longer than every figure."""
    left_out: int = 0
    """How many repeats have no figure that can be relied on."""
    values_s: list[Seconds] = Field([])
    """The figures themselves, in order of time, without those that never came back."""
    outcomes: dict[str, int] = Field({})
    """How many repeats of the series passed, failed, or could not be judged: pass, fail, inconclusive."""
    median_s: Seconds | None = None
    """Null when there is no figure, or half of the repeats or more never came back."""
    p95_s: Seconds | None = None
    """By nearest rank, so a figure that was measured; of fewer than 20 repeats it is the longest. Null: never came back."""
    max_s: Seconds | None = None
    """Null when there is no figure, or one never came back."""
    interval_s: tuple[Seconds, Seconds | None] | None = None
    """Where the true median lies with a confidence of 95 % at least, whatever the distribution (order statistics), widened by what the
    meter cannot know. Its end is null where the path never came back. Null as a whole for fewer than 6 repeats: there is none."""
