"""A measurement explained: every outage's longest phase with what it waited for, and which phase was over its part of the budget. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from harness.core.text.host_text import one_line
from harness.core.text.wording import count, seconds
from harness.core.verdict import Outcome
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.outages import phase_explanations
from harness.diagnosis.outages.budget_terms import Term, share, terms
from harness.diagnosis.outages.path_phases import ANSWER, LASTED, OWN, STILL_OUT, OutageCutter, PathPhases
from harness.diagnosis.outages.phase_explanations import Wait
from harness.measure.measurement_result import Measured, Outage, SeriesResult

MAX_OUTAGES = 1000  # of one measurement: a run's folder may be a stranger's
MAX_LOG_LINES = 3  # lines of a host's log that are quoted of one phase
MAX_LISTED_OUTAGES = 20  # outages that are listed under one cause
BEGINS = "the disruption begins"  # as a measurement's log has it
NOTHING_MOVED = "nothing moved"


@dataclass(frozen=True)
class OutageExplanation:
    """One outage: its phases by what this path waited for, and the wait that was the longest."""

    series: SeriesResult
    number: int
    outage: Outage
    phases: PathPhases
    wait: Wait
    certainty: Certainty
    over: str = ""  # the phases that took more than their part of the budget, in words

    @property
    def name(self) -> str:
        """The path or origin and the service, for a sentence."""
        suffix = "" if self.series.kind == "new" else ", kept connection"
        return f"{self.series.path or self.series.origin}/{self.series.service}{suffix}"

    @property
    def failed(self) -> bool:
        """Whether the series failed."""
        return self.series.verdict.outcome is Outcome.FAIL

    def as_data(self, measurement: str, measured: Measured) -> dict[str, Any]:
        """The outage as `explain --json` prints it."""
        longest = self.phases.longest
        return {
            "measurement": measurement,
            "disruption": measured.disruption,
            "series": self.series.id,
            "path": self.series.path,
            "service": self.series.service,
            "outage": self.number,
            "seconds": round(self.outage.seconds, 6),
            "ended": self.outage.end is not None,
            "budget_s": measured.budget_s,
            "outcome": str(self.series.verdict.outcome),
            "longest": {
                "phase": longest.name,
                "seconds": round(longest.seconds, 6),
                "waited": self.wait.until,
                "host": self.wait.host,
                "certainty": str(self.certainty),
            },
            "over": self.over,
            "phases": [{"name": p.name, "seconds": round(p.seconds, 6)} for p in self.phases.pieces],
        }


@dataclass(frozen=True)
class Explained:
    """Causes of one measurement, each with the outages that it explains."""

    causes: tuple[Cause, ...] = ()
    under: tuple[tuple[str, ...], ...] = ()
    failed: tuple[bool, ...] = ()
    outages: tuple[OutageExplanation, ...] = field(default=())


def explain(measured: Measured) -> Explained:
    """Outages with the same longest wait are one cause; those of paths that failed come first, then the longest."""
    if not _was_done(measured):
        return Explained()  # the verdict says so, and what was out meanwhile is not its doing
    budget_terms = terms(measured.budget_because)
    cutter = OutageCutter(measured)
    outages = [(series, n, outage) for series in measured.series for n, outage in enumerate(series.outages)]
    outages = [(t, n, o) for t, n, o in outages if o.end is None or o.end >= measured.anchor]
    explanations = [_explain_outage(cutter, series, n, outage, budget_terms) for series, n, outage in outages[:MAX_OUTAGES]]
    explanations.sort(key=lambda explanation: (not explanation.failed, explanation.phases.longest.name, explanation.wait.until))
    groups = [
        list(group)
        for _, group in groupby(
            explanations, key=lambda explanation: (explanation.failed, explanation.phases.longest.name, explanation.wait.until)
        )
    ]
    groups.sort(key=lambda group: (not group[0].failed, -max(explanation.outage.seconds for explanation in group)))
    return Explained(
        tuple(_cause(measured, group, budget_terms) for group in groups),
        tuple(tuple(dict.fromkeys(explanation.name for explanation in group)) for group in groups),
        tuple(group[0].failed for group in groups),
        tuple(explanation for group in groups for explanation in group),
    )


def _was_done(measured: Measured) -> bool:
    """Does the record say when the disruption began? Where it passed, it did."""
    has_begun = any(host == "harness" and text.startswith(BEGINS) for _, host, text in measured.log)
    return has_begun or measured.verdict.outcome is not Outcome.INCONCLUSIVE


def _explain_outage(
    cutter: OutageCutter, series: SeriesResult, number: int, outage: Outage, budget_terms: Mapping[str, Term]
) -> OutageExplanation:
    phases = cutter.cut(series, outage)
    wait = phase_explanations.of(phases.longest, phases.node, cutter.measured, series, budget_terms)
    return OutageExplanation(series, number, outage, phases, wait, _certainty(phases, cutter.measured), _over(phases, series, budget_terms))


def _certainty(phases: PathPhases, measured: Measured) -> Certainty:
    """Certain where the phase's end was seen, no other moment may hide in it, and the timing may be trusted."""
    longest = phases.longest
    if measured.timing.outcome is not Outcome.PASS:
        return Certainty.LIKELY
    if longest.name in (LASTED, STILL_OUT):
        return Certainty.CERTAIN if longest.name == LASTED else Certainty.LIKELY
    return Certainty.CERTAIN if not hidden(phases) else Certainty.LIKELY


