"""docs/catches.md: fault by fault, which check catches it and what it says. Written from the results of the last run of each case."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.cases.case import Result, all_cases

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "catches.md"
RESULTS = Path(__file__).with_name("results.json")
HEAD = """# Which check catches which fault

Written by `python -m tests.cases`, from what `lkharness check` said of each fault on a lab of its own. A fault is NAMED when one cause or
finding has the host, the thing at fault and why; SYMPTOM when something failed and nothing names it; MISSED when all was green.
Nothing may be found on a control. The cases are in `tests/cases/faults/`, a file for each family; `python -m tests.cases NAME` makes one
again.
"""


def results() -> dict[str, Result]:
    """Of each case that was made once, by name."""
    return {name: Result(**told) for name, told in json.loads(RESULTS.read_text()).items()} if RESULTS.exists() else {}


def store(fresh: Mapping[str, Result]) -> None:
    known = {case.name for case in all_cases()}
    told = {n: {"verdict": r.verdict, "by": r.by, "says": r.says} for n, r in sorted({**results(), **fresh}.items()) if n in known}
    RESULTS.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def page() -> str:
    told, cases = results(), all_cases()
    named = sum(told[c.name].verdict == "NAMED" for c in cases if c.name in told and not c.quiet)
    controls = [c for c in cases if c.quiet]
    lines = [HEAD, f"{named} of {len(cases) - len(controls)} faults are named; {len(controls)} controls.", ""]
    for family in dict.fromkeys(c.family for c in cases):
        lines += [f"## {family}", "", "| fault | lab | caught by | what it says |", "|---|---|---|---|"]
        for case in cases:
            if case.family == family:
                one = told.get(case.name, Result("not made yet"))
                by = one.by if one.verdict == "NAMED" else f"{one.verdict} {one.by}".strip()
                lab = " ".join(w for w in case.lab if not w.startswith("--")) or "lifekeeper nat"
                lines.append(f"| {_cell(case.fault)} (`{case.name}`) | {lab} | {_cell(by)} | {_cell(one.says)} |")
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
