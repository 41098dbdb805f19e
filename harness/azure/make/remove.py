"""Removing what a run made, and nothing else: by its tag, in an order in which nothing is still needed; and what has expired."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from harness.azure import trouble
from harness.azure.arm import RESOURCES, Arm
from harness.azure.make import running
from harness.azure.make.running import Running, name_of
from harness.azure.make.wish import EXPIRES, OWNER, RUN
from harness.deadline import Deadline
from harness.errors import BadUse, DeadlineExceeded, HarnessError, Unusable

Say = Callable[[str], None]
# By type, in the order of removal: each only after everything that refers to it. With the api-version for deleting it.
ORDER = {
    "microsoft.compute/virtualmachines": "2024-07-01",
    "microsoft.compute/disks": "2023-10-02",
    "microsoft.network/networkinterfaces": "2024-05-01",
    "microsoft.network/loadbalancers": "2024-05-01",
    "microsoft.network/virtualnetworks": "2024-05-01",
    "microsoft.network/natgateways": "2024-05-01",
    "microsoft.network/publicipaddresses": "2024-05-01",
    "microsoft.network/networksecuritygroups": "2024-05-01",
    "microsoft.compute/availabilitysets": "2024-07-01",
}


@dataclass(frozen=True)
class Made:
    """What one run made, as Azure lists it by the run's tag. `group` names the resource group if the run made that, too.

    `expires` is the tag as it stands: anybody may have changed it, and what one run's says must not keep the others from being removed.
    `deploys_in` names groups in which the run has a deployment, but nothing yet that bears its tag.
    """

    run: str
    owner: str = ""
    expires: str | None = None
    group: str | None = None
    resources: tuple[dict[str, Any], ...] = field(default=())
    deploys_in: tuple[str, ...] = ()

    def expired(self, now: float) -> bool:
        """Raises Unusable when its tag says no time."""
        return self.expires is not None and _moment(self).timestamp() < now

    @property
    def _until(self) -> str:
        if self.expires is None:
            return "never expires"
        try:
            return f"expires {_moment(self):%Y-%m-%d %H:%M %Z}"
        except Unusable:
            return f"expires {self.expires!r}, which is no time"

    def __str__(self) -> str:
        where = f", and the resource group {self.group}" if self.group else ""
        return (
            f"run {self.run} of {self.owner or 'nobody'}, {self._until}: {', '.join(r['name'] for r in self.resources) or 'nothing'}{where}"
        )


def runs(arm: Arm) -> list[Made]:
    """Everything in the subscription that bears a run's tag.

    Azure's list of resources leaves their tags out when it is filtered by a tag (Resources - List, $filter), so all are listed.
    """
    tagged: dict[str, dict[str, Any]] = {}
    for resource in arm.listed(f"{arm.subscription}/resources", "listing what runs have made"):
        if run := (resource.get("tags") or {}).get(RUN):
            one = tagged.setdefault(run, {"tags": resource["tags"], "resources": [], "group": None})
            one["resources"].append(resource)
    for group in arm.listed(f"{arm.subscription}/resourcegroups", "listing the groups that runs have made"):
        if run := (group.get("tags") or {}).get(RUN):
            tagged.setdefault(run, {"tags": group["tags"], "resources": [], "group": None})["group"] = group["name"]
    return [
        Made(run, one["tags"].get(OWNER, ""), one["tags"].get(EXPIRES), one["group"], tuple(one["resources"]))
        for run, one in sorted(tagged.items())
    ]


def found(arm: Arm, run: str) -> Made | None:
    """What bears the run's tag; None when nothing does."""
    return next((made for made in runs(arm) if made.run == run), None)


def made_by(arm: Arm, run: str) -> Made:
    """Raises BadUse when nothing bears the run's tag, and no group has its deployment, which may have made nothing yet."""
    if made := found(arm, run):
        return made
    groups = [g["name"] for g in arm.listed(f"{arm.subscription}/resourcegroups", "listing the groups")]
    if deploys_in := tuple(g for g in groups if _deployment(arm, g, run, lambda text: None).exists()):
        return Made(run, deploys_in=deploys_in)
    raise BadUse(
        f"nothing in the subscription {arm.clients.azure.subscription} bears the tag {RUN} = {run}, and no group has its deployment; "
        "see `lkharness azure sweep --plan`"
    )


def stopped(arm: Arm, made: Made, deadline: Deadline, say: Say) -> Made:
    """The run with all that it has made, once it makes no more: a deployment that still goes on is cancelled, and its end waited for.

    Raises Unusable when one goes on: whatever is removed now, the rest would be made afterwards.
    """
    for group in sorted(_groups(made)):
        limit = Deadline(deadline.within(running.STOP_S))
        try:
            _deployment(arm, group, made.run, say).stop(limit, shows=Deadline(0.0))
        except trouble.NotThere:
            continue  # nobody keeps the record of a deployment for ever
        except HarnessError as error:
            raise Unusable(
                f"the deployment {name_of(made.run)} still goes on in {group}, or cannot be asked, so nothing was removed: {error}; "
                "try again later"
            ) from error
    return replace(found(arm, made.run) or made, deploys_in=made.deploys_in)


