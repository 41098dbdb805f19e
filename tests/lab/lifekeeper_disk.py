"""A tiny controller of a shared disk and a witness disk: who has them. JSON lines over a unix socket."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from pathlib import Path

from harness.lab.guests.shared_storage import Witness


class Controller:
    def __init__(self, path: Path) -> None:
        self.holder: str | None = None
        self.witness = Witness()
        self._lock = threading.Lock()
        controller = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    self.wfile.write(json.dumps(controller.answer(json.loads(line))).encode() + b"\n")

        self._server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def answer(self, request: dict) -> dict:
        if request["op"].startswith("witness"):
            with self._lock:
                return self.witness.carry_out(request, time.monotonic())
        if request["op"] == "reserve":
            self.holder = request["node"]
        elif request["op"] == "release" and self.holder == request["node"]:
            self.holder = None
        return {"holder": self.holder} if request["op"] == "holder" else {"ok": True}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
