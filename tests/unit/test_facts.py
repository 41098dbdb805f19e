"""Every fact id that the code or the documents cite leads to a row of docs/facts.md."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from harness import cli
from harness.core import facts

REPOSITORY = Path(__file__).parents[2]
FAMILIES = {name.partition("-")[0] for name in facts.rows()}


def cited() -> dict[str, str]:
    """Each id, and a file that cites it."""
    found: dict[str, str] = {}
    tracked = subprocess.run(
        ["git", "ls-files", "harness", "docs", "README.md"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    for name in tracked.stdout.split():
        path = REPOSITORY / name
        if name == "docs/facts.md" or not path.exists() or path.suffix not in (".py", ".md", ".sh", ".ps1", ".j2", ".json"):
            continue
        for one in re.findall(rf"\b{facts.ID.pattern}\b", path.read_text(encoding="utf-8")):
            if one.partition("-")[0] in FAMILIES:
                found.setdefault(one, name)
    return found


def test_every_cited_fact_has_a_row():
    known = facts.rows()
    assert {"WNET-101", "WHST-117", "WCLU-125", "MK-01"} <= set(cited())  # of three digits, and our own questions: looked for as well
    missing = {one: where for one, where in cited().items() if one not in known}
    assert not missing, f"no row in docs/facts.md: {missing}"


def test_a_fact_is_printed(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["fact", "dsn-06", "PRB-24"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("DSN-06  ") and "\nPRB-24  " in said
    assert cli.main(["fact", "--json", "DSN-06"]) == 0
    assert json.loads(capsys.readouterr().out)["facts"]["DSN-06"] == facts.rows()["DSN-06"]


def test_a_fact_of_three_digits_is_printed(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["fact", "WNET-101", "WCLU-125", "MK-01"]) == 0
    assert "ghost adapters" in capsys.readouterr().out


def test_an_id_that_is_not_there_is_told_with_what_is_near(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["fact", "DSN-66"]) == 2
    said = capsys.readouterr().err
    assert "DSN-66: there is no such fact; did you mean " in said and "DSN-06" in said
