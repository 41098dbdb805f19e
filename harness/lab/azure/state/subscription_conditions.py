"""What a subscription may be like besides: lists that lag, locks, policies, budgets. Switched on and off while the lab runs.

`unlisted`: names of resources that the list of all types does not show (it comes from a cache: azure-rest-api-specs 21221), while a GET by
id and the providers' lists are true. `locks`: scope and level; CanNotDelete refuses DELETE, ReadOnly PUT, PATCH and POST as well, of the
scope and all below it (azure-cli 16958; "Lock your resources to protect your infrastructure"). `one_script`: a second run-command on a
machine is refused while one runs (azure-docs 43356). `events_s`: restart and redeploy are accepted and done so many seconds later, unless
the machine approves them sooner ("Scheduled Events for Linux VMs"). `nic_pools_are_closed`: a pool of NICs takes no PUT
(bicep-registry-modules 3457). `gets_a_minute`: so many reads of one machine are answered a minute, and the others get 429 ("Compute
throttling limits", 12; 0: no limit). `ephemeral`: machines whose OS disk is a local one.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from harness.lab.azure.state.http_types import Problem, Request

LEVELS = ("CanNotDelete", "ReadOnly")
MACHINE = re.compile(r".*/virtualmachines/[^/]+(/instanceview)?/?", re.IGNORECASE)
MINUTE_S = 60.0


@dataclass
class Conditions:
    """The switches, by the names that `POST /lab/conditions` takes; times in seconds."""

    unlisted: list[str] = field(default_factory=list)
    locks: list[dict[str, str]] = field(default_factory=list)
    one_script: bool = False
    events_s: float = 0.0
    nic_pools_are_closed: bool = False
    ephemeral: list[str] = field(default_factory=list)
    gets_a_minute: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._read: dict[str, list[float]] = {}
        self._events: dict[str, tuple[dict[str, Any], threading.Event]] = {}

    def set(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Raises ValueError for what there is not."""
        names = {f.name for f in fields(self)}
        if unknown := set(settings) - names:
            raise ValueError(f"there is no condition {', '.join(sorted(unknown))}; there are {', '.join(sorted(names))}")
        if any(lock.get("level") not in LEVELS or not lock.get("scope") for lock in settings.get("locks", [])):
            raise ValueError(f"a lock has a scope and a level, {' or '.join(LEVELS)}")
        for name, value in settings.items():
            setattr(self, name, value)
        return asdict(self)

    def clear(self) -> dict[str, Any]:
        """Sets every switch to its default and returns them all."""
        return self.set(asdict(Conditions()))

    def locks_at(self, scope: str) -> list[dict[str, Any]]:
        """As Azure lists them."""
        return [
            {
                "id": f"{lock['scope']}/providers/Microsoft.Authorization/locks/{lock.get('name', 'lock')}",
                "name": lock.get("name", "lock"),
                "type": "Microsoft.Authorization/locks",
                "properties": {"level": lock["level"]},
            }
            for lock in self.locks
            if lock["scope"].lower().strip("/") == scope.lower().strip("/")
        ]

    def schedule(self, machine: str, what: str, work: Callable[[], None]) -> None:
        """Do it when the machine has approved it, or its notice is over."""
        id, approved = str(uuid.uuid4()).upper(), threading.Event()
        event: dict[str, Any] = {"EventId": id, "EventType": {"restart": "Reboot"}.get(what, "Redeploy"), "ResourceType": "VirtualMachine"}
        event |= {"Resources": [machine], "EventStatus": "Scheduled", "EventSource": "User", "NotBefore": "Mon, 19 Sep 2016 18:29:47 GMT"}
        self._events[id] = event, approved

        def later(seconds: float) -> None:
            approved.wait(seconds)
            self._events.pop(id, None)
            work()

        threading.Thread(target=later, args=(self.events_s,), daemon=True).start()

    def events(self) -> dict[str, Any]:
        """What the metadata service says to a machine."""
        return {"DocumentIncarnation": 1, "Events": [event for event, _ in list(self._events.values())]}

    def approve(self, body: dict[str, Any]) -> None:
        """Approves the scheduled events that a POST names in `StartRequests`, as a machine does that need not wait."""
        for start_request in body.get("StartRequests", []):
            if event := self._events.get(str(start_request.get("EventId"))):
                event[1].set()

    def must_admit(self, request: Request) -> None:
        """Raises Problem for what a lock or a budget refuses."""
        self._demand_unlocked(request)
        if request.method == "GET" and self.gets_a_minute and MACHINE.fullmatch(request.path):
            self._count_read(re.sub(r"/instanceview/?$", "", request.path.lower()))

    def _demand_unlocked(self, request: Request) -> None:
        forbidden = {"DELETE": LEVELS, "PUT": ("ReadOnly",), "PATCH": ("ReadOnly",), "POST": ("ReadOnly",)}.get(request.method, ())
        path = request.path.lower().strip("/")
        for lock in self.locks:
            scope = lock["scope"].strip("/")
            if lock["level"] in forbidden and (path + "/").startswith(scope.lower() + "/"):
                verb = {"DELETE": "delete"}.get(request.method, "write")
                message = (
                    f"The scope '{request.path}' cannot perform {verb} operation because following scope(s) are locked: '/{scope}'. "
                    "Please remove the lock and try again."
                )
                raise Problem(409, "ScopeLocked", message)

    def _count_read(self, machine: str) -> None:
        now = time.monotonic()
        with self._lock:
            recent = [t for t in self._read.get(machine, []) if now - t < MINUTE_S]
            self._read[machine] = recent
            if len(recent) >= self.gets_a_minute:
                message = "The request was throttled: too many reads of this virtual machine."
                raise Problem(429, "OperationNotAllowed", message, {"Retry-After": str(max(1, int(MINUTE_S - (now - recent[0]))))})
            recent.append(now)
