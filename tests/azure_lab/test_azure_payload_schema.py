"""Everything that the lab's Azure says is of the shape that the official packages know: no key of it is a slip of the pen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

NOT_IN_THE_MODELS = {
    "type",
    "etag",
    "tier",
    "provisioningState",
    "resourceGuid",
    "systemData",
    "location",
}  # said by Azure, not by each model


def unknown_keys(model: Any, where: str) -> Iterator[str]:
    """Keys on the wire that the package's model has no field for; the package itself would let them pass in silence."""
    if isinstance(model, list):
        for i, item in enumerate(model):
            yield from unknown_keys(item, f"{where}[{i}]")
    fields = getattr(model, "_attr_to_rest_field", None)
    if fields is None:
        return
    known = {field._rest_name for field in fields.values()}
    yield from (f"{where}.{key}" for key in set(model.keys()) - known - NOT_IN_THE_MODELS)
    for name in fields:
        yield from unknown_keys(getattr(model, name), f"{where}.{name}")


SAID = {
    "load balancer": lambda lab: lab.network.load_balancers.get(lab.group, "ilb"),
    "pool": lambda lab: lab.network.load_balancer_backend_address_pools.get(lab.group, "ilb", "pool"),
    "network interfaces": lambda lab: list(lab.network.network_interfaces.list(lab.group)),
    "security groups": lambda lab: list(lab.network.network_security_groups.list(lab.group)),
    "networks": lambda lab: list(lab.network.virtual_networks.list(lab.group)),
    "route tables": lambda lab: (lab.hand.misconfigure("diverted-routes"), list(lab.network.route_tables.list(lab.group)))[1],
    "machines": lambda lab: list(lab.compute.virtual_machines.list(lab.group)),
    "instance view": lambda lab: lab.compute.virtual_machines.instance_view(lab.group, "lknode01"),
    "health": lambda lab: lab.network.load_balancer_load_balancing_rules.begin_health(lab.group, "ilb", "rule-1521").result(30),
    "effective rules": lambda lab: lab.network.network_interfaces.begin_list_effective_network_security_groups(
        lab.group, "lknode01-nic1"
    ).result(30),
    "effective routes": lambda lab: lab.network.network_interfaces.begin_get_effective_route_table(lab.group, "lknode01-nic1").result(30),
}


@pytest.mark.parametrize("what", SAID)
def test_no_key_is_unknown_to_the_official_models(lab, what: str) -> None:
    said = SAID[what](lab)
    assert said
    assert list(unknown_keys(said, what)) == []
