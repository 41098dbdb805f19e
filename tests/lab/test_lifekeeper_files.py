"""The stand-in's configuration, tunables and installation: faults are all listed, and nothing foreign is touched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.errors import BadUse
from harness.lab.lifekeeper.config.stand_in_settings import load
from harness.lab.lifekeeper.config.tunables import read_tunables
from harness.lab.lifekeeper.install import install

GOOD = {
    "node": "lknode01",
    "peer": "lknode02",
    "home": "lknode01",
    "comm_paths": [{"local": "10.20.1.11", "peer": "10.20.1.12", "priority": 1}],
    "resources": [{"tag": "top", "id": "top", "app": "gen", "type": "app", "kind": "group", "priority": {"lknode01": 1, "lknode02": 10}}],
}


def loaded(tmp_path, **changes):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**GOOD, **changes}))
    return load(path)


def test_defaults_are_the_facts(tmp_path):
    config = loaded(tmp_path)
    assert config.comm_port == 7365 and config.unknowns.flg_test_absent_exit == 7 and not config.unknowns.lbhc_local_recovery


def test_every_fault_is_listed_with_its_place(tmp_path):
    paths = [{"local": "a", "peer": "b", "priority": "first"}]
    with pytest.raises(BadUse) as told:
        loaded(tmp_path, comm_paths=paths, timers={"connect_limit": 1}, unknowns={"split_brain": "perhaps"}, peer=5)
    for place in ("comm_paths[0].priority", "timers.connect_limit", "unknowns.split_brain", "peer: must be"):
        assert place in str(told.value)


def test_a_hierarchy_must_be_a_tree_of_known_tags(tmp_path):
    def resource(tag, *children, priority=None):
        about = {"tag": tag, "id": tag, "app": "gen", "type": "app", "kind": "group", "children": list(children)}
        return about | {"priority": priority or {"lknode01": 1, "lknode02": 10}}

    equal = {"lknode01": 1, "lknode02": 1}
    with pytest.raises(BadUse) as told:
        loaded(
            tmp_path,
            home="lknode03",
            resources=[resource("a", "b"), resource("b", "a"), resource("c", "none"), resource("d e", priority=equal)],
        )
    for said in ("lknode03", "(a): depends on itself", "child none", "LKL-27", "LKL-21"):
        assert said in str(told.value)


def test_tunables_take_fractions_and_say_what_is_ignored(tmp_path):
    path = tmp_path / "LifeKeeper"
    path.write_text("# comment\nLCMHBEATTIME=0.2\nexport LCMNUMHBEATS='4'\nSOMETHING_ELSE=x\n")
    read = read_tunables(path)
    assert read.dead_time == pytest.approx(0.8) and read.ignored == ("SOMETHING_ELSE",) and read.LKCHECKINTERVAL == 120
    assert read_tunables(tmp_path / "absent").dead_time == 15  # LKL-35


@pytest.mark.parametrize("line", ["LCMNUMHBEATS=1", "LCMHBEATTIME=soon", "LKCHECKINTERVAL=0", "nonsense"])
def test_a_wrong_tunable_is_refused(tmp_path, line):
    path = tmp_path / "LifeKeeper"
    path.write_text(line + "\n")
    with pytest.raises(BadUse, match="LifeKeeper"):
        read_tunables(path)


def test_it_does_not_install_over_the_real_product(tmp_path):
    real = tmp_path / "LifeKeeper"
    (real / "bin").mkdir(parents=True)
    with pytest.raises(BadUse, match="not made by this stand-in"):
        install(real, sys.executable)
    assert not list((real / "bin").iterdir())


def test_installing_again_is_allowed(tmp_path):
    first = install(tmp_path / "LifeKeeper", sys.executable)
    assert install(tmp_path / "LifeKeeper", sys.executable) == first


@pytest.mark.parametrize(
    "words",
    [
        ["lcdstatus", "-z"],
        ["perform_action", "-t", "top"],
        ["perform_action", "-b", "-t", "top", "-a", "restore"],
        ["perform_action", "-t", "top", "-a", "restore", "--", "-R"],
        ["lkstop", "-f", "-n"],
        ["flg_list", "more"],
        ["ins_list", "-t"],
        ["lk_confirmso"],
    ],
)
def test_what_is_not_modelled_fails_loudly(tmp_path, words):
    """Section 10: non-zero exit and a line on stderr that names the stand-in, whether it runs or not."""
    install(tmp_path / "LifeKeeper", sys.executable, config=tmp_path / "absent.json")
    done = subprocess.run([tmp_path / "LifeKeeper" / "bin" / words[0], *words[1:]], capture_output=True, text=True, timeout=240)
    assert done.returncode == 2 and "stand-in" in done.stderr and not done.stdout


def test_a_configuration_that_cannot_be_used_is_said_at_once(tmp_path):
    install(tmp_path / "LifeKeeper", sys.executable, config=tmp_path / "absent.json")
    done = subprocess.run([tmp_path / "LifeKeeper" / "bin" / "lkstart"], capture_output=True, text=True, timeout=240)
    assert done.returncode == 1 and "absent.json: cannot be read" in done.stderr


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["-q"], ["-Z"]])
def test_a_command_says_the_same_where_there_is_no_perl(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config's own.json"
    config.write_text('{"directories": {"run": "/nonexistent"}}' if words == ["-q"] else "{}")
    with_perl, _ = install(tmp_path / "perl", sys.executable, config=config)[:2]
    monkeypatch.setattr("harness.lab.lifekeeper.install.PERL", tmp_path / "no-perl")
    without, _ = install(tmp_path / "python", sys.executable, config=config)[:2]
    assert without.read_text().startswith("#!/bin/sh\n") and without.name == with_perl.name
    said = [subprocess.run([command, *words], capture_output=True, text=True) for command in (with_perl, without)]
    assert len({(one.returncode, one.stdout, one.stderr) for one in said}) == 1, said
    assert said[0].stdout or "not modelled" in said[0].stderr
