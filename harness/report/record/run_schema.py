"""The published JSON Schema of run.json, generated from the model: `python -m harness.report.record.run_schema` writes
docs/run.schema.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.report.record.run_record import SCHEMA_VERSION, RunRecord

PUBLISHED = Path(__file__).resolve().parents[3] / "docs" / "run.schema.json"
REGENERATE = "python -m harness.report.record.run_schema"


def schema() -> dict[str, Any]:
    """What every run.json of this harness satisfies. Fields it does not name are allowed: a newer harness may add some."""
    body = RunRecord.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"lkharness run.json, schema_version {SCHEMA_VERSION}",
        "$comment": f"Generated; do not edit. Regenerate with: {REGENERATE}",
        **{key: value for key, value in body.items() if key != "title"},
    }


def schema_text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    PUBLISHED.parent.mkdir(exist_ok=True)
    PUBLISHED.write_text(schema_text(), encoding="utf-8")
    print(f"wrote {PUBLISHED}")


if __name__ == "__main__":
    main()
