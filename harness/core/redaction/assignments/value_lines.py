"""The lines that a value may go over: real ones, or those of a text whose line ends are written out; without log prefixes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_LINES = 60  # lines that a value may have
MAX_LENGTH = 16_000  # characters

# What a program puts before each line that it logs: syslog and the journal, and Pacemaker, which quotes what agents print.
_QUOTED_BY_PACEMAKER = r"\w{1,80}\[\d{1,10}\] error output \[ "
LOG_PREFIX = re.compile(
    r"(?:(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S{0,14}) \S{1,80} )?"
    rf"[\w./@-]{{1,60}}(?: ?\[\d{{1,10}}\]|\(\w{{1,40}}\))?: (?:{_QUOTED_BY_PACEMAKER})?"
)
_NAME_START = re.compile(r"(?<=[\s\"'])[\w.-]{0,60}\Z|\A[\w.-]{0,60}\Z")


class ValueLine(NamedTuple):
    """One line: `text[start:end]`, and what it says without indentation and log prefix."""

    start: int
    end: int
    body_at: int
    indent: int  # columns
    body: str


def line_before(text: str, at: int) -> str:
    """What stands before `at` in its line, the last 400 characters of it."""
    return text[max(text.rfind("\n", max(0, at - 400), at) + 1, at - 400) : at]


def column(before: str, eol: str) -> int:
    """The column of a name that has `before` before it in its line, without what a program puts before its lines."""
    if eol[:1] == "\\":  # the line's end is written out, so its beginning is, too
        before = re.split(rf"{re.escape(eol)}|(?<!\\)\"", before)[-1]
    prefix = LOG_PREFIX.match(before)
    return len(_NAME_START.sub("", before[prefix.end() if prefix else 0 :]))


def lines_after(text: str, at: int, eol: str, before: str, name: str, most: int = MAX_LINES) -> Iterator[ValueLine]:
    """The lines from `at` on, which is behind a line end written as `eol`; `before` stands before `name` in its line."""
    if not eol:
        return
    stop = min(len(text), at + MAX_LENGTH)
    if eol[0] == "\\":
        stop = _end_of_string(text, at, stop, len(eol) - len(eol.lstrip("\\")))
    else:
        eol = "\n"
    prefix = LOG_PREFIX.match(before)
    line_start = _NAME_START.sub("", before)
    quote = line_start[-1:] if line_start[-1:] in ("'", '"') and not re.search(r"[\"']", name) else ""
    for _ in range(most):
        if at >= stop:
            return
        end = text.find(eol, at, stop)
        end = stop if end < 0 else end
        line = text[at:end]
        if prefix is not None:
            next_prefix = LOG_PREFIX.match(line)  # else the journal indents the other lines of a message
            line = line[next_prefix.end() if next_prefix else min(len(line) - len(line.lstrip(" ")), len(prefix[0])) :]
        line = line[1:] if quote and line[:1] == quote else line
        body = line.lstrip(" \t")
        yield ValueLine(at, end, end - len(body), len(line) - len(body), body.rstrip())
        at = end + len(eol)


def _end_of_string(text: str, at: int, stop: int, escapes: int) -> int:
    """Where a string ends whose line ends are written out, with so many backslashes: at a quote with fewer, or at a real line's end."""
    end = text.find("\n", at, stop)
    stop = stop if end < 0 else end
    quote_at = text.find('"', at, stop)
    while quote_at >= 0:
        before = text[max(at, quote_at - 9) : quote_at]
        backslashes = len(before) - len(before.rstrip("\\"))
        if backslashes < escapes:
            return quote_at - backslashes
        quote_at = text.find('"', quote_at + 1, stop)
    return stop
