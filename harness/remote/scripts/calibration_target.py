"""Runs on the client: a service on loopback that can be taken away for a known time, for the meter to be measured against.

Python 3.6 or newer, standard library only. Prints {"port"}; each line `cut SECONDS` on its input takes the service away for so long
and prints {"begun", "ended"}, on this host's monotonic clock. Ends when its input ends.
"""
# ruff: noqa: SIM105

import json
import os
import select
import socket
import time

GREETING = b"here\n"


def listening(port):
    """A listening socket on loopback."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(128)
    return sock


def tell(record):
    """Writes one JSON line for the harness."""
    os.write(1, json.dumps(record).encode() + b"\n")


def greet(listener):
    """Answers one connection."""
    connection, _ = listener.accept()
    try:
        connection.sendall(GREETING)
    except OSError:
        pass  # it left before it was greeted
    connection.close()


def cut(listener, seconds):
    """Returns a new listener on the same port."""
    port = listener.getsockname()[1]
    listener.close()
    begun = time.monotonic()
    select.select([], [], [], seconds)
    ended = time.monotonic()
    listener = listening(port)
    tell({"begun": begun, "ended": ended})
    return listener


def main():
    """Listens, and goes deaf as it is told."""
    listener = listening(0)
    tell({"port": listener.getsockname()[1]})
    while True:
        ready, _, _ = select.select([listener, 0], [], [])
        if listener in ready:
            greet(listener)
        if 0 in ready:
            asked = os.read(0, 4096)
            if not asked:
                return
            for line in asked.decode().splitlines():
                listener = cut(listener, float(line.split()[1]))


main()
