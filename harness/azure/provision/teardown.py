"""Removing what a run made, and nothing else: what its own deployment says it made, in an order in which nothing is still needed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from harness.azure.client import error_mapping
from harness.azure.client.arm import RESOURCES, Arm
from harness.azure.client.polling import pause
from harness.azure.provision import creation_record, deletion_retry, running_deployment
from harness.azure.provision.creation_record import EXPIRES, ORDER, OWNER, RUN, Ledger, kind_of, tag
from harness.azure.provision.running_deployment import Running, name_of
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, HarnessError, Unusable

Say = Callable[[str], None]
# Between the two looks at a group that seems empty. The list of all types was seen to lag by 20 minutes (azure-sdk-for-net 22664), and what
# somebody has put there meanwhile would go with the group. What costs is gone by then.
NO_PROGRESS_TIMEOUT_S = 1200.0


@dataclass(frozen=True)
class RunResources:
    """What of a run is there now. `resources` are in its ledger and bear its tag, each asked for by its id; `group` it made, too.

    `strangers` bear its tag, or have an id of its ledger, and are not the run's by both: they are told, and left alone.
    `record`: there is a ledger at all. `expires` is the later of what the run wrote down
    and what the tags say now: a tag may lengthen a life, never end it.
    """

    run: str
    where: str = ""
    owner: str = ""
    expires: str | None = None
    group: str | None = None
    resources: tuple[dict[str, Any], ...] = field(default=())
    ids: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    record: bool = True

    def expired(self, now: float) -> bool:
        """Raises Unusable when its tag says no time."""
        return self.expires is not None and _parse_time(self.run, self.expires).timestamp() < now

    @property
    def _until(self) -> str:
        if self.expires is None:
            return "never expires"
        try:
            return f"expires {_parse_time(self.run, self.expires):%Y-%m-%d %H:%M %Z}"
        except Unusable:
            return f"expires {self.expires!r}, which is no time"

    def __str__(self) -> str:
        group_text = f", and the resource group {self.group}" if self.group else ""
        names = ", ".join(r["name"] for r in self.resources) or "nothing"
        strangers_text = f"; left alone: {'; '.join(self.strangers)}" if self.strangers else ""
        return f"run {self.run} of {self.owner or 'nobody'}, {self._until}: {names}{group_text}{strangers_text}"


@dataclass
class Tagged:
    """What bears a run's tag, by Azure's lists: where to look for the run, and nothing more."""

    tags: dict[str, str]
    resources: list[dict[str, Any]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)


def find_tagged(arm: Arm) -> dict[str, Tagged]:
    """By run. Azure's list of resources leaves tags out when it is filtered by one (Resources - List, $filter), so all are listed."""
    tagged_by_run: dict[str, Tagged] = {}
    for resource in arm.listed(f"{arm.subscription}/resources", "listing what runs have made"):
        if run := tag(resource, RUN):
            tagged_by_run.setdefault(run, Tagged(resource["tags"])).resources.append(resource)
    for group in arm.listed(f"{arm.subscription}/resourcegroups", "listing the groups that runs have made"):
        if run := tag(group, RUN):
            tagged_by_run.setdefault(run, Tagged(group["tags"])).groups.append(group["name"])
    return tagged_by_run


def resources_of(arm: Arm, run: str, tagged_items: Tagged | None = None) -> RunResources:
    """What the run made that is still there; every resource is asked for by its id.

    Raises BadUse when neither a record of the run nor anything that bears its tag is found.
    """
    if tagged_items is None:
        tagged_items = find_tagged(arm).get(run)
    ledger = _ledger_of(arm, run, tagged_items)
    tagged_ids = {str(r["id"]).lower(): str(r["id"]) for r in tagged_items.resources} if tagged_items else {}
    if ledger is None:
        if tagged_items is None:
            raise BadUse(
                f"nothing in the subscription {arm.clients.azure.subscription} bears the tag {RUN} = {run}, no group has its deployment, "
                "and this machine has no record of it; see `lkharness azure sweep --plan`"
            )
        names = [*tagged_ids.values(), *(f"the resource group {g}" for g in tagged_items.groups)]
        return RunResources(
            run,
            "",
            tagged_items.tags.get(OWNER, ""),
            tagged_items.tags.get(EXPIRES),
            strangers=tuple(map(_only_tagged_text, names)),
            record=False,
        )
    present, strangers = [], []
    for id in ledger.ids:
        resource = deletion_retry.read(arm, id, ORDER[kind_of(id)])
        if resource is None:
            continue
        if tag(resource, RUN) == run:
            present.append(
                {"id": id, "name": resource.get("name") or id.rpartition("/")[2], "type": kind_of(id), "tags": resource.get("tags")}
            )
        else:
            strangers.append(f"{id.rpartition('/')[2]}, which bears the tag of another run or none")
    ledger_ids = {id.lower() for id in ledger.ids}
    # What the list still shows of it and its provider does not know is gone, and a child of its own goes with its parent.
    strangers += [_only_tagged_text(id) for key, id in tagged_ids.items() if key not in ledger_ids and not _is_child(key, ledger_ids)]
    if tagged_items:
        strangers += [_only_tagged_text(f"the resource group {g}") for g in tagged_items.groups if g.lower() != ledger.group.lower()]
    group = _group_of(arm, run, ledger)
    expires = _later_expiry(ledger.expires, [t for r in present if (t := tag(r, EXPIRES))])
    return RunResources(run, ledger.group, ledger.owner, expires, group, tuple(present), ledger.ids, tuple(strangers))


