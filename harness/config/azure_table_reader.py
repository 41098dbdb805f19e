"""The [azure] table of another file, as plain values: for what is made before there is a cluster file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.config import trust
from harness.core.errors import BadUse
from harness.core.files import expand_user
from harness.core.toml_file import content, toml

PATHS = ("client_secret_file", "ca_file")


def table_of(file: Path) -> dict[str, Any]:
    """Not yet judged, but with paths from where the file lies. Raises BadUse when there is none, or nobody has agreed to it."""
    raw = content(file)
    table = toml(raw, file).get("azure")
    if not table or not isinstance(table, dict):
        raise BadUse(f"{file} has no [azure] table; write one with subscription = … and how to log in, or give --subscription instead")
    if (requests := trust.of_azure(table)) and not trust.agreed(raw):
        raise BadUse(trust.refusal(requests, file, once=False))
    base = file.resolve().parent
    paths = {name: table[name] for name in PATHS if isinstance(table.get(name), str)}  # any other is told with the rest of the faults
    return {**table, **{name: str(base / expand_user(path)) for name, path in paths.items()}}
