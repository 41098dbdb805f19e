"""Reading while the lab's API has faults: what passes is waited out, the rest is one sentence, and nothing takes longer than its limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from harness.azure.client import sdk_clients
from harness.azure.client.sdk_clients import Clients
from harness.azure.inventory import resource_reader
from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.lab.azure.control_client import ControlClient
from harness.lab.azure.state import api_faults
from harness.lab.lifecycle import default_cluster, launch

LIMIT_S = 15.0  # of a look that lacks something, which a fault may use up
PATIENT_LIMIT_S = 120.0  # of one that gets over its fault, on a busy machine too
# What each fault is done to, and whether a look gets over it (True), lacks a part (words of it), or cannot begin (words of it).
LOOKS: dict[str, tuple[dict[str, Any], bool | str]] = {
    "slow": ({"path": "loadBalancers", "seconds": 1.0}, True),
    "throttled": ({"path": "loadBalancers", "times": 2}, True),
    "unavailable": ({"path": "virtualMachines", "times": 1}, True),
    "happens-unavailable": ({"method": "POST", "path": "effective", "times": 1}, True),
    "dropped-before": ({"path": "networkInterfaces", "method": "GET", "times": 1}, True),
    "dropped-after": ({"path": "loadBalancers", "method": "GET", "times": 1}, True),
    "token-expired": ({"path": "loadBalancers", "times": 0}, "does not take the token of the log-in"),
    "token-revoked": ({"path": "loadBalancers", "times": 1}, True),
    "forbidden": ({"path": "effectiveRouteTable", "times": 0}, "effectiveRouteTable"),
    "fails-late": ({"path": "effectiveNetworkSecurityGroups", "times": 0}, "reading the effective NSG rules"),
    "happens-and-fails": ({"path": "effectiveNetworkSecurityGroups", "times": 0}, "reading the effective NSG rules"),
    "never-ends": ({"path": "effectiveRouteTable", "times": 0}, "within"),
}


@pytest.fixture(scope="module")
def lab() -> Iterator[launch.RunningLab]:
    running = launch.up(
        default_cluster.cluster_data("fast", {}), name=f"read-faults-{os.getpid()}", persistent=False, network_only=True, azure=True
    )
    try:
        yield running
    finally:
        running.down()


@pytest.fixture
def there(lab: launch.RunningLab) -> Iterator[tuple[Clients, ControlClient, cluster_config.Cluster]]:
    cluster = cluster_config.load(lab.cluster_file)
    assert cluster.azure is not None
    hand, made = ControlClient(cluster.azure), sdk_clients.make_clients(cluster.azure)
    yield made, hand, cluster
    hand.clear()
    made.close()


def test_every_fault_of_the_lab_is_looked_at() -> None:
    assert set(LOOKS) == set(api_faults.KINDS)


@pytest.mark.parametrize("kind", LOOKS)
def test_a_look_is_bounded_and_says_what_it_lacks(there: tuple[Clients, ControlClient, cluster_config.Cluster], kind: str) -> None:
    made, hand, cluster = there
    given, outcome = LOOKS[kind]
    hand.fault(kind, **given)
    limit_s = PATIENT_LIMIT_S if outcome is True else LIMIT_S
    whole = Deadline(4 * limit_s)
    try:
        seen = resource_reader.look(made, {m.name: m.name for m in cluster.machines}, cluster.vip, limit_s)
        said = list(seen.read_errors)
    except HarnessError as error:
        seen, said = None, [str(error)]
    whole.require("a look under a fault")
    assert any(f["met"] for f in hand.faults()["on"]), "the fault met nothing"
    if outcome is True:
        assert seen is not None and said == []
    else:
        assert any(str(outcome) in sentence for sentence in said), said
        assert all("\n" not in sentence for sentence in said)
