"""The part of ARM's template language that our template uses, worked out without Azure: so that a plan can show what will be made.

Functions: concat, string, equals, not, if, null, length, createArray, parameters, variables, resourceId, copyIndex; `.name` and `[index]`
after any of them. Whatever else a template says is a fault here, not a guess.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import BadUse

TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+)|(?P<name>[A-Za-z_]\w*)|(?P<sign>[().,\[\]]))")


@dataclass(frozen=True)
class Scope:
    """What an expression can refer to. `resource_id` makes an id of a type and names; `copies` holds the running loops' indexes."""

    parameters: Mapping[str, Any]
    variables: Callable[[str], Any]
    resource_id: Callable[..., str]
    copies: Mapping[str, int] = field(default_factory=dict)


def evaluate(value: Any, scope: Scope) -> Any:
    """A template's value with every expression in it worked out. Raises BadUse for what it does not know."""
    if isinstance(value, dict):
        return {key: evaluate(item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [evaluate(item, scope) for item in value]
    if not isinstance(value, str) or not (value.startswith("[") and value.endswith("]")):
        return value
    if value.startswith("[["):
        return value[1:]
    return _Reader(value[1:-1], scope).read_all()


@functools.cache
def _tokenize(text: str) -> tuple[tuple[str, str], ...]:
    """What an expression is made of, kind and word; the template's are worked out several times for one deployment."""
    tokens, position = [], 0
    while position < len(text.rstrip()):
        match = TOKEN.match(text, position)
        if not match:
            raise BadUse(f"the template's expression [{text}] cannot be read from {text[position:]!r} on")
        position = match.end()
        tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
    return tuple(tokens)


class _Reader:
    """Reads one expression from left to right."""

    def __init__(self, text: str, scope: Scope) -> None:
        self._text = text
        self._scope = scope
        self._tokens = _tokenize(text)
        self._position = 0

    def read_all(self) -> Any:
        value = self._value()
        if self._position != len(self._tokens):
            raise BadUse(f"the template's expression [{self._text}] goes on after its end")
        return value

    def _value(self) -> Any:
        kind, word = self._next()
        if kind == "text":
            value: Any = word[1:-1].replace("''", "'")
        elif kind == "number":
            value = int(word)
        elif kind == "name":
            value = self._call(word)
        else:
            raise BadUse(f"the template's expression [{self._text}] has {word!r} where a value must be")
        while self._peek() in (".", "["):
            value = self._part_of(value)
        return value

    def _part_of(self, value: Any) -> Any:
        _, sign = self._next()
        key = self._next()[1] if sign == "." else self._value()
        if sign == "[":
            self._expect("]")
        try:
            return value[key]
        except (KeyError, IndexError, TypeError):
            raise BadUse(f"the template's expression [{self._text}]: there is no {key!r} in {value!r}") from None

    def _call(self, name: str) -> Any:
        self._expect("(")
        arguments = []
        while self._peek() != ")":
            arguments.append(self._value())
            if self._peek() == ",":
                self._next()
        self._expect(")")
        return self._call_function(name, arguments)

    def _call_function(self, name: str, arguments: list[Any]) -> Any:
        scope = self._scope
        functions: dict[str, Callable[..., Any]] = {
            "concat": lambda *words: "".join(words),
            "string": str,
            "equals": lambda a, b: a == b,
            "not": lambda a: not a,
            "if": lambda condition, if_true, if_false: if_true if condition else if_false,
            "null": lambda: None,
            "length": len,
            "createArray": lambda *items: list(items),
            "parameters": lambda key: scope.parameters[key],
            "variables": scope.variables,
            "resourceId": scope.resource_id,
            "copyIndex": lambda of="": scope.copies[of],
        }
        if name not in functions:
            raise BadUse(f"the template's expression [{self._text}] uses {name}(), which the offline plan does not know")
        try:
            return functions[name](*arguments)
        except (KeyError, TypeError) as error:
            raise BadUse(f"the template's expression [{self._text}]: {name}() cannot be worked out: {error}") from None

    def _peek(self) -> str:
        return self._tokens[self._position][1] if self._position < len(self._tokens) else ""

    def _next(self) -> tuple[str, str]:
        if self._position >= len(self._tokens):
            raise BadUse(f"the template's expression [{self._text}] ends too soon")
        self._position += 1
        return self._tokens[self._position - 1]

    def _expect(self, sign: str) -> None:
        if self._next()[1] != sign:
            raise BadUse(f"the template's expression [{self._text}] lacks {sign!r}")
