"""What `azure up --plan` shows: every resource that comes into being, also those that no line of the template makes by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from arm_answers import SUBSCRIPTION
from azure_up import up

from harness.azure.provision.template import prices


@pytest.fixture
def nobody(tmp_path, monkeypatch):
    """Settings that lead to nobody: a plan asks nothing."""
    monkeypatch.chdir(tmp_path)
    Path("where.toml").write_text(f'[azure]\nsubscription = "{SUBSCRIPTION}"\nresource_group = "lk-test"\n')
    Path("key.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@here\n")


def planned(capsys: Any, *more: str) -> dict[str, Any]:
    assert up("--plan", "--json", "--prices", "rough", *more) == 0
    return json.loads(capsys.readouterr().out)


def of_type(plan: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [r for r in plan["resources"] if r["type"].endswith(f"/{kind}")]


def test_the_resource_group_is_a_row(nobody, capsys):
    (group,) = of_type(planned(capsys), "resourceGroups")
    assert (group["name"], group["usd_per_hour"], group["what"]) == ("lk-test", 0.0, "made if there is none")


def test_the_disks_are_rows_with_prices_of_their_own(nobody, capsys):
    plan = planned(capsys, "--prefix", "a-")
    disks = of_type(plan, "disks")
    assert [d["name"] for d in disks] == ["a-lkclient-disk", "a-lknode01-disk", "a-lknode02-disk"]
    assert {(d["usd_per_hour"], d["what"]) for d in disks} == {(prices.table()["disks"]["StandardSSD_LRS"], "StandardSSD_LRS, an OS disk")}
    assert all("not checked" in d["price"] and "transactions" in d["price"] for d in disks)
    machines = of_type(plan, "virtualMachines")
    assert {m["usd_per_hour"] for m in machines} == {prices.of_table("Standard_D2s_v5")}, "the disk is not in the machine's price, too"


def test_all_of_it_is_the_sum_of_the_rows(nobody, capsys):
    plan = planned(capsys, "--outbound", "--public-from", "192.0.2.7")
    assert plan["usd_per_hour"] == pytest.approx(sum(r["usd_per_hour"] for r in plan["resources"]), abs=1e-4)


def test_a_machine_without_a_known_price_leaves_its_disk_with_one(nobody, capsys):
    plan = planned(capsys, "--size", "Standard_X99")
    assert plan["without_a_price"] == 3 and all(d["usd_per_hour"] for d in of_type(plan, "disks"))


def test_a_person_sees_them_too(nobody, capsys):
    assert up("--plan") == 0
    said = capsys.readouterr().out
    assert "resourceGroups  made if there is none" in said and "lknode01-disk" in said and "disks  StandardSSD_LRS, an OS disk" in said


def test_what_is_made_is_what_was_shown(arm, capsys):
    """Everything must be a row, the machines' disks, too, and every row must come into being."""
    assert up("--json", "--outbound", "--public-from", "192.0.2.7", "--placement", "availability-set") == 0
    rows = json.loads(capsys.readouterr().out)["resources"]
    shown = {(r["type"], r["name"]) for r in rows if not r["type"].endswith("/resourceGroups")}
    assert shown == {(r["type"], r["name"]) for r in arm.resources.values()}
    assert [g["name"] for g in arm.groups.values()] == [r["name"] for r in rows if r["type"].endswith("/resourceGroups")]
