"""Reading while the lab's API has faults: what passes is waited out, the rest is one sentence, and nothing takes longer than its limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from harness import model
from harness.azure import clients, read
from harness.azure.clients import Clients
from harness.deadline import Deadline
from harness.errors import HarnessError
from harness.lab import launch, seed
from harness.lab.azure import faults
from harness.lab.azure.hand import Hand

LIMIT_S = 15.0
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
    running = launch.up(seed.cluster_data("fast", {}), name=f"read-faults-{os.getpid()}", persistent=False, azure=True)
    try:
        yield running
    finally:
        running.down()


@pytest.fixture
def there(lab: launch.RunningLab) -> Iterator[tuple[Clients, Hand, model.Cluster]]:
    cluster = model.load(lab.cluster_file)
    assert cluster.azure is not None
    hand, made = Hand(cluster.azure), clients.of(cluster.azure)
    yield made, hand, cluster
    hand.clear()
    made.close()


def test_every_fault_of_the_lab_is_looked_at() -> None:
    assert set(LOOKS) == set(faults.KINDS)


@pytest.mark.parametrize("kind", LOOKS)
def test_a_look_is_bounded_and_says_what_it_lacks(there: tuple[Clients, Hand, model.Cluster], kind: str) -> None:
    made, hand, cluster = there
    given, outcome = LOOKS[kind]
    hand.fault(kind, **given)
    whole = Deadline(4 * LIMIT_S)
    try:
        seen = read.look(made, {m.name: m.name for m in cluster.machines}, cluster.vip, LIMIT_S)
        said = list(seen.untold)
    except HarnessError as error:
        seen, said = None, [str(error)]
    whole.require("a look under a fault")
    assert any(f["met"] for f in hand.faults()["on"]), "the fault met nothing"
    if outcome is True:
        assert seen is not None and said == []
    else:
        assert any(str(outcome) in sentence for sentence in said), said
        assert all("\n" not in sentence for sentence in said)
