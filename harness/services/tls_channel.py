"""TLS whose records are carried by two functions, so that every wait keeps the deadline of the connection beneath."""

from __future__ import annotations

import contextlib
import io
import ssl
from collections.abc import Callable
from typing import Any

from harness.services.deadline_socket import BoundedSocket

MAX_PIECE_BYTES = 65_536


class TlsChannel:
    """The client's side. `object` tells of the certificate once hands are shaken; `send` and `receive` may be changed then."""

    def __init__(self, context: ssl.SSLContext, name: str, send: Callable[[bytes], None], receive: Callable[[], bytes]) -> None:
        self.send, self.receive = send, receive
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self._in, self._out, server_hostname=name or None)

    def shake_hands(self) -> None:
        """Raises ssl.SSLError, and what the two functions raise."""
        while True:
            try:
                self.object.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._in.write(self.receive())
        self._flush()

    def _flush(self) -> None:
        if encrypted := self._out.read():
            self.send(encrypted)

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        self.object.write(data)
        self._flush()

    def read(self) -> bytes:
        """Whatever comes next, decrypted. Raises ConnectionResetError at its end."""
        while True:
            try:
                if chunk := self.object.read(MAX_PIECE_BYTES):
                    return chunk
                raise ConnectionResetError("the server ended TLS")
            except ssl.SSLWantReadError:
                self._in.write(self.receive())


class TlsStream(io.RawIOBase):
    """What http.client takes for a socket: TLS over one that is bounded. Raises as `TlsChannel.shake_hands` does."""

    def __init__(self, sock: BoundedSocket, context: ssl.SSLContext, name: str) -> None:
        self._sock, self._unread, self._ended = sock, b"", False
        self._channel = TlsChannel(context, name, sock.sendall, self._receive)
        self._channel.shake_hands()

    @property
    def certificate(self) -> bytes | None:
        """The server's certificate (DER)."""
        return self._channel.object.getpeercert(binary_form=True)

    @property
    def chain_length(self) -> int | None:
        """How many certificates the server sent, its own counted; None where this Python does not tell (before 3.13)."""
        chain = getattr(self._channel.object, "get_unverified_chain", None)
        return len(chain()) if chain is not None else None

    def _receive(self) -> bytes:
        if chunk := self._sock.recv(MAX_PIECE_BYTES):
            return chunk
        raise ConnectionResetError("the server closed the connection")

    def sendall(self, data: Any) -> None:
        """Encrypt and send."""
        self._channel.write(bytes(data))

    def makefile(self, mode: str) -> io.BufferedReader:
        """For reading."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """A server may end without a word of TLS: what was read until then is what it said."""
        if not self._unread and not self._ended:
            try:
                self._unread = self._channel.read()
            except (ConnectionResetError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
                self._ended = True
        chunk, self._unread = self._unread[: len(buffer)], self._unread[len(buffer) :]
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        """Hang up."""
        self._sock.close()
        super().close()


def client_hello(name: str) -> bytes:
    """What a TLS client begins with, which a server answers by its own hello; nothing has to follow."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    opening = context.wrap_bio(incoming, outgoing, server_hostname=name or "localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        opening.do_handshake()
    return outgoing.read()


SERVER_HELLO = rb"(?s)\A\x16\x03[\x00-\x04].{2}\x02"
"""The beginning of a server's answer to it: a handshake record with a ServerHello."""
