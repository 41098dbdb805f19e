"""`azure up`, `down` and `sweep` when things go wrong half way: nothing is made any more, nothing is left unsaid, nothing costs on.

Against the same small stand-in for deployments as test_provision_and_teardown.py, with the real Azure packages; no Azure is behind it.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from azure_up import run_of, up

from harness.azure.provision import manager_install, template_deployment
from harness.cli import main
from harness.core.errors import Unusable

TOLD = {"error": {"code": "Told", "message": "the test says so"}}


def at_look(number: int, do: Any) -> Any:
    """For the stand-in's `on_look`: do this at that look alone."""
    return lambda looks: do() if looks == number else None


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def order_of(arm: Any) -> list[str]:
    """The deployment's cancelling, and what was removed, in order."""
    return [m if m == "DELETE" else "cancel" for m, path in arm.asked if m == "DELETE" or path.endswith("/cancel")]


def test_ctrl_c_stops_the_deployment_before_what_it_made_is_removed(arm, capsys):
    arm.on_look = at_look(1, ctrl_c)
    assert up() == 130
    assert (arm.resources, arm.groups) == ({}, {})
    assert order_of(arm)[0] == "cancel" and order_of(arm).count("cancel") == 1
    assert "waiting for its end" in capsys.readouterr().err


def test_one_failed_look_is_no_failed_deployment(arm, capsys):
    arm.on_look = at_look(2, lambda: (401, TOLD))
    assert up("--cluster-file", "made.toml") == 0
    assert "reading again" in capsys.readouterr().err and "ilb" in arm.names()


def test_a_deployment_that_azure_does_not_show_at_once(arm):
    arm.on_look = lambda looks: (404, TOLD) if looks <= 2 else None
    assert up("--cluster-file", "made.toml") == 0
    assert "ilb" in arm.names()


def test_a_deployment_that_azure_does_not_know_any_more_is_cleaned_up(arm, capsys, monkeypatch):
    monkeypatch.setattr(template_deployment, "DEPLOYMENT_VISIBLE_TIMEOUT_S", 0.2)
    arm.on_look = lambda looks: (404, TOLD) if looks > 1 else None
    assert up() == 2
    said = capsys.readouterr().err
    assert "there is no deployment to stop" in said and "removing what run" in said
    assert (arm.resources, arm.groups) == ({}, {})


def test_a_clean_up_that_cannot_go_on_says_how(arm, capsys, monkeypatch):
    """Ctrl-C, and again while waiting for the deployment's end."""
    arm.never_ends = True
    arm.on_look = lambda looks: ctrl_c() if looks in (2, 3) else None
    assert up() == 4
    said = capsys.readouterr().err
    assert "interrupted; then, cleaning up: interrupted; what is left costs money: try `lkharness azure down --run" in said


@pytest.mark.parametrize(("keep", "stays"), [("never", False), ("failed", False), ("always", True)])
def test_what_ctrl_c_leaves(arm, capsys, keep, stays):
    arm.on_look = at_look(2, ctrl_c)
    assert up("--keep", keep) == (4 if stays else 130)
    assert bool(arm.resources) is stays
    said = capsys.readouterr().err
    assert ("nothing was left behind" in said) is not stays and ("remove it with: lkharness azure down --run" in said) is stays


@pytest.mark.parametrize(("keep", "stays"), [("never", False), ("failed", False), ("always", True)])
def test_what_a_cluster_managers_failed_script_leaves(arm, capsys, monkeypatch, keep, stays):
    def fails(*given: Any) -> None:
        raise Unusable("no licence found")

    monkeypatch.setattr(manager_install, "install", fails)
    assert up("--keep", keep, "--manager", "pacemaker", "--outbound") == 4
    assert bool(arm.resources) is stays
    assert "no licence found" in capsys.readouterr().err


def test_a_log_in_that_may_make_nothing(arm, capsys):
    arm.read_only = True
    assert up() == 4
    said = capsys.readouterr().err
    assert "may not a/write" in said and "removing" not in said and "costs money" not in said


def test_a_group_that_is_spelt_differently(arm, capsys):
    """Azure's ids of disks hold the group's name in capitals."""
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    tags = {"lkharness-run": run}
    disk = next(r for r in arm.resources.values() if r["name"] == "lknode01-disk")
    disk["id"] = disk["id"].replace("lk-test", "LK-TEST")
    arm.add("Microsoft.Compute/disks", "somebodys", group="lk-test", tags=tags)
    assert main(["azure", "down", "--azure", "where.toml", "--run", run]) == 4
    assert arm.names() == {"somebodys"}


def test_what_bears_the_tag_in_another_group_is_not_the_run_s(arm, capsys):
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    arm.add_group("other")
    arm.add("Microsoft.Compute/disks", "elsewhere", group="other", tags={"lkharness-run": run})
    assert main(["azure", "down", "--azure", "where.toml", "--run", run]) == 4
    assert arm.names() == {"elsewhere"} and "no record says that the run made it" in capsys.readouterr().err


def test_one_runs_bad_tag_does_not_keep_the_others(arm, capsys):
    runs = {}
    for group, expires in (("a", "soon"), ("b", "2020-01-01T00:00:00Z"), ("c", "2020-01-01")):
        arm.add_group(group)
        runs[group] = arm.killed_up(1, group=group, **{"lkharness-expires": expires})
    arm.go_on()
    assert main(["azure", "sweep", "--azure", "where.toml", "--yes"]) == 4
    assert {r["id"].split("/")[4] for r in arm.resources.values()} == {"a"}
    assert f"left: run {runs['a']}: its tag lkharness-expires says 'soon', which is no time" in capsys.readouterr().err
    assert main(["azure", "down", "--azure", "where.toml", "--run", runs["a"]]) == 0
    assert "expires 'soon', which is no time" in capsys.readouterr().err and arm.resources == {}


def test_a_cluster_file_that_cannot_be_written_is_told_before_anything_is_made(arm, capsys):
    assert up("--cluster-file", "no/folder/made.toml") == 2
    assert "no/folder is no folder that you may write to" in capsys.readouterr().err and arm.asked == []


def test_a_cluster_file_that_cannot_be_written_any_more(arm, capsys, tmp_path):
    """Its folder goes while the deployment runs: the cluster costs money, so how to remove it must have been said."""
    (tmp_path / "folder").mkdir()
    arm.on_look = at_look(2, (tmp_path / "folder").rmdir)
    assert up("--cluster-file", "folder/made.toml") == 4
    said = capsys.readouterr().err
    assert "remove it with: lkharness azure down --run" in said and "the cluster's file cannot be written (No such file" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('azure = "x"', "has no [azure] table"),
        ("azure = [1]", "has no [azure] table"),
        ('[azure]\nsubscription = "s"\nresource_group = "g"\nca_file = 5', "ca_file: Input is not a valid path"),
    ],
)
def test_settings_that_are_none(tmp_path, capsys, text, says):
    (tmp_path / "wrong.toml").write_text(text)
    assert main(["azure", "down", "--azure", str(tmp_path / "wrong.toml"), "--run", "a"]) == 2
    assert says in capsys.readouterr().err
