"""JSON into frozen dataclasses, strictly: every fault is reported at once, with its place."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

JSON_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a string", dict: "an object", list: "a list"}


def read(wanted: Any, value: Any, place: str, faults: list[str]) -> Any:
    """`value` as type `wanted`; what does not fit is appended to `faults` and None returned in its stead."""
    if dataclasses.is_dataclass(wanted):
        return _read_dataclass(wanted, value, place, faults)
    origin, args = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is types.UnionType:
        if value is None and type(None) in args:
            return None
        return read(next(a for a in args if a is not type(None)), value, place, faults)
    if origin is typing.Literal:
        if value not in args:
            faults.append(f"{place}: {value!r} is none of {', '.join(map(repr, args))}")
        return value
    if origin is tuple:
        return _read_list(args[0], value, place, faults)
    if origin is dict:
        return _read_table(args[1], value, place, faults)
    if wanted is Any:
        return value
    return _read_plain(wanted, value, place, faults)


def _read_plain(wanted: type, value: Any, place: str, faults: list[str]) -> Any:
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        faults.append(f"{place}: must be {JSON_NAMES[wanted]}, not {value!r}")
        return None
    return value


def _read_list(wanted: Any, value: Any, place: str, faults: list[str]) -> tuple[Any, ...]:
    if not isinstance(value, list):
        faults.append(f"{place}: must be a list, not {value!r}")
        return ()
    return tuple(read(wanted, item, f"{place}[{i}]", faults) for i, item in enumerate(value))


def _read_table(wanted: Any, value: Any, place: str, faults: list[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        faults.append(f"{place}: must be an object, not {value!r}")
        return {}
    return {key: read(wanted, item, f"{place}.{key}", faults) for key, item in value.items()}


def _read_dataclass(wanted: Any, value: Any, place: str, faults: list[str]) -> Any:
    if not isinstance(value, dict):
        faults.append(f"{place or 'the file'}: must be an object, not {value!r}")
        return None
    hints = typing.get_type_hints(wanted)
    fields = {f.name: f for f in dataclasses.fields(wanted)}
    before = len(faults)
    dot = f"{place}." if place else ""
    faults.extend(f"{dot}{key}: is not known; known are {', '.join(fields)}" for key in value if key not in fields)
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in value:
            faults.append(f"{dot}{name}: is missing")
    read_values = {key: read(hints[key], item, f"{dot}{key}", faults) for key, item in value.items() if key in fields}
    return wanted(**read_values) if len(faults) == before else None
