"""Taking secrets out of text. Pure.

Two nets, one behind the other: values that are known to be secret are removed wherever they stand and in the ways they are usually written
down, and whatever looks like a password, key, token or connection string is removed without being known.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import quote, quote_plus

GONE = "[removed]"
SHORT = 4  # a value of fewer characters is removed only where it stands as a word: anywhere else it would shred the text

# Every repetition is bounded: a host's log must not be able to keep a pattern busy for ever.
_WORDS = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|secret|token|api[_-]?key|access[_-]?key|account[_-]?key|shared[_-]?access[_-]?\w{1,20}"
    r"|private[_-]?key|credentials?|authkey)"
)
_NAME = rf"[\w.-]{{0,40}}{_WORDS}\w{{0,20}}"
_VALUE = r"(?:\"(?:[^\"\\\n]|\\.){0,4000}\"|'(?:[^'\\\n]|\\.){0,4000}'|[^\s;&\"'<>]{1,4000})"
_SENSITIVE = re.compile(rf"{_WORDS}s?\Z", re.IGNORECASE)
_TIMER = r"(?!(?<=\stoken: )\d{1,6}\s)"  # corosync.conf's token is a time, and matters

# (what it looks like, what stands there afterwards)
PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN ([A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----.*?(?:-----END \1-----|\Z)", re.DOTALL), GONE),
    (
        re.compile(
            r"(?:^[A-Za-z0-9+/=]{32,100}\n){0,200}^[A-Za-z0-9+/=]{1,100}\n-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,6}-----", re.M
        ),
        GONE,
    ),
    (re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://[^\s/@:]{0,200}):[^\s/@]{1,1000}@", re.IGNORECASE), rf"\1:{GONE}@"),
    (re.compile(r"(\bauthorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:[a-z]{1,20}\s{1,4})?)[^\s,;\"']{1,4000}", re.IGNORECASE), rf"\1{GONE}"),
    (re.compile(r"(\bbearer\s{1,4})[A-Za-z0-9._~+/=-]{8,4000}", re.IGNORECASE), rf"\1{GONE}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{4,4000}(?:\.[A-Za-z0-9_-]{0,4000})?"), GONE),
    (re.compile(r"\bSCRAM-SHA-256\$[^\s\"']{1,400}|\bmd5[0-9a-f]{32}\b|\$(?:1|2[aby]|5|6|7|y)\$[./A-Za-z0-9$=,]{8,400}"), GONE),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,400}|\bxox[abprs]-[A-Za-z0-9-]{10,400}"), GONE),
    (re.compile(r"([?&;](?:sig|signature)=)[^\s&\"';]{1,1000}", re.IGNORECASE), rf"\1{GONE}"),
    (re.compile(rf"(\bidentified\s{{1,4}}by\s{{1,4}}(?:values\s{{1,4}})?){_VALUE}", re.IGNORECASE), rf"\1{GONE}"),
    (re.compile(r"(\bpassword\s{1,4})'(?:[^'\n]|''){0,1000}'", re.IGNORECASE), rf"\1{GONE}"),
    (re.compile(r"(\b[A-Za-z][\w$#]{0,60})/[^\s/@\"']{1,200}@(?=[\w/\[(.-])"), rf"\1/{GONE}@"),  # user/password@service, Oracle's way
    (re.compile(rf"(\bname=[\"']?{_NAME}[\"']?\s{{1,4}}value=){_VALUE}", re.IGNORECASE), rf"\1{GONE}"),  # a manager's XML
    (
        re.compile(rf"({_WORDS}\w{{0,20}}(?<!_file)(?<!_env)[\"']?\s{{0,4}}(?:=>|:=|=|:(?!//))\s{{0,4}}{_TIMER}){_VALUE}", re.IGNORECASE),
        rf"\1{GONE}",
    ),
    (re.compile(rf"((?<!\S)--?{_NAME}(?<!-file)\s{{1,4}}){_VALUE}", re.IGNORECASE), rf"\1{GONE}"),
)


def sensitive(name: str) -> bool:
    """Does a setting of this name hold a secret itself? `password_file` and `password_env` only say where one is."""
    return bool(_SENSITIVE.search(name))


def secret_words(command: Sequence[str]) -> set[str]:
    """Words of a command that an option before them, or in them, calls secret: `--password X`, `-p X`, `--token=X`."""
    after = {word for before, word in pairwise(command) if before == "-p" or (before.startswith("-") and sensitive(before.lstrip("-")))}
    within = {value for name, mark, value in (word.partition("=") for word in command) if mark and sensitive(name.lstrip("-"))}
    return {word for word in after | within if word}


class Redactor:
    """Removes secrets. `removed` counts what was taken out so far."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        values = {part for value in known for part in (value, value.strip(), *value.splitlines()) if part.strip()}
        forms = {form for value in values for form in _forms(value)}
        # The longest first: a secret that contains another must not leave its rest behind.
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        parts = [re.escape(f) if len(f) >= SHORT else rf"(?<!\w){re.escape(f)}(?!\w)" for f in ordered]
        self._known = re.compile("|".join(parts)) if parts else None
        self.removed = 0

    def clean(self, text: str) -> str:
        """`text` without secrets."""
        text = self.clean_known(text)
        for pattern, instead in PATTERNS:
            before = text.count(GONE)
            text = pattern.sub(instead, text)
            self.removed += max(0, text.count(GONE) - before)
        return text

    def clean_known(self, text: str) -> str:
        """`text` without the values that are known."""
        if self._known is not None:
            text, times = self._known.subn(GONE, text)
            self.removed += times
        return text

    def clean_data(self, data: Any, name: str = "") -> Any:
        """The same for JSON-like data: every string in it, and everything of any kind whose name says that it is a secret."""
        if name and sensitive(name) and not isinstance(data, bool) and data not in (None, "", [], {}):
            self.removed += 1
            return GONE
        if isinstance(data, dict):
            return {self.clean(str(key)): self.clean_data(value, str(key)) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self.clean_data(value) for value in data]
        return self.clean(data) if isinstance(data, str) else data


def _forms(value: str) -> set[str]:
    """A secret as it may be written down: as it is, quoted for a shell, a URL or JSON, in base64 or hexadecimal."""
    if len(value) < SHORT:
        return {value}
    raw = value.encode("utf-8", "surrogateescape")
    coded = base64.b64encode(raw).decode()
    return {
        value,
        shlex.quote(value),
        quote(value, safe="", errors="replace"),
        quote_plus(value, errors="replace"),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        coded,
        coded.rstrip("="),
        raw.hex(),
    }
