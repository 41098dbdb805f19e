"""The table of tokens in PostgreSQL."""

from __future__ import annotations

from types import TracebackType

from harness.core.deadline import Deadline
from harness.services.postgresql.postgres_session import Session
from harness.services.token_table import TABLE, TokenTable

# A session is held throughout a measurement. Whose host dies meanwhile would leave it at the server for the two hours that kernels wait by
# default (facts PGS-06); so the server asks after 30 s of silence, three times, and ends it within a minute.
KEEPALIVES = {"tcp_keepalives_idle": 30, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}  # seconds, seconds, times


class PostgresTokens(TokenTable):
    """Each token is a transaction of its own."""

    def __init__(self, host: str, port: int, settings: dict[str, str], deadline: Deadline) -> None:
        self._session = Session(host, port, settings, deadline)
        settings_calls = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in KEEPALIVES.items())
        try:
            self._session.query(f"select {settings_calls}".encode(), deadline, of="asking it to notice when this host dies")
        except BaseException:
            self._session.__exit__(None, None, None)
            raise

    def __enter__(self) -> PostgresTokens:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._session.__exit__(kind, error, trace)

    def make(self, deadline: Deadline) -> None:
        self._session.query(f"create table if not exists {TABLE} (run text, value text, node text)".encode(), deadline)

    def write(self, run: str, value: str, deadline: Deadline) -> str:
        statement = f"insert into {TABLE} values ('{run}', '{value}', current_setting('cluster_name')) returning node"
        return self._session.query(statement.encode(), deadline)[0][0]

    def count(self, run: str, deadline: Deadline) -> dict[str, int]:
        ((table_exists,),) = self._session.query(f"select to_regclass('{TABLE}') is not null".encode(), deadline)
        if table_exists != "t":
            return {}
        rows = self._session.query(f"select value, count(*) from {TABLE} where run = '{run}' group by 1".encode(), deadline)
        return {value: int(count) for value, count in rows}

    def drop(self, deadline: Deadline) -> None:
        self._session.query(f"drop table if exists {TABLE}".encode(), deadline)
