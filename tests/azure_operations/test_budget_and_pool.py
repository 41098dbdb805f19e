"""What Azure's own limits make of the disruptions: reads of one machine, the way back into a pool, pools of NICs that take no PUT.

Against a lab with the stand-in beside it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from azure_labs import AzureLab, subject

from harness.azure.client import sdk_clients
from harness.azure.client.arm import Arm
from harness.azure.client.operation_runner import OperationRunner
from harness.azure.faults.network_faults import Network
from harness.azure.faults.vm_power import Machine, must_be_gone
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Inconclusive
from harness.core.timeline import Timeline
from harness.disrupt import disruption as base

POLL_S = 0.4


@pytest.fixture(autouse=True)
def as_before(lab: AzureLab) -> Iterator[None]:
    lab.own("requests", "DELETE")
    yield
    lab.own("conditions", "DELETE")
    lab.own("faults", "DELETE")
    assert lab.undisturbed() == []


def disruption(lab: AzureLab, kind: str) -> Any:
    one: Any = base.get_disruption(kind)(subject(lab, Timeline()))
    one._finish_undo = lambda deadline: None  # there is no cluster manager to ask
    return one


def reads(lab: AzureLab, name: str) -> list[float]:
    """When a machine was read, in seconds."""
    return [r["at"] for r in lab.own("requests") if r["method"] == "GET" and f"/virtualmachines/{name}" in r["path"].lower()]


def hand(lab: AzureLab) -> OperationRunner:
    azure = lab.azure.model_copy(update={"poll_s": POLL_S})
    return OperationRunner(sdk_clients.make_clients(azure), Timeline().note)


def test_two_reads_of_a_machine_are_a_poll_interval_apart(lab: AzureLab) -> None:
    """Azure answers 12 reads of a machine a minute, and the cluster's own fencing needs some of them."""
    name = lab.cluster.nodes[0].name
    Machine(hand(lab), name).start(Deadline(30))
    at = reads(lab, name)
    assert len(at) >= 2 and all(b - a > 0.9 * POLL_S for a, b in itertools.pairwise(at))


def test_a_machine_that_is_waited_for_is_read_half_as_often(lab: AzureLab) -> None:
    name = lab.cluster.nodes[0].name
    with pytest.raises(HarnessError, match="still says 'running'"):
        must_be_gone(Machine(hand(lab), name), hand(lab), Deadline(5 * POLL_S))
    assert 2 <= len(reads(lab, name)) <= 5


def test_a_budget_that_is_used_up_is_waited_out(lab: AzureLab) -> None:
    """Others read the machine, too."""
    name = lab.cluster.nodes[0].name
    lab.own("conditions", "POST", {"reads_per_minute": 2})
    arm = Arm(sdk_clients.make_clients(lab.azure))
    for _ in range(2):
        arm.get(f"{arm.group}/providers/Microsoft.Compute/virtualMachines/{name}", "reading", api="2024-07-01")
    with pytest.raises(HarnessError, match="asked too often"):
        Machine(hand(lab), name).start(Deadline(2.0))


def pools(request: dict[str, Any]) -> list[Any]:
    return request["body"]["properties"]["ipConfigurations"][0]["properties"].get("loadBalancerBackendAddressPools") or []


def test_the_way_back_into_the_pool_is_tried_before_a_nic_leaves_it(lab: AzureLab) -> None:
    one = disruption(lab, "azure pool left")
    try:
        one.begin(Deadline(60))
    finally:
        one.undo(Deadline(60))
    puts = [r for r in lab.own("requests") if r["method"] == "PUT" and "/networkinterfaces/" in r["path"].lower()]
    assert [bool(pools(r)) for r in puts] == [True, False, True], "as it is, out, and in again"


def test_a_nic_that_may_not_be_put_back_does_not_leave(lab: AzureLab) -> None:
    """Only the PUT that names the pool needs the right to join it (f5-cloud-failover-extension 42)."""
    lab.own("faults", "POST", {"kind": "forbidden", "method": "PUT", "path": "/networkInterfaces/", "times": 1})
    one = disruption(lab, "azure pool left")
    with pytest.raises(HarnessError, match="may not"):
        one.begin(Deadline(60))
    assert all(m["in_pool"] for m in lab.status()["balancer"])
    one.undo(Deadline(60))


def test_what_others_changed_meanwhile_is_not_lost(lab: AzureLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody tags the NIC between our reading and our PUT of it, once."""
    arm, plain, changed = Arm(sdk_clients.make_clients(lab.azure)), Network._nic_json, list[str]()

    def read(self: Network, nic: str) -> dict[str, Any]:
        said = plain(self, nic)
        if not changed:
            changed.append(nic)
            body = {"operation": "Merge", "properties": {"tags": {"of": "somebody"}}}
            arm.patch(f"{nic}/providers/Microsoft.Resources/tags/default", body, "tagging")
        return said

    one = disruption(lab, "azure pool left")
    nic = one._nic.id
    with monkeypatch.context() as patch:
        patch.setattr(Network, "_nic_json", read)
        Network(one._runner)._check_may_be_put(nic, Deadline(30))
    said = arm.get(f"{nic}/providers/Microsoft.Resources/tags/default", "reading")["properties"]["tags"]
    assert changed and said.get("of") == "somebody", json.dumps(said)
    assert 412 in {r["status"] for r in lab.own("requests") if r["method"] == "PUT"}
    arm.patch(f"{nic}/providers/Microsoft.Resources/tags/default", {"operation": "Delete", "properties": {"tags": said}}, "untagging")


@pytest.mark.parametrize("kind", ["azure adminState down", "azure adminState up on the standby"])
def test_a_pool_of_nics_that_takes_no_put_is_inconclusive(lab: AzureLab, kind: str) -> None:
    """bicep-registry-modules 3457: "not allowed since it adds/modifies/deletes backend address pool members …"."""
    lab.own("conditions", "POST", {"nic_pool_updates_denied": True})
    one = disruption(lab, kind)
    with pytest.raises(Inconclusive, match="does not take a PUT of a pool whose members are NICs"):
        one.begin(Deadline(60))
    one.undo(Deadline(60))
