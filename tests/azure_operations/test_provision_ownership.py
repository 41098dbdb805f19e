"""What a run made is what its deployment says, and what this machine wrote down: a tag only finds it, and a list proves nothing.

Against the stand-in for deployments, whose lists lag behind as Azure's do (azure-rest-api-specs 21221: single GETs are true).
"""

from __future__ import annotations

from typing import Any

import pytest
from arm_answers import SUBSCRIPTION
from azure_up import run_of, up

from harness.azure.provision import creation_record, deletion_retry, teardown
from harness.cli import main

QUOTA: dict[str, Any] = {"code": "SkuNotAvailable", "message": "The requested size is not available."}
PAST = {"lkharness-expires": "2020-01-01T00:00:00Z"}


def down(run: str, *more: str) -> int:
    return main(["azure", "down", "--azure", "where.toml", "--run", run, *more])


def machines(arm: Any) -> set[str]:
    return {r["name"] for r in arm.resources.values() if r["type"].endswith("virtualMachines")}


def test_a_failed_up_is_removed_although_no_list_shows_it(arm, capsys):
    arm.add_group("lk-test")
    arm.fails["lknode02"] = QUOTA
    arm.unlisted = {"lknode01", "lkclient", "ilb", "vnet", "nsg1", "nsg2", *(f"{m}-nic1" for m in ("lknode01", "lknode02", "lkclient"))}
    assert up() == 4
    assert arm.resources == {} and arm.deployments == {}
    assert "this is left" not in capsys.readouterr().err


def test_down_removes_what_no_list_shows(arm, capsys):
    arm.add_group("lk-test")
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    arm.unlisted = arm.names()
    assert down(run) == 0
    assert arm.resources == {} and arm.deployments == {}
    assert creation_record.read_ledger(SUBSCRIPTION, run) is None


@pytest.mark.parametrize("without", ["the file", "the deployment"])
def test_one_of_the_two_records_is_enough(arm, capsys, without):
    arm.add_group("lk-test")
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    arm.unlisted = arm.names()
    if without == "the file":
        creation_record.delete_ledger(run)
    else:
        arm.deployments.clear()  # Azure keeps 800 of a group, and deletes the oldest
    assert down(run) == 0
    assert arm.resources == {}


def test_the_group_stays_when_somebody_put_a_machine_there_that_no_list_of_all_shows(arm, capsys):
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    arm.add("Microsoft.Compute/virtualMachines", "somebodys")
    arm.unlisted = {"somebodys"}
    assert down(run) == 4
    assert arm.names() == {"somebodys"} and len(arm.groups) == 1
    assert "left: the resource group lk-test stays: it holds what run" in capsys.readouterr().err


@pytest.mark.parametrize("shows", ["before the first look", "between the two looks"])
def test_the_group_stays_when_something_shows_at_the_second_look(arm, capsys, monkeypatch, shows):
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    arm.add("Microsoft.Sql/servers", "payroll")
    arm.unlisted = {"payroll"}
    if shows == "between the two looks":
        monkeypatch.setattr(teardown, "pause", lambda seconds, deadline: arm.unlisted.clear())
    else:
        arm.on_delete = lambda name, times: arm.unlisted.clear() if name == "nsg2" else None
    assert down(run) == 4
    assert arm.names() == {"payroll"}


def test_copied_tags_make_nothing_the_run_s(arm, capsys):
    """The policy "Inherit a tag from the resource group" gives the group's tags to all that is in it."""
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    tags = next(iter(arm.groups.values()))["tags"]
    arm.add("Microsoft.Sql/servers", "payroll", tags=tags)
    arm.add("Microsoft.Compute/virtualMachines", "prod-db", tags=tags)
    assert down(run) == 4
    assert arm.names() == {"payroll", "prod-db"} and len(arm.groups) == 1
    assert "no record says that the run made it" in capsys.readouterr().err


