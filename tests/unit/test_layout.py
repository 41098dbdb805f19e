"""What the layout promises: the direction of knowledge, files with one job, and test files that pytest can tell apart."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
# late, to bring it up when no cluster file was given
MAY_USE_THE_LAB = {"harness/pytest_plugin/session_factory.py", "harness/pytest_plugin/session_lab.py"}
LONGEST = 400


def product() -> list[Path]:
    return [p for p in (ROOT / "harness").rglob("*.py") if "__pycache__" not in p.parts]


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    froms = {
        f"{node.module}.{name.name}" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module for name in node.names
    }
    return froms | {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}


def test_no_two_test_files_share_a_name() -> None:
    names = Counter(p.name for p in (ROOT / "tests").rglob("*.py") if p.name not in ("__init__.py", "__main__.py", "conftest.py"))
    assert [name for name, times in names.items() if times > 1] == []


def test_the_lab_is_a_leaf() -> None:
    """Only the lab itself, the commands and the session know it."""
    strangers = [
        str(p.relative_to(ROOT))
        for p in product()
        if not p.is_relative_to(ROOT / "harness" / "lab") and not p.is_relative_to(ROOT / "harness" / "commands")
        if any(name.startswith("harness.lab") for name in imported(p))
    ]
    assert set(strangers) <= MAY_USE_THE_LAB


def test_pure_judgement_does_no_io() -> None:
    pure = [
        *(ROOT / "harness" / "measure" / "evaluation").rglob("*.py"),
        *(ROOT / "harness" / "diagnosis" / "firewall").glob("*.py"),
        *(ROOT / "harness" / "expectations").glob("*.py"),
        ROOT / "harness" / "core" / "verdict.py",
    ]
    io = ("socket", "subprocess", "paramiko", "harness.hosts", "harness.cluster.cluster_under_test", "harness.lab", "threading", "os.")
    assert [(p.name, name) for p in pure for name in imported(p) if name.startswith(io)] == []


def test_files_stay_small() -> None:
    long = {str(p.relative_to(ROOT)): n for p in product() if (n := len(p.read_text().splitlines())) > LONGEST}
    assert long == {}
