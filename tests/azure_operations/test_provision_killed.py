"""`azure down` and `sweep` after an `azure up` that was killed: its deployment goes on by itself, and must not make what nobody removes.

Against the stand-in for deployments, with the real Azure packages; no Azure is behind it.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.azure.provision import running_deployment
from harness.cli import main

PAST = {"lkharness-expires": "2020-01-01T00:00:00Z"}


def down(run: str, *more: str) -> int:
    return main(["azure", "down", "--azure", "where.toml", "--run", run, *more])


def sweep(*more: str) -> int:
    return main(["azure", "sweep", "--azure", "where.toml", "--yes", *more])


def order_of(arm: Any) -> list[str]:
    return [m if m == "DELETE" else "cancel" for m, path in arm.asked if m == "DELETE" or path.endswith("/cancel")]


@pytest.mark.parametrize("how", ["down", "sweep"])
def test_a_deployment_that_still_runs_is_cancelled_first(arm, capsys, how):
    arm.add_group("lk-test")
    run = arm.killed_up(1, **PAST)
    assert arm.names()
    assert (down(run) if how == "down" else sweep()) == 0
    arm.go_on()
    assert arm.names() == set() and arm.deployments == {} and len(arm.groups) == 1
    assert order_of(arm)[0] == "cancel"
    assert "cancelling the deployment" in capsys.readouterr().err


def test_what_came_into_being_while_it_was_cancelled_is_told(arm, capsys):
    arm.add_group("lk-test")
    run = arm.killed_up(1)
    before = len(arm.resources)
    assert down(run, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["resources"]) > before


def test_one_that_has_made_nothing_yet_is_found_by_its_name(arm, capsys):
    arm.add_group("lk-test")
    arm.add_group("other")
    run = arm.killed_up(0)
    assert down(run) == 0
    arm.go_on()
    assert arm.names() == set() and arm.deployments == {}
    assert down(run) == 2
    assert "no group has its deployment" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["down", "sweep"])
def test_one_that_cannot_be_cancelled_is_told(arm, capsys, monkeypatch, how):
    monkeypatch.setattr(running_deployment, "CANCELLATION_TIMEOUT_S", 0.3)
    arm.add_group("lk-test")
    arm.may_not_cancel = arm.never_ends = True
    run = arm.killed_up(1, **PAST)
    assert (down(run) if how == "down" else sweep()) == 4
    said = capsys.readouterr().err
    assert "may not Microsoft.Resources/deployments/cancel/action" in said and f"lkharness-{run} still goes on" in said
    assert said.count("cancel/action") == 1, "it is told once"
    assert "DELETE" not in order_of(arm), "what was removed would be missed by what still goes on, and the rest made all the same"


def test_one_that_cannot_be_cancelled_and_ends_by_itself_is_removed(arm, capsys):
    arm.add_group("lk-test")
    arm.may_not_cancel = True
    run = arm.killed_up(1)
    assert down(run) == 0
    arm.go_on()
    assert arm.names() == set()


def test_a_plan_cancels_nothing(arm, capsys):
    arm.add_group("lk-test")
    run = arm.killed_up(1, **PAST)
    assert down(run, "--plan") == 0 and sweep("--plan") == 0
    assert order_of(arm) == []


def test_one_run_that_goes_on_does_not_keep_the_others(arm, capsys, monkeypatch):
    monkeypatch.setattr(running_deployment, "CANCELLATION_TIMEOUT_S", 0.3)
    arm.add_group("a")
    arm.add_group("b")
    arm.killed_up(1, group="b", **PAST)
    arm.go_on()
    arm.may_not_cancel = arm.never_ends = True
    run = arm.killed_up(1, group="a", **PAST)
    assert sweep() == 4
    assert f"left: run {run}: " in capsys.readouterr().err and {r["id"].split("/")[4] for r in arm.resources.values()} == {"a"}
