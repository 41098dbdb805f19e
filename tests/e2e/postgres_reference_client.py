"""A client that shares nothing with the meter: it queries a PostgreSQL on its Unix socket every 5 ms, in the raw protocol.

    python postgres_reference_client.py SOCKET

A line per query: `BEGAN ENDED ok|no`, in seconds on this machine's monotonic clock. It keeps its session while that is answered, and
tries a new one every 5 ms while there is none. It ends when its standard input does.
"""

import select
import socket
import struct
import sys
import time

PERIOD_S = 0.005
LIMIT_S = 5.0
LOGIN = b"user\0postgres\0database\0template1\0\0"
QUERY = b"Q" + struct.pack(">I", 13) + b"SELECT 1\0"


def exactly(peer, size):
    got = b""
    while len(got) < size:
        more = peer.recv(size - len(got))
        if not more:
            raise ConnectionResetError
        got += more
    return got


def until_ready(peer):
    """The kinds of the messages up to ReadyForQuery; an error ends it."""
    kinds = b""
    while not kinds.endswith(b"Z"):
        kind, length = struct.unpack(">cI", exactly(peer, 5))
        exactly(peer, length - 4)
        if kind == b"E":
            raise ConnectionRefusedError
        kinds += kind
    return kinds


def opened(path):
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(LIMIT_S)
    try:
        peer.connect(path)
        peer.sendall(struct.pack(">II", len(LOGIN) + 8, 196608) + LOGIN)
        until_ready(peer)
    except OSError:
        peer.close()
        raise
    return peer


def main(path):
    peer = None
    due = time.monotonic()
    while True:
        due = max(due + PERIOD_S, time.monotonic())
        if select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
            return
        began = time.monotonic()
        try:
            peer = peer or opened(path)
            peer.sendall(QUERY)
            good = b"D" in until_ready(peer)
        except OSError:
            good = False
            if peer:
                peer.close()
            peer = None
        sys.stdout.write("%.6f %.6f %s\n" % (began, time.monotonic(), "ok" if good else "no"))  # noqa: UP031
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
