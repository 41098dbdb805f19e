"""Is a run slower than its baseline? Of each disruption its paths and its phases, corrected for their number. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from harness.core.text.wording import count, seconds
from harness.gate.gate_file import Slowdown
from harness.gate.path_and_phase_figures import LAG, PHASE, Direction, Sample, is_path
from harness.report.record.gate_record import GateFinding
from harness.report.statistics.detectable_shift import visible_shift
from harness.report.statistics.multiple_comparisons import Block, Joint, joint_test
from harness.report.statistics.stratified_shift import Shift, holm, shift_test

PASS, FAIL, REFUSED = "pass", "fail", "refused"


@dataclass(frozen=True)
class _Figure:
    """One figure of a disruption, compared. `p` is corrected for all comparisons of the run."""

    disruption: str
    name: str
    shift: Shift
    allowed: float
    visible: float
    p: float = 1.0


@dataclass(frozen=True)
class _Comparison:
    """One disruption, ready to be compared: its directions that both sides measured, what may be compared, and what cannot be."""

    disruption: str
    before: Sample
    after: Sample
    directions: Sequence[Direction]
    allowed: Mapping[str, float]
    notes: Sequence[str]
    seldom: Sequence[str]
    """Parts that were seen in too few repeats of either side."""


def slowdown(
    before: Mapping[str, Sample],
    after: Mapping[str, Sample],
    demand: Slowdown,
    must_see_s: float,
    scatter: Mapping[str, Mapping[str, float]] | None = None,
    demanded: Sequence[str] = (),
) -> list[GateFinding]:
    """Findings for each disruption that the run or the baseline measured.

    `must_see_s` is what must have been visible where the gate file does not say; `scatter` is by how much the baseline's own runs differ,
    by disruption and figure; `demanded` are the disruptions that the gate demands: one that only the baseline has is refused where there
    is no such list.
    """
    all_findings: list[GateFinding] = []
    ready: list[_Comparison] = []
    for disruption in dict.fromkeys([*after, *before]):
        prepared = _ready(disruption, before, after, demand, (scatter or {}).get(disruption, {}), demanded)
        if isinstance(prepared, GateFinding):
            all_findings.append(prepared)
        else:
            findings, comparison = prepared
            all_findings += findings
            ready += [comparison] if comparison.allowed else []
    level = demand.false_alarms / max(1, len(ready))
    figures = [figure for comparison in ready for figure in _compared(comparison, level)]
    corrected = holm([figure.p for figure in figures], [figure.disruption for figure in figures])
    figures = [replace(figure, p=p) for figure, p in zip(figures, corrected, strict=True)]
    for comparison in ready:
        own_figures = [figure for figure in figures if figure.disruption == comparison.disruption]
        all_findings += _judge_comparison(comparison, own_figures, level, demand, demand.must_see_s or must_see_s)
    return all_findings


def _ready(
    disruption: str,
    before: Mapping[str, Sample],
    after: Mapping[str, Sample],
    demand: Slowdown,
    scatter: Mapping[str, float],
    demanded: Sequence[str],
) -> GateFinding | tuple[list[GateFinding], _Comparison]:
    old, new = before.get(disruption, Sample()), after.get(disruption, Sample())
    if disruption not in after:
        if demanded:
            return _finding(disruption, "", PASS, "only the baseline measured it, and this gate does not demand it (disruptions)")
        return _finding(disruption, "", REFUSED, "the baseline measured it, this run did not; `disruptions` may say what must be measured")
    if disruption not in before:
        return _finding(disruption, "", REFUSED, "this run measured it, the baseline did not")
    directions = [way for way in new.by_direction if way in old.by_direction]
    once = [way for way in dict.fromkeys([*new.by_direction, *old.by_direction]) if way not in directions]
    who = {way: "this run" if way in new.by_direction else "the baseline" for way in once}
    notes = [f"from {way[0]} only {side} measured it" for way, side in who.items()]
    refused, allowed, seldom = list[GateFinding](), dict[str, float](), list[str]()
    paths = [path for path in dict.fromkeys([*new.paths, *old.paths])]
    for path in paths:
        n, m = _repeats(path, old, new, directions)
        if min(n, m) < demand.least_repeats:
            why = f"{count(n, 'repeat')} of the baseline against {m} from the same node; {demand.least_repeats} of each are demanded"
            refused.append(_finding(disruption, path, REFUSED, "; ".join([why, *_unknown(path, old, new), *notes])))
        elif not math.isfinite(median(value for way in directions for value in old.of(path, way))):
            refused.append(_finding(disruption, path, REFUSED, "in the baseline itself most repeats did not recover"))
        else:
            allowed[path] = _allowed(demand, _middle(old, path), scatter.get(path, 0.0))
    longest = max((_middle(old, path) for path in allowed), default=0.0)
    for part in dict.fromkeys([*new.names, *old.names]) if allowed else ():
        if is_path(part) or (part.startswith(LAG) and part.removeprefix(LAG) not in allowed):
            continue
        n, m = _repeats(part, old, new, directions)
        if min(n, m) < max(2, demand.least_repeats // 2):
            seldom.append(part.removeprefix(PHASE))
        else:
            allowed[part] = _allowed(demand, longest, scatter.get(part, 0.0))
    return refused, _Comparison(disruption, old, new, directions, allowed, notes, seldom)


def _repeats(name: str, before: Sample, after: Sample, directions: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """How many repeats before and after have this figure, from the nodes from which both have it."""
    pairs = [(len(before.of(name, way)), len(after.of(name, way))) for way in directions]
    return sum(n for n, m in pairs if m), sum(m for n, m in pairs if n)


def _allowed(demand: Slowdown, middle: float, scatter: float) -> float:
    """A part of a path may take as much longer as the whole path may."""
    allowed = max(demand.absolute_s, demand.relative * middle, scatter)
    return allowed if math.isfinite(allowed) else max(demand.absolute_s, 0.0)


def _middle(sample: Sample, path: str) -> float:
    return median(sample.of(path))


def _compared(comparison: _Comparison, level: float) -> Iterable[_Figure]:
    """Every figure of one disruption, with its p corrected for all of them together."""
    ways = [(comparison.before.by_direction[way], comparison.after.by_direction[way]) for way in comparison.directions]
    rows: list[list[float | None]] = []
    for name, allowed in comparison.allowed.items():
        rows.append(
            [
                (None if name not in repeat else repeat[name] - less)
                for old, new in ways
                for side, less in ((old, 0.0), (new, allowed))
                for repeat in side
            ]
        )
    joint: Joint = joint_test(Block([(len(old), len(new)) for old, new in ways], rows))
    critical = joint.critical(level)
    for (name, allowed), p in zip(comparison.allowed.items(), joint.p, strict=True):
        pairs = [(comparison.before.of(name, way), comparison.after.of(name, way)) for way in comparison.directions]
        both = [(old, new) for old, new in pairs if old and new]
        yield _Figure(comparison.disruption, name, shift_test(both, alone=False), allowed, visible_shift(both, critical), p)


def _judge_comparison(
    comparison: _Comparison, figures: Sequence[_Figure], level: float, demand: Slowdown, must_see_s: float
) -> Iterable[GateFinding]:
    paths = [figure for figure in figures if is_path(figure.name)]
    parts = [figure for figure in figures if not is_path(figure.name)]
    slower = [figure for figure in parts if figure.p < demand.false_alarms]
    ways = [(comparison.before.by_direction[way], comparison.after.by_direction[way]) for way in comparison.directions]
    hopeless = 1 / Block([(len(old), len(new)) for old, new in ways], []).arrangements >= level
    # A slowdown may hide in a part that could not be compared: then what the others show says nothing about the whole.
    least = math.inf if comparison.seldom else max((figure.visible for figure in parts), default=math.inf)
    for figure in paths:
        words = "; ".join([_figure_in_words(figure), *_unknown(figure.name, comparison.before, comparison.after), *comparison.notes])
        visible, sensitivity = figure.visible, "no shift would have been seen"
        if math.isfinite(visible):
            sensitivity = f"a shift of {seconds(visible)} beyond that would have been seen in 80 %"
        if figure.p < demand.false_alarms:
            outcome, reason = FAIL, f"slower by {words}"
        elif hopeless:
            outcome, reason = REFUSED, f"{words}; so few repeats can never tell"
        elif figure.visible <= must_see_s:
            outcome, reason = PASS, f"{words}; {sensitivity}"
        elif least <= must_see_s:
            visible = least
            outcome, reason = PASS, f"{words}; in any one of its phases a shift of {seconds(least)} would have been seen in 80 %"
        else:
            outcome, reason = REFUSED, f"{words}; the figures scatter too much: {sensitivity}, {seconds(must_see_s)} is demanded"
        yield _finding(figure.disruption, figure.name, outcome, reason, figure, visible)
    for figure in slower:
        yield _finding(figure.disruption, figure.name, FAIL, f"slower by {_figure_in_words(figure)}", figure)
    if parts and not slower:
        sensitivity = f"; a shift of {seconds(least)} in any of them would have been seen in 80 %" if math.isfinite(least) else ""
        words = f"{count(len(parts), 'part')} compared one by one: none is slower than allowed{sensitivity}"
        rarely = f"; seen in too few repeats to be compared: {', '.join(comparison.seldom)}" if comparison.seldom else ""
        most = min(parts, key=lambda figure: figure.p)
        yield _finding(comparison.disruption, "phases", PASS, f"{words}{rarely}", most, least, by=False)


def _figure_in_words(figure: _Figure) -> str:
    shift = figure.shift
    return (
        f"{_signed(shift.by)} ({_signed(shift.low)} to {_signed(shift.high)}) against the baseline, {seconds(figure.allowed)} allowed, "
        f"{shift.before} against {shift.after} repeats, p = {figure.p:.4f} corrected"
    )


def _unknown(path: str, before: Sample, after: Sample) -> list[str]:
    """What is not known of it, a clause for each side."""
    sides = (("baseline", before.not_known.get(path, 0)), ("run", after.not_known.get(path, 0)))
    return [f"{count(number, 'more repeat')} of the {side} without a figure that can be relied on" for side, number in sides if number]


def _finding(
    disruption: str, name: str, outcome: str, reason: str, figure: _Figure | None = None, visible: float | None = None, *, by: bool = True
) -> GateFinding:
    what = f", {name} path" if name and is_path(name) else f", {name}" if name else ""
    visible_s = figure.visible if visible is None and figure is not None else visible
    return GateFinding(
        about=f"slowdown: {disruption}{what}",
        outcome=outcome,
        reason=reason,
        p=figure.p if figure is not None else None,
        shift_s=_finite(figure.shift.by) if figure is not None and by else None,
        visible_s=_finite(visible_s) if visible_s is not None else None,
    )


def _signed(value: float) -> str:
    if math.isinf(value):
        return "unbounded"
    return f"{'-' if value < 0 else '+'}{seconds(abs(value))}"


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
