"""An HTTP server on a socket that listens already, with a thread for each connection."""

from __future__ import annotations

import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ListenerServer(ThreadingHTTPServer):
    """Whoever made the socket knew its port, or its place, before the server was there."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(listener.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
