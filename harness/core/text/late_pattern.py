"""Regular expressions that few runs of a command need: compiled when they are first used."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property


class LatePattern:
    """For long ones that every command loads: compiling all that say how a secret may look took longer than most commands."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self.pattern, self.flags = pattern, flags

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern, self.flags)

    def sub(self, instead: str | Callable[[re.Match[str]], str], text: str) -> str:
        """As of a compiled pattern."""
        return self._compiled.sub(instead, text)

    def search(self, text: str) -> re.Match[str] | None:
        """As of a compiled pattern."""
        return self._compiled.search(text)
