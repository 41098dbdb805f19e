"""What a recording amounts to: the figures and verdicts of one measurement. `run.json` stores exactly this.

Durations and times are seconds; times are on the harness's monotonic clock. `not observed` is told by None and a reason, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.core.text.wording import seconds
from harness.core.verdict import Verdict

PHASES = (
    "noticed",
    "stopped",
    "vip moved",
    "service up",
    "database ready",
    "probe answered",
    "balancer switched",
    "first answer",
    "all recovered",
)
"""The boundaries, in the order in which they usually come; each ends the phase that bears its name."""


@dataclass(frozen=True)
class Segment:
    """A run of samples of one series that ended alike: `outcome`, and `node` where it is known who answered, refused or got it."""

    start: float
    end: float
    outcome: str
    node: str | None
    count: int


@dataclass(frozen=True)
class Boundary:
    """A moment between two phases and the evidence for it; `at` None: not observed, and `evidence` says why."""

    name: str
    at: float | None
    evidence: str
    source: str = ""  # the host (or harness) that saw it


@dataclass(frozen=True)
class Outage:
    """One path was out: from the first failed attempt to the first right answer. The true length lies in [least_s, most_s].

    Both ends are uncertain: the path may have been out since the last attempt before, and recovered since the last one in it.
    A node that was lost where the disruption takes none away is an outage without attempts.
    """

    series: str
    start: float
    end: float | None  # None: still out when the measurement ended
    seconds: float
    period_s: float
    outcomes: dict[str, int]  # silent 12, refused 3 …
    attributed: dict[str, int]  # node → failed attempts that it received; "" those that reached nobody who was watching
    reason: str  # one sentence a person can act on
    expected: bool = True
    min_s: float | None = None  # None in a record of before: seconds - period_s
    max_s: float | None = None  # None in a record of before, for one without an end, and for one that began before what was kept


@dataclass(frozen=True)
class SeriesResult:
    """One series, judged. `path` is the role that its origin has when all is over: client, inside, standby; "" when it lost its host."""

    id: str
    path: str
    origin: str
    service: str
    kind: str
    period_s: float
    segments: list[Segment]
    outages: list[Outage]
    recovered_after_s: (
        float | None
    )  # from `counted_from` to the first right answer after the last outage; 0: no attempt failed; None: `unknown` says why
    verdict: Verdict
    attempts: int = 0
    unmeasured_s: float = 0.0  # for how long after the disruption nothing was measured, such as while its host was gone
    min_s: float | None = None  # the true figure lies in [least_s, most_s], by the period and the clocks; None in a record of before
    max_s: float | None = None
    counted_from: str = ""  # what out_s counts from: the disruption, the undoing, its own beginning
    unknown: str = ""  # why out_s is None: never came back, not measured, out before the disruption, …
    stalled_s: float = 0.0  # the longest time after the disruption in which answers were withheld and came in time all the same
    longest_gap_s: float = 0.0  # the longest time after the disruption in which no attempt was made; nothing shorter can be ruled out
    unmeasured_before_s: float = 0.0  # for how long of the recording before the disruption nothing was measured


@dataclass(frozen=True)
class TokenResult:
    """Tokens: written, acknowledged, and what became of the acknowledged ones."""

    written: int
    acknowledged: int
    lost: list[str]  # sentences: which, from where, when, taken by which node
    doubled: list[str]
    both_answered: list[tuple[float, float]]  # when both nodes answered at once
    verdict: Verdict


@dataclass(frozen=True)
class ChartRow:
    """One row of the picture beside the paths: a host's state, the VIP, the probe, the balancer."""

    name: str
    spans: list[tuple[float, float, str]]  # start, end, state (such as up, down, lost, lknode01)


@dataclass(frozen=True)
class Measured:
    """One disruption, measured and judged."""

    disruption: str
    sentence: str
    design: str
    target: str
    before: str  # active node before
    after: str | None  # active node at the end, by who answered
    anchor: float  # when the disruption began; all times are absolute
    start: float
    end: float
    wall_minus_mono: float
    budget_s: float
    budget_because: str
    series: list[SeriesResult]
    boundaries: list[Boundary]
    chart_rows: list[ChartRow]
    log: list[tuple[float, str, str]]  # time, host, text: log lines, marks and events for the report's cursor
    timing: Verdict  # may the figures be trusted: calibration, noise, completeness
    tokens: TokenResult | None
    verdict: Verdict
    repeat: int = 0
    offset_s: float = 0.0
    notes: list[str] = field(default_factory=list)  # such as "lknode01 could not capture packets"
    noise: Verdict | None = None  # did the measuring hosts work quietly while it was measured, and when a path was out before it?
    observations: list[str] = field(default_factory=list)  # what it showed beside outages: what became of a held connection, and the like
    expects: dict[str, str] = field(default_factory=dict)  # path → recovers, untouched, out or any, as in the header

    def allowed_in_words(self, path: str) -> str:
        """For how long that path may be out, in words behind a figure: the budget, or not at all; empty where nothing is demanded of it."""
        effect = self.expects.get(path)
        if effect == "any":
            return ""
        return ", no outage allowed" if effect == "untouched" else f", {seconds(self.budget_s)} allowed"
