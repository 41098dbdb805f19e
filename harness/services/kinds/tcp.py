"""Any TCP service: a greeting when it has one, else no more than that the connection was accepted and stayed open."""

from __future__ import annotations

import math
import re
import select

from harness.config import service_settings
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, DeadlineExceeded
from harness.services import mysql_handshake
from harness.services.deadline_socket import BoundedSocket, dial, quoted
from harness.services.service_kind import Hello, Identity, NotServing, NotTheService, ServiceKind, Unbearable, UnbearableAndRefusing

SETTINGS = {"greeting", "connect_every_s", "broken_handshakes"}
MAX_GREETING_BYTES = 4096
MIN_CONNECT_INTERVAL_S = 0.1  # what it does for each connection is not known
UNCOUNTED = "uncounted"
STAYS_OPEN_S = 0.2  # how long an accepted connection is watched when nothing is expected on it


class Tcp(ServiceKind):
    """Setting: `greeting`, a regular expression for what the service says first; its groups `node` and `started` (seconds
    since the epoch) tell who it is. Without it nobody is identified: "accepted" may come from a proxy or a forwarder.
    `connect_every_s`: how often each host may connect at most (default 0.1 s). `broken_handshakes = "uncounted"`: a server that greets as
    MySQL or MariaDB refuses a host that has broken off 100 handshakes (max_connect_errors), but not this one, because its
    skip_name_resolve is on."""

    kind = "tcp"
    bears_silence_s = math.inf

    def who_are_you(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> Identity:
        service_settings.only_known(settings, self.kind, SETTINGS)
        greeting = service_settings.pattern(settings, "greeting", groups={"node", "started"})
        with dial(host, port, deadline) as sock:
            return _watch_open(sock, host, port, deadline) if greeting is None else _read_greeting(sock, host, port, greeting)

    def demand_bearable(self, host: str, port: int, *, settings: dict[str, str], deadline: Deadline) -> None:
        """Hears the greeting, until the deadline, and breaks off no handshake. Raises Unbearable for MySQL's or MariaDB's."""
        if service_settings.one_of(settings, "broken_handshakes", (UNCOUNTED,)):
            return
        with dial(host, port, deadline) as sock:
            first_bytes = sock.recv(MAX_GREETING_BYTES) if select.select([sock], [], [], deadline.remaining())[0] else b""
            mysql_handshake.end_handshake(sock, first_bytes)
        if mysql_handshake.is_greeting(first_bytes):
            why = (
                f"{host}:{port} greets as MySQL or MariaDB, which refuses a host, its real clients included, that has broken off 100 "
                "handshakes (max_connect_errors), as measuring does; leave this service out, or, where its skip_name_resolve is on, say "
                f'broken_handshakes = "{UNCOUNTED}" in its settings'
            )
            try:
                mysql_handshake.demand_no_refusal(first_bytes, host, port)
            except NotServing as refusal:
                raise UnbearableAndRefusing(f"{refusal}. {why}") from refusal
            raise Unbearable(why)

    def hello(self, settings: dict[str, str]) -> Hello:
        """The greeting when there is one; else the accepted connection alone counts, which a frozen process still gives."""
        service_settings.only_known(settings, self.kind, SETTINGS)
        greeting = service_settings.pattern(settings, "greeting", groups={"node", "started"})
        expect = greeting.pattern.encode("utf-8") if greeting else b""
        try:
            re.compile(expect)
        except (re.error, ValueError) as error:
            raise BadUse(f"setting greeting = {settings['greeting']!r} cannot be matched with bytes: {error}") from error
        return Hello(b"", expect, keeps=False, least_period_s=service_settings.seconds(settings, "connect_every_s", MIN_CONNECT_INTERVAL_S))


def _watch_open(sock: BoundedSocket, host: str, port: int, deadline: Deadline) -> Identity:
    watched_s = deadline.within(STAYS_OPEN_S)
    first_bytes = b""
    if select.select([sock], [], [], watched_s)[0]:
        first_bytes = sock.recv(MAX_GREETING_BYTES)
        if not first_bytes:
            raise ConnectionResetError(f"{host}:{port} accepted the connection and closed it at once")
        mysql_handshake.demand_no_refusal(first_bytes, host, port)
    description = f"it said {quoted(first_bytes)}" if first_bytes else f"it stayed open for {watched_s:g} s"
    return Identity(kind=Tcp.kind, said=f"the connection was accepted and {description}; that tells no node")


def _read_greeting(sock: BoundedSocket, host: str, port: int, greeting: re.Pattern[str]) -> Identity:
    received = b""
    try:
        while not received.endswith(b"\n") and len(received) < MAX_GREETING_BYTES and (chunk := sock.recv(MAX_GREETING_BYTES)):
            received += chunk
    except DeadlineExceeded:
        if not received:
            raise
    text = received.decode("utf-8", "replace")
    match = greeting.search(text)
    if match is None:
        mysql_handshake.demand_no_refusal(received, host, port)
        if not received:
            raise ConnectionResetError(f"{host}:{port} accepted the connection and closed it without a greeting")
        raise NotTheService(f"{host}:{port} said {quoted(received)}, which is not the greeting {greeting.pattern!r}")
    group_by_name = match.groupdict()
    return Identity(kind=Tcp.kind, said=text.strip(), node=group_by_name.get("node"), started=_number(group_by_name.get("started")))


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError as error:
        raise NotTheService(f"the greeting's start is {text!r}, not seconds since the epoch") from error
