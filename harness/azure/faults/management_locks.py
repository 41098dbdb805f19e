"""Management locks: whether what is done now could be undone later, asked before anything is sent.

A CanNotDelete lock lets a security rule be made and not be deleted again ("Lock your resources to protect your infrastructure"; azure-cli
16958); a ReadOnly lock lets nothing be changed.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from harness.azure.client import error_mapping
from harness.azure.client.operation_runner import OperationRunner
from harness.azure.faults.vm_power import name_of
from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive

API = "2016-09-01"


def must_be_unlocked(operations: OperationRunner, resource: str, deadline: Deadline) -> None:
    """Raises Inconclusive for a lock on the resource or its group, and when they may not be read: what cannot be undone is not done.

    A lock on the whole subscription is seen only by who may read there; such a one is met by the undoing (`Network.allow_again`).
    """
    for scope in (resource, operations.arm.group):
        doing = f"reading the locks of {name_of(scope)}"
        locks_path = f"{scope}/providers/Microsoft.Authorization/locks"
        try:
            locks = operations.read(partial(_listed, operations, locks_path, doing), deadline, doing)
        except error_mapping.NotAllowed as error:
            raise Inconclusive(f"it was not done, because whether it could be undone is not known: {error}") from error
        for lock in locks:
            level = str((lock.get("properties") or {}).get("level"))
            if level != "NotSpecified":
                raise Inconclusive(
                    f"it was not done, because {name_of(scope)} has the management lock {lock.get('name')} ({level}): what is made could "
                    "not be removed again; remove the lock for the test, or leave this out"
                )


def _listed(operations: OperationRunner, locks_path: str, doing: str) -> list[dict[str, Any]]:
    return list(operations.arm.listed(locks_path, doing, api=API))
