"""What a run writes passes here: into its files, its report, its timeline and the terminal. Everything that hosts, services and
programs said passes it, and no secret does."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from harness.core.redaction.line_context import LineContext, cleaned_in_order
from harness.core.redaction.redactor import CLOSING, Redactor
from harness.core.redaction.value_forms import REMOVED
from harness.core.text.host_text import visible

MAX_CACHED_TEXTS = 20_000  # texts: a run says the same sentences over and over
MAX_KEY_LINES = 400  # lines; a key whose end never comes must not take the rest of a log with it

_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?|OpenVPN Static key V\d{1,2})-----|\bPrivate-Lines: \d")
_END = re.compile(r"-----END (?:[A-Z0-9 ]{0,40}PRIVATE KEY|OpenVPN Static key)|\bPrivate-MAC: ")
_LAST_WORD = re.compile(rf"[A-Za-z0-9+/=]+(?={CLOSING})")


class Cleaner:
    """Removes secrets; thread-safe. `knows` adds values that are known to be secret, as soon as they are."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._lock, self._learning = threading.Lock(), threading.Lock()
        self._values: set[str] = set()
        self._in_key: dict[str, int] = {}  # a log → lines since its private key began
        self._contexts: dict[str, LineContext] = {}  # a log → its lines of which the next may be a part
        self.knows(known)

    def knows(self, values: Iterable[str]) -> None:
        """Adds secrets that it removes from now on, in every form."""
        new = set(values)
        with self._learning:
            if new and new <= self._values:
                return  # it is told of one at every log-in, and must not forget each time what it has cleaned
            known = self._values | new
            redactor = Redactor(known)
            self._clean, self._clean_known = lru_cache(MAX_CACHED_TEXTS)(redactor.clean), lru_cache(MAX_CACHED_TEXTS)(redactor.clean_known)
            self._values = known

    @property
    def values(self) -> list[str]:
        """What is known, for another process that must know it as well."""
        return sorted(self._values)

    def text(self, text: str) -> str:
        """`text` without secrets, the known ones and what looks like one."""
        return self._clean(text)

    def without_known(self, text: str) -> str:
        """`text` without the known ones only, for what must stay readable by programs."""
        return self._clean_known(text)

    def for_terminal(self, text: str) -> str:
        """The same as `text`, fit for a terminal."""
        return visible(self._clean(text))

    def data(self, data: Any) -> Any:
        """Every string in JSON-like data. What a value is called does not matter here: the harness itself named it."""
        if data is None or isinstance(data, int | float):
            return data
        if isinstance(data, str):
            return self._clean(data)
        if isinstance(data, dict):
            return {key: self.data(value) for key, value in data.items()}
        if not isinstance(data, list | tuple):
            return data
        if len(data) > 1 and all(isinstance(value, str) for value in data):
            return cleaned_in_order(data, self._clean)
        return [self.data(value) for value in data]

    def line(self, log: str, line: str) -> str:
        """The next line of a log that is followed. A private key in it, or a value of several lines, ends where it ends, however many lines
        that takes."""
        with self._lock:
            since = self._in_key.get(log)
            if _BEGIN.search(line):
                self._in_key[log] = 0
            elif since is not None:
                if _END.search(line) or since >= MAX_KEY_LINES:
                    del self._in_key[log]
                else:
                    self._in_key[log] = since + 1
                line = _LAST_WORD.sub(REMOVED, line)
            if log not in self._contexts:
                self._contexts[log] = LineContext(self.text)
            return self._contexts[log].next(line, self._clean(line))
