"""Faults of the management API, each switched on and off while the lab runs: what a client has to live with."""

from __future__ import annotations

import itertools
import re
import threading
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.lab.azure.state import long_running_operations
from harness.lab.azure.state.http_types import Request

# What each does to the requests that it is for.
KINDS = {
    "slow": "the answer comes `seconds` late",
    "throttled": "429 with Retry-After: `retry_after`",
    "unavailable": "503, and nothing happens",
    "happens-unavailable": "503, and it happens all the same",
    "dropped-before": "the connection breaks before anything happened",
    "dropped-after": "the connection breaks after the request was accepted: it happens all the same",
    "token-expired": "401: the token has expired",
    "token-revoked": "401 with a claims challenge (continuous access evaluation); every token handed out so far is good no longer",
    "forbidden": "403 AuthorizationFailed: the role lacks the action",
    long_running_operations.FAILS: "the operation is accepted, does nothing and fails",
    long_running_operations.HAPPENS_AND_FAILS: "the operation is accepted, does what it should, and is said to have failed",
    long_running_operations.NEVER_ENDS: "the operation is accepted, does what it should, and is said to be in progress for ever",
}
INJECTED_OUTCOMES = (long_running_operations.FAILS, long_running_operations.HAPPENS_AND_FAILS, long_running_operations.NEVER_ENDS)


@dataclass
class Fault:
    """One fault: for requests of `method` (any when empty) whose path matches `path`; after `skip` of them, `times` of them (0: all)."""

    kind: str
    method: str = ""
    path: str = ""
    times: int = 1
    skip: int = 0
    seconds: float = 2.0
    retry_after: int = 1
    id: int = 0
    met: int = field(default=0)  # requests that it has been done to

    def wants(self, request: Request) -> bool:
        """Whether this fault is for that request, by method and path; what becomes of an operation concerns no GET."""
        if self.method and self.method.upper() != request.method:
            return False
        if self.path and not re.search(self.path, request.path, re.IGNORECASE):
            return False
        if self.kind in INJECTED_OUTCOMES and request.method == "GET":
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        return not self.times or self.met < self.times


class Faults:
    """The faults switched on."""

    def __init__(self) -> None:
        self._on: list[Fault] = []
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, options: dict[str, Any]) -> Fault:
        """Switch one on. Raises ValueError for one that there is not."""
        try:
            fault = Fault(**options)
            re.compile(fault.path)
            if fault.times < 0 or fault.skip < 0 or fault.seconds < 0 or fault.retry_after < 0:
                raise ValueError("times, skip, seconds and retry_after cannot be negative")
        except (TypeError, re.error) as error:
            field_names = "kind, method, path, times, skip, seconds and retry_after"
            raise ValueError(f"this is no fault: {error}; a fault has {field_names}") from error
        if fault.kind not in KINDS:
            raise ValueError(f"there is no fault {fault.kind!r}; there are {', '.join(KINDS)}")
        with self._lock:
            fault.id = next(self._ids)
            self._on.append(fault)
        return fault

    def clear(self) -> None:
        """Switches every fault off."""
        with self._lock:
            self._on = []

    def list(self) -> list[dict[str, Any]]:
        """The faults that are on, as JSON-ready dictionaries."""
        with self._lock:
            return [asdict(fault) for fault in self._on]

    def meet(self, request: Request) -> Fault | None:
        """The fault that this request meets, if any; the one switched on first."""
        with self._lock:
            for fault in self._on:
                if fault.wants(request):
                    fault.met += 1
                    return fault
        return None
