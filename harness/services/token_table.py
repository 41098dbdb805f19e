"""A table of unique tokens in a database: written one by one, and counted when all is healed. One small class for each kind of database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType

from harness.core.deadline import Deadline

TABLE = "lkharness_tokens"


class TokenTable(ABC):
    """One session with the database, and what is asked in it. All raise as the session does; `run` and `value` are words of the harness."""

    @abstractmethod
    def __enter__(self) -> TokenTable: ...

    @abstractmethod
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    @abstractmethod
    def make(self, deadline: Deadline) -> None:
        """Make the table, unless it is there."""

    @abstractmethod
    def write(self, run: str, value: str, deadline: Deadline) -> str:
        """Write one token, durably; returns the node that took it, as the database calls it."""

    @abstractmethod
    def count(self, run: str, deadline: Deadline) -> dict[str, int]:
        """How often each token of that run is there; none, where even the table is gone."""

    @abstractmethod
    def drop(self, deadline: Deadline) -> None:
        """Take the table away, if it is there."""