def hidden(phases: PathPhases) -> list[str]:
    """The moments that nobody saw and that usually come in the longest phase: after the moment before it, and before its end."""
    longest = phases.longest
    place = phases.pieces.index(longest)
    before = phases.pieces[place - 1].name if place else ""
    first = OWN.index(before) + 1 if before in OWN else 0
    last = OWN.index(longest.name) if longest.name in OWN else len(OWN)
    names = OWN[first:last]
    return [f"{b.name} was {b.evidence}" for b in phases.unseen if b.name in names and NOTHING_MOVED not in b.evidence]


def _over(phases: PathPhases, series: SeriesResult, budget_terms: Mapping[str, Term]) -> str:
    """Which part of the outage took more than the budget has for it, by more than the meter's period; the worst one."""
    worst, excess = series.period_s, ""
    for piece in phases.pieces:
        part = share(piece.name, budget_terms)
        if part is None:
            continue
        names, allowed = part
        took = phases.of(names)
        if took - allowed > worst:
            phase_names = [p.name for p in phases.pieces if p.name in names]
            worst = took - allowed
            excess = f"“{', '.join(dict.fromkeys(phase_names))}” took {seconds(took)}, of the budget's sum {seconds(allowed)} are for it"
    return excess


def _cause(measured: Measured, group: Sequence[OutageExplanation], budget_terms: Mapping[str, Term]) -> Cause:
    worst = max(group, key=lambda explanation: (explanation.phases.longest.seconds, explanation.outage.seconds))
    longest = worst.phases.longest
    of = f" of {measured.target}" if measured.target else ""
    names = dict.fromkeys(explanation.name for explanation in group)
    whose = group[0].name if len(names) == 1 else count(len(names), "path")
    whose += " was" if len(names) == 1 else " were"
    whose += f" out {len(group)} times" if len(group) > len(names) else " out"
    out = _span([explanation.outage.seconds for explanation in group])
    allowed = measured.allowed_in_words(worst.series.path) if worst.failed else ""
    says = f"{measured.disruption}{of}: {whose} for {out}{allowed}; {_most(group)} waited {worst.wait.until}"
    if longest.name == STILL_OUT:
        missing = hidden(worst.phases)
        says = f"{measured.disruption}{of}: {whose}, and did not come back in {out}{f': {missing[0]}' if missing else ''}"
    overs = list(dict.fromkeys(explanation.over for explanation in group if explanation.over))
    if worst.failed and overs:
        says += f"; {overs[0]}"
    certainty = Certainty.LIKELY if any(explanation.certainty is Certainty.LIKELY for explanation in group) else Certainty.CERTAIN
    return Cause(
        one_line(says),
        worst.wait.host or measured.target,
        certainty,
        worst.wait.do,
        tuple(one_line(line) for line in _evidence(measured, group, worst)),
        one_line(_otherwise(worst, measured)),
    )


def _most(group: Sequence[OutageExplanation]) -> str:
    longest = [explanation.phases.longest.seconds for explanation in group]
    half = all(explanation.phases.longest.seconds * 2 >= explanation.outage.seconds for explanation in group)
    part = "most of it" if half else "the longest part of it"
    return f"{part}, {_span(longest)},"


def _span(values: Sequence[float]) -> str:
    least, most = seconds(min(values)), seconds(max(values))
    return most if least == most else f"{least.removesuffix(' s')} to {most}"


def _evidence(measured: Measured, group: Sequence[OutageExplanation], worst: OutageExplanation) -> Iterator[str]:
    for explanation in group[:MAX_LISTED_OUTAGES]:
        pieces = ", ".join(f"{p.name} {seconds(p.seconds)}" for p in explanation.phases.pieces)
        yield f"{explanation.name} from {explanation.series.origin}: {explanation.outage.seconds:.3f} s = {pieces} (recording)"
    if len(group) > MAX_LISTED_OUTAGES:
        yield f"and {count(len(group) - MAX_LISTED_OUTAGES, 'more outage')} with the same longest wait (recording)"
    for piece in worst.phases.pieces:
        if piece is worst.phases.longest and piece.end is not None and piece.end.at is not None:
            yield f"{piece.end.name} {piece.end.at - measured.anchor:+.3f} s: {piece.end.evidence} ({piece.end.source or 'harness'})"
    if any(measured.expects.get(explanation.series.path) != "untouched" for explanation in group):
        yield f"budget {measured.budget_s:g} s = {measured.budget_because} (cluster file)"
    yield from _log(measured, worst)
    yield from dict.fromkeys(
        f"{explanation.name}: {explanation.series.verdict.reason} (judgement)" for explanation in group if explanation.failed
    )


def _log(measured: Measured, worst: OutageExplanation) -> Iterator[str]:
    """What managers logged in the longest phase: its last words before the end of it."""
    began = worst.outage.start
    for piece in worst.phases.pieces:
        if piece is worst.phases.longest:
            break
        began += piece.seconds
    until = began + worst.phases.longest.seconds
    events = ("packet ", "vip-", "listener-", "host-", "agent-", "witness-", "no-capture", "coarse", "tokens")
    entries = [(at, host, text) for at, host, text in measured.log if began <= at <= until and host != "harness"]
    lines = [(at, host, text) for at, host, text in entries if not text.startswith(events)]
    for at, host, text in lines[-MAX_LOG_LINES:]:
        yield f"log {at - measured.anchor:+.3f} s: {text} ({host})"


def _otherwise(worst: OutageExplanation, measured: Measured) -> str:
    reasons = hidden(worst.phases)
    if worst.phases.longest.name == ANSWER and worst.phases.longest.seconds > 2 * worst.series.period_s:
        reasons = [*reasons, "what came between was not seen to have a moment of its own"]
    if measured.timing.outcome is not Outcome.PASS:
        reasons = [*reasons, f"the timing may not be trusted: {measured.timing.reason}"]
    return f"the time may belong to something that was not seen: {'; '.join(reasons)}" if reasons else ""
