"""Questions to PowerShell and its answers, as lines of JSON. Pure: what is sent, and what comes back, read.

A text among the parameters is sent with `=` before it: PowerShell 7 makes a moment of a text that looks like one (WHST-37). Everything is
sent in ASCII, because no code page is known to be the other end's (WHST-39).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from harness.core.text.host_text import cut_at_word
from harness.hosts.bounded_parse import json_of
from harness.hosts.host import NotReadable
from harness.hosts.windows.script_contract import ENGINE, Contract, contract_of, misfit

Row = dict[str, Any]
IDLE_S = 300  # without a question the loop ends by itself after so long: its connection may have been cut in silence (WHST-14, 19)
LIMIT = "Limit"  # the error of a question that had not ended at its limit
MISSING = "Missing"  # the error of a question about what is not there
CONSTRAINED = "LanguageMode"
FIELDS = ("ok", "error", "message", "missing", "warnings", "rows")


@dataclass(frozen=True)
class ScriptAnswer:
    """What a script answered. `error` is an id, the same in every language; `message` a sentence in the host's own."""

    ok: bool
    error: str = ""
    message: str = ""
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()

    @property
    def why(self) -> str:
        """Why it is no answer, in one line."""
        if self.missing and self.error == MISSING:
            return "; ".join(self.missing)
        if self.missing:
            return f"{', '.join(self.missing)} is not known there ({self.error})"
        return cut_at_word(" ".join(f"{self.error}: {self.message}".split()), 400)


@dataclass(frozen=True)
class Line:
    """One line of the loop's output: that it is ready, or the answer to question `id`, or the time, with the step of that clock."""

    id: int | None = None
    ready: bool = False
    error: str = ""
    about: str = ""
    stuck: int = 0
    answer: ScriptAnswer | None = None
    clock: float | None = None
    step: float = 0.0


@cache
def bootstrap() -> str:
    """What is sent as an encoded command: it takes the loop from its input."""
    return (ENGINE / "bootstrap.ps1").read_text(encoding="utf-8")


@cache
def first_line(*, once: bool) -> bytes:
    """The first line of input: the loop itself, the functions that scripts answer with, and after how long without a question it ends."""
    loop, *functions = ((ENGINE / name).read_text(encoding="utf-8") for name in ("loop.ps1", "answer.ps1", "own-folder.ps1"))
    prelude = "\n".join(functions)
    return _encode_line({"loop": loop, "prelude": prelude, "once": once, "idle": IDLE_S})


def question(number: int, name: str, parameters: Mapping[str, object], limit: float, *, with_text: bool = True) -> bytes:
    """The line that asks a script; its text goes along unless the other end has it."""
    wire = {key: _wire(value) for key, value in parameters.items()}
    message: dict[str, object] = {"id": number, "script": name, "parameters": wire, "limit": limit}
    return _encode_line(message | {"text": "=" + contract_of(name).text} if with_text else message)


def clock_question(number: int) -> bytes:
    """The line that asks the time."""
    return _encode_line({"id": number, "clock": True})


def parse_question(line: str | bytes) -> tuple[str, dict[str, Any]]:
    """The other direction, for stand-ins: the script's name and its parameters as a line asks them."""
    message = json.loads(line)
    return message["script"], {key: _unwire(value) for key, value in message["parameters"].items()}


def read_line(line: str) -> Line | None:
    """One line of the loop's output; None for a line that is not the loop's (a profile's, a banner's). Raises NotReadable."""
    # What printed before without ending its line (a prompt, a native program) stands before it in the same line (WHST-30).
    begin = line.find('{"lkharness":1')
    if begin < 0:
        return None
    text = line[begin:].strip()
    try:
        message = json_of(text)
        if "ready" in message:
            return Line(ready=message["ready"] is True, error=str(message.get("error") or ""), about=str(message.get("message") or ""))
        number = None if message.get("id") is None else int(message["id"])
        if "clock" in message:
            return Line(number, clock=float(message["clock"]), step=float(message["step"]))
        return Line(number, stuck=int(message.get("stuck", 0)), answer=_parse_answer(message["answer"]))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise NotReadable(f"PowerShell's line is no answer ({error}); it said: {cut_at_word(text, 200)}") from error


def read_answer(text: str) -> ScriptAnswer:
    """The answer of a script that was run alone: the last line that is one. Raises NotReadable."""
    for line in reversed(text.lstrip("\ufeff").splitlines()):
        if not line.lstrip().startswith("{"):
            continue
        try:
            return _parse_answer(json_of(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    raise NotReadable(f"no answer came back; it said: {cut_at_word((text.strip().splitlines() or ['nothing'])[-1], 200)}")


def demand_row(contract: Contract, answer: ScriptAnswer) -> ScriptAnswer:
    """The answer, when it is what the contract says: each row's fields, and no row only where that is possible. Raises NotReadable."""
    if not answer.ok:
        return answer
    if not answer.rows and not contract.none:
        raise NotReadable(f"the script {contract.name} answered without a row, which it never does")
    for row in answer.rows:
        if why := misfit(contract, row):
            raise NotReadable(f"the script {contract.name} answered what it never does: {cut_at_word(why, 200)}")
    return answer


def _parse_answer(record: Any) -> ScriptAnswer:
    if not isinstance(record, dict) or any(key not in record for key in FIELDS) or not isinstance(record["ok"], bool):
        raise ValueError("it lacks " + ", ".join(key for key in FIELDS if not isinstance(record, dict) or key not in record))
    plain = {key: _unwrap(value) for key, value in record.items()}
    rows = plain["rows"] if isinstance(plain["rows"], list) else [plain["rows"]]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("its rows are no objects")
    return ScriptAnswer(
        plain["ok"],
        str(plain["error"] or ""),
        str(plain["message"] or ""),
        _texts(plain["missing"]),
        _texts(plain["warnings"]),
        tuple(rows),
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in (value if isinstance(value, list) else [value]) if item is not None)


def _unwrap(value: Any) -> Any:
    """Windows PowerShell writes some lists as {"value": [...], "Count": n} (WHST-36)."""
    if isinstance(value, dict):
        if set(value) == {"value", "Count"}:
            return _unwrap(value["value"])
        return {key: _unwrap(item) for key, item in value.items()}
    return [_unwrap(item) for item in value] if isinstance(value, list) else value


def _wire(value: object) -> object:
    if isinstance(value, str):
        return "=" + value
    return [_wire(item) for item in value] if isinstance(value, list | tuple) else value


def _unwire(value: object) -> object:
    if isinstance(value, str):
        return value[1:]
    return [_unwire(item) for item in value] if isinstance(value, list) else value


def _encode_line(message: Mapping[str, object]) -> bytes:
    return json.dumps(message).encode("ascii") + b"\n"
