"""`python -m tests.cases [NAME …]`: make the faults, judge what is said of them, and write docs/catches.md from the results.

`--list` prints what there is; `--page` writes the page from the results that are stored, and makes nothing; `--no-suite` leaves the
acceptance suite out, which takes two thirds of the time.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.cases import catches
from tests.cases.case import Result, all_cases
from tests.cases.case_lab import CannotBeMade, run


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _end)
    options = argparse.ArgumentParser(prog="python -m tests.cases", description=__doc__)
    options.add_argument("name", nargs="*", help="cases or families; none means all")
    options.add_argument("--list", action="store_true")
    options.add_argument("--page", action="store_true")
    options.add_argument("--no-suite", action="store_true")
    wanted = options.parse_args()
    cases = [c for c in all_cases() if not wanted.name or c.family in wanted.name or any(c.name.startswith(n) for n in wanted.name)]
    if wanted.list:
        print("\n".join(f"{c.family:12} {c.name:36} {c.fault}" for c in cases))
        return 0
    sums: dict[str, int] = {}
    for case in () if wanted.page else cases:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="case-") as folder:
            try:
                result = run(case, Path(folder), suite=not wanted.no_suite)
            except CannotBeMade as error:
                result = Result("NOT MADE", "", str(error))
        print(f"{result.verdict:8} {case.name:36} {time.monotonic() - began:5.1f} s  {result.by}: {result.says}", flush=True)
        if result.suite:
            print(f"{'':8} the acceptance suite: {result.suite}: {', '.join(result.suite_fails) or 'all pass'}", flush=True)
        for difference in result.offline:
            print(f"{'':8} its bundle differs: {difference}", flush=True)
        suite = [f"SUITE {result.suite}"] if result.suite else []
        for what in (result.verdict, *suite, *(["OFFLINE DIFFERS"] if result.offline and not case.fleeting else [])):
            sums[what] = sums.get(what, 0) + 1
        if result.verdict != "NOT MADE":
            catches.store({case.name: result})
    catches.PAGE.write_text(catches.page())
    print(" · ".join(f"{k} {n}" for k, n in sorted(sums.items())))
    return 0 if set(sums) <= {"NAMED", "SUITE NAMED", "SUITE SYMPTOM", "SUITE MISSED"} else 1


def _end(number: int, frame: object) -> None:
    """Ended by the first of these signals, so that no lab is left; a second one does not disturb the taking down."""
    for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(one, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
