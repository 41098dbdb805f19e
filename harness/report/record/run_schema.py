"""The JSON Schema of run.json, generated from the model. `lkharness schema run` prints it as it is published."""

from __future__ import annotations

from typing import Any

from harness.report.record.run_record import SCHEMA_VERSION, RunRecord


def schema() -> dict[str, Any]:
    """What every run.json of this harness satisfies. Fields it does not name are allowed: a newer harness may add some."""
    body = RunRecord.model_json_schema(mode="serialization")
    content = {key: value for key, value in body.items() if key != "title"}
    return {"title": f"lkharness run.json, schema_version {SCHEMA_VERSION}", **content}
