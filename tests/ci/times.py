"""What the parts took in runs that somebody recorded, so that growth is seen.

Wall time says what a developer waits for; processor time hardly depends on what else the machine does.
"""

from __future__ import annotations

import csv
import statistics
from dataclasses import dataclass
from pathlib import Path

from tests.ci.outcome import Outcome

FILE = Path(__file__).resolve().parents[2] / ".ci" / "times.tsv"
COLUMNS = ("date", "commit", "part", "wall_s", "processor_s", "tests")
SUM = "sum"
LAST = 5  # runs that a new one is compared with
GREW = 1.25  # times the median of these: said as growth


@dataclass(frozen=True)
class Row:
    date: str
    commit: str
    part: str
    wall_s: float
    processor_s: float
    tests: int


def read(file: Path = FILE) -> list[Row]:
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t")
        return [Row(r["date"], r["commit"], r["part"], float(r["wall_s"]), float(r["processor_s"]), int(r["tests"])) for r in rows]


def of_run(outcomes: list[Outcome], date: str, commit: str) -> list[Row]:
    """A row for each part, and their sum."""
    rows = [Row(date, commit, o.part.name, round(o.wall_s, 1), round(o.processor_s, 1), sum(o.counts.values())) for o in outcomes]
    total = Row(date, commit, SUM, sum(r.wall_s for r in rows), sum(r.processor_s for r in rows), sum(r.tests for r in rows))
    return [*rows, total]


def append(rows: list[Row], file: Path = FILE) -> None:
    fresh = not file.exists()
    with file.open("a", newline="") as lines:
        writer = csv.writer(lines, delimiter="\t", lineterminator="\n")
        if fresh:
            writer.writerow(COLUMNS)
        writer.writerows([r.date, r.commit, r.part, f"{r.wall_s:.1f}", f"{r.processor_s:.1f}", r.tests] for r in rows)


def usual(part: str, recorded: list[Row]) -> tuple[float, float] | None:
    """The median wall and processor times of the last runs; None when none was recorded."""
    last = [r for r in recorded if r.part == part][-LAST:]
    return (statistics.median(r.wall_s for r in last), statistics.median(r.processor_s for r in last)) if last else None


def growth(total: Row, recorded: list[Row]) -> str:
    """One sentence on the sum of the times against the last runs'."""
    before = usual(SUM, recorded)
    if before is None:
        return f"{total.wall_s / 60:.1f} min in all; no earlier run is recorded in {FILE.parent.name}/{FILE.name}"
    runs = min(LAST, sum(r.part == SUM for r in recorded))
    wall, processor = total.wall_s / before[0], total.processor_s / before[1]
    said = (
        f"{total.wall_s / 60:.1f} min in all, {wall:.2f} times the median of the last {runs} recorded, processor time {processor:.2f} times"
    )
    return said + (": IT GREW" if processor > GREW else "")
