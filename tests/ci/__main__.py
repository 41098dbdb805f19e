"""`python -m tests.ci change|deep [--record]`: run the parts; exit 0 when each of them ran and passed, else 1."""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from datetime import UTC, datetime

from tests.ci import page, times
from tests.ci.outcome import Outcome
from tests.ci.parts import PLANS
from tests.ci.runner import REPOSITORY, run

PAGE = REPOSITORY / "reports" / "deep.html"


def main() -> int:
    parser = argparse.ArgumentParser(prog=".ci/run", description="Run the parts, one after the other; see docs/testing.md.")
    parser.add_argument("plan", choices=PLANS, help="what a change can break, or the deep tests")
    parser.add_argument("--record", action="store_true", help="add what the parts took to .ci/times.tsv")
    given = parser.parse_args()
    outcomes = [Outcome(part) for part in PLANS[given.plan]]
    last_line = ""
    for outcome in outcomes:
        print(f"{last_line}ci: {outcome.part.name}: ./run {' '.join(outcome.part.words)}", flush=True)
        last_line = run(outcome.part, outcome)
    date, commit = datetime.now(UTC).strftime("%Y-%m-%d"), _commit()
    rows = times.of_run(outcomes, date, commit)
    recorded = times.read() if given.plan == "change" else []
    print("\n" + _table(outcomes, rows, recorded))
    if given.plan == "deep":
        about = f"{date}, commit {commit}, {platform.node()}, Python {platform.python_version()}"
        page.write(PAGE, "The deep tests", about, outcomes)
        print(f"ci: {PAGE}")
    else:
        print(f"ci: {times.growth(rows[-1], recorded)}")
    if given.record and given.plan == "change":
        times.append(rows)
    print(last_line, end="", flush=True)
    return int(any(outcome.trouble for outcome in outcomes))


def _table(outcomes: list[Outcome], rows: list[times.Row], recorded: list[times.Row]) -> str:
    width = max(len(row.part) for row in rows)
    results = ["; ".join([outcome.trouble or "passed", *outcome.summaries]) for outcome in outcomes]
    bad = sum(bool(outcome.trouble) for outcome in outcomes)
    results.append(f"{bad} of {len(outcomes)} parts did not pass" if bad else f"all {len(outcomes)} parts passed")
    lines = [f"ci: {'part':{width}}  {'wall s':>7}  {'usual':>7}  {'processor s':>11}  result"]
    for row, result in zip(rows, results, strict=True):
        before = times.usual(row.part, recorded)
        usual = f"{before[0]:.1f}" if before else "-"
        lines.append(f"ci: {row.part:{width}}  {row.wall_s:7.1f}  {usual:>7}  {row.processor_s:11.1f}  {result}")
    return "\n".join([*lines, *(f"ci: {o.part.name}: {failure}" for o in outcomes for failure in o.failures)])


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
