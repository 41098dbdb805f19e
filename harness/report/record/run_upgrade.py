"""run.json of schema version 1 as version 2 has it: the names of keys changed, and nothing else. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MEASURED = {"tracks": "series", "lanes": "chart_rows", "told": "observations"}
_SERIES = {"out_s": "recovered_after_s", "least_s": "min_s", "most_s": "max_s", "blind_s": "longest_gap_s"}
_OUTAGE = {"track": "series", "least_s": "min_s", "most_s": "max_s"}
_OUTAGE_PHASES = {"track": "series"}


def upgrade(data: dict[str, Any]) -> dict[str, Any]:
    """`data` with the names of version 2; unchanged where it is of version 2, or no run at all (the record's own check tells that)."""
    if data.get("schema_version") != 1:
        return data
    measurements = [_measurement(record) for record in _objects(data.get("measurements"))]
    set_aside = [_measurement(record) for record in _objects(data.get("set_aside"))]
    return {**data, "schema_version": 2, "measurements": measurements, "set_aside": set_aside}


def _measurement(record: Any) -> Any:
    if not isinstance(record, dict) or not isinstance(record.get("measured"), dict):
        return record
    measured = _rename_keys(record["measured"], _MEASURED)
    measured["series"] = [_one_series(item) for item in _objects(measured.get("series"))]
    return {**record, "measured": measured, "phases": [_rename_keys(item, _OUTAGE_PHASES) for item in _objects(record.get("phases"))]}


def _one_series(record: Any) -> Any:
    upgraded_series = _rename_keys(record, _SERIES)
    if isinstance(upgraded_series, dict):
        upgraded_series["outages"] = [_rename_keys(outage, _OUTAGE) for outage in _objects(upgraded_series.get("outages"))]
    return upgraded_series


def _rename_keys(record: Any, names: Mapping[str, str]) -> Any:
    return {names.get(key, key): value for key, value in record.items()} if isinstance(record, dict) else record


def _objects(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
