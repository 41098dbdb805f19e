"""What each Windows script takes and answers, as data: `contract.json` of each folder of `scripts/`. Pure.

Of a script: its parameters by name (`type`: text, texts, number or flag; `required`; `choices`), whether it `changes` anything, whether no
row at all is an answer (`none`), and the fields of its rows by kind (the field `K`; one kind without a name where rows have none). A
field's type ends with `?` where null is possible, with `*` where it may be left out as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.core.errors import BadUse

HERE = Path(__file__).parent
SCRIPTS, ENGINE = HERE / "scripts", HERE / "engine"
Value = str | int | bool | list[str]


@dataclass(frozen=True)
class Parameter:
    """One parameter: its type, whether it must be given, and what it may be where that is a choice."""

    name: str
    type: str
    required: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contract:
    """One script's contract."""

    name: str
    parameters: dict[str, Parameter]
    changes: bool
    none: bool
    rows: dict[str, dict[str, str]]
    path: Path

    @property
    def text(self) -> str:
        """The script itself."""
        return self.path.read_text(encoding="utf-8")


@cache
def contracts() -> dict[str, Contract]:
    """Every script's contract by its name."""
    return {
        name: Contract(
            name,
            {
                key: Parameter(key, parameter["type"], parameter.get("required", False), tuple(parameter.get("choices", ())))
                for key, parameter in parameters.items()
            },
            entry["changes"],
            entry["none"],
            entry["rows"],
            path.with_name(f"{name}.ps1"),
        )
        for path in sorted(SCRIPTS.glob("*/contract.json"))
        for name, entry in _read(path).items()
        for parameters in (entry["parameters"],)
    }


def _read(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def contract_of(name: str) -> Contract:
    """One script's contract. Raises BadUse when there is no such script."""
    contract = contracts().get(name)
    if contract is None:
        raise BadUse(f"there is no Windows script {name}; there are {', '.join(sorted(contracts()))}")
    return contract


def refusal(name: str, parameters: Mapping[str, object]) -> str:
    """Why these parameters do not fit the script's `param()` block; empty when they do."""
    expected = contract_of(name).parameters
    for key, value in parameters.items():
        if key not in expected:
            return f"{name} has no parameter {key}; it has {', '.join(expected) or 'none'}"
        if not _has_type(expected[key].type, value):
            return f"{name}: {key} is a {expected[key].type}, not {value!r}"
        if expected[key].choices and value not in expected[key].choices:
            return f"{name}: {key} is one of {', '.join(expected[key].choices)}, not {value!r}"
    missing = [parameter.name for parameter in expected.values() if parameter.required and parameters.get(parameter.name) in (None, "", [])]
    return f"{name} needs {', '.join(missing)}" if missing else ""


def misfit(contract: Contract, row: Mapping[str, object]) -> str:
    """What of a row is not as the contract has it; empty when it fits."""
    kind = row.get("K", "")
    fields = contract.rows.get(kind) if isinstance(kind, str) else None
    if fields is None:
        return f"a row of no known kind ({kind!r})"
    for key, type_ in fields.items():
        if key not in row and not type_.endswith("*"):
            return f"a row lacks {key}"
        value = row.get(key)
        if value is None and type_[-1] in "?*":
            continue
        if not _has_type(type_.rstrip("?*"), value):
            return f"a row garbles {key}: {value!r} is no {type_.rstrip('?*')}"
    strange = [key for key in row if key not in fields and key != "K"]
    return f"a row has {', '.join(strange)}, of which the contract knows nothing" if strange else ""


def _has_type(type_: str, value: object) -> bool:
    if type_ == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if type_ == "texts":
        return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    return isinstance(value, {"text": str, "flag": bool}[type_])
