"""What a run of `azure up` made, by its own account: a file outside Azure, and the record of its deployment in Azure.

Only what one of the two names is the run's. A tag finds a run, and proves nothing: whoever may write tags may tag anything, and policies
copy a group's tags to all that is in it. Lists of resources come from a cache that is minutes old, so nothing here is taken from one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.azure.client import error_mapping
from harness.azure.client.arm import Arm
from harness.azure.provision.running_deployment import name_of
from harness.core.errors import BadUse, Unusable
from harness.core.files import file_exists

RUN, OWNER, EXPIRES, MADE_GROUP = "lkharness-run", "lkharness-owner", "lkharness-expires", "lkharness-made-group"
MACHINES, DISKS = "microsoft.compute/virtualmachines", "microsoft.compute/disks"
# What the template makes, by type, in the order of removal: each only after everything that refers to it. With the api-version for it.
ORDER = {
    MACHINES: "2024-07-01",
    DISKS: "2023-10-02",
    "microsoft.network/networkinterfaces": "2024-05-01",
    "microsoft.network/loadbalancers": "2024-05-01",
    "microsoft.network/virtualnetworks": "2024-05-01",
    "microsoft.network/natgateways": "2024-05-01",
    "microsoft.network/publicipaddresses": "2024-05-01",
    "microsoft.network/networksecuritygroups": "2024-05-01",
    "microsoft.compute/availabilitysets": "2024-07-01",
}


@dataclass(frozen=True)
class Ledger:
    """`ids` of all that the run makes, OS disks included; `made_group`: the run made the resource group, too. `expires` as the tag says."""

    run: str
    subscription: str
    group: str
    owner: str
    expires: str
    made_group: bool
    ids: tuple[str, ...]


def kind_of(resource_id: str) -> str:
    """A resource's type, in lower case; empty for what is none of a resource group's own (a child of another resource, a group)."""
    parts = resource_id.strip("/").split("/")
    return f"{parts[5]}/{parts[6]}".lower() if len(parts) == 8 and parts[4].lower() == "providers" else ""


def with_disks(ids: Iterable[str]) -> tuple[str, ...]:
    """The same, each once, with the OS disks that the template gives the machines: no deployment names those."""
    id_by_lower_case: dict[str, str] = {}
    for resource_id in ids:
        id_by_lower_case.setdefault(resource_id.lower(), resource_id)
        if kind_of(resource_id) == MACHINES:
            group, _, name = resource_id.rpartition("/providers/")[0], "", resource_id.rpartition("/")[2]
            disk = f"{group}/providers/Microsoft.Compute/disks/{name}-disk"
            id_by_lower_case.setdefault(disk.lower(), disk)
    return tuple(id_by_lower_case.values())


def tag(resource: dict[str, Any], name: str) -> str | None:
    """A tag of a resource. Azure compares tags' names without regard to case."""
    tags = resource.get("tags") or {}
    return next((str(value) for key, value in tags.items() if key.lower() == name.lower()), None)


def folder() -> Path:
    """Where the ledgers of this user lie."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "lkharness" / "azure"


def _ledger_file(run: str) -> Path | None:
    """None for what is no run's id, and so must not become a path."""
    return folder() / f"{run}.json" if re.fullmatch(r"[0-9a-f]{8}", run) else None


def write_ledger(ledger: Ledger) -> None:
    """Write it down before anything is made. Raises Unusable."""
    file = _ledger_file(ledger.run)
    assert file is not None
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new_file = file.with_suffix(".new")
        with os.fdopen(os.open(new_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
            json.dump(asdict(ledger), out)
            out.flush()
            os.fsync(out.fileno())
        new_file.replace(file)
    except OSError as error:
        raise Unusable(
            f"{file}: what is made cannot be written down there ({error.strerror}), and without that it could not be removed safely; "
            "set XDG_STATE_HOME to a folder that you can write to"
        ) from error


def read_ledger(subscription: str, run: str) -> Ledger | None:
    """What this machine wrote down of a run; None when it did not, or of another subscription. Raises Unusable for a file that is none."""
    file = _ledger_file(run)
    if file is None or not file_exists(file):
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        ledger = Ledger(**{**content, "ids": tuple(map(str, content["ids"]))})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Unusable(f"{file}: is no record of a run ({error}); remove that file, and what it was of by hand") from error
    return ledger if ledger.subscription.lower() == subscription.lower() and ledger.run == run else None


def recorded_runs(subscription: str) -> list[str]:
    """The runs of a subscription that this machine wrote down."""
    return sorted(f.stem for f in folder().glob("*.json") if read_ledger(subscription, f.stem))


def delete_ledger(run: str) -> None:
    """All of it is gone."""
    if file := _ledger_file(run):
        with contextlib.suppress(OSError):  # of what is gone the file says nothing false
            file.unlink(missing_ok=True)


def read_deployment_record(arm: Arm, group: str, run: str) -> Ledger | None:
    """What the run's deployment in a group says that it made; None when there is no such deployment.

    Azure's reference: Deployments - Get (outputResources, parameters), Deployment Operations - List (targetResource).
    """
    deployment_path = f"{arm.subscription}/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{name_of(run)}"
    try:
        deployment = arm.get(deployment_path, "reading the deployment")
        operations = list(arm.listed(f"{deployment_path}/operations", "reading what the deployment made"))
    except error_mapping.NotThere:
        return None
    properties = deployment.get("properties") or {}
    parameters = properties.get("parameters") or {}
    tags = {"tags": (parameters.get("tags") or {}).get("value") or {}}
    made_group = (parameters.get("madeGroup") or {}).get("value") == "yes"  # not by its tag, which whoever may write tags may write
    if tag(tags, RUN) != run:
        raise Unusable(f"the deployment {name_of(run)} in {group} is not one of `azure up` (its parameters name no such run); left alone")
    targets = [(item.get("properties") or {}).get("targetResource") or {} for item in operations]
    named_ids = [str(item["id"]) for item in [*(properties.get("outputResources") or []), *targets] if item.get("id")]
    group_prefix = f"{arm.subscription}/resourceGroups/{group}/".lower()
    ids = with_disks(
        resource_id for resource_id in named_ids if kind_of(resource_id) in ORDER and resource_id.lower().startswith(group_prefix)
    )
    subscription = arm.clients.azure.subscription
    return Ledger(run, subscription, group, tag(tags, OWNER) or "", tag(tags, EXPIRES) or "", made_group, ids)


def merge_ledgers(run: str, ledgers: Iterable[Ledger]) -> Ledger:
    """What several accounts of one run say together, this machine's own first, if it has one. Raises BadUse when they are of different
    groups. Whether the run made the group is the first one's word alone.
    """
    merged, *rest = ledgers
    for other in rest:
        if other.group.lower() != merged.group.lower():
            raise BadUse(
                f"run {run} has deployments in {merged.group} and in {other.group}, which no `azure up` makes; remove them by hand"
            )
        ids = with_disks([*merged.ids, *other.ids])
        merged = replace(merged, ids=ids)
    return merged
