"""What a disturbance leaves on the resource that it disturbs, so that anybody can undo it: a tag with what to undo and until when.

Written before the thing is done and removed after it is undone, by the Tags API, which changes one key and leaves the others alone.
A tag's value holds 256 characters at most.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from harness.azure.client.arm import Arm
from harness.core.errors import Unusable

KEY = "lkharness-undo"
MAX_TAG_LENGTH = 256
YEAR_9999 = 253_370_764_800  # seconds since the epoch; what comes after it is no date
Kind = Literal["start", "restart", "rule", "pool", "admin"]
RUN = secrets.token_hex(4)  # this harness process
BY_HAND = f"`lkharness azure heal --cluster FILE --run {RUN}`"
DISTURBED = {  # the types of resources that we disturb, and so those that can bear the tag; with the api-version of their lists
    "Microsoft.Compute/virtualMachines": "2024-07-01",
    "Microsoft.Network/networkInterfaces": "2024-05-01",
    "Microsoft.Network/networkSecurityGroups": "2024-05-01",
    "Microsoft.Network/loadBalancers": "2024-05-01",
}


@dataclass(frozen=True)
class Undo:
    """`since` and `until` are seconds since the epoch: when it began, and when its harness meant to have undone it.

    start: power the VM on. restart: the same, and the restart that Azure accepted may still come until then.
    rule: delete the NSG's rule `name`. pool: put the NIC's ip configuration `name` into `pool` (LB/POOL) again.
    admin: give the member `name` of the LB's `pool` its adminState `was` back.
    """

    undo: Kind
    since: int
    until: int
    run: str = field(default=RUN)
    name: str = ""
    pool: str = ""
    was: str = ""

    @property
    def may_be_at_work(self) -> bool:
        """Is its run still within the time that it meant to take? Then it may be alive."""
        return time.time() < self.until

    @classmethod
    def now(cls, undo: Kind, lasts_s: float, **about: str) -> Undo:
        """A tag for something that is about to be disturbed for at most `lasts_s` seconds."""
        return cls(undo, int(time.time()), int(time.time() + lasts_s), **about)

    def text(self) -> str:
        """Raises Unusable when it is too long for a tag."""
        tag_text = json.dumps({key: value for key, value in asdict(self).items() if value != ""}, separators=(",", ":"))
        if len(tag_text) > MAX_TAG_LENGTH:
            raise Unusable(
                f"what undoes it has {len(tag_text)} characters, and a tag holds {MAX_TAG_LENGTH}: the names of the resources are too long"
            )
        return tag_text

    def __str__(self) -> str:
        sentence_by_kind = {
            "start": "power it on",
            "restart": "power it on, after the restart that may still come",
            "rule": f"delete its rule {self.name}",
            "pool": f"put its ip configuration {self.name} into {self.pool} again",
            "admin": f"set the adminState of {self.pool}'s member {self.name} to {self.was}",
        }
        return f"{sentence_by_kind[self.undo]} (run {self.run}, until {datetime.fromtimestamp(self.until, UTC):%Y-%m-%dT%H:%M:%SZ})"


def parse(text: str) -> Undo:
    """Raises Unreadable for what no harness wrote."""
    try:
        undo = Undo(**json.loads(text))
        if undo.undo not in get_args(Kind):
            raise ValueError(f"{undo.undo!r} is nothing that can be undone")
        if any(type(seconds) is not int or not 0 <= seconds < YEAR_9999 for seconds in (undo.since, undo.until)):
            raise ValueError("since and until are no seconds of this age")
        if any(type(word) is not str for word in (undo.run, undo.name, undo.pool, undo.was)):
            raise ValueError("run, name, pool and was are words")
        return undo
    except (ValueError, TypeError) as error:
        raise Unreadable(f"the tag {KEY} says {text!r}, which is no undoing of ours ({error}); remove it by hand") from error


STANDING: dict[str, Undo] = {}  # by the resource's id: what this process tagged, and has not seen undone


class Unreadable(Unusable):
    """The tag is not one that a harness wrote."""


class Foreign(Unusable):
    """The resource bears the tag of another disturbance: nothing was written, and what is there is not ours to undo."""


class UndoTags:
    """Reads and writes the tag of one resource after the other."""

    def __init__(self, arm: Arm) -> None:
        self._arm = arm

    def of(self, resource: str) -> str | None:
        """The tag's text, as the resource bears it now."""
        return self._all(resource).get(KEY)

    def write(self, resource: str, undo: Undo) -> None:
        """Raises Foreign when another undoing is still waiting there: whoever undoes that one must not find ours in its place."""
        name = resource.rpartition("/")[2]
        present_text = self.of(resource)
        if present_text == undo.text():
            return  # an answer that was lost, and the tag was written all the same
        if present_text is not None:
            raise Foreign(f"{name} still bears the tag of something that is not undone ({present_text}); run `lkharness azure heal` first")
        text = undo.text()
        STANDING[resource] = undo  # before it is sent: an answer that gets lost may mean that it is there
        self._patch(resource, "Merge", text, f"tagging {name} with what to undo")

    def replace(self, resource: str, old: Undo, new: Undo) -> None:
        """Only if it is still the old one."""
        if self.of(resource) == old.text():
            self._patch(resource, "Merge", new.text(), f"tagging {resource.rpartition('/')[2]} anew")
            STANDING[resource] = new

    def remove(self, resource: str, text: str) -> None:
        """Only if it is still this one."""
        if self.of(resource) == text:
            self._patch(resource, "Delete", text, f"removing the undo tag of {resource.rpartition('/')[2]}")
        if resource in STANDING and STANDING[resource].text() == text:
            del STANDING[resource]

    def taggable_resources(self) -> list[str]:
        """What in the resource group can bear the tag, by the providers' own lists: that of all resources may be minutes old.

        Each is to be asked by itself, because a list's own tags may be old, too.
        """
        ids = []
        for kind, api in DISTURBED.items():
            doing = f"listing the resource group's {kind.rpartition('/')[2]}"
            ids += [str(item["id"]) for item in self._arm.listed(f"{self._arm.group}/providers/{kind}", doing, api=api)]
        return ids

    def _all(self, resource: str) -> dict[str, Any]:
        tags_resource = self._arm.get(
            f"{resource}/providers/Microsoft.Resources/tags/default", f"reading the tags of {resource.rpartition('/')[2]}"
        )
        return (tags_resource.get("properties") or {}).get("tags") or {}

    def _patch(self, resource: str, operation: str, text: str, doing: str) -> None:
        body = {"operation": operation, "properties": {"tags": {KEY: text}}}
        self._arm.patch(f"{resource}/providers/Microsoft.Resources/tags/default", body, doing)
