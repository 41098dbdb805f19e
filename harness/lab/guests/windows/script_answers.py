"""Answers of the stand-ins: which function stands for which script, and what it says made into the documented object."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from harness.hosts.windows import script_contract

Row = dict[str, Any]
StandIn = Callable[..., Iterable[Row]]
_BY_NAME: dict[str, StandIn] = {}


class ScriptError(Exception):
    """The script answers with an error: an id, the same in every language, and a sentence."""

    def __init__(self, id: str, message: str) -> None:
        super().__init__(message)
        self.id = id


class Missing(ScriptError):
    """What is asked about is not there on this host."""

    def __init__(self, what: str) -> None:
        super().__init__("Missing", what)


def stands_for(name: str) -> Callable[[StandIn], StandIn]:
    """This function does what the script of that name says; it takes the script's parameters by their names in lower case."""

    def keep(function: StandIn) -> StandIn:
        _BY_NAME[name] = function
        return function

    return keep


def known() -> set[str]:
    """The scripts that have a stand-in."""
    return set(_BY_NAME)


def fault(id: str, message: str, missing: Iterable[str] = ()) -> dict[str, Any]:
    """The object of an answer with an error."""
    return {"ok": False, "error": id, "message": message, "missing": list(missing), "warnings": [], "rows": []}


def answer(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """What the script answers. Parameters and rows are held against its contract, as PowerShell's `param()` block would."""
    if refusal := script_contract.refusal(name, parameters):
        return fault("ParameterBindingException", refusal)
    if name not in _BY_NAME:
        return fault("NoStandIn", f"this host is a stand-in for Windows, and nothing stands for the script {name} there yet")
    contract = script_contract.contract_of(name)
    try:
        rows = list(_BY_NAME[name](**{key.lower(): value for key, value in parameters.items()}))
    except Missing as error:
        return fault(error.id, str(error), [str(error)])
    except ScriptError as error:
        return fault(error.id, str(error))
    except Exception as error:  # as PowerShell answers with whatever error there was
        return fault(f"StandIn{type(error).__name__}", f"the stand-in for {name} failed: {error}")
    for row in rows:
        if why := script_contract.misfit(contract, row):
            return fault("StandInMisfit", f"the stand-in for {name} answered what its contract does not know: {why}")
    return {"ok": True, "error": None, "message": None, "missing": [], "warnings": [], "rows": rows}
