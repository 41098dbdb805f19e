"""The kinds of resources, one file each."""

from __future__ import annotations

from harness.lab.lifekeeper.config.stand_in_settings import Resource
from harness.lab.lifekeeper.resource_types.disk import Disk
from harness.lab.lifekeeper.resource_types.gen import Gen
from harness.lab.lifekeeper.resource_types.group import Group
from harness.lab.lifekeeper.resource_types.ip import Ip
from harness.lab.lifekeeper.resource_types.lbhc import Lbhc
from harness.lab.lifekeeper.resource_types.probed_ip import ProbedIp
from harness.lab.lifekeeper.resource_types.resource_type import Kind, ResourceContext

KINDS: dict[str, type[Kind]] = {"group": Group, "gen": Gen, "ip": Ip, "lbhc": Lbhc, "disk": Disk, "probed-ip": ProbedIp}


def make(resource: Resource, context: ResourceContext) -> Kind:
    """The kind's handler for one resource. Raises BadUse when its parameters do not fit."""
    return KINDS[resource.kind](resource, context)
