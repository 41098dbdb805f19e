"""`lkharness azure heal` obeys no tag that asks for what no harness does, and finds its own where Azure's list of all does not show them.

Who may write tags (Tag Contributor) must not have what the harness may do. Against a lab with the stand-in beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure_labs import AzureLab

from harness.azure.client import sdk_clients
from harness.azure.client.arm import Arm
from harness.azure.faults.network_faults import DESCRIPTION
from harness.azure.faults.undo_leftovers import UndoResult, heal
from harness.azure.faults.undo_tag import KEY, Undo
from harness.azure.faults.undo_tag_validation import Ours
from harness.core.timeline import Timeline
from harness.lab.lifecycle import default_cluster, launch

OLD = {"since": 0, "until": 0, "run": "0badc0de"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureLab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        running = launch.up(default_cluster.cluster_data(), name="foreign", persistent=False, network_only=True, azure=True)
        try:
            yield AzureLab(running)
        finally:
            running.down()


class Tagged:
    """A resource with a tag that somebody wrote, by its type and name."""

    def __init__(self, lab: AzureLab, kind: str, name: str) -> None:
        self.arm = Arm(sdk_clients.make_clients(lab.azure))
        self.id = f"{self.arm.group}/providers/{kind}/{name}"

    def write(self, text: str, operation: str = "Merge") -> None:
        body = {"operation": operation, "properties": {"tags": {KEY: text}}}
        self.arm.patch(f"{self.id}/providers/Microsoft.Resources/tags/default", body, "tagging")


def healed(lab: AzureLab, of: Tagged, one: Undo, ours: Ours | None = None) -> list[UndoResult]:
    of.write(one.text())
    lab.own("requests", "DELETE")
    try:
        return heal(lab.azure, Timeline().note, ours=ours or Ours.of(lab.cluster), limit_s=20.0)
    finally:
        of.write(one.text(), "Delete")


def changes(lab: AzureLab) -> list[str]:
    return [
        f"{r['method']} {r['path']}"
        for r in lab.own("requests")
        if r["method"] != "GET" and "/tags/" not in r["path"] and "oauth2" not in r["path"]
    ]


def put_rule(lab: AzureLab, group: Tagged, name: str, access: str, description: str) -> None:
    properties: dict[str, Any] = {
        "description": description,
        "priority": 300,
        "direction": "Inbound",
        "access": access,
        "protocol": "Tcp",
        "sourcePortRange": "*",
    }
    properties |= {"sourceAddressPrefix": "*", "destinationAddressPrefix": "*", "destinationPortRange": "22"}
    group.arm.put(f"{group.id}/securityRules/{name}", {"properties": properties}, "making a rule", api="2024-05-01")


def group_of(lab: AzureLab) -> Tagged:
    arm = Arm(sdk_clients.make_clients(lab.azure))
    found = next(arm.listed(f"{arm.group}/providers/Microsoft.Network/networkSecurityGroups", "listing", api="2024-05-01"))
    return Tagged(lab, "Microsoft.Network/networkSecurityGroups", found["name"])


@pytest.mark.parametrize(
    ("name", "access", "description"),
    [
        ("AllowSSH", "Allow", ""),
        ("deny-all-from-internet", "Deny", DESCRIPTION),
        ("lkharness-deny-abcdef", "Allow", ""),
        ("lkharness-deny-abcdef", "Deny", ""),
    ],
)
def test_a_rule_that_no_harness_made_is_not_deleted(lab: AzureLab, name: str, access: str, description: str) -> None:
    """Neither one of any other name, nor one of our name that says something else."""
    group = group_of(lab)
    put_rule(lab, group, name, access, description)
    try:
        (told,) = healed(lab, group, Undo("rule", **OLD, name=name))
        assert told.failed and "was not obeyed" in told.failed and changes(lab) == []
        assert any(r["name"] == name for rules in lab.running.record.ask("nsg").values() for r in rules)
    finally:
        group.arm.begin("DELETE", f"{group.id}/securityRules/{name}", None, "removing", api="2024-05-01").wait(20)


@pytest.mark.parametrize(
    ("kind", "name", "one"),
    [
        ("Microsoft.Network/networkInterfaces", "lknode01-eth0", Undo("pool", **OLD, name="ipconfig1", pool="public-lb/web")),
        ("Microsoft.Network/loadBalancers", "", Undo("admin", **OLD, name="m", pool="", was="Up")),
        ("Microsoft.Network/loadBalancers", "", Undo("admin", **OLD, name="m", pool="other/pool", was="None")),
    ],
    ids=["another pool", "adminState Up", "another balancer"],
)
def test_a_foreign_pool_or_state_is_told(lab: AzureLab, kind: str, name: str, one: Undo) -> None:
    arm = Arm(sdk_clients.make_clients(lab.azure))
    names = [r["name"] for r in arm.listed(f"{arm.group}/providers/{kind}", "listing", api="2024-05-01")]
    of = Tagged(lab, kind, name if name in names else names[0])
    (told,) = healed(lab, of, one)
    assert told.failed and changes(lab) == []


def test_another_clusters_machine_is_not_started(lab: AzureLab) -> None:
    node = lab.cluster.nodes[0].name
    lab.running.record.ask("power", node=node, to="off")
    machine = Tagged(lab, "Microsoft.Compute/virtualMachines", node)
    ours = Ours(str(lab.cluster.vip), ("another",))
    (told,) = healed(lab, machine, Undo("start", **OLD), ours)
    assert told.failed and "no virtual machine of the cluster file" in told.failed and lab.power(node) == "off"
    (told,) = healed(lab, machine, Undo("start", **OLD))
    assert told.failed is None and lab.power(node) == "on"


def test_a_tag_is_found_although_no_list_of_all_shows_its_resource(lab: AzureLab) -> None:
    """Azure's list of all comes from a cache: heal soon after a change must not say that nothing is left."""
    node = lab.cluster.nodes[0].name
    lab.running.record.ask("power", node=node, to="off")
    lab.own("conditions", "POST", {"unlisted": [node]})
    try:
        (told,) = healed(lab, Tagged(lab, "Microsoft.Compute/virtualMachines", node), Undo("start", **OLD))
    finally:
        lab.own("conditions", "DELETE")
    assert told.failed is None and lab.power(node) == "on"
