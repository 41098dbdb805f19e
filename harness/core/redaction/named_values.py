"""Values behind names that say that they are secret: in one line, or in as many as their form takes (quotes over several lines, blocks and
lists of YAML, here-documents). A form ends at its own end and at a limit, so that it cannot take a log with it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from harness.core.redaction.secret_names import BEGINNINGS, POINTS, SHORT_WORDS, WORDS
from harness.core.redaction.value_forms import GONE, QUOTED, VALUE

MAX_LINES = 60  # lines that a value may have
MAX_LENGTH = 16_000  # characters
MAX_QUOTED_LINES = 12  # lines in plain quotes, of which one may be missing

CREDENTIAL_KINDS = (
    "default", "environment", "workload-identity", "managed-identity", "cli", "powershell", "developer-cli", "client-secret",
)  # fmt: skip

_I = re.IGNORECASE
HEAD = re.compile(
    rf"(?:{WORDS}(?!\w{{0,20}}{POINTS}\b)\w{{0,20}}|(?P<short>{SHORT_WORDS}))(?<!_file)(?<!_env)(?<!_command)(?<!_variable)"
    r"\\{0,8}[\"']?\]?[ \t]{0,40}(?P<sign>=>|:=|\+=|=|:[ \t]?(?:str|bytes|[Ss]tring|SecretStr)(?:[ \t]?\|[ \t]?None)?[ \t]?="
    r"(?!=)|:(?!//|:))[ \t]{0,40}",
    _I,
)
"""A name and the sign behind it; the value follows."""

_EOL = r"(?P<eol>\r?\n|\\{1,8}(?:r\\{1,8})?n|\Z)"
_CLOSING = r"[ \t\"'\]),;]{0,8}"  # what a program puts behind a line that it quotes
_TRIPLE = re.compile(r"[rbfu]{0,2}(?P<quote>(?:\\{0,8}\"){3}|(?:\\{0,8}'){3})", _I)
_BLOCK = re.compile(rf"[|>][-+\d]{{0,2}}(?:[ \t]{{1,4}}#[^\n]{{0,200}}?|{_CLOSING}){_EOL}")
_HERE_DOCUMENT = re.compile(
    rf"[\"']?(?:[$]\(\s{{0,4}}|`)?(?:[\w./-]{{1,40}}[ \t]{{1,4}})?<<(?!<)[-~]?[ \t]{{0,4}}\\?(?P<mark>[\"']?)(?P<word>\w{{1,60}})(?P=mark)"
    rf"[^\n\\]{{0,80}}?{_EOL}"
)
_HERE_STRING = re.compile(rf"@(?P<quote>[\"']){_EOL}")
_CONTINUED = re.compile(rf"\\[ \t]{{0,4}}{_EOL}")
_NOTHING = re.compile(rf"(?:#[^\n]{{0,200}}?|{_CLOSING}){_EOL}")
_STRING = r"(?:\\{0,8}\"[^\"\n]{0,1000}\"|\\{0,8}'[^'\n]{0,1000}')"
_LIST = re.compile(  # of strings also one whose end was cut off
    rf"\[\s{{0,80}}(?:(?>(?:(?:{_STRING}|[^\s\[\]{{}}\"',:=]{{1,400}})\s{{0,80}}(?:,\s{{0,80}}|(?=\]))){{0,100}})\]"
    rf"|(?>(?:{_STRING}\s{{0,80}},?\s{{0,80}}){{0,100}})(?:[\"'][^\"'\n]{{0,1000}})?\Z)"
)
_OBJECT = re.compile(
    r"\{(?P<before>(?>[^{}]{0,400}?[\"']?\b(?:value|defaultValue|plain_?text|text|content|data)\\{0,8}[\"']?\s{0,20}[:=]\s{0,20}))" + VALUE,
    _I,
)
_OVER_LINES = re.compile(
    r"(?P<quote>[\"'])(?>(?:(?!(?P=quote))[^\\]|\\.){0,2000})"
    r"(?:(?<![\s=:({\[,])(?P=quote)(?=[\s,;)}\]&|<>.]|\Z)|(?<=\s)(?P=quote)(?=[ \t,;)}\]]{0,8}(?:\r?\n|\Z)))",
    re.DOTALL,
)
_VALUE = re.compile(VALUE)
_QUOTED = re.compile(QUOTED)
_TO_END_OF_LINE = re.compile(r"[^\n\"'{}\[\]]{1,1000}?(?=[ \t]{1,40}[#;][^\n]{0,400}$|[ \t\r]{0,40}$)", re.MULTILINE)
_OWN_LINE = re.compile(r"[ \t]{0,40}(?:-[ \t]{1,4})?[\"']?[\w.-]{0,60}\Z")
_WHOLE_WORDS = re.compile(r"(?:pass(?:word|wd|phrase|code)|pwd|secret|key)\w{0,20}\\{0,8}[\"']?[ \t]{0,40}[=:]", _I)
_ALONE = re.compile(r"\S{1,1000}(?=[ \t]{0,4}$)", re.MULTILINE)
_ONE_WORD = re.compile(r"[^\s;&\"'<>{}\[\]=:]{1,4000}")
_OUTER_QUOTE = re.compile(r"(\\{0,8}[\"'])[\w.-]{0,60}\Z")
_NAME_BEGUN = re.compile(r"(?<=[\s\"'])[\w.-]{0,60}\Z|\A[\w.-]{0,60}\Z")
_SECRET_WORD = re.compile(rf"{WORDS}|{SHORT_WORDS}", _I)

# What a program puts before each line that it logs: syslog and the journal, and Pacemaker, which quotes what agents print.
_QUOTES = r"\w{1,80}\[\d{1,10}\] error output \[ "
LOG_PREFIX = re.compile(
    r"(?:(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S{0,14}) \S{1,80} )?"
    rf"[\w./@-]{{1,60}}(?: ?\[\d{{1,10}}\]|\(\w{{1,40}}\))?: (?:{_QUOTES})?"
)
_MAPPING = re.compile(r"(?P<name>[\"']?[\w.-]{1,80}[\"']?)[ \t]{0,20}[:=](?:[ \t]{1,8}|\Z)")
_HOLDS_IT = re.compile(r"[\"']?(?:value|defaultValue|plain_?text|text|content|data|stringData)[\"']?\Z", _I)
_ITEM = re.compile(r"-[ \t]{1,8}")
# nsswitch.conf: where accounts are looked up.
_SOURCES = re.compile(r"(?:files|compat|sss|systemd|ldap|nis|nisplus|winbind|db|dns)\b", _I)


# A name in a pair: {"name": "DB_PASSWORD", "value": …}, `- name: DB_PASSWORD` and `value: …` below. The value is read like any other.
_Q = r"\\{0,8}[\"']"
_OF_NAME = r"(?:name|key|id|variable|param(?:eter)?|option|property|attribute|field|label|setting|env)"
_PAIR = re.compile(
    rf"[ \t]{{0,4}}(?=[,;}}\]\s])(?:(?!(?<![\w.-]){_OF_NAME}{_Q}?\s{{0,4}}[:=]|\n[ \t]{{0,40}}-)[^{{}}\[\]]){{0,400}}?"
    rf"(?P<key>(?<![\w.-]){_Q}?(?:\w{{0,12}}value|val|data|content|default|text){_Q}?)[ \t]{{0,40}}(?:=>|[:=])[ \t]{{0,40}}",
    _I,
)
_PAIR_NAME = re.compile(rf"(?<![\w.-]){_OF_NAME}{_Q}?\s{{0,4}}(?:=>|[:=])\s{{0,4}}{_Q}?[\w./-]{{0,60}}\Z", _I)
_NAME_IN_PAIR = re.compile(rf"(?:{WORDS}|{SHORT_WORDS})\w{{0,20}}(?<!_file)(?<!_env)(?<!_command)(?<!_path){_Q}?(?![\w./:=-])", _I)


class _Line(NamedTuple):
    start: int
    end: int
    body_at: int
    indent: int  # columns
    body: str


class _Head(NamedTuple):
    """A name and the sign behind it."""

    start: int  # of the name, or of its part that says what it is
    end: int
    name: str
    sign: str
    short: bool


def says_how(name: str, value: object) -> bool:
    """A setting that names the way to log in, not what one logs in with: `azure.credential`."""
    return name == "credential" and value in CREDENTIAL_KINDS


def without(text: str, small: str | None) -> str:
    """`text` without the values; `small` is the same in small letters, where it is ASCII."""
    parts: list[str] = []
    at = 0
    for place in _places(text, small):
        if place < at or (head := _head(text, place)) is None:
            continue
        found = _Reader(text, head).value()
        if found is not None and found[0] > at:
            parts += (text[at : head.end], found[1])
            at = found[0]
    return text if not parts else "".join((*parts, text[at:]))


def _places(text: str, small: str | None) -> list[int]:
    """Where a name may begin."""
    if small is None:
        return [found.start() for found in _SECRET_WORD.finditer(text)]
    places: set[int] = set()
    for word in BEGINNINGS:  # many times faster than the pattern alone, which tries all of them at each character
        at = small.find(word)
        while at >= 0:
            places.add(at)
            at = small.find(word, at + 1)
    return sorted(places)


def _head(text: str, at: int) -> _Head | None:
    if (found := HEAD.match(text, at)) is not None:
        return _Head(at, found.end(), found[0], found["sign"], found["short"] is not None)
    if (name := _NAME_IN_PAIR.match(text, at)) is not None and _PAIR_NAME.search(text, max(0, at - 120), at):
        pair = _PAIR.match(text, name.end())
        if pair is not None:
            return _Head(pair.start("key"), pair.end(), "", "=", False)
    return None


class _Reader:
    """Reads the value behind one name."""

    def __init__(self, text: str, head: _Head) -> None:
        self._text, self._head = text, head
        start = head.start
        self._line = text[
            max(text.rfind("\n", max(0, start - 400), start) + 1, start - 400) : start
        ]  # what stands before the name in its line

    def value(self) -> tuple[int, str] | None:
        """Where it ends, and what stands there instead; None where there is none."""
        text, at = self._text, self._head.end
        if self._head.short and self._head.sign == ":":  # a "pass:" is a verdict, but where one word is all that follows
            if not _OWN_LINE.match(self._line):
                return None
            found, word = _BLOCK.match(text, at), _ALONE.match(text, at)
            return self._block(found) if found else (word.end(), GONE) if word else None
        if (over := self._over_lines(at)) is not None:
            return over, GONE
        for pattern, read in (
            (_TRIPLE, self._triple),
            (_BLOCK, self._block),
            (_HERE_DOCUMENT, self._here_document),
            (_HERE_STRING, self._here_string),
            (_CONTINUED, self._continued),
            (_NOTHING, self._below),
            (_LIST, _whole),
            (_OBJECT, _in_object),
        ):
            if (found := pattern.match(text, at)) is not None and (value := read(found)) is not None:
                return value
        return self._in_one_line()

    def _over_lines(self, at: int) -> int | None:
        """The end of a value in quotes that do not close in their line; a quote that never closes ends with it."""
        quote = self._text[at : at + 1]
        if quote not in ("'", '"') or self._text.startswith(quote * 3, at):
            return None
        found = _OVER_LINES.match(self._text, at)
        return found.end() if found and 0 < found[0].count("\n") <= MAX_QUOTED_LINES else None

    def _in_one_line(self) -> tuple[int, str] | None:
        text, at, name = self._text, self._head.end, self._head.name
        found = _VALUE.match(text, at)
        if found is None or self._is_none(found[0]):
            return None
        end = found.end()
        if found[0][0] in "\"'" or _QUOTED.match(text, at):
            return end, GONE
        if found[0][-1] == "\\" and (more := _CONTINUED.match(text, end - 1)) is not None:
            return self._continued(more)
        outer = _OUTER_QUOTE.search(self._line)
        if outer and name.endswith("=") and not re.search(r"[\"']", name):  # "DB_PASSWORD=two words"
            closes = re.compile(rf"{re.escape(outer[1])}|\n").search(text, at, at + 1000)
            if closes is None and len(text) - at < 1000:
                return len(text), GONE
            return (max(end, closes.start()) if closes and closes[0] != "\n" else end), GONE
        if _WHOLE_WORDS.match(name) and re.search(r"[ \t]", name) and _OWN_LINE.match(self._line):
            line = _TO_END_OF_LINE.match(text, at)
            end = max(end, line.end() if line else 0)
        return end, GONE

    def _is_none(self, value: str) -> bool:
        """corosync.conf's token and its kin are times, and matter, and so do our own tokens: a service's name, yes or no."""
        name = self._head.name
        whole = not re.search(r"[\w.-]\Z", self._line)
        if whole and re.match(r"tokens\s*[:=]\s*\Z", name) and re.fullmatch(r"[\"']?[a-z][a-z-]{0,19}[\"']?", value):
            return True
        if re.match(r"tokens?\w{0,20}[\"']?\s*[:=]\s*\Z", name, _I) and re.fullmatch(r"\d{1,6}", value):
            return True
        if name.startswith("passwd:") and _SOURCES.match(value) and _OWN_LINE.match(self._line):
            return True
        return whole and says_how(re.split(r"\W", name, maxsplit=1)[0], value.strip("\"'"))

    # Forms of several lines. Each returns what `value` does.

    def _triple(self, found: re.Match[str]) -> tuple[int, str]:
        quote = found["quote"]
        end = self._text.find(quote, found.end(), found.end() + MAX_LENGTH)
        if end >= 0 and self._text.count("\n", found.end(), end) <= MAX_LINES:
            end += len(quote)
            return end + (self._text[end : end + 1] == quote[-1]), GONE  # a value may end with a quote
        return self._cut_off(found.end()), GONE

    def _here_string(self, found: re.Match[str]) -> tuple[int, str]:
        mark = f"{found['eol']}{found['quote']}@"
        end = self._text.find(mark, found.start("eol"), found.end() + MAX_LENGTH)
        return (end + len(mark) if found["eol"] and end >= 0 else self._cut_off(found.start("eol"))), GONE

    def _here_document(self, found: re.Match[str]) -> tuple[int, str]:
        for line in self._lines(found):
            if line.body.rstrip("\"'`), ;") == found["word"]:
                return line.end, GONE
        return self._cut_off(found.start("eol")), GONE

    def _cut_off(self, at: int) -> int:
        """Where a value ends whose end is missing: with the text, where that is near; else with its line, or the next one where the value
        begins there."""
        text = self._text
        if len(text) - at <= MAX_LENGTH and text.count("\n", at) <= MAX_LINES:
            return len(text)
        end = text.find("\n", at, at + MAX_LENGTH)
        if end >= 0 and not text[at:end].strip():
            end = text.find("\n", end + 1, end + MAX_LENGTH)
        return end if end >= 0 else at

    def _continued(self, found: re.Match[str]) -> tuple[int, str]:
        end = found.start("eol")
        for line in self._lines(found, MAX_QUOTED_LINES):
            value = _VALUE.match(line.body)
            end = line.end if value is None else line.body_at + value.end()
            if not line.body.endswith("\\"):
                break
        return end, GONE

    def _block(self, found: re.Match[str]) -> tuple[int, str]:
        column, end = self._column(found["eol"]), found.start("eol")
        for line in self._lines(found):
            if line.body and line.indent <= column:
                break
            end = line.end if line.body else end
        return end, GONE

    def _below(self, found: re.Match[str]) -> tuple[int, str] | None:
        """Nothing stands behind the sign: a list, a value or a table with one may stand below."""
        column, end, parts = self._column(found["eol"]), found.start(), ""
        for number, line in enumerate(self._lines(found)):
            item = _ITEM.match(line.body)
            if not line.body or not (line.indent > column or (item and line.indent == column)):
                if number == 0 and not item and (alone := _ONE_WORD.fullmatch(line.body)):
                    return line.body_at + alone.end(), self._text[end : line.body_at] + GONE
                break
            value_at = line.body_at + (item.end() if item else 0)
            mapping = _MAPPING.match(self._text, value_at, line.end)
            if mapping and not (_HOLDS_IT.fullmatch(mapping["name"]) and mapping.end() < line.end):
                break
            if not (mapping or item or number == 0 or parts):
                break
            value_at = mapping.end() if mapping else value_at
            parts += self._text[end:value_at] + GONE
            end = line.body_at + len(line.body)
        return (end, parts) if parts else None

    def _column(self, eol: str) -> int:
        """Of the name, without what a program puts before its lines."""
        before = self._line
        if eol[:1] == "\\":  # the line's end is written out, so its beginning is, too
            before = re.split(rf"{re.escape(eol)}|(?<!\\)\"", before)[-1]
        prefix = LOG_PREFIX.match(before)
        return len(_NAME_BEGUN.sub("", before[prefix.end() if prefix else 0 :]))

    def _lines(self, found: re.Match[str], most: int = MAX_LINES) -> Iterator[_Line]:
        """The lines after `found`, which ended with its line: real ones, or those of a text whose line ends are written out."""
        text, eol, at = self._text, found["eol"], found.end("eol")
        if not eol:
            return
        stop = min(len(text), at + MAX_LENGTH)
        if eol[0] == "\\":
            stop = _end_of_string(text, at, stop, len(eol) - len(eol.lstrip("\\")))
        else:
            eol = "\n"
        prefix = LOG_PREFIX.match(self._line)
        begun = _NAME_BEGUN.sub("", self._line)
        quoted = begun[-1:] if begun[-1:] in ("'", '"') and not re.search(r"[\"']", self._head.name) else ""
        for _ in range(most):
            if at >= stop:
                return
            end = text.find(eol, at, stop)
            end = stop if end < 0 else end
            own = text[at:end]
            if prefix is not None:
                again = LOG_PREFIX.match(own)  # else the journal indents the other lines of a message
                own = own[again.end() if again else min(len(own) - len(own.lstrip(" ")), len(prefix[0])) :]
            own = own[1:] if quoted and own[:1] == quoted else own
            kept = own.lstrip(" \t")
            yield _Line(at, end, end - len(kept), len(own) - len(kept), kept.rstrip())
            at = end + len(eol)


def _end_of_string(text: str, at: int, stop: int, escapes: int) -> int:
    """Where a string ends whose line ends are written out, with so many backslashes: at a quote with fewer, or at a real line's end."""
    end = text.find("\n", at, stop)
    stop = stop if end < 0 else end
    quote = text.find('"', at, stop)
    while quote >= 0:
        behind = text[max(at, quote - 9) : quote]
        before = len(behind) - len(behind.rstrip("\\"))
        if before < escapes:
            return quote - before
        quote = text.find('"', quote + 1, stop)
    return stop


def _whole(found: re.Match[str]) -> tuple[int, str]:
    return found.end(), GONE


def _in_object(found: re.Match[str]) -> tuple[int, str]:
    return found.end(), f"{{{found['before']}{GONE}"
