"""Values behind names that say that they are secret: in one line here, in several ones by `multiline_values`. Pure."""

from __future__ import annotations

import re

from harness.core.redaction.assignments.assignment_heads import AssignmentHead, find_head, head_places
from harness.core.redaction.assignments.multiline_values import MultilineReader
from harness.core.redaction.assignments.value_lines import line_before
from harness.core.redaction.value_forms import QUOTED, REMOVED, VALUE

CREDENTIAL_KINDS = (
    "default", "environment", "workload-identity", "managed-identity", "cli", "powershell", "developer-cli", "client-secret",
)  # fmt: skip

_VALUE = re.compile(VALUE)
_QUOTED = re.compile(QUOTED)
_TO_END_OF_LINE = re.compile(r"[^\n\"'{}\[\]]{1,1000}?(?=[ \t]{1,40}[#;][^\n]{0,400}$|[ \t\r]{0,40}$)", re.MULTILINE)
_ONLY_NAME_BEFORE = re.compile(r"[ \t]{0,40}(?:-[ \t]{1,4})?[\"']?[\w.-]{0,60}\Z")
_NAME_OF_PHRASE = re.compile(r"(?:pass(?:word|wd|phrase|code)|pwd|secret|key)\w{0,20}\\{0,8}[\"']?[ \t]{0,40}[=:]", re.IGNORECASE)
_LAST_WORD = re.compile(r"\S{1,1000}(?=[ \t]{0,4}$)", re.MULTILINE)
_OUTER_QUOTE = re.compile(r"(\\{0,8}[\"'])[\w.-]{0,60}\Z")
# nsswitch.conf: where accounts are looked up.
_ACCOUNT_SOURCES = re.compile(r"(?:files|compat|sss|systemd|ldap|nis|nisplus|winbind|db|dns)\b", re.IGNORECASE)


def says_how(name: str, value: object) -> bool:
    """A setting that names the way to log in, not what one logs in with: `azure.credential`."""
    return name == "credential" and value in CREDENTIAL_KINDS


def remove_named_values(text: str, small: str | None) -> str:
    """`text` without the values; `small` is the same in small letters, where it is ASCII."""
    parts: list[str] = []
    at = 0
    for place in head_places(text, small):
        if place < at or (head := find_head(text, place)) is None:
            continue
        value = _value(text, head)
        if value is not None and value[0] > at:
            parts += (text[at : head.end], value[1])
            at = value[0]
    return text if not parts else "".join((*parts, text[at:]))


def _value(text: str, head: AssignmentHead) -> tuple[int, str] | None:
    """Where the value behind `head` ends, and what stands there instead; None where there is none."""
    before = line_before(text, head.start)
    multiline = MultilineReader(text, head, before)
    if head.short and head.sign == ":":  # a "pass:" is a verdict, but where one word is all that follows
        if not _ONLY_NAME_BEFORE.match(before):
            return None
        word = _LAST_WORD.match(text, head.end)
        return multiline.block() or ((word.end(), REMOVED) if word else None)
    return multiline.value() or _value_in_line(text, head, before, multiline)


def _value_in_line(text: str, head: AssignmentHead, before: str, multiline: MultilineReader) -> tuple[int, str] | None:
    at, name = head.end, head.name
    match = _VALUE.match(text, at)
    if match is None or _is_harmless(name, match[0], before):
        return None
    end = match.end()
    if match[0][0] in "\"'" or _QUOTED.match(text, at):
        return end, REMOVED
    if match[0][-1] == "\\" and (continued := multiline.continuation(end - 1)) is not None:
        return continued
    outer_quote = _OUTER_QUOTE.search(before)
    if outer_quote and name.endswith("=") and not re.search(r"[\"']", name):  # "DB_PASSWORD=two words"
        closing = re.compile(rf"{re.escape(outer_quote[1])}|\n").search(text, at, at + 1000)
        if closing is None and len(text) - at < 1000:
            return len(text), REMOVED
        return (max(end, closing.start()) if closing and closing[0] != "\n" else end), REMOVED
    if _NAME_OF_PHRASE.match(name) and re.search(r"[ \t]", name) and _ONLY_NAME_BEFORE.match(before):
        line = _TO_END_OF_LINE.match(text, at)
        end = max(end, line.end() if line else 0)
    return end, REMOVED


def _is_harmless(name: str, value: str, before: str) -> bool:
    """corosync.conf's token and its kin are times, and matter, and so do our own tokens: a service's name, yes or no."""
    name_is_whole = not re.search(r"[\w.-]\Z", before)
    if name_is_whole and re.match(r"tokens\s*[:=]\s*\Z", name) and re.fullmatch(r"[\"']?[a-z][a-z-]{0,19}[\"']?", value):
        return True
    if re.match(r"tokens?\w{0,20}[\"']?\s*[:=]\s*\Z", name, re.IGNORECASE) and re.fullmatch(r"\d{1,6}", value):
        return True
    if name.startswith("passwd:") and _ACCOUNT_SOURCES.match(value) and _ONLY_NAME_BEFORE.match(before):
        return True
    return name_is_whole and says_how(re.split(r"\W", name, maxsplit=1)[0], value.strip("\"'"))
