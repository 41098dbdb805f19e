"""Measurements as the page's templates want them: rows, stacked bars, strips of dots. Pure; escaping is the templates' business."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from harness.core.text.wording import seconds
from harness.measure.measurement_result import PHASES
from harness.report.html import azure_health_rows, chart_data
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.record.run_record import PathName, Result, RunRecord
from harness.report.statistics import outage_statistics
from harness.report.statistics.outage_statistics import Group, SeriesFigure, TokenTotals
from harness.report.statistics.percentiles import Distribution

_MAX_OPEN_CARDS = 3  # so many cards are unfolded from the start; the others one by one


@dataclass(frozen=True)
class StackPart:
    """One phase in a bar: `share` is its width in percent, `colour` the number of its boundary (0: a name of its own)."""

    name: str
    colour: int
    share: float
    seconds: float


@dataclass(frozen=True)
class Row:
    """One series of a measurement: its figure, and its longest outage cut into phases."""

    figure: SeriesFigure
    group: str
    label: str
    parts: list[StackPart]
    outage: str
    reason: str
    received: str


@dataclass(frozen=True)
class BoundaryRow:
    """One boundary between phases, as a row of the table."""

    number: int
    colour: int
    name: str
    since: float | None
    evidence: str
    source: str


@dataclass(frozen=True)
class Card:
    """One measurement."""

    number: int
    record: MeasurementRecord
    title: str
    result: Result
    anchor: str
    data: Markup
    rows: list[Row]
    boundaries: list[BoundaryRow]
    paths: dict[str, SeriesFigure]
    test_title: str
    tokens: TokenTotals | None
    open: bool


@dataclass(frozen=True)
class Strip:
    """A distribution as dots on one scale: positions in percent of its width."""

    distribution: Distribution
    dots: list[float]
    median: float | None
    p95: float | None
    budget: float


@dataclass(frozen=True)
class GroupView:
    """Repeats of one disruption beside each other."""

    title: str
    group: Group
    strips: list[Strip]


@dataclass(frozen=True)
class MeasuredView:
    """Everything measured in a run."""

    sentence: str
    worst: dict[str, SeriesFigure]
    kept: dict[str, SeriesFigure]
    tokens: TokenTotals | None
    calibration: str
    cards: list[Card]
    repeats: list[GroupView]
    phases: list[tuple[int, str]]


def measured_view(run: RunRecord, events: Sequence[Mapping[str, Any]] = ()) -> MeasuredView:
    """The measurements of a run for the page's templates."""
    titles = {test.id: test.title for test in run.tests}
    nodes = node_order(run)
    failed_ids = [r.id for r in run.measurements if r.measured.verdict.outcome.value != Result.PASS]
    open_ids = set(failed_ids if failed_ids else [r.id for r in run.measurements[:1]])
    open_ids = open_ids if len(open_ids) <= _MAX_OPEN_CARDS else set(failed_ids[:_MAX_OPEN_CARDS])
    cards = [_card(n, record, nodes, titles, record.id in open_ids, events) for n, record in enumerate(run.measurements, 1)]
    colours = {part.colour for card in cards for row in card.rows for part in row.parts}
    return MeasuredView(
        sentence=outage_statistics.sentence(run),
        worst=outage_statistics.worst_outages(run),
        kept=outage_statistics.worst_established(run),
        tokens=outage_statistics.token_totals(run.measurements),
        calibration=outage_statistics.calibration_in_words(run.calibration) if run.calibration else "",
        cards=cards,
        repeats=[GroupView(_title_of(g), g, strips(g.distributions)) for g in outage_statistics.groups(run) if g.distributions],
        phases=[(n, name) for n, name in enumerate(PHASES, 1) if n in colours],
    )


def node_order(run: RunRecord) -> list[str]:
    """The nodes in the order that gives each its colour; from the measurements where the cluster is not known."""
    if run.cluster:
        return [node.name for node in run.cluster.nodes]
    nodes = [s.node for r in run.measurements for t in r.measured.series for s in t.segments if s.node]
    return sorted(dict.fromkeys(nodes))


