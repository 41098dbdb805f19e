"""A run folder from a stranger: whatever its recording holds, `judge` says so in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_reevaluate import ID, run_dir, stored  # noqa: F401

from harness import cli

WRONG: dict[str, dict[str, Any]] = {
    "rows of words": {"is": "s", "rows": [["a", "b", "c", "d", "e"]]},
    "rows that are too long": {"is": "s", "rows": [[1.0] * 40]},
    "sightings of words": {"is": "w", "rows": [["a"] * 9]},
    "a mark without a time": {"is": "m", "at": "soon", "kind": "begin", "text": ""},
    "an event of lists": {"is": "e", "at": [], "host": {}, "kind": [], "text": 3, "data": {}},
    "a clock of words": {"is": "c", "host": "lkclient", "at": "x", "offset_s": "y", "error_s": "z", "wall_s": "w"},
    "noise of nothing": {
        "is": "n",
        "at": None,
        "host": None,
        "ticks": None,
        "late_ticks": None,
        "worst_late_s": None,
        "steal": None,
        "load": None,
    },
}


def said_of(run: Path, capsys: pytest.CaptureFixture[str]) -> str:
    code = cli.main(["judge", str(run)])
    out, err = capsys.readouterr()
    assert code in (0, 1, 2, 3) and "Traceback" not in out + err and (out + err).strip()
    return out + err


@pytest.mark.parametrize("wrong", WRONG)
def test_lines_of_the_wrong_kind(run_dir: Path, capsys: pytest.CaptureFixture[str], wrong: str) -> None:  # noqa: F811
    path = run_dir / "evidence" / ID / "recording.jsonl"
    lines = path.read_text().splitlines()
    all_series = [series["id"] for series in json.loads(lines[0])["series"]]
    added = [WRONG[wrong] | ({"series": series} if WRONG[wrong]["is"] == "s" else {}) for series in all_series]
    path.write_text("\n".join([lines[0], *map(json.dumps, added), *lines[1:]]) + "\n")
    said_of(run_dir, capsys)


@pytest.mark.parametrize(
    "key,value",
    [
        ("vip", ["10.20.1.200"]),
        ("probe_port", int("9" * 400)),
        ("nodes", [1, 2]),
        ("expects", 5),
        ("active", {}),
        ("budget_s", "x"),
        ("addresses", []),
    ],
)
def test_a_header_of_the_wrong_kind(run_dir: Path, capsys: pytest.CaptureFixture[str], key: str, value: Any) -> None:  # noqa: F811
    path = run_dir / "evidence" / ID / "recording.jsonl"
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(first) | {key: value}), *rest]) + "\n")
    said_of(run_dir, capsys)
