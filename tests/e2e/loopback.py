"""Servers on loopback, for tests that make connections; used by those of attempts, tunnels and the connection worker."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading

PYTHON = sys.executable


@contextlib.contextmanager
def echo_server(banner: bytes = b""):
    """Accepts one connection after another, says `banner`, and echoes."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as door:
        peers = []

        def serve():
            while True:
                try:
                    sock, peer = door.accept()
                except OSError:
                    return
                peers.append(peer)
                with sock, contextlib.suppress(ConnectionError):
                    sock.sendall(banner)
                    while data := sock.recv(65536):
                        sock.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield door.getsockname()[1], peers
        finally:
            door.shutdown(socket.SHUT_RDWR)
            thread.join()
