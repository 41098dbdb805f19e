"""Every request that the stand-in received, for tests to count: was power-off sent once?"""

from __future__ import annotations

import threading
import time
from typing import Any

MAX_REQUESTS = 20000  # requests kept


class Record:
    """The requests in the order in which they came, safe to use from several threads."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._received = 0

    def add_request(self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: Any) -> dict[str, Any]:
        """Write a request down and return its entry, to which what became of it is added. No token is ever in it."""
        entry = {
            "at": time.time(),  # seconds since 1970
            "method": method,
            "path": path,
            "query": query,
            "client_request_id": headers.get("x-ms-client-request-id"),
            "agent": headers.get("user-agent"),
            "body": body,
            "status": None,  # None: not answered (yet)
            "fault": None,
            "operation": None,
        }
        with self._lock:
            self._received += 1
            entry["n"] = self._received
            self._entries = [*self._entries[-MAX_REQUESTS + 1 :], entry]
        return entry

    def list(self) -> list[dict[str, Any]]:
        """A copy of every request so far."""
        with self._lock:
            return [dict(entry) for entry in self._entries]

    def clear(self) -> None:
        """Forgets every request."""
        with self._lock:
            self._entries = []
