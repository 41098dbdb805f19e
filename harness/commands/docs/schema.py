"""`lkharness schema cluster|run|gate`: the published JSON Schemas, generated from the models, for editors and other programs.

`python -m harness.commands.docs.schema` writes them to docs/.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from harness.commands.shared_options import add, print_json
from harness.core import package_data

DRAFT = "https://json-schema.org/draft/2020-12/schema"
REGENERATE = "python -m harness.commands.docs.schema"


def _run() -> dict[str, Any]:
    from harness.report.record.run_schema import schema

    return schema()


def _cluster() -> dict[str, Any]:
    """What a cluster file may say. What it may not say beside each other, only the loader knows."""
    from harness.config.cluster_config import Cluster
    from harness.lab.lab_config import LabSettings

    body = Cluster.model_json_schema(mode="validation")
    lab = LabSettings.model_json_schema(mode="validation")
    definitions = {**body.pop("$defs", {}), **lab.pop("$defs", {})}
    body["properties"]["lab"] = {**lab, "description": "the lab's own settings; an attached cluster has none"}
    return {**body, "title": "lkharness cluster file", "$defs": definitions}


def _gate() -> dict[str, Any]:
    from harness.gate.gate_file import Gate

    return {**Gate.model_json_schema(mode="validation"), "title": "lkharness gate file"}


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {"cluster": _cluster, "run": _run, "gate": _gate}


def published(name: str) -> dict[str, Any]:
    """One of SCHEMAS, as it is published."""
    return {"$schema": DRAFT, "$comment": f"Generated; do not edit. Regenerate with: {REGENERATE}", **SCHEMAS[name]()}


def text(name: str) -> str:
    """The schema of that name as it is published."""
    return json.dumps(published(name), indent=2, ensure_ascii=False) + "\n"


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = add(
        commands, "schema", _schema, "print the JSON Schema of the cluster file, run.json or gate file", "lkharness schema cluster"
    )
    parser.add_argument("of", choices=list(SCHEMAS), help="a cluster file, a run's run.json, or a gate file")


def _schema(arguments: argparse.Namespace) -> int:
    if arguments.json:
        print_json({"of": arguments.of, "schema": published(arguments.of)})
    else:
        print(text(arguments.of), end="")
    return 0


def main() -> None:
    """Writes every schema into docs/."""
    for name in SCHEMAS:
        path = package_data.document(f"{name}.schema.json")
        path.write_text(text(name), encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
