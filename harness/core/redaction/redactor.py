"""Taking secrets out of text. Pure.

Two nets, one behind the other: values that are known to be secret are removed wherever they stand and in the ways they are usually written
down, and whatever looks like a password, key, token or connection string is removed without being known.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from harness.core.redaction import argument_patterns, compressed_values, directive_patterns, secret_patterns
from harness.core.redaction.assignments.named_values import remove_named_values, says_how
from harness.core.redaction.line_context import cleaned_in_order
from harness.core.redaction.secret_encodings import MIN_SUBSTRING_LENGTH, head_of, pattern_of
from harness.core.redaction.secret_names import sensitive
from harness.core.redaction.value_forms import NAMES, REMOVED, Patterns

_AFTER_NAMES = (*argument_patterns.PATTERNS, *secret_patterns.PATTERNS, *directive_patterns.PATTERNS)
_OF_NO_NAME = tuple(form for form in _AFTER_NAMES if NAMES not in (form.words, form.also))  # in texts without any word of a name
PATTERNS = (*secret_patterns.KEYS, *_AFTER_NAMES)

CLOSING = r"[\s\"'\],;)}]*\Z"
"""What may stand behind a line of a key where a program quotes it, as Pacemaker does: `error output [ MIIE… ]`."""
_BASE64_LINE = re.compile(rf"(?:^|[\s\"'\[({{])([A-Za-z0-9+/=]{{1,100}}){CLOSING}")
# The same in one line, where somebody joined a key's lines: several words, or with the line ends written out.
# Begun at the beginning of a word only, and never gone back into: a host's line must not be able to keep it busy.
_BASE64_WORDS = re.compile(
    r"(?<![A-Za-z0-9+/=])(?>(?:[A-Za-z0-9+/=]{32,100}(?:\s|\\{1,8}[rn]){1,4}){1,200})(?:[A-Za-z0-9+/=]{1,100}(?:\s|\\{1,8}[rn]){0,4})?\Z"
)
_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,6}-----")
MAX_KEY_LINES = 200  # lines before an end that may be of the key
PAIR_NAMES = ("name", "Name", "key", "Key", "variable", "option", "property")
PAIR_VALUES = ("value", "Value", "val", "data", "content", "default")
MAX_REMEMBERED, MAX_HARMLESS = 200, 10_000  # characters of a text that is remembered to hold no secret, and number of such texts


class Redactor:
    """Removes secrets. `removed` counts what was taken out so far."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        values = {part for value in known for part in _parts(value)}
        # The longest first: a secret that contains another must not leave its rest behind.
        self._values = sorted(values, key=lambda value: (-len(value), value))
        self._heads: re.Pattern[str] | None = None  # compiled when first needed: more secrets may become known before there is a text
        self._compiling = threading.Lock()
        self._harmless: set[str] = set()
        self.removed = 0

    def clean(self, text: str) -> str:
        """`text` without secrets."""
        if text in self._harmless:
            return text
        cleaned = self._cleaned(text)
        if cleaned == text and len(text) <= MAX_REMEMBERED and len(self._harmless) < MAX_HARMLESS:
            self._harmless.add(text)  # names and words of a record come again and again, and each look at one takes some forty searches
        return cleaned

    def _cleaned(self, text: str) -> str:
        text = self.clean_known(text)
        text = _without_rests_of_keys(text)
        before = text.count(REMOVED)
        text = _replaced(text, secret_patterns.KEYS)
        small = _small(text)
        if small is None or _any_in(small, NAMES):
            text = remove_named_values(text, small)
        text = _replaced(text, _AFTER_NAMES)
        self.removed += max(0, text.count(REMOVED) - before)
        return text

    def clean_known(self, text: str) -> str:
        """`text` without the values that are known."""
        if not self._values:
            return text
        text, packed = compressed_values.remove_from_compressed(text, self._holds_known, REMOVED)
        self.removed += packed
        near = self._near(text)
        if not near:
            return text
        text, times = _all_forms(near).subn(REMOVED, text)
        self.removed += times
        return text

    def _holds_known(self, text: str) -> bool:
        near = self._near(text)
        return bool(near) and _all_forms(near).search(text) is not None

    def _near(self, text: str) -> tuple[str, ...]:
        """The known values that `text` may hold, the longest first: of no other is any form in it."""
        with self._compiling:  # hosts are asked at once, and it takes tens of milliseconds
            if self._heads is None:
                self._heads = re.compile("|".join(head_of(value) for value in self._values))
        if self._heads.search(text) is None:
            return ()
        return tuple(value for value in self._values if re.search(head_of(value), text))

    def clean_data(self, data: Any, name: str = "") -> Any:
        """The same for JSON-like data: every string in it, and everything of any kind whose name says that it is a secret."""
        if name and sensitive(name) and not says_how(name, data) and not isinstance(data, bool) and data not in (None, "", [], {}):
            self.removed += 1
            return REMOVED
        if isinstance(data, dict):
            secret = _value_of_a_pair(data)
            return {
                self.clean(str(key)): self.clean_data(value, secret if key in PAIR_VALUES and secret else str(key))
                for key, value in data.items()
            }
        if isinstance(data, list | tuple):
            if len(data) > 1 and all(isinstance(value, str) for value in data):
                return cleaned_in_order(data, self.clean)
            return [self.clean_data(value) for value in data]
        return self.clean(data) if isinstance(data, str) else data