def _only_tagged_text(name: str) -> str:
    return f"{name}, which bears the run's tag, but no record says that the run made it"


def _ledger_of(arm: Arm, run: str, tagged_items: Tagged | None) -> Ledger | None:
    """The run's ledger: what this machine wrote down, and its deployment. All groups are asked for that when no other says where."""
    own_ledger = creation_record.read_ledger(arm.clients.azure.subscription, run)
    likely_groups = [own_ledger.group] if own_ledger else []
    likely_groups += [str(r["id"]).split("/")[4] for r in tagged_items.resources] + tagged_items.groups if tagged_items else []
    asked_groups = {group.lower(): group for group in likely_groups}
    ledgers = [ledger for group in asked_groups.values() if (ledger := creation_record.read_deployment_record(arm, group, run))]
    if not ledgers and not own_ledger:
        other_groups = [
            g["name"]
            for g in arm.listed(f"{arm.subscription}/resourcegroups", "listing the groups")
            if g["name"].lower() not in asked_groups
        ]
        ledgers = [ledger for group in other_groups if (ledger := creation_record.read_deployment_record(arm, group, run))]
    all_ledgers = ([own_ledger] if own_ledger else []) + ledgers
    return creation_record.merge_ledgers(run, all_ledgers) if all_ledgers else None


def _group_of(arm: Arm, run: str, ledger: Ledger) -> str | None:
    """The group's name when the run made it, and it still says so."""
    if not ledger.made_group:
        return None
    group = deletion_retry.read(arm, f"{arm.subscription}/resourceGroups/{ledger.group}", RESOURCES)
    return ledger.group if group is not None and tag(group, RUN) == run else None


def _later_expiry(recorded_expiry: str, tags: list[str]) -> str | None:
    """A text that is no time is kept, so that it is told."""
    times = [text for text in (recorded_expiry, *tags) if text]
    try:
        return max(times, key=lambda text: _parse_time("", text)) if times else None
    except Unusable:
        return next(text for text in times if not _is_time(text))


def stop_deployment(arm: Arm, resources: RunResources, deadline: Deadline, say: Say) -> RunResources:
    """The run with all that it has made, once it makes no more: a deployment that still goes on is cancelled, and its end waited for.

    Raises Unusable when one goes on: whatever is removed now, the rest would be made afterwards.
    """
    if not resources.record:
        return resources
    limit = Deadline(deadline.within(running_deployment.CANCELLATION_TIMEOUT_S))
    try:
        _deployment(arm, resources, say).stop(limit, visible_deadline=Deadline(0.0))
    except error_mapping.NotThere:
        pass  # nobody keeps the record of a deployment for ever
    except HarnessError as error:
        raise Unusable(
            f"the deployment {name_of(resources.run)} still goes on in {resources.where}, or cannot be asked, so nothing was removed: "
            f"{error}; try again later"
        ) from error
    return resources_of(arm, resources.run)


def _deployment(arm: Arm, resources: RunResources, say: Say) -> Running:
    return Running(arm, f"{arm.subscription}/resourceGroups/{resources.where}", resources.run, say)


def remove(arm: Arm, resources: RunResources, deadline: Deadline, say: Say) -> list[str]:
    """Remove everything of it; what is left and why, empty when all is gone. Its deployment must be over (`stop_deployment`).

    One by one, by their ids, each seen gone; then the group, if the run made it and nothing else is in it. The records, here and in Azure,
    go last, and only when nothing is left: without them nobody could tell any more what was the run's.
    """
    if not resources.record:
        return [
            *resources.strangers,
            f"without a record nothing is removed: look at each, and remove by hand what was of run {resources.run}",
        ]

    def is_ours(resource: dict[str, Any]) -> bool:
        return tag(resource, RUN) == resources.run

    leftovers: list[str] = []
    for kind, api in ORDER.items():
        leftovers += deletion_retry.delete_until_gone(
            arm, [r["id"] for r in resources.resources if r["type"] == kind], api, deadline, say, is_ours
        )
    leftovers += resources.strangers
    if resources.group:
        leftovers += _delete_group(arm, resources, deadline, say, is_ours) if not leftovers else [f"the resource group {resources.group}"]
    return leftovers or _delete_records(arm, resources, deadline, say)


