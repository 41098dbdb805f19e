"""The table of tokens in SQL Server."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from harness.core.deadline import Deadline
from harness.services.sqlserver.sqlserver_session import Session
from harness.services.token_table import TABLE, TokenTable

NODE = "cast(serverproperty('ComputerNamePhysicalNetBIOS') as nvarchar(128))"


class MssqlTokens(TokenTable):
    """Each token is a transaction of its own (autocommit)."""

    def __init__(self, host: str, port: int, settings: Mapping[str, str], deadline: Deadline) -> None:
        self._session = Session(host, port, settings, deadline)

    def __enter__(self) -> MssqlTokens:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._session.__exit__(kind, error, trace)

    def make(self, deadline: Deadline) -> None:
        columns = "run nvarchar(32), value nvarchar(128), node nvarchar(128)"
        self._session.query(f"if object_id('{TABLE}') is null create table {TABLE} ({columns})", deadline)

    def write(self, run: str, value: str, deadline: Deadline) -> str:
        statement = f"insert into {TABLE} (run, value, node) output inserted.node values ('{run}', '{value}', {NODE})"
        ((node,),) = self._session.query(statement, deadline)
        return str(node)

    def count(self, run: str, deadline: Deadline) -> dict[str, int]:
        ((table_exists,),) = self._session.query(f"select case when object_id('{TABLE}') is null then 0 else 1 end", deadline)
        if not table_exists:
            return {}
        rows = self._session.query(f"select value, count(*) from {TABLE} where run = '{run}' group by value", deadline)
        return {str(value): int(count) for value, count in rows}

    def drop(self, deadline: Deadline) -> None:
        self._session.query(f"if object_id('{TABLE}') is not null drop table {TABLE}", deadline)