def test_what_only_bears_the_tag_in_anothers_group_is_told(arm, capsys):
    arm.add_group("lk-test", of="somebody")
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    arm.add("Microsoft.Sql/servers", "payroll", tags={"lkharness-run": run})
    assert down(run) == 4
    assert arm.names() == {"payroll"} and "left: " in (said := capsys.readouterr().err) and "no record says that the run made it" in said


def test_what_loses_the_tag_while_it_is_removed_is_left_alone(arm, capsys):
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    (group,) = (r for r in arm.resources.values() if r["name"] == "nsg2")
    arm.on_delete = lambda name, times: group["tags"].clear()
    assert down(run) == 4
    assert arm.names() == {"nsg2"} and "nsg2: does not bear this run's tag any more" in capsys.readouterr().err


def test_sweep_deletes_nothing_by_a_tag_alone(arm, capsys):
    arm.add_group("production")
    arm.add("Microsoft.Compute/virtualMachines", "prod-db", group="production", tags={"lkharness-run": "0badc0de", **PAST})
    assert main(["azure", "sweep", "--azure", "where.toml", "--yes"]) == 4
    assert arm.names() == {"prod-db"} and not [m for m, _ in arm.asked if m == "DELETE"]
    said = capsys.readouterr().err
    assert "prod-db" in said and "without a record nothing is removed" in said


def test_sweep_finds_a_run_that_no_list_shows_by_its_deployment(arm, capsys):
    arm.add_group("lk-test")
    arm.killed_up(1, **PAST)
    arm.unlisted = {"vnet", "nsg1", "nsg2", "ilb", *(r["name"] for r in arm.resources.values())}
    assert main(["azure", "sweep", "--azure", "where.toml", "--yes"]) == 0
    arm.go_on()
    assert arm.resources == {} and arm.deployments == {}


def test_a_tag_does_not_end_a_life(arm, capsys):
    """Whoever may write tags must not have a living run swept; a later date in the tags lengthens it."""
    assert up() == 0
    for one in [*arm.resources.values(), *arm.groups.values()]:
        one["tags"] = {**one["tags"], **PAST}
    assert main(["azure", "sweep", "--azure", "where.toml", "--yes"]) == 0
    assert "nothing has expired" in capsys.readouterr().out and "ilb" in arm.names()


def test_a_later_tag_lengthens_a_life(arm, capsys):
    arm.add_group("lk-test")
    arm.killed_up(1, **PAST)
    arm.go_on()
    next(r for r in arm.resources.values())["tags"] = {
        **next(iter(arm.resources.values()))["tags"],
        "lkharness-expires": "2999-01-01T00:00:00Z",
    }
    assert main(["azure", "sweep", "--azure", "where.toml", "--yes"]) == 0 and arm.resources


def test_what_lost_the_run_s_tag_is_left_alone_and_told(arm, capsys):
    arm.add_group("lk-test")
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    next(r for r in arm.resources.values() if r["name"] == "ilb")["tags"] = {"lkharness-run": "0badc0de"}
    assert down(run) == 4
    assert "ilb" in arm.names() and not machines(arm)
    assert "ilb, which bears the tag of another run or none" in capsys.readouterr().err
    assert arm.deployments, "its record stays as long as anything does"


def test_a_second_up_sees_the_first_although_no_list_does(arm, capsys):
    arm.add_group("lk-test")
    assert up("--cluster-file", "a.toml") == 0
    arm.unlisted = arm.names()
    before = {k: r["tags"] for k, r in arm.resources.items()}
    assert up("--cluster-file", "b.toml") == 2
    assert "already, which this would change" in capsys.readouterr().err
    assert {k: r["tags"] for k, r in arm.resources.items()} == before


def test_what_a_list_still_shows_is_no_reason_to_stay(arm, capsys):
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    arm.ghosts = [dict(r) for r in arm.resources.values() if r["name"] in ("ilb", "lknode01")]
    assert down(run) == 0
    assert arm.groups == {} and arm.resources == {}


def test_an_extension_that_a_policy_put_on_a_machine_is_not_somebody_s(arm, capsys):
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    arm.add("Microsoft.Compute/virtualMachines/lknode01/extensions", "AzureMonitorLinuxAgent")
    assert down(run) == 0
    assert arm.groups == {} and arm.resources == {}


