"""Long-running operations in the wire format of the resource manager: accepted, asked about, and some day at an end."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import HarnessError
from harness.lab.azure.state import resource_ids
from harness.lab.azure.state.http_types import Answer, Problem, Request

Work = Callable[[], Any]
FAILS, HAPPENS_AND_FAILS, NEVER_ENDS = "fails-late", "happens-and-fails", "never-ends"  # outcomes that a fault can inject into an operation
API_VERSION = "2025-04-01"
NETWORK, COMPUTE = "Microsoft.Network", "Microsoft.Compute"

# How fast the lab's Azure is: the least seconds of an operation, and what Retry-After says. With 0 other clients wait 30 s.
PACE = {"fast": (0.05, 1), "azure": (3.0, 5)}


def now() -> str:
    """The time in the format of the resource manager, UTC with microseconds."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")


@dataclass
class Operation:
    """One operation. `subject` is what it works on; a machine's newer operation preempts the one before."""

    provider: str
    subject: str
    what: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "InProgress"
    began: str = field(default_factory=now)
    ended: str | None = None
    result: Any = None
    error: dict[str, Any] | None = None
    over: threading.Event = field(default_factory=threading.Event)

    def end(self, status: str, *, result: Any = None, error: dict[str, Any] | None = None) -> None:
        """Once only: what ended first stays."""
        if not self.over.is_set():
            self.status, self.result, self.error, self.ended = status, result, error, now()
            self.over.set()


class Operations:
    """Every operation since the stand-in started. `takes_s` is the least that one takes, `retry_after_s` what callers are told to wait."""

    def __init__(self, takes_s: float, retry_after_s: int) -> None:
        self.takes_s = takes_s
        self.retry_after_s = retry_after_s
        self._all: dict[str, Operation] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def list(self) -> list[Operation]:
        """Every operation that was ever begun, in that order."""
        with self._lock:
            return list(self._all.values())

    def running(self, subject: str) -> Operation | None:
        """The operation in progress on a subject."""
        return next((o for o in reversed(self.list()) if o.subject == subject and not o.over.is_set()), None)

    def begin(
        self, request: Request, provider: str, subject: str, what: str, work: Work, *, preempts: bool = False, at_once: bool = False
    ) -> Operation:
        """Start `work` in its own thread; operations on one subject take turns. An outcome that a fault injects is met.

        `at_once`: the work is done when this returns, and only being settled takes its time. Raises Problem when it cannot be done.
        """
        operation = Operation(provider, subject, what)
        if at_once:
            if request.injected_outcome != FAILS:
                work()
            work = _nothing
        request.operation = operation.id
        preempted = self.running(subject) if preempts else None
        with self._lock:
            self._all[operation.id] = operation
            turn = self._turns.setdefault(subject, threading.Lock())
        if preempted:
            message = f"The operation '{preempted.what}' has been preempted by a more recent operation, '{what}'."
            preempted.end("Failed", error={"code": "OperationPreempted", "message": message})
        threading.Thread(target=self._run, args=(operation, request.injected_outcome, turn, work), daemon=True).start()
        return operation

    def _run(self, operation: Operation, injected_outcome: str | None, turn: threading.Lock, work: Work) -> None:
        with turn:
            began = threading.Event()
            began.wait(self.takes_s)
            if operation.over.is_set():
                return  # preempted before it came to anything
            try:
                result = None if injected_outcome == FAILS else work()
            except Problem as problem:
                operation.end("Failed", error=problem.body)
                return
            except (HarnessError, OSError, ValueError) as error:
                operation.end("Failed", error={"code": "InternalOperationError", "message": str(error)})
                return
        if injected_outcome in (FAILS, HAPPENS_AND_FAILS):
            message = f"The operation '{operation.what}' failed on the way (a fault that was switched on in the lab)."
            operation.end("Failed", error={"code": "InternalExecutionError", "message": message})
        elif injected_outcome != NEVER_ENDS:
            operation.end("Succeeded", result=result)

    def accepted_answer(self, operation: Operation, request: Request, *, by_location_only: bool = False, status: int = 202) -> Answer:
        """202: where to ask about it."""
        headers = {"Location": self._address(operation, request, "operationResults"), "Retry-After": str(self.retry_after_s)}
        if not by_location_only:
            headers["Azure-AsyncOperation"] = self._address(operation, request, "operations")
        return Answer(status, None, headers)

    def put(self, operation: Operation, request: Request, resource: dict[str, Any], *, new: bool) -> Answer:
        """201 or 200 with the resource, and where to ask when it is settled."""
        headers = {"Azure-AsyncOperation": self._address(operation, request, "operations"), "Retry-After": str(self.retry_after_s)}
        return Answer(201 if new else 200, resource, headers)

    def _address(self, operation: Operation, request: Request, kind: str) -> str:
        subscription = resource_ids.SUBSCRIPTION
        path = f"/subscriptions/{subscription}/providers/{operation.provider}/locations/{resource_ids.LOCATION}/{kind}/{operation.id}"
        return f"{request.base}{path}?api-version={request.query.get('api-version', API_VERSION)}"

    def status(self, id: str) -> Answer:
        """What `Azure-AsyncOperation` points at. Raises Problem."""
        operation = self._find(id)
        content: dict[str, Any] = {"startTime": operation.began, "status": operation.status, "name": operation.id}
        if operation.ended:
            content["endTime"] = operation.ended
        if operation.error:
            content["error"] = operation.error
        if operation.result is not None:
            content["properties"] = {"output": operation.result}
        return Answer(200, content, {} if operation.ended else {"Retry-After": str(self.retry_after_s)})

    def outcome(self, id: str, request: Request) -> Answer:
        """What `Location` points at: 202 until it is over, then the result. Raises Problem."""
        operation = self._find(id)
        if not operation.over.is_set():
            headers = {"Location": f"{request.base}{request.path}?api-version={request.query.get('api-version', API_VERSION)}"}
            return Answer(202, None, {**headers, "Retry-After": str(self.retry_after_s)})
        if operation.error:
            return Answer(409, {"error": operation.error})
        return Answer(200, operation.result)

    def _find(self, id: str) -> Operation:
        with self._lock:
            operation = self._all.get(id.lower())
        if operation is None:
            raise Problem(404, "OperationNotFound", f"The operation '{id}' was not found.")
        return operation


def _nothing() -> None:
    return None