def _value_of_a_pair(data: dict[Any, Any]) -> str:
    """The name that {"name": …, "value": …} has inside, where it says that the value is secret."""
    for key in PAIR_NAMES:
        name = data.get(key)
        if isinstance(name, str) and len(name) <= MAX_REMEMBERED and sensitive(name):
            return name
    return ""


def _small(text: str) -> str | None:
    """In small letters. Of letters beyond ASCII some are the same to a pattern as one of ASCII's, and have other small ones."""
    return text.lower() if text.isascii() else None


def _replaced(text: str, patterns: Patterns) -> str:
    small = _small(text)
    may_have_name = small is None or _any_in(small, NAMES)
    for words, pattern, instead, also in patterns if may_have_name or patterns is not _AFTER_NAMES else _OF_NO_NAME:
        if small is not None and words is not NAMES and not _any_in(small, words):
            continue
        if small is None or not also or also is NAMES or _any_in(small, also):
            text = pattern.sub(instead, text)
    return text


def _any_in(text: str, words: tuple[str, ...]) -> bool:
    for word in words:  # noqa: SIM110 - a generator would cost more than the search
        if word in text:
            return True
    return False


@lru_cache(32)
def _all_forms(values: tuple[str, ...]) -> re.Pattern[str]:
    """Every form of these values. Thousands of characters for one private key, so it is made for those alone that a text may hold."""
    return re.compile("|".join(pattern_of(value) for value in values))


def _parts(value: str) -> set[str]:
    """The value, and its lines where it has several: one of them gives a key away. Those that are short are only a frame."""
    lines = [line.strip() for line in value.splitlines()]
    return {value.strip(), *(line for line in lines if len(line) >= MIN_SUBSTRING_LENGTH and "-----" not in line)} - {""}


def _without_rests_of_keys(text: str) -> str:
    """A private key whose beginning was cut off, also behind the prefixes of a journal: from its end line backwards."""
    if "-----END" not in text:
        return text
    lines = text.split("\n")
    for end in (number for number, line in enumerate(lines) if _END.search(line)):
        at = _END.search(lines[end]).start()  # type: ignore[union-attr]
        lines[end] = _BASE64_WORDS.sub(REMOVED, lines[end][:at]) + lines[end][at:]
        for number in range(end - 1, max(-1, end - 1 - MAX_KEY_LINES), -1):
            match = _BASE64_LINE.search(lines[number])
            if "-----BEGIN" in lines[number] or not match or (len(match[1]) < 32 and number != end - 1):
                break
            lines[number] = lines[number][: match.start(1)] + REMOVED + lines[number][match.end(1) :]
    return "\n".join(lines)
