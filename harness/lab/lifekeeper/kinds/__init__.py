"""The kinds of resources, one file each."""

from __future__ import annotations

from harness.lab.lifekeeper.config import Resource
from harness.lab.lifekeeper.kinds.base import Kind, Surroundings
from harness.lab.lifekeeper.kinds.disk import Disk
from harness.lab.lifekeeper.kinds.gen import Gen
from harness.lab.lifekeeper.kinds.group import Group
from harness.lab.lifekeeper.kinds.ip import Ip
from harness.lab.lifekeeper.kinds.lbhc import Lbhc

KINDS: dict[str, type[Kind]] = {"group": Group, "gen": Gen, "ip": Ip, "lbhc": Lbhc, "disk": Disk}


def make(resource: Resource, around: Surroundings) -> Kind:
    """The kind's handler for one resource. Raises BadUse when its parameters do not fit."""
    return KINDS[resource.kind](resource, around)
