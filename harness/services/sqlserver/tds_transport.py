"""What stands between python-tds and the network: TLS as SQL Server wants it, every step within the deadline, and the answer to the log-in
read before the driver reads it.

The driver's own TLS needs pyOpenSSL, knows no address as a certificate's name, and can only be had with a file of certificates. So it is
told that there is none (PRELOGIN's answer says *not supported*), and all it sends and hears passes through Python's own ssl here.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, NamedTuple

from harness.services import certificates
from harness.services.deadline_socket import BoundedSocket, quoted
from harness.services.service_kind import NotTheService, TurnedAway, WrongAnswer
from harness.services.sqlserver import tds_protocol
from harness.services.tls_channel import TlsChannel

ALPN = "tds/8.0"  # facts SQL-20
PIECE = 65_536
MAX_ANSWER_BYTES = 1_000_000  # bytes of one answer to a log-in


class Encryption(NamedTuple):
    """`mode`: no, login (only the log-in), yes, or strict (TLS before all else). `context` and `name` check the certificate."""

    mode: str
    context: ssl.SSLContext
    name: str

    @property
    def prelogin_value(self) -> int:
        """What PRELOGIN says of it."""
        return {
            "no": tds_protocol.NOT_SUPPORTED,
            "login": tds_protocol.LOGIN_ONLY,
            "yes": tds_protocol.ON,
            "strict": tds_protocol.NOT_SUPPORTED,
        }[self.mode]


class Stop(Exception):
    """Carries an error past the driver, which would otherwise try again, and wait before it does."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class TdsTransport:
    """What the driver takes for a socket. `explain` turns the errors in the answer to a log-in into what is raised."""

    def __init__(
        self, sock: BoundedSocket, server: str, encryption: Encryption, explain: Callable[[list[tds_protocol.ServerError]], Exception]
    ) -> None:
        self.sock = sock
        self._server, self._encryption, self._explain = server, encryption, explain
        self._tls: TlsChannel | None = None
        self._ready = bytearray()  # for the driver to read
        self._on_send: Callable[[bytes], None] = self._prelogin
        self._on_receive: Callable[[], None] = self._first_answer
        self._only_login = False
        self._unread = b""  # of what was decrypted

    @property
    def certificate(self) -> bytes | None:
        """The server's certificate (DER), None where nothing is encrypted."""
        return self._tls.object.getpeercert(binary_form=True) if self._tls else None

    # --- as a socket

    def setsockopt(self, *option: Any) -> None:
        """The connection has the options that `dial` gave it."""

    def settimeout(self, seconds: float | None) -> None:
        """The deadline bounds every step; the driver takes its own limit off for a commit (facts SQL-86)."""

    def gettimeout(self) -> None:
        """None: see `settimeout`."""

    def sendall(self, data: bytes | bytearray | memoryview, flags: int = 0) -> None:
        """Send what the driver says. Raises Stop."""
        self._carry(lambda: self._on_send(bytes(data)))

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """Give the driver what the server says. Raises Stop."""
        max_size = size or len(buffer)
        if not self._ready:
            self._carry(self._on_receive)
        chunk = bytes(self._ready[:max_size])
        del self._ready[: len(chunk)]
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        """Hang up."""
        self.sock.close()

    def _carry(self, step: Callable[[], None]) -> None:
        try:
            step()
        except ssl.SSLCertVerificationError as error:
            raise Stop(
                WrongAnswer(
                    f"{self._server}: its certificate is not to be trusted: {certificates.why_not_trusted(error, self._encryption.name)}"
                )
            ) from error
        except ssl.SSLError as error:
            raise Stop(WrongAnswer(f"{self._server}: TLS could not be agreed on: {error.reason or error}")) from error
        except Exception as error:
            raise Stop(error) from error

    # --- the phases

    def _context(self) -> ssl.SSLContext:
        """For TDS 7.4 up to TLS 1.2 (facts SQL-14), for TDS 8.0 with its ALPN (facts SQL-20)."""
        if self._encryption.mode == "strict":
            self._encryption.context.set_alpn_protocols([ALPN])
        else:
            self._encryption.context.maximum_version = ssl.TLSVersion.TLSv1_2
        return self._encryption.context

    def _prelogin(self, message: bytes) -> None:
        if self._encryption.mode == "strict":
            self._tls = TlsChannel(self._context(), self._encryption.name, self._plain_send, self._receive_some)
            self._tls.shake_hands()
        options = tds_protocol.prelogin_options(message[tds_protocol.HEADER.size :])
        self._send(
            tds_protocol.packet(
                tds_protocol.PRELOGIN, tds_protocol.prelogin({**options, tds_protocol.ENCRYPTION: bytes([self._encryption.prelogin_value])})
            )
        )
        kind, body = self._message()
        try:
            server_options = tds_protocol.prelogin_options(body) if kind == tds_protocol.REPLY else {}
        except ValueError:
            server_options = {}
        if tds_protocol.VERSION not in server_options:
            raise NotTheService(f"{self._server} does not speak SQL Server's protocol (TDS); it said {quoted(bytes([kind]) + body)}")
        server_encryption = (server_options.get(tds_protocol.ENCRYPTION) or bytes([tds_protocol.NOT_SUPPORTED]))[0]
        if self._encryption.mode != "strict":
            self._agree_on_encryption(server_encryption)
        rewritten = tds_protocol.prelogin(
            {**server_options, tds_protocol.ENCRYPTION: bytes([tds_protocol.NOT_SUPPORTED]), tds_protocol.MARS: b"\0"}
        )
        self._ready += tds_protocol.packet(tds_protocol.REPLY, rewritten)
        self._on_send = self._login

    def _agree_on_encryption(self, server_encryption: int) -> None:
        mode = self._encryption.mode
        if mode == "no" and server_encryption in (tds_protocol.ON, tds_protocol.REQUIRED):
            raise TurnedAway(f'{self._server} demands encryption; set encrypt = "yes" for this service')
        if mode == "yes" and server_encryption not in (tds_protocol.ON, tds_protocol.REQUIRED):
            raise WrongAnswer(f'{self._server} does not encrypt, and encrypt = "yes" is set; nothing of the account was told')
        if mode == "login" and server_encryption == tds_protocol.NOT_SUPPORTED:
            raise WrongAnswer(f"{self._server} cannot encrypt even the log-in; the password was not told")
        if mode == "no":
            return
        self._tls = TlsChannel(
            self._context(),
            self._encryption.name,
            lambda data: self._plain_send(tds_protocol.packet(tds_protocol.PRELOGIN, data)),
            self._handshake_piece,
        )
        self._tls.shake_hands()
        self._tls.send, self._tls.receive = self._plain_send, self._receive_some
        self._only_login = server_encryption == tds_protocol.LOGIN_ONLY

    def _handshake_piece(self) -> bytes:
        kind, body = self._plain_message()
        if kind not in (tds_protocol.PRELOGIN, tds_protocol.REPLY):
            raise NotTheService(f"{self._server} broke the TLS handshake off with a message of type {kind:#x}")
        return body

    def _login(self, message: bytes) -> None:
        """The driver sends it packet by packet; where only the log-in is encrypted, that is its first packet (facts SQL-16)."""
        self._send(message)
        if self._only_login:
            self._tls, self._only_login = None, False
        self._on_receive = self._login_answer
        if message[1] & tds_protocol.LAST:
            self._on_send = self._send

    def _first_answer(self) -> None:
        raise ConnectionResetError(f"{self._server} said nothing")

    def _login_answer(self) -> None:
        kind, body = self._message()
        if errors := tds_protocol.login_errors(body):
            raise self._explain(errors)
        if route := tds_protocol.parse_routing(body):
            raise WrongAnswer(
                f"{self._server} sends its clients on to {route.host}, port {route.port}, past the load balancer; nothing here follows"
            )
        for offset in range(0, len(body), 4000):  # in packets of the size that the driver reads
            status = tds_protocol.LAST if offset + 4000 >= len(body) else 0
            chunk = body[offset : offset + 4000]
            self._ready += tds_protocol.HEADER.pack(kind, status, tds_protocol.HEADER.size + len(chunk), 0, 1, 0) + chunk
        self._on_receive = self._pass_on

    def _pass_on(self) -> None:
        self._ready += self._unread or self._receive()
        self._unread = b""

    # --- bytes

    def _send(self, data: bytes) -> None:
        if self._tls:
            self._tls.write(data)
        else:
            self._plain_send(data)

    def _receive(self) -> bytes:
        return self._tls.read() if self._tls else self._receive_some()

    def _plain_send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def _receive_some(self) -> bytes:
        if chunk := self.sock.recv(PIECE):
            return chunk
        raise ConnectionResetError(f"{self._server} closed the connection")

    def _message(self) -> tuple[int, bytes]:
        """A whole message, decrypted; nothing of the next one has been sent yet."""
        return self._whole_message(self._exactly if self._tls else self._exactly_plain)

    def _plain_message(self) -> tuple[int, bytes]:
        return self._whole_message(self._exactly_plain)

    def _whole_message(self, exactly: Callable[[int], bytes]) -> tuple[int, bytes]:
        body, kind, status = b"", 0, 0
        while not status & tds_protocol.LAST:
            head = exactly(tds_protocol.HEADER.size)
            kind, status, length, *_ = tds_protocol.HEADER.unpack(head)
            if (
                kind not in (tds_protocol.REPLY, tds_protocol.PRELOGIN)
                or not tds_protocol.HEADER.size <= length
                or len(body) > MAX_ANSWER_BYTES
            ):
                raise NotTheService(f"{self._server} does not speak SQL Server's protocol (TDS); it said {quoted(head)}")
            body += exactly(length - tds_protocol.HEADER.size)
        return kind, body

    def _exactly_plain(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            chunk = self.sock.recv(size - len(received))
            if not chunk:
                if received:
                    raise NotTheService(f"{self._server} does not speak SQL Server's protocol (TDS); it said {quoted(received)}")
                raise ConnectionResetError(f"{self._server} closed the connection without a word")
            received += chunk
        return received

    def _exactly(self, size: int) -> bytes:
        while len(self._unread) < size:
            self._unread += self._receive()
        received, self._unread = self._unread[:size], self._unread[size:]
        return received
