"""Where to make things, when there is no cluster yet: the [azure] table of a file, with options laid over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.config.azure_table_reader import table_of
from harness.config.cluster_config import Azure, faults_of
from harness.core.errors import BadUse


def azure_of(file: Path | None, subscription: str | None, group: str | None, *, need_group: bool = True) -> tuple[Azure, dict[str, Any]]:
    """The settings, and the same as data for a cluster file. Raises BadUse with every fault."""
    table: dict[str, Any] = {}
    if file is not None:
        table = table_of(file)
    table.update({k: v for k, v in {"subscription": subscription, "resource_group": group}.items() if v})
    if not need_group:
        table.setdefault("resource_group", "none")
    try:
        return Azure.model_validate(table), {k: v for k, v in table.items() if k not in ("load_balancer", "virtual_machines")}
    except ValidationError as error:
        raise BadUse(f"where in Azure? {'; '.join(faults_of(error))}; give --subscription and --resource-group, or --azure FILE") from None