def test_a_lock_is_told_and_not_waited_for(arm, capsys):
    arm.add_group("lk-test")
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    arm.locked = {"ilb"}
    assert down(run) == 4
    assert "ilb: removing ilb: a management lock forbids it" in capsys.readouterr().err
    assert "ilb" in arm.names() and arm.deployments and creation_record.read_ledger(SUBSCRIPTION, run)
    arm.locked = set()
    assert down(run) == 0 and arm.resources == {}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "NicReservedForAnotherVm"),
        (429, "RetryableErrorDueToAnotherOperation"),
        (409, "Conflict"),
        (400, "InUseSubnetCannotBeDeleted"),
    ],
)
def test_what_passes_is_tried_again(arm, capsys, monkeypatch, status, code):
    """karpenter-provider-azure 92: a NIC of a machine that could not be made is reserved for 180 s."""
    monkeypatch.setattr(deletion_retry, "BUSY_RESOURCE_TIMEOUT_S", 120.0)  # five tries, on a busy machine too
    arm.add_group("lk-test")
    arm.fails["lknode02"] = QUOTA
    refusal = status, {"error": {"code": code, "message": "Nic(s) in request is reserved for another Virtual Machine for 180 seconds."}}
    arm.on_delete = lambda name, times: refusal if name == "lknode02-nic1" and times <= 4 else None
    assert up() == 4
    said = capsys.readouterr().err
    assert arm.resources == {} and arm.deletes["lknode02-nic1"] == 5 and "trying again" in said


def test_what_does_not_pass_in_time_is_left_and_the_rest_removed(arm, capsys):
    arm.add_group("lk-test")
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    refusal = 400, {"error": {"code": "NicReservedForAnotherVm", "message": "reserved"}}
    arm.on_delete = lambda name, times: refusal if name == "nsg2" else None
    assert down(run) == 4
    assert arm.names() == {"nsg2"} and "left: nsg2: removing nsg2" in capsys.readouterr().err


def test_a_group_that_is_not_known_everywhere_yet(arm, capsys):
    arm.fresh_404 = 4
    assert up() == 0 and "ilb" in arm.names()


def test_a_group_that_somebody_made_meanwhile_is_not_ours(arm, capsys, monkeypatch):
    from harness.azure.provision import provision as making

    real = making.group_is_there

    def late(of: Any) -> bool:
        there = real(of)
        arm.add_group("lk-test", of="somebody")
        return there

    monkeypatch.setattr(making, "group_is_there", late)
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    assert down(run) == 0
    assert arm.resources == {} and len(arm.groups) == 1


def test_nothing_is_made_that_cannot_be_written_down(arm, capsys, monkeypatch, tmp_path):
    (tmp_path / "state" / "lkharness").mkdir(parents=True, exist_ok=True)
    (tmp_path / "state" / "lkharness" / "azure").write_text("no folder")
    assert up() == 4
    assert "could not be removed safely" in capsys.readouterr().err
    assert not [m for m, _ in arm.asked if m == "PUT"]


@pytest.mark.parametrize("without", ["the file", "neither"])
def test_a_tag_does_not_make_a_group_the_run_s(arm, capsys, without):
    """The group was there. Whoever may write tags says on the deployment that the run made it: its parameters and this machine know."""
    arm.add_group("lk-test")
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    for deployment in arm.deployments.values():
        deployment["tags"]["lkharness-made-group"] = "yes"
    for group in arm.groups.values():
        group["tags"]["lkharness-run"] = run
    if without == "the file":
        creation_record.delete_ledger(run)
    assert down(run) == 0
    assert arm.resources == {} and [group["name"] for group in arm.groups.values()] == ["lk-test"]


@pytest.mark.parametrize("without", ["the file", "neither"])
def test_a_group_that_the_run_made_goes_whoever_removes_it(arm, capsys, without):
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    if without == "the file":
        creation_record.delete_ledger(run)
    assert down(run) == 0
    assert arm.resources == {} and arm.groups == {}
