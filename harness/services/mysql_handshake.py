"""MySQL's and MariaDB's first words to a client, and how a client that only looked leaves.

They count each handshake that a host breaks off, and refuse that host, its real clients included, after `max_connect_errors` (100) of them
without a log-in between. A log-in that they refuse counts nothing (seen on MariaDB 10.11), so that is how a look ends.
"""

from __future__ import annotations

import re

from harness.core.errors import HarnessError
from harness.services.deadline_socket import BoundedSocket
from harness.services.service_kind import NotServing

ACCOUNT = b"lkharness"  # one that nobody has; it stands in the server's log
MAX_PACKET_BYTES = 4096
ERROR, SWITCH = 0xFF, 0xFE
MAX_ROUNDS = 4  # packets of a log-in: the server may ask for another way to prove who one is
QUIT = b"\x01\x00\x00\x00\x01"
# Protocol 4.1, secure connection, authentication by plug-in; the longest packet; the character set utf8.
_CAPABILITIES = (0x0200 | 0x8000 | 0x00080000).to_bytes(4, "little") + (1 << 24).to_bytes(4, "little") + b"\x21" + bytes(23)
_GREETING = re.compile(rb"...\x00\x0a[\x20-\x7e]{3,64}\x00", re.DOTALL)
# In the place of a greeting: length, number 0, 0xff, the error's number (1024 to 1279 here), mostly `#` with the SQLSTATE.
_ERROR = re.compile(rb"...\x00\xff(?P<number>.\x04)(?:#[0-9A-Z]{5})?(?P<says>[\x20-\x7e]{3,500})", re.DOTALL)
# Of a server that serves nobody from there. That a host is not let in (1130) is none: its clients may be others.
_NOT_SERVING = {
    1040: "all its connections are taken (max_connections)",
    1129: "it has blocked the host that asks, after too many broken handshakes (max_connect_errors)",
    1203: "the account has all the connections that it may (max_user_connections)",
    1226: "the account has used up what it may",
}


def is_greeting(first_bytes: bytes) -> bool:
    """Whether a server that said this first is MySQL or MariaDB, whether or not it takes whoever asks."""
    return bool(_GREETING.match(first_bytes) or _ERROR.match(first_bytes))


def demand_no_refusal(first_bytes: bytes, host: str, port: int) -> None:
    """Raises NotServing for what they say instead of a greeting when they take nobody."""
    match = _ERROR.match(first_bytes)
    number = int.from_bytes(match["number"], "little") if match else 0
    if match and number in _NOT_SERVING:
        error_text = match["says"].decode("ascii")
        raise NotServing(
            f"{host}:{port}: MySQL or MariaDB answers, but does not serve: error {number}, {error_text}: {_NOT_SERVING[number]}"
        )


def leave(sock: BoundedSocket, greeting: bytes) -> None:
    """End the handshake that this greeting began, so that it is none that was broken off; one that cannot be ended is let go."""
    if not _GREETING.match(greeting):
        return  # it has ended it by itself
    try:
        sock.sendall(_packet(1, _CAPABILITIES + ACCOUNT + b"\x00\x00mysql_native_password\x00"))
        for _ in range(MAX_ROUNDS):
            reply = sock.recv(MAX_PACKET_BYTES)
            if len(reply) < 5 or reply[4] == ERROR:
                return
            if reply[4] == 0:  # it takes anybody
                sock.sendall(QUIT)
                return
            sock.sendall(_packet(reply[3] + 1, b"" if reply[4] == SWITCH else b"\x00"))  # no password
    except (OSError, HarnessError):
        return


def _packet(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number % 256]) + body
