"""What the layout promises: the direction of knowledge, files with one job, and test files that pytest can tell apart."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
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


OTHER_NAMES = {"pytds": "python-tds", "xdist": "pytest-xdist"}  # packages that are imported by another name than they are installed by


def declared() -> set[str]:
    """The distributions that pyproject.toml names, for the product, its extras and its tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    return {re.split(r"[\[<>=!~ ]", one)[0].lower() for one in wanted}


def test_every_import_is_a_declared_dependency() -> None:
    """What only another package's dependencies bring can go away with its next version."""
    known, missing = declared(), {}
    for path in product():
        for name in imported(path):
            parts = name.split(".")
            if parts[0] in sys.stdlib_module_names or parts[0] == "harness":
                continue
            names = {"-".join(parts[:length]).replace("_", "-") for length in range(1, len(parts) + 1)} | {OTHER_NAMES.get(parts[0], "")}
            if not names & known:
                missing[name] = str(path.relative_to(ROOT))
    assert not missing, f"not in pyproject.toml: {missing}"


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
