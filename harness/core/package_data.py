"""The files that come with the code: suites, documents, schemas, roles. They lie in the wheel's package, or beside it in the repository."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[1]  # a folder in any case; importlib.resources says the same, and takes long to load
# None where the package is installed from a wheel.
REPOSITORY = PACKAGE.parent if (PACKAGE.parent / "tests" / "acceptance").is_dir() else None
SUITES = ("acceptance", "failover")


def suite(name: str) -> Path:
    """The folder of one of SUITES."""
    return REPOSITORY / "tests" / name if REPOSITORY else PACKAGE / "suites" / name


def document(name: str) -> Path:
    """A file of docs/, by its path below it."""
    return (REPOSITORY or PACKAGE) / "docs" / name


def pytest_options() -> Path:
    """The file with pytest's options for the suites."""
    return REPOSITORY / "pyproject.toml" if REPOSITORY else PACKAGE / "suites" / "pytest.ini"


def suite_command(name: str) -> str:
    """What a person types to run a suite here: `./run`, which sets everything up, in a clone; the installed command elsewhere."""
    return f"./run {name}" if REPOSITORY else f"lkharness {name}"
