"""Deploying the template: the group, the deployment, its progress while it runs, and which resource failed why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from harness.azure.arm import Arm
from harness.azure.make import template
from harness.azure.make.wish import RUN, Wish
from harness.deadline import Deadline
from harness.errors import BadUse, DeadlineExceeded, Unusable

Say = Callable[[str], None]
ENDED = ("Succeeded", "Failed", "Canceled")


class DeploymentFailed(Unusable):
    """The message names every resource that failed, and why."""


def name_of(run: str) -> str:
    return f"lkharness-{run}"


def group_for(arm: Arm, wish: Wish) -> bool:
    """Is the resource group made by this run? It is made when there is none."""
    if not arm.exists(arm.group, "looking for the resource group"):
        arm.put(arm.group, {"location": wish.location, "tags": wish.tags}, "making the resource group")
        return True
    there = arm.get(arm.group, "reading the resource group")
    return (there.get("tags") or {}).get(RUN) == wish.run


def clashes(arm: Arm, wanted: Iterable[template.Resource]) -> list[str]:
    """Resources of the same name that are there already: an incremental deployment would change them, and they are not ours."""
    there = {str(r["id"]).lower() for r in arm.listed(f"{arm.group}/resources", "listing the resource group")}
    return [r.name for r in wanted if r.id.lower() in there]


def deploy(arm: Arm, wish: Wish, deadline: Deadline, say: Say) -> None:
    """Until everything is there. Raises DeploymentFailed with each resource and why, DeadlineExceeded with what still goes on."""
    if there := clashes(arm, wish.resources(arm.clients.azure)):
        raise BadUse(
            f"{arm.clients.azure.resource_group} holds {', '.join(there)} already, which this would change; give --prefix, or another group"
        )
    where = f"{arm.group}/providers/Microsoft.Resources/deployments/{name_of(wish.run)}"
    body = {
        "tags": wish.tags,
        "properties": {
            "mode": "Incremental",
            "template": template.load(),
            "parameters": {name: {"value": value} for name, value in wish.parameters.items()},
        },
    }
    arm.put(where, body, "starting the deployment")
    told: set[tuple[str, str]] = set()

    def state() -> str:
        now = arm.get(where, "reading the deployment")["properties"]["provisioningState"]
        for operation in _operations(arm, where):
            what = (_target(operation), str(operation["properties"].get("provisioningState")))
            if what[0] and what not in told:
                told.add(what)
                say(f"{deadline.elapsed():6.1f} s  {what[0]}: {what[1]}")
        return now

    try:
        ended = deadline.wait_for(state, until=lambda s: s in ENDED, what="the deployment", every=arm.clients.azure.poll_s)
    except DeadlineExceeded as error:
        arm.post(f"{where}/cancel", "cancelling the deployment")
        raise DeploymentFailed(f"{error}; it was told to stop") from error
    if ended != "Succeeded":
        faults = "; ".join(_faults(arm, where)) or "Azure does not say why"
        raise DeploymentFailed(f"the deployment {name_of(wish.run)} {ended.lower()}: {faults}")


def _operations(arm: Arm, where: str) -> list[dict[str, Any]]:
    return list(arm.listed(f"{where}/operations", "reading the deployment's progress"))


def _target(operation: dict[str, Any]) -> str:
    target = operation["properties"].get("targetResource") or {}
    name, kind = target.get("resourceName"), str(target.get("resourceType", "")).rpartition("/")[2]
    return f"{name} ({kind})" if name else ""


def _faults(arm: Arm, where: str) -> list[str]:
    found = []
    for operation in _operations(arm, where):
        if operation["properties"].get("provisioningState") == "Failed":
            found.append(f"{_target(operation) or 'the template'}: {_why(operation['properties'].get('statusMessage'))}")
    deployment = arm.get(where, "reading the deployment")["properties"].get("error")
    return found or ([_why({"error": deployment})] if deployment else [])


def _why(message: Any) -> str:
    """The innermost words of an error: a deployment wraps them several times."""
    if not isinstance(message, dict):
        return str(message or "Azure does not say why")
    error = message.get("error", message)
    inner = [d for d in error.get("details") or [] if isinstance(d, dict)]
    if inner:
        return "; ".join(_why(d) for d in inner)
    return f"{error.get('code', 'no code')}: {str(error.get('message', 'no words')).strip()}"