def _deployment(arm: Arm, group: str, run: str, say: Say) -> Running:
    return Running(arm, f"{arm.subscription}/resourceGroups/{group}", run, say)


def remove(arm: Arm, made: Made, deadline: Deadline, say: Say) -> list[str]:
    """Remove everything of it; what is left and why, empty when all is gone. The group goes as a whole only if nothing else is in it.

    Its deployment must be over (`stopped`).
    """
    others = _others(arm, made) if made.group else []
    groups = _groups(made)
    if made.group and len(groups) == 1 and not others:
        say(f"removing the resource group {made.group}, which run {made.run} made, with everything in it")
        return _gone(arm, [f"{arm.subscription}/resourceGroups/{made.group}"], RESOURCES, deadline, say)
    if others:
        say(f"the resource group {made.group} stays: it holds what run {made.run} did not make: {', '.join(others)}")
    left: list[str] = []
    for kind, api in ORDER.items():
        ids = [r["id"] for r in made.resources if str(r["type"]).lower() == kind]
        left += _gone(arm, ids, api, deadline, say)
    left += [f"{r['name']}: a {r['type']}, which the template does not make; remove it by hand" for r in made.resources if _unknown(r)]
    if left:
        return left
    if made.group and not others:
        left = _gone(arm, [f"{arm.subscription}/resourceGroups/{made.group}"], RESOURCES, deadline, say)
        groups.discard(made.group.lower())
    return left + _records_gone(arm, made.run, groups, deadline, say)


def _records_gone(arm: Arm, run: str, groups: Iterable[str], deadline: Deadline, say: Say) -> list[str]:
    """What Azure remembers of the run's deployment, in these groups."""
    left: list[str] = []
    for group in sorted(groups):
        deployment = _deployment(arm, group, run, say)
        if deployment.exists():
            left += _gone(arm, [deployment.where], RESOURCES, deadline, say)
    return left


def _groups(made: Made) -> set[str]:
    """In lower case: Azure spells a group's name differently from place to place, in the ids of disks for one."""
    named = [*made.deploys_in, *([made.group] if made.group else [])]
    return {str(r["id"]).split("/")[4].lower() for r in made.resources} | {group.lower() for group in named}


def _others(arm: Arm, made: Made) -> list[str]:
    """What is in the run's own group and is not the run's. A machine's disk goes with it, tagged or not."""
    own = {str(r["id"]).lower() for r in made.resources}
    listed = arm.listed(f"{arm.subscription}/resourceGroups/{made.group}/resources", "listing the resource group")
    return [r["name"] for r in listed if str(r["id"]).lower() not in own and not _is_own_disk(r, own)]


def _is_own_disk(resource: dict[str, Any], own: set[str]) -> bool:
    return str(resource["type"]).lower() == "microsoft.compute/disks" and str(resource.get("managedBy", "")).lower() in own


def _unknown(resource: dict[str, Any]) -> bool:
    return str(resource["type"]).lower() not in ORDER


def _gone(arm: Arm, ids: list[str], api: str, deadline: Deadline, say: Say) -> list[str]:
    """Delete all of these at once and wait for it. What is gone already is as good."""
    started: list[tuple[str, Any]] = []
    left = []
    for id in ids:
        name = id.rpartition("/")[2]
        try:
            started.append((name, arm.begin("DELETE", id, None, f"removing {name}", api=api)))
        except BadUse:
            say(f"{name} is gone already")
        except HarnessError as error:
            left.append(f"{name}: {error}")
    for name, poller in started:
        try:
            deadline.wait_for(poller.done, what=f"removing {name}", every=min(1.0, arm.clients.azure.poll_s))
            arm.result(poller, f"removing {name}")
            say(f"{name} is removed")
        except (HarnessError, DeadlineExceeded) as error:
            left.append(f"{name}: {error}")
    return left


def sweep(arm: Arm, deadline: Deadline, say: Say, *, plan: bool) -> tuple[list[Made], list[str]]:
    """Remove every run whose time is over (with `plan` only tell); what was found, and what is left of it or cannot be judged.

    What goes wrong with one run does not keep the others from being removed.
    """
    over: list[Made] = []
    left: list[str] = []
    for made in runs(arm):
        try:
            if not made.expired(time.time()):
                continue
            over.append(made)
            say(f"{'would remove' if plan else 'removing'} {made}")
            left += [] if plan else remove(arm, stopped(arm, made, deadline, say), deadline, say)
        except HarnessError as error:
            left.append(f"run {made.run}: {error}")
    return over, left


def _moment(made: Made) -> datetime:
    try:
        moment = datetime.fromisoformat(made.expires or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone()
    except (ValueError, OverflowError) as error:
        raise Unusable(
            f"its tag {EXPIRES} says {made.expires!r}, which is no time; mend the tag, or remove the run with "
            f"`lkharness azure down --run {made.run}`"
        ) from error
