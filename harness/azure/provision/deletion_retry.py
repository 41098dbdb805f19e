"""Deleting resources by their ids until Azure's providers know them no more, again and again while Azure says "not now"."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from harness.azure.client import error_mapping
from harness.azure.client.arm import Arm
from harness.azure.client.polling import pause
from harness.azure.client.retry_policy import silence_s
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Unusable

Say = Callable[[str], None]
IsOurs = Callable[[dict[str, Any]], bool]
BUSY_RESOURCE_TIMEOUT_S = (
    600.0  # so long "not now" is heard about one resource; a NIC of a machine that could not be made stays reserved for 180 s
)
# What Azure says of a resource that it will let go of later: it is being deleted, or what uses it is.
NOT_NOW = re.compile(r"InUse|CannotBeDeleted|NicReservedForAnotherVm|AnotherOperation|Retryable|OperationNotAllowed|Conflict")


def read(arm: Arm, resource_id: str, api: str) -> dict[str, Any] | None:
    """A resource as its own provider has it, None when it knows none: never from a list, which may be minutes old."""
    try:
        return arm.get(resource_id, f"looking for {_name(resource_id)}", api=api)
    except error_mapping.NotThere:
        return None


def gone(arm: Arm, ids: Iterable[str], api: str, deadline: Deadline, say: Say, is_ours: IsOurs) -> list[str]:
    """Delete all of these and see that each is gone; what is left, and why. What is gone already is as good.

    Each is looked at right before it is deleted: what is not ours any more is left alone, and told.
    """
    leftovers: list[str] = []
    removals = [_Removal(arm, resource_id, api, say, is_ours) for resource_id in ids]
    while removals:
        last_look = deadline.expired
        for removal in list(removals):
            try:
                finished = removal.step()
            except HarnessError as error:
                leftovers.append(f"{removal.name}: {error}")
                finished = True
            if finished:
                removals.remove(removal)
        if last_look:
            return leftovers + [f"{removal.name}: {removal.last or f'not gone within {deadline.seconds:g} s'}" for removal in removals]
        if removals:
            pause(min(1.0, arm.clients.azure.poll_s), deadline)
    return leftovers


class _Removal:
    """Of one resource. `last` is what stood in the way last."""

    def __init__(self, arm: Arm, resource_id: str, api: str, say: Say, is_ours: IsOurs) -> None:
        self.name = _name(resource_id)
        self.last: HarnessError | None = None
        self._arm, self._id, self._api, self._say, self._is_ours = arm, resource_id, api, say, is_ours
        self._poller: Any = None
        self._sent = False
        self._not_before = 0.0
        self._stubborn: Deadline | None = None

    def step(self) -> bool:
        """Is it gone? Raises what will not pass."""
        if self._poller is not None and not self._poller.done():
            return False
        try:
            if self._poller is not None:
                poller, self._poller = self._poller, None
                self._arm.result(poller, f"removing {self.name}")
            return self._looked_at()
        except HarnessError as error:
            if not may_pass(error):
                raise
            self._wait_because(error)
            return False

    def _looked_at(self) -> bool:
        if time.monotonic() < self._not_before:
            return False
        resource = read(self._arm, self._id, self._api)
        if resource is None:
            self._say(f"{self.name} is removed" if self._sent else f"{self.name} is gone already")
            return True
        if not self._is_ours(resource):
            raise Unusable("does not bear this run's tag any more, so it was left alone; see whose it is, and remove it by hand")
        if str((resource.get("properties") or {}).get("provisioningState")).lower() == "deleting":
            return False  # with the machine that it was of, for one
        self._sent = True
        self._poller = self._arm.begin("DELETE", self._id, None, f"removing {self.name}", api=self._api)
        return False

    def _wait_because(self, error: HarnessError) -> None:
        if isinstance(error, error_mapping.NotLoggedIn):
            self._arm.clients.renew()
        if self._stubborn is None:
            self._stubborn = Deadline(BUSY_RESOURCE_TIMEOUT_S)
        elif self._stubborn.expired:
            raise error
        if str(error) != str(self.last):
            self._say(f"{error}; trying again")
        self.last = error
        poll_s = self._arm.clients.azure.poll_s
        self._not_before = time.monotonic() + min(silence_s(error, poll_s), max(poll_s, BUSY_RESOURCE_TIMEOUT_S / 10))


def may_pass(error: HarnessError) -> bool:
    """May the same deletion go better later? A lock does not pass, and neither does a missing right."""
    if isinstance(error, error_mapping.Locked | error_mapping.NotAllowed):
        return False
    if isinstance(error, error_mapping.Throttled | error_mapping.Unanswered | error_mapping.NotLoggedIn):
        return True
    return error_mapping.status_of(error) == 409 or bool(NOT_NOW.search(error_mapping.code_of(error)))


def _name(resource_id: str) -> str:
    return resource_id.rstrip("/").rpartition("/")[2]
