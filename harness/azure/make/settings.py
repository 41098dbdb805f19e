"""Where to make things, when there is no cluster yet: the [azure] table of a file, with options laid over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness import model
from harness.errors import BadUse
from harness.model import Azure, faults_of

PATHS = ("client_secret_file", "ca_file")


def azure_of(file: Path | None, subscription: str | None, group: str | None, *, need_group: bool = True) -> tuple[Azure, dict[str, Any]]:
    """The settings, and the same as data for a cluster file. Raises BadUse with every fault."""
    table: dict[str, Any] = {}
    if file is not None:
        table = _table_of(file)
    table.update({k: v for k, v in {"subscription": subscription, "resource_group": group}.items() if v})
    if not need_group:
        table.setdefault("resource_group", "none")
    try:
        return Azure.model_validate(table), {k: v for k, v in table.items() if k not in ("load_balancer", "virtual_machines")}
    except ValidationError as error:
        raise BadUse(f"where in Azure? {'; '.join(faults_of(error))}; give --subscription and --resource-group, or --azure FILE") from None


def _table_of(file: Path) -> dict[str, Any]:
    """The [azure] table of a file, with paths from where the file lies. Raises BadUse when there is none."""
    table = model.read(file).get("azure")
    if not table or not isinstance(table, dict):
        raise BadUse(f"{file} has no [azure] table; write one with subscription = … and how to log in, or give --subscription instead")
    base = file.resolve().parent
    paths = {name: table[name] for name in PATHS if isinstance(table.get(name), str)}  # any other is told with the rest of the faults
    return {**table, **{name: str(base / Path(path).expanduser()) for name, path in paths.items()}}
