"""Unique tokens written to a database through the VIP, one after the other from every host, and read back when all is healed.

What the server acknowledged must be there afterwards, once. Two servers that both take tokens are the worst that can happen to a
cluster; the tokens that only one of them kept are what shows it.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Callable, Collection
from typing import TypeVar

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.config.cluster_config import Service
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Inconclusive
from harness.remote.connections.tcp_tunnel import relay
from harness.remote.recording.recording import Token
from harness.services import service_registry
from harness.services.service_kind import NotTheService
from harness.services.token_table import TABLE, TokenTable

T = TypeVar("T")
TOKEN_INTERVAL_S = 0.1
TOKEN_TIMEOUT_S = 1.0  # a token that was not acknowledged within this is given up, with its connection
MAX_CONNECTION_S = 3600.0


# What drops the tables that this process made, or may have made, and has not seen dropped; by service.
TABLES_LEFT: dict[str, Callable[[], None]] = {}


class TokensFailed(Inconclusive):
    """The database could not be asked to make the table, or to read the tokens back."""


def takes_tokens(service: Service) -> bool:
    """Is it a database that the harness may write to?"""
    return service_registry.kind(service.kind).takes_tokens(service.settings)


class Tokens:
    """`begin`, then `end`, then `read_back`; `tell` hears of every token. `drop` removes the table from the database.

    `name`: the service's, which its tokens bear where the cluster has several databases; else empty.
    """

    def __init__(self, subject: ClusterUnderTest, service: Service, tell: Callable[[Token], None], name: str = "") -> None:
        self.name = name
        self._subject = subject
        self._service = service
        self._tell = tell
        self._run = secrets.token_hex(6)
        self._ending = threading.Event()
        self._last_taken: dict[str, float] = {}  # by host: when the last token that was acknowledged was written
        self._threads: list[threading.Thread] = []

    def begin(self) -> None:
        """Make the table and start writing from every host. Raises TokensFailed when the database cannot be written to."""
        client = self._subject.cluster.client.name
        TABLES_LEFT[self._service.name] = self.drop  # its answer may be lost
        try:
            self._ask_table(client, lambda table, deadline: table.make(deadline))
        except TokensFailed as error:
            raise TokensFailed(f'{error}; let its user make a table there, or give the service the setting tokens = "no"') from error
        for machine in self._subject.cluster.machines:
            thread = threading.Thread(target=self._write_tokens, args=(machine.name,), name=f"tokens-{machine.name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def is_flowing(self) -> bool:
        """Has a token been acknowledged from every host?"""
        return len(self._last_taken) == len(self._subject.cluster.machines)

    def is_taken_since(self, moment: float, origins: Collection[str]) -> bool:
        """Has one that was written after this moment (seconds, monotonic) been acknowledged from each of these hosts?"""
        return all(self._last_taken.get(origin, -math.inf) >= moment for origin in origins)

    def end(self) -> None:
        """Stops to write, and waits for the writers."""
        self._ending.set()
        for thread in self._threads:
            thread.join(MAX_CONNECTION_S)

    def read_back(self) -> dict[str, int]:
        """How often each token of this run is in the database; none, where even the table is gone. Raises TokensFailed when it cannot be
        asked."""
        return self._ask_table(self._subject.cluster.client.name, lambda table, deadline: table.count(self._run, deadline))

    def drop(self) -> None:
        """Removes the table that the tokens are in."""
        self._ask_table(self._subject.cluster.client.name, lambda table, deadline: table.drop(deadline))
        TABLES_LEFT.pop(self._service.name, None)

    def _ask_table(self, origin: str, ask: Callable[[TokenTable, Deadline], T], *, limit: float = 10.0) -> T:
        try:
            with self._open_path(origin, limit) as link, self._open_table(link.port, limit) as table:
                return ask(table, Deadline(limit))
        except (OSError, HarnessError, NotTheService) as error:
            raise TokensFailed(f"tokens: {self._service.name} could not be asked from {origin}: {error}") from error

    def _open_path(self, origin: str, limit: float = TOKEN_TIMEOUT_S):
        vip = str(self._subject.cluster.vip)
        return relay(self._subject.connection_workers[origin], vip, self._service.port, limit=limit, lifetime=MAX_CONNECTION_S)

    def _open_table(self, port: int | None, limit: float = TOKEN_TIMEOUT_S) -> TokenTable:
        if port is None:
            raise ConnectionError("the connection did not come about")
        settings = service_registry.settings_of(self._service, self._subject.cluster)
        return service_registry.kind(self._service.kind).token_table("127.0.0.1", port, settings=settings, deadline=Deadline(limit))

    def _write_tokens(self, origin: str) -> None:
        """One connection as long as it lasts: a client's, with its own reconnects."""
        number = 0
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                with self._open_path(origin) as link, self._open_table(link.port) as table:
                    while not self._ending.is_set():
                        number += 1
                        self._write_token(origin, table, f"{origin}-{number}")
                        self._ending.wait(TOKEN_INTERVAL_S)
            except (OSError, HarnessError, NotTheService) as error:
                # The path is out: what that means is for the meter to say; here it only delays the next token.
                self._subject.timeline.note(origin, "tokens", f"connection lost or not made: {error}")
            self._ending.wait(max(0.0, began + TOKEN_INTERVAL_S - time.monotonic()))

    def _write_token(self, origin: str, table: TokenTable, value: str) -> None:
        began = time.monotonic()
        try:
            node = table.write(self._run, value, Deadline(TOKEN_TIMEOUT_S))
        except BaseException as error:
            self._tell(Token(began, origin, value, False, time.monotonic() - began, detail=str(error), service=self.name))
            raise
        self._tell(Token(began, origin, value, True, time.monotonic() - began, by=node, service=self.name))
        self._last_taken[origin] = began


def drop_what_is_left() -> list[str]:
    """Tried again for every table that was not seen dropped; what may still be there, in sentences."""
    faults = []
    for name, drop in list(TABLES_LEFT.items()):
        try:
            drop()
        except HarnessError as error:
            faults.append(f"the table {TABLE} may still be in the database of {name} (DROP TABLE {TABLE} removes it): {error}")
    return faults
