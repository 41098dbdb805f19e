"""docs/catches.md: fault by fault, which check catches it and what it says. Written from the results of the last run of each case."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from tests.cases.case import Result, all_cases

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "catches.md"
RESULTS = Path(__file__).with_name("results.json")
HEAD = """# Which check catches which fault

Written by `python -m tests.cases`, from what `lkharness check` and then `lkharness acceptance`, which only read, said of each fault on a
lab of its own. A fault is NAMED when one cause or finding has the host, the thing at fault and why; SYMPTOM when something failed and
nothing names it; MISSED when all was green: the suite asks whether the paths work now, and `check` also whether the next failover would.
Nothing may be found on a control. The cases are in `tests/cases/faults/`, a file for each family; `python -m tests.cases NAME` makes one
again.
"""


def results() -> dict[str, Result]:
    """Of each case that was made once, by name."""
    if not RESULTS.exists():
        return {}
    told = json.loads(RESULTS.read_text())
    return {name: Result(**{**one, "suite_fails": tuple(one.get("suite_fails", ()))}) for name, one in told.items()}


def store(fresh: Mapping[str, Result]) -> None:
    known = {case.name for case in all_cases()}
    before = results()
    merged = sorted({**before, **{name: _with_suite(one, before.get(name)) for name, one in fresh.items()}}.items())
    told = {n: {k: v for k, v in asdict(r).items() if k != "offline" and (v or not k.startswith("suite"))} for n, r in merged if n in known}
    RESULTS.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def _with_suite(fresh: Result, before: Result | None) -> Result:
    """What the suite made of it the last time stays where it was left out."""
    return fresh if fresh.suite or before is None else replace(fresh, suite=before.suite, suite_fails=before.suite_fails)


def page() -> str:
    told, cases = results(), all_cases()
    named = sum(told[c.name].verdict == "NAMED" for c in cases if c.name in told and not c.quiet)
    controls = [c for c in cases if c.quiet]
    lines = [HEAD, f"{named} of {len(cases) - len(controls)} faults are named; {len(controls)} controls.", ""]
    for family in dict.fromkeys(c.family for c in cases):
        lines += [f"## {family}", "", "| fault | lab | caught by | what it says | the suite, and what fails in it |"]
        lines.append("|---|---|---|---|---|")
        for case in cases:
            if case.family == family:
                one = told.get(case.name, Result("not made yet"))
                by = one.by if one.verdict == "NAMED" else f"{one.verdict} {one.by}".strip()
                lab = " ".join(w for w in case.lab if not w.startswith("--")) or "lifekeeper nat"
                lines.append(f"| {_cell(case.fault)} (`{case.name}`) | {lab} | {_cell(by)} | {_cell(one.says)} | {_cell(_suite(one))} |")
        lines.append("")
    return "\n".join(lines)


def _suite(one: Result) -> str:
    if not one.suite:
        return "not run yet"
    if one.suite == "NAMED" and not one.suite_fails:
        return "NAMED, nothing fails"
    return ": ".join(filter(None, (one.suite, ", ".join(one.suite_fails))))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