def title(record: MeasurementRecord) -> str:
    """`switchover`, `switchover, repeat 2`, `switchover, begun 0.120 s late`."""
    measured = record.measured
    text = measured.disruption
    text += f" of {measured.target}" if measured.target else ""
    text += f", repeat {measured.repeat + 1}" if measured.repeat else ""
    return text + (f", begun {seconds(measured.offset_s)} into the cycle" if measured.offset_s else "")


def strips(distributions: Sequence[Distribution]) -> list[Strip]:
    """All paths of one disruption on one scale."""
    widest = max((max([d.budget_s, *d.values]) for d in distributions), default=1.0) * 1.03 or 1.0

    def place(value: float | None) -> float | None:
        return None if value is None else round(100 * value / widest, 2)

    return [
        Strip(d, [round(100 * v / widest, 2) for v in d.values], place(d.median), place(d.p95), round(100 * d.budget_s / widest, 2))
        for d in distributions
    ]


def stack(record: MeasurementRecord, figure: SeriesFigure, widest: float) -> list[StackPart]:
    """The longest outage of a series as a bar, on a scale on which `widest` seconds fill it."""
    longest = figure.longest
    if longest is None:
        return []
    number, outage = longest
    phases = [(p.name, p.seconds) for p in record.phases_of(figure.series.id, number)] or [("out", outage.seconds)]
    return [StackPart(name, _colour(name), round(100 * length / widest, 2), length) for name, length in phases if length > 0]


def _card(
    number: int, record: MeasurementRecord, nodes: Sequence[str], titles: dict[str, str], is_open: bool, events: Sequence[Mapping[str, Any]]
) -> Card:
    measured = record.measured
    all_series = [SeriesFigure(record, series) for series in chart_data.sort_series(measured.series)]
    widest = max((o.seconds for f in all_series for o in f.series.outages), default=0.0) or 1.0
    return Card(
        number=number,
        record=record,
        title=title(record),
        result=Result(measured.verdict.outcome.value),
        anchor=f"measurement-{number}",
        data=chart_data.embed_json(chart_data.picture(record, nodes, azure_health_rows.chart_rows(events, measured.start, measured.end))),
        rows=[_row(record, figure, widest) for figure in all_series],
        boundaries=[
            BoundaryRow(n, _colour(b.name), b.name, None if b.at is None else b.at - measured.anchor, b.evidence, b.source)
            for n, b in enumerate(measured.boundaries, 1)
        ],
        paths={path.value: worst for path in PathName if (worst := outage_statistics.worst_of(record, path))},
        test_title=titles.get(record.test, record.test),
        tokens=outage_statistics.token_totals([record]),
        open=is_open,
    )


def _row(record: MeasurementRecord, figure: SeriesFigure, widest: float) -> Row:
    longest = figure.longest
    outage = longest[1] if longest else None
    more_outages = len(figure.series.outages) - 1
    text = outage_statistics.outage_words(outage) if outage else ""
    if outage and outage.end is None:
        text += ", still out at the end"
    return Row(
        figure=figure,
        group=chart_data.group_label(figure.series),
        label=chart_data.series_label(figure.series),
        parts=stack(record, figure, widest),
        outage=f"{text}; {more_outages} more" if more_outages > 0 else text,
        reason=outage.reason if outage else "",
        received=_receivers_in_words(outage.attributed) if outage else "",
    )


def _receivers_in_words(attributed: dict[str, int]) -> str:
    return ", ".join(f"{n} received by {node or 'no node that was watched'}" for node, n in attributed.items())


def _colour(boundary: str) -> int:
    return PHASES.index(boundary) + 1 if boundary in PHASES else 0


def _title_of(group: Group) -> str:
    return f"{group.name}, {len(group.records)} times"
