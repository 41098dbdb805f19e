"""Connections that a host's sshd makes at our word (direct-tcpip): all that is left where no command runs.

SSH has no word for giving up a connection that sshd still tries, so this has an SSH connection of its own: closing that ends them all.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from harness.core.deadline import Deadline
from harness.core.errors import Unusable
from harness.hosts.host import HostUnreachable
from harness.hosts.ssh.ssh_connection import Connection, OrderedTransport
from harness.hosts.ssh.ssh_library import paramiko

WINDOW, PACKET = 256 * 1024, 32768
SSH_OPEN_ADMINISTRATIVELY_PROHIBITED = 1  # SSH_OPEN_ADMINISTRATIVELY_PROHIBITED, RFC 4254
MAX_ABANDONED_CHANNELS = 32  # connections that sshd still tries and nobody waits for


@dataclass
class ChannelOpening:
    """A connection that sshd was asked for. `refusal`: why there is none, in sshd's words; "" while it tries and when it stands."""

    channel: paramiko.Channel
    asked_at: float
    ended: threading.Event = field(default_factory=threading.Event)
    refusal: str = ""
    forbidden: bool = False  # by sshd's configuration: it has not been tried
    given_up: bool = False

    @property
    def stands(self) -> bool:
        """Whether the connection was made."""
        return self.ended.is_set() and not self.refusal


class ForwardingTransport(OrderedTransport):
    """Asks for connections without waiting, and knows of each why it failed; paramiko keeps one reason for all."""

    def __init__(self, sock: object) -> None:
        super().__init__(sock)
        self._openings: dict[int, ChannelOpening] = {}

    def begin(self, address: str, port: int) -> ChannelOpening:
        """Raises OSError, EOFError or SSHException when the SSH connection is lost."""
        with self.lock:  # type: ignore[attr-defined]
            number = self._next_channel()  # type: ignore[attr-defined]
            channel = paramiko.Channel(number)
            self._channels.put(number, channel)  # type: ignore[attr-defined]
            self.channels_seen[number] = True  # type: ignore[attr-defined]
            channel._set_transport(self)  # type: ignore[attr-defined]
            channel._set_window(WINDOW, PACKET)  # type: ignore[attr-defined]
            opening = self._openings[number] = ChannelOpening(channel, time.monotonic())
        order = paramiko.Message()
        order.add_byte(paramiko.common.cMSG_CHANNEL_OPEN)
        order.add_string("direct-tcpip")
        for value in (number, WINDOW, PACKET):
            order.add_int(value)
        for host, where in ((address, port), ("127.0.0.1", 0)):
            order.add_string(host)
            order.add_int(where)
        opening.asked_at = time.monotonic()
        self._send_user_message(order)  # type: ignore[attr-defined]
        return opening

    @property
    def stuck(self) -> int:
        """How many connections sshd still tries."""
        return len(self._openings)

    def _parse_channel_open_success(self, message: paramiko.Message) -> None:
        opening = self._openings.pop(_number(message), None)
        super()._parse_channel_open_success(message)  # type: ignore[misc]
        if opening is not None:
            opening.ended.set()
            if opening.given_up:  # it came about after all, and nobody wants it any more
                opening.channel.close()

    def _parse_channel_open_failure(self, message: paramiko.Message) -> None:
        opening = self._openings.pop(_number(message), None)
        if opening is not None:
            copy = paramiko.Message(message.asbytes())
            copy.get_int()
            opening.forbidden = copy.get_int() == SSH_OPEN_ADMINISTRATIVELY_PROHIBITED
            opening.refusal = copy.get_text().strip() or "sshd did not say why"
            self._channels.delete(opening.channel.chanid)  # type: ignore[attr-defined]
            opening.ended.set()
            return
        super()._parse_channel_open_failure(message)  # type: ignore[misc]


class Forwarding:
    """The SSH connection. Safe to use from several threads; `close` ends every connection that was made by it."""

    def __init__(self, connection: Connection) -> None:
        self.name = connection.name
        self._connection = connection
        assert isinstance(connection.transport, ForwardingTransport)
        self.transport: ForwardingTransport = connection.transport
        self._asking = threading.Lock()

    @property
    def usable(self) -> bool:
        """Whether the SSH connection still stands."""
        return self._connection.usable

    @property
    def worn(self) -> bool:
        """So many connections are still being tried that another SSH connection should take its place."""
        return self.transport.stuck >= MAX_ABANDONED_CHANNELS

    def begin(self, address: str, port: int) -> ChannelOpening:
        """Have sshd connect. Raises HostUnreachable when the way to it is lost."""
        try:
            return self.transport.begin(address, port)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self.lost_error() from error

    def give_up(self, opening: ChannelOpening) -> None:
        """Nobody waits for it any more; when it comes about it is closed at once."""
        opening.given_up = True
        if opening.stands:
            opening.channel.close()

    def demand_permitted(self, limit: float) -> None:
        """Raises Unusable when sshd makes no connections for us, HostUnreachable when it does not answer."""
        opening = self.begin("127.0.0.1", 9)
        if not opening.ended.wait(limit):
            self.give_up(opening)
            raise HostUnreachable(f"{self.name}: sshd did not say within {limit:g} s whether it forwards connections")
        opening.channel.close()
        if opening.forbidden:
            raise Unusable(f"{self.name}: its sshd may make no connections for us; set AllowTcpForwarding to local or yes there")

    def round_trip(self, limit: float) -> float | None:
        """How long sshd takes to answer, in seconds; None when it does not within the limit."""
        deadline = Deadline(limit)
        if not self._asking.acquire(timeout=limit):
            return None  # a question that was asked earlier is still unanswered, and its answer could be taken for this one's
        answered = threading.Event()

        def ask() -> None:
            try:
                self.transport.global_request("keepalive@lkharness", wait=True)
            finally:
                answered.set()
                self._asking.release()

        began = time.monotonic()
        threading.Thread(target=ask, name=f"round-trip-{self.name}", daemon=True).start()
        is_answered = answered.wait(max(0.01, deadline.remaining()))
        took_s = time.monotonic() - began
        return took_s if is_answered and self.transport.is_active() else None

    def lost_error(self) -> HostUnreachable:
        """The error for a lost SSH connection."""
        return HostUnreachable(f"{self.name}: the SSH connection that its connections are made through was lost")

    def close(self) -> None:
        """Closes the SSH connection with all that goes through it."""
        self._connection.close()


def _number(message: paramiko.Message) -> int:
    return int.from_bytes(message.asbytes()[:4], "big")
