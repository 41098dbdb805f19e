"""Values in as many lines as their form takes: quotes over several lines, blocks and lists of YAML, here-documents.

A form ends at its own end and at a limit, so that it cannot take a log with it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.core.redaction.assignments.assignment_heads import AssignmentHead
from harness.core.redaction.assignments.value_lines import MAX_LENGTH, MAX_LINES, ValueLine, column, lines_after
from harness.core.redaction.value_forms import REMOVED, VALUE

MAX_QUOTED_LINES = 12  # lines in plain quotes, of which one may be missing

_EOL = r"(?P<eol>\r?\n|\\{1,8}(?:r\\{1,8})?n|\Z)"
_CLOSING = r"[ \t\"'\]),;]{0,8}"  # what a program puts behind a line that it quotes
_TRIPLE_QUOTE = re.compile(r"[rbfu]{0,2}(?P<quote>(?:\\{0,8}\"){3}|(?:\\{0,8}'){3})", re.IGNORECASE)
_BLOCK = re.compile(rf"[|>][-+\d]{{0,2}}(?:[ \t]{{1,4}}#[^\n]{{0,200}}?|{_CLOSING}){_EOL}")
_HERE_DOCUMENT = re.compile(
    rf"[\"']?(?:[$]\(\s{{0,4}}|`)?(?:[\w./-]{{1,40}}[ \t]{{1,4}})?<<(?!<)[-~]?[ \t]{{0,4}}\\?(?P<mark>[\"']?)(?P<word>\w{{1,60}})(?P=mark)"
    rf"[^\n\\]{{0,80}}?{_EOL}"
)
_HERE_STRING = re.compile(rf"@(?P<quote>[\"']){_EOL}")
_CONTINUATION = re.compile(rf"\\[ \t]{{0,4}}{_EOL}")
_END_OF_LINE = re.compile(rf"(?:#[^\n]{{0,200}}?|{_CLOSING}){_EOL}")
_STRING = r"(?:\\{0,8}\"[^\"\n]{0,1000}\"|\\{0,8}'[^'\n]{0,1000}')"
_LIST = re.compile(  # of strings also one whose end was cut off
    rf"\[\s{{0,80}}(?:(?>(?:(?:{_STRING}|[^\s\[\]{{}}\"',:=]{{1,400}})\s{{0,80}}(?:,\s{{0,80}}|(?=\]))){{0,100}})\]"
    rf"|(?>(?:{_STRING}\s{{0,80}},?\s{{0,80}}){{0,100}})(?:[\"'][^\"'\n]{{0,1000}})?\Z)"
)
_OBJECT = re.compile(
    r"\{(?P<before>(?>[^{}]{0,400}?[\"']?\b(?:value|defaultValue|plain_?text|text|content|data)\\{0,8}[\"']?\s{0,20}[:=]\s{0,20}))" + VALUE,
    re.IGNORECASE,
)
_QUOTED_LINES = re.compile(
    r"(?P<quote>[\"'])(?>(?:(?!(?P=quote))[^\\]|\\.){0,2000})"
    r"(?:(?<![\s=:({\[,])(?P=quote)(?=[\s,;)}\]&|<>.]|\Z)|(?<=\s)(?P=quote)(?=[ \t,;)}\]]{0,8}(?:\r?\n|\Z)))",
    re.DOTALL,
)
_VALUE = re.compile(VALUE)
_ONE_WORD = re.compile(r"[^\s;&\"'<>{}\[\]=:]{1,4000}")
_MAPPING = re.compile(r"(?P<name>[\"']?[\w.-]{1,80}[\"']?)[ \t]{0,20}[:=](?:[ \t]{1,8}|\Z)")
_KEY_OF_VALUE = re.compile(r"[\"']?(?:value|defaultValue|plain_?text|text|content|data|stringData)[\"']?\Z", re.IGNORECASE)
_ITEM = re.compile(r"-[ \t]{1,8}")


class MultilineReader:
    """Reads a value that takes several lines behind `head`, before which `before` stands in its line.

    Each method that reads one returns where it ends and what stands there instead, None where there is no such value.
    """

    def __init__(self, text: str, head: AssignmentHead, before: str) -> None:
        self._text, self._head, self._before = text, head, before

    def value(self) -> tuple[int, str] | None:
        """The value in the first form that it has."""
        text, at = self._text, self._head.end
        if (end := self._quoted_lines(at)) is not None:
            return end, REMOVED
        for pattern, read in (
            (_TRIPLE_QUOTE, self._triple_quoted),
            (_BLOCK, self._block),
            (_HERE_DOCUMENT, self._here_document),
            (_HERE_STRING, self._here_string),
            (_CONTINUATION, self._continued),
            (_END_OF_LINE, self._below),
            (_LIST, _matched),
            (_OBJECT, _in_object),
        ):
            if (match := pattern.match(text, at)) is not None and (value := read(match)) is not None:
                return value
        return None

    def block(self) -> tuple[int, str] | None:
        """A block of YAML."""
        match = _BLOCK.match(self._text, self._head.end)
        return None if match is None else self._block(match)

    def continuation(self, at: int) -> tuple[int, str] | None:
        """What goes on in the next line, where a backslash at `at` ends one."""
        match = _CONTINUATION.match(self._text, at)
        return None if match is None else self._continued(match)

    def _quoted_lines(self, at: int) -> int | None:
        """The end of a value in quotes that do not close in their line; a quote that never closes ends with it."""
        quote = self._text[at : at + 1]
        if quote not in ("'", '"') or self._text.startswith(quote * 3, at):
            return None
        match = _QUOTED_LINES.match(self._text, at)
        return match.end() if match and 0 < match[0].count("\n") <= MAX_QUOTED_LINES else None

    def _triple_quoted(self, match: re.Match[str]) -> tuple[int, str]:
        quote = match["quote"]
        end = self._text.find(quote, match.end(), match.end() + MAX_LENGTH)
        if end >= 0 and self._text.count("\n", match.end(), end) <= MAX_LINES:
            end += len(quote)
            return end + (self._text[end : end + 1] == quote[-1]), REMOVED  # a value may end with a quote
        return self._end_of_unclosed(match.end()), REMOVED

    def _here_string(self, match: re.Match[str]) -> tuple[int, str]:
        mark = f"{match['eol']}{match['quote']}@"
        end = self._text.find(mark, match.start("eol"), match.end() + MAX_LENGTH)
        return (end + len(mark) if match["eol"] and end >= 0 else self._end_of_unclosed(match.start("eol"))), REMOVED

    def _here_document(self, match: re.Match[str]) -> tuple[int, str]:
        for line in self._lines(match):
            if line.body.rstrip("\"'`), ;") == match["word"]:
                return line.end, REMOVED
        return self._end_of_unclosed(match.start("eol")), REMOVED

    def _end_of_unclosed(self, at: int) -> int:
        """Where a value ends whose end is missing: with the text, where that is near; else with its line, or the next one where the value
        begins there."""
        text = self._text
        if len(text) - at <= MAX_LENGTH and text.count("\n", at) <= MAX_LINES:
            return len(text)
        end = text.find("\n", at, at + MAX_LENGTH)
        if end >= 0 and not text[at:end].strip():
            end = text.find("\n", end + 1, end + MAX_LENGTH)
        return end if end >= 0 else at

    def _continued(self, match: re.Match[str]) -> tuple[int, str]:
        end = match.start("eol")
        for line in self._lines(match, MAX_QUOTED_LINES):
            value = _VALUE.match(line.body)
            end = line.end if value is None else line.body_at + value.end()
            if not line.body.endswith("\\"):
                break
        return end, REMOVED

    def _block(self, match: re.Match[str]) -> tuple[int, str]:
        name_column, end = column(self._before, match["eol"]), match.start("eol")
        for line in self._lines(match):
            if line.body and line.indent <= name_column:
                break
            end = line.end if line.body else end
        return end, REMOVED

    def _below(self, match: re.Match[str]) -> tuple[int, str] | None:
        """Nothing stands behind the sign: a list, a value or a table with one may stand below."""
        name_column, end, replaced = column(self._before, match["eol"]), match.start(), ""
        for number, line in enumerate(self._lines(match)):
            item = _ITEM.match(line.body)
            if not line.body or not (line.indent > name_column or (item and line.indent == name_column)):
                if number == 0 and not item and (word := _ONE_WORD.fullmatch(line.body)):
                    return line.body_at + word.end(), self._text[end : line.body_at] + REMOVED
                break
            value_at = line.body_at + (item.end() if item else 0)
            mapping = _MAPPING.match(self._text, value_at, line.end)
            if mapping and not (_KEY_OF_VALUE.fullmatch(mapping["name"]) and mapping.end() < line.end):
                break
            if not (mapping or item or number == 0 or replaced):
                break
            value_at = mapping.end() if mapping else value_at
            replaced += self._text[end:value_at] + REMOVED
            end = line.body_at + len(line.body)
        return (end, replaced) if replaced else None

    def _lines(self, match: re.Match[str], most: int = MAX_LINES) -> Iterator[ValueLine]:
        """The lines after `match`, which ended with its line."""
        return lines_after(self._text, match.end("eol"), match["eol"], self._before, self._head.name, most)


def _matched(match: re.Match[str]) -> tuple[int, str]:
    return match.end(), REMOVED


def _in_object(match: re.Match[str]) -> tuple[int, str]:
    return match.end(), f"{{{match['before']}{REMOVED}"
