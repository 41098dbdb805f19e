"""Lines that are cleaned one by one as they come: a value may go on in the next ones, or stand there behind a name before it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from harness.core.redaction.assignments.value_lines import LOG_PREFIX, MAX_LENGTH, MAX_LINES
from harness.core.redaction.directive_patterns import FTP_USER, PPP_HEADING
from harness.core.redaction.secret_names import SHORT_WORDS, WORDS
from harness.core.redaction.value_forms import NAMES, REMOVED
from harness.core.text.late_pattern import LatePattern

MAX_BETWEEN = 6  # lines between a name and its value: other fields of the same thing
MAX_CACHED_LINES = 20_000

_END = r"[ \t\r,;)\]]{0,8}\Z"
_GOES_ON = LatePattern(
    rf"(?:{WORDS}|{SHORT_WORDS})\w{{0,20}}(?:"
    r"\\{0,8}[\"']?\]?[ \t]{0,40}(?:=>|:=|\+=|=|:[ \t]?[a-zA-Z]{1,9}[ \t]?=|:(?![/:]))[ \t]{0,40}"  # a name, its sign and
    rf"(?:{_END}|[\[{{(@$`]|[|>][-+\d]{{0,2}}(?:[ \t]{{1,4}}#|{_END})|[\"']?<<|[rbfu]{{0,2}}"
    rf"(?:\"\"\"|''')|\"[^\"]{{0,400}}\Z|'[^']{{0,400}}\Z"
    r"|[^\n]{0,400}\\[ \t]{0,4}\Z)"
    rf"|[\"']{_END}"  # a word in quotes, as in lists of arguments and in pairs
    r"|[^<>\n]{0,200}>[^<>\n]{0,40}\Z|[ \t]{0,8}</[^<>\n]{1,80}>[ \t]{0,8}\Z"  # an element of XML that goes on
    r"|[ \t]{1,40}\\[ \t]{0,4}\Z)"
    rf"|(?<![^\s\"'])--?[\w.-]{{0,40}}(?:{WORDS}|{SHORT_WORDS})\w{{0,20}}[ \t]{{0,8}}\Z"  # an option
    rf"|\b(?:name|key|id|variable|option|property|env)[ \t]{{0,4}}[:=][ \t]{{0,8}}[\w./-]{{0,60}}"
    rf"(?:{WORDS}|{SHORT_WORDS})\w{{0,20}}[ \t\r]{{0,8}}\Z"
    r"|\bchpasswd\b[^\n]{0,80}<<"
    rf"|^{PPP_HEADING}",
    re.IGNORECASE,
)
_USER_OF_FTP = re.compile(FTP_USER)

_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Za-z0-9 ]{0,60}(?:PRIVATE KEY|Static key)")


@lru_cache(MAX_CACHED_LINES)
def goes_on(line: str) -> bool:
    """May what this line says of a secret go on in the next ones?"""
    small = line.lower() if line.isascii() else None
    if "USER " in line and _USER_OF_FTP.search(line):
        return True
    return (small is None or any(word in small for word in NAMES)) and _GOES_ON.search(line) is not None


class LineContext:
    """The lines of one log, or the strings of one list, each cleaned with those before it that may belong to it.

    `begins` says whether a line may go on in the next ones."""

    def __init__(self, clean: Callable[[str], str], begins: Callable[[str], bool] = goes_on) -> None:
        self._clean, self._begins = clean, begins
        self._lines: list[str] = []
        self._cleaned_text = ""  # of `_lines`
        self._lines_left = 0  # that may stand between a name and its value

    def next(self, line: str, cleaned: str) -> str:
        """The next line without secrets; `cleaned` is what is left of it when it stands alone."""
        if self._lines:
            before, after = self._cleaned_text, self._clean("\n".join((*self._lines, line)))
            if after != f"{before}\n{cleaned}":
                self._lines_left = MAX_BETWEEN
                cleaned = self._last_line(before, after, line)
            else:
                self._lines_left -= 1
                if self._begins(line):
                    self._lines = []
            if self._lines:
                self._lines.append(line)
                self._cleaned_text = after
                if not self._lines_left or len(self._lines) > MAX_LINES or sum(map(len, self._lines)) > MAX_LENGTH:
                    self._lines = []
        if not self._lines and self._begins(line):
            self._lines, self._cleaned_text, self._lines_left = [line], cleaned, MAX_BETWEEN
        return cleaned

    def _last_line(self, before: str, after: str, line: str) -> str:
        """What is left of the last line, which belongs to a value or has one."""
        if after.count("\n") == before.count("\n") + 1:
            return self._clean(after.rpartition("\n")[2])
        prefix = LOG_PREFIX.match(line)
        return (prefix[0] if prefix else "") + REMOVED + (after[len(before) :].lstrip("\n") if after.startswith(before) else "")


def cleaned_in_order(lines: Sequence[str], clean: Callable[[str], str]) -> list[str]:
    """Strings that stand behind each other, such as the words of a command or the lines of a text."""
    if not any(map(_begins, lines)):
        return [clean(line) for line in lines]
    context = LineContext(clean, _begins)
    return [context.next(line, clean(line)) for line in lines]


def _begins(line: str) -> bool:
    """Of a list, a private key as well; the keys in a followed log have lines of their own count."""
    return goes_on(line) or _PRIVATE_KEY.search(line) is not None
