"""The conformance page names tests that exist and that carry the fact they are named for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FACT = re.compile(r"^[A-Z]+-\d+$")


def rows() -> list[tuple[str, list[str]]]:
    """Each fact of the page and the tests named for it, as file::name."""
    found = []
    for line in (ROOT / "docs/conformance.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        facts = [part.strip() for part in cells[0].split(",")]
        if len(cells) < 5 or not all(FACT.match(fact) for fact in facts):
            continue
        tests, file = [], ""
        for named_file, name in re.findall(r"(?:(test_\w+\.py|judge))?::(test_\w+)", cells[2]):
            file = {"judge": "test_health_probe.py"}.get(named_file, named_file) or file
            tests.append(f"{file}::{name}")
        found += [(fact, tests) for fact in facts]
    return found


def test_the_page_is_read() -> None:
    assert len(rows()) > 90
    assert sum(len(tests) for _, tests in rows()) > 120


@pytest.mark.parametrize(("fact", "tests"), [(fact, tests) for fact, tests in rows() if tests])
def test_every_named_test_is_there_and_carries_its_fact(fact: str, tests: list[str]) -> None:
    carrying = []
    for test in tests:
        file, name = test.split("::")
        source = (ROOT / "tests/lab" / file).read_text()
        head = re.search(rf"((?:^@.*\n(?:^[ )].*\n)*)*)^(?:async )?def {name}\(", source, flags=re.M)
        assert head, f"{test} is named for {fact} but is not there"
        carrying.append(f'"{fact}"' in head[1])
    assert any(carrying), f"no test named for {fact} carries it as a marker: {tests}"
