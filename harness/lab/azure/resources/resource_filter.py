"""`$filter` of the lists of resources and groups: comparisons of a few fields, joined by and, or and parentheses. Pure.

What Azure takes besides is refused by name, never passed over: a filter that is ignored shows what was not asked for.
"""

from __future__ import annotations

import re
from typing import Any

from harness.lab.azure.state.http_types import Problem, lab_cannot

_TOKEN = re.compile(r"\s*(?:(?P<word>[A-Za-z/]+)|'(?P<text>(?:[^']|'')*)'|(?P<mark>[(),]))")
FIELDS = ("name", "resourceType", "location", "resourceGroup", "tagName", "tagValue")
MAX_DEPTH = 20  # of parentheses


def matches_filter(filter_text: str, resource: dict[str, Any]) -> bool:
    """Whether the filter lets this resource through. Raises Problem for a filter that is none, or that the lab does not know."""
    reading = _Reading(filter_text, resource)
    answer = reading.any_of(MAX_DEPTH)
    if reading.rest:
        raise lab_cannot(f"the filter {filter_text!r} from {reading.rest[0][1]!r} on")
    return answer


class _Reading:
    """A filter that is read from left to right and answered at once; and binds closer than or."""

    def __init__(self, filter_text: str, resource: dict[str, Any]) -> None:
        self._filter_text, self._resource = filter_text, resource
        self._tags = {key.lower(): value for key, value in resource.get("tags", {}).items()}  # their names are without case
        self._tag: str | None = None  # the one that tagName named, which tagValue is of
        self.rest: list[tuple[str, str]] = []
        position = 0
        while position < len(filter_text.rstrip()):
            match = _TOKEN.match(filter_text, position)
            if match is None:
                raise Problem(400, "InvalidFilterInQueryString", f"Invalid $filter '{filter_text}' specified in the query string.")
            self.rest.append((str(match.lastgroup), str(match[str(match.lastgroup)])))
            position = match.end()

    def any_of(self, depth: int) -> bool:
        answer = self._all_of(depth)
        while self._is_next("or"):
            self.rest.pop(0)
            right = self._all_of(depth)
            answer = answer or right
        return answer

    def _all_of(self, depth: int) -> bool:
        answer = self._comparison(depth)
        while self._is_next("and"):
            self.rest.pop(0)
            right = self._comparison(depth)
            answer = answer and right
        return answer

    def _comparison(self, depth: int) -> bool:
        if self._is_next("(") and depth:
            self.rest.pop(0)
            answer = self.any_of(depth - 1)
            self._take("mark", ")")
            return answer
        if self._is_next("substringof"):
            for kind, text in (("word", "substringof"), ("mark", "(")):
                self._take(kind, text)
            part = self._take("text")
            self._take("mark", ",")
            field = self._field()
            self._take("mark", ")")
            return part.lower() in self._value(field).lower()
        field = self._field()
        operator = self._take("word").lower()
        text = self._take("text")
        if operator not in ("eq", "ne"):
            raise lab_cannot(f"the filter {self._filter_text!r}: {operator} is not known, eq, ne and substringof are")
        if field == "tagName":
            self._tag = text.lower()
            return (self._tag in self._tags) is (operator == "eq")
        if field == "tagValue":
            return (self._tags.get(self._tag or "") == text) is (operator == "eq")
        return (self._value(field).lower() == text.lower()) is (operator == "eq")

    def _field(self) -> str:
        name = self._take("word")
        for field_name in FIELDS:
            if field_name.lower() == name.lower():
                return field_name
        raise lab_cannot(f"the filter {self._filter_text!r}: {name!r} is not known, {', '.join(FIELDS)} are")

    def _value(self, field: str) -> str:
        if field == "resourceGroup":
            match = re.search(r"/resourceGroups/([^/]+)", str(self._resource.get("id", "")), re.IGNORECASE)
            return match[1] if match else ""
        return str(self._resource.get({"resourceType": "type"}.get(field, field), ""))

    def _is_next(self, text: str) -> bool:
        return bool(self.rest) and self.rest[0][0] != "text" and self.rest[0][1].lower() == text

    def _take(self, kind: str, text: str = "") -> str:
        if not self.rest or self.rest[0][0] != kind or (text and self.rest[0][1].lower() != text):
            raise Problem(400, "InvalidFilterInQueryString", f"Invalid $filter '{self._filter_text}' specified in the query string.")
        return self.rest.pop(0)[1].replace("''", "'")
