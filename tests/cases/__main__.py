"""`python -m tests.cases [NAME …]`: make the faults, judge what is said of them, and write docs/catches.md from the results.

`--list` prints what there is; `--page` writes the page from the results that are stored, and makes nothing.
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no lab is left
    options = argparse.ArgumentParser(prog="python -m tests.cases", description=__doc__)
    options.add_argument("name", nargs="*", help="cases or families; none means all")
    options.add_argument("--list", action="store_true")
    options.add_argument("--page", action="store_true")
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
                result = run(case, Path(folder))
            except CannotBeMade as error:
                result = Result("NOT MADE", "", str(error))
        sums[result.verdict] = sums.get(result.verdict, 0) + 1
        print(f"{result.verdict:8} {case.name:36} {time.monotonic() - began:5.1f} s  {result.by}: {result.says}", flush=True)
        if result.verdict != "NOT MADE":
            catches.store({case.name: result})
    catches.PAGE.write_text(catches.page())
    print(" · ".join(f"{k} {n}" for k, n in sorted(sums.items())))
    return 0 if set(sums) <= {"NAMED"} else 1


if __name__ == "__main__":
    sys.exit(main())