def _delete_group(arm: Arm, resources: RunResources, deadline: Deadline, say: Say, is_ours: deletion_retry.IsOurs) -> list[str]:
    """Twice it must be seen empty: what somebody has just put there is in no list yet, and would go with the group."""
    for last_look in (False, True):
        if names := _foreign_resources(arm, resources):
            return [f"the resource group {resources.group} stays: it holds what run {resources.run} did not make: {', '.join(names)}"]
        if not last_look:
            say(
                f"all that run {resources.run} made is removed but the resource group {resources.group}, which seems empty and costs "
                f"nothing; it is looked at again in {NO_PROGRESS_TIMEOUT_S:g} s, because Azure's lists lag, and goes if it is empty still"
            )
            pause(NO_PROGRESS_TIMEOUT_S, deadline)
    if deadline.expired:
        return [f"the resource group {resources.group}: there was no time to see whether it stays empty; try again"]
    return deletion_retry.delete_until_gone(
        arm, [f"{arm.subscription}/resourceGroups/{resources.group}"], RESOURCES, deadline, say, is_ours
    )


def _foreign_resources(arm: Arm, resources: RunResources) -> list[str]:
    """What is in the run's own group and is not the run's: by the group's list, and by the lists of the providers, which are up to date.

    A resource of the run's that a list still shows is gone: that was seen by its id. So is its child.
    """
    own_ids = {id.lower() for id in resources.ids}
    group = f"{arm.subscription}/resourceGroups/{resources.group}"
    listed = list(arm.listed(f"{group}/resources", "listing the resource group"))
    for kind, api in ORDER.items():
        listed += arm.listed(f"{group}/providers/{kind}", f"listing the group's {kind.rpartition('/')[2]}", api=api)
    names = {key: str(r["name"]) for r in listed if (key := str(r["id"]).lower()) not in own_ids and not _is_child(key, own_ids)}
    return list(dict.fromkeys(names.values()))


def _is_child(key: str, parent_ids: set[str]) -> bool:
    """An extension of a machine, say, which a policy put there: it is a resource of its own in a list, and goes with the machine."""
    return any(key.startswith(f"{parent_id}/") for parent_id in parent_ids)


def _delete_records(arm: Arm, resources: RunResources, deadline: Deadline, say: Say) -> list[str]:
    """What Azure remembers of the run's deployment, where its group is still there, and what this machine wrote down."""
    deployment = _deployment(arm, resources, say)
    leftovers = (
        deletion_retry.delete_until_gone(arm, [deployment.where], RESOURCES, deadline, say, lambda _resource: True)
        if deployment.exists()
        else []
    )
    if not leftovers:
        creation_record.delete_ledger(resources.run)
    return leftovers


def find_expired_runs(arm: Arm, say: Say, owner: str | None = None) -> tuple[list[RunResources], list[str]]:
    """Every run whose time is over (of that owner alone, if one is named), and what cannot be judged, with why."""
    expired_runs: list[RunResources] = []
    unjudged: list[str] = []
    tagged_by_run = find_tagged(arm)
    for run, group in _find_deployments(arm, say):
        tagged_items = tagged_by_run.setdefault(run, Tagged({}))
        if group.lower() not in (g.lower() for g in tagged_items.groups):
            tagged_items.groups.append(group)
    for run in sorted({*tagged_by_run, *creation_record.recorded_runs(arm.clients.azure.subscription)}):
        try:
            run_resources = resources_of(arm, run, tagged_by_run.get(run) or Tagged({}))
            if owner in (None, run_resources.owner) and run_resources.expired(time.time()):
                expired_runs.append(run_resources)
        except HarnessError as error:
            unjudged.append(f"run {run}: {error}")
    return expired_runs, unjudged


def _find_deployments(arm: Arm, say: Say) -> list[tuple[str, str]]:
    """Runs that have a deployment, each with its group: what no list of resources shows yet is found by these."""
    runs = []
    for group in arm.listed(f"{arm.subscription}/resourcegroups", "listing the groups"):
        deployments_path = f"{arm.subscription}/resourceGroups/{group['name']}/providers/Microsoft.Resources/deployments"
        try:
            names = [
                str(deployment.get("name")) for deployment in arm.listed(deployments_path, f"listing the deployments of {group['name']}")
            ]
        except (error_mapping.NotAllowed, error_mapping.NotThere) as error:
            say(f"{error}; runs of that group are found by their tags only")
            continue
        runs += [(name.removeprefix(name_of("")), str(group["name"])) for name in names if re.fullmatch(name_of("[0-9a-f]{8}"), name)]
    return runs


def sweep_runs(arm: Arm, expired_runs: list[RunResources], deadline: Deadline, say: Say) -> list[str]:
    """Remove these; what is left. What goes wrong with one run does not keep the others from being removed."""
    leftovers: list[str] = []
    for run_resources in expired_runs:
        try:
            say(f"removing {run_resources}")
            leftovers += [
                f"run {run_resources.run}: {leftover}"
                for leftover in remove(arm, stop_deployment(arm, run_resources, deadline, say), deadline, say)
            ]
        except HarnessError as error:
            leftovers.append(f"run {run_resources.run}: {error}")
    return leftovers


def _is_time(text: str) -> bool:
    try:
        _parse_time("", text)
    except Unusable:
        return False
    return True


def _parse_time(run: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone()
    except (ValueError, OverflowError) as error:
        raise Unusable(
            f"its tag {EXPIRES} says {text!r}, which is no time; fix the tag, or remove the run with `lkharness azure down --run {run}`"
        ) from error
