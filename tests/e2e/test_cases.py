"""Broken clusters (tests/cases): what `check` says names the fault. One in the ordinary run, two with `--heavy`, all with `--deep`."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w

from harness.core.deadline import Deadline
from harness.lab.control import lab_registry
from harness.lab.lifecycle.default_cluster import DEFAULT_CLUSTER
from tests.cases.case import Case, all_cases, differences
from tests.cases.case_lab import SETTINGS, LabOfACase, run
from tests.e2e.command_shell import REPOSITORY, Shell, shell_in

# Of those that need nothing but what every lab has and are up soonest: one at the balancer, which leaves its lab as it was, one at a node.
USUAL = [next(case for case in all_cases() if case.name == name) for name in ("file-asks-another-port", "stale-vip-on-standby")]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabOfACase]:
    """One for both, as the second needs it: quiet, and with the service that its proof asks."""
    with shell_in(tmp_path_factory.mktemp("cases") / "state") as shell:
        services = {"services": [one for one in DEFAULT_CLUSTER["services"] if one["name"] == "web"]}
        yield LabOfACase(shell, replace(USUAL[1], settings=f"{SETTINGS[USUAL[1].settings]}\n{tomli_w.dumps(services)}"))


@pytest.mark.parametrize("case", [USUAL[0], pytest.param(USUAL[1], marks=pytest.mark.heavy)], ids=lambda c: c.name)
def test_a_few_faults_are_named(lab: LabOfACase, case: Case) -> None:
    lab.turn_to(case)
    judged, answer = lab.judged()
    assert judged.verdict == "NAMED", judged
    if case is USUAL[1]:  # a bundle costs as much as everything else here
        assert not differences(answer, lab.check_offline())


@pytest.mark.deep
@pytest.mark.parametrize("case", all_cases(), ids=lambda c: c.name)
def test_each_fault_is_named(tmp_path: Path, case: Case) -> None:
    if "pacemaker" in case.lab and not shutil.which("crm_mon"):
        pytest.skip("Pacemaker is not installed")
    if "--azure" in case.lab:
        pytest.importorskip("azure.core")
    judged = run(case, tmp_path / "state", suite=True)
    if case.fleeting:  # it may be whole in the moment in which it is looked at
        assert judged.verdict != "WRONG", judged
        return
    assert judged.verdict == "NAMED", judged
    assert not judged.offline
    assert judged.suite != "WRONG", judged


def test_what_a_command_left_in_a_lab_does_not_keep_the_lab_from_being_taken_down(tmp_path: Path) -> None:
    """It has the command's output open, and ends with the lab only."""
    shell = Shell(tmp_path)
    left = "import subprocess, sys; print(subprocess.Popen(['sleep', '900'], start_new_session=True).pid, flush=True); sys.stdin.read()"
    command = shell.begin("-c", left)
    assert command.stdout is not None
    pid = int(command.stdout.readline())
    folder = shell.labs / "lab"
    folder.mkdir(parents=True)
    (folder / "lab.json").write_text(json.dumps({"pid": pid, "start_ticks": lab_registry.start_ticks(pid)}))
    shell.close()
    assert lab_registry.start_ticks(pid) is None
    assert not folder.exists()


@pytest.mark.deep
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_runner_that_is_ended_takes_its_lab_down(tmp_path: Path, number: signal.Signals) -> None:
    environment = {**Shell(tmp_path).environment, "TMPDIR": str(tmp_path)}
    runner = subprocess.Popen([sys.executable, "-m", "tests.cases", USUAL[1].name], cwd=REPOSITORY, env=environment, start_new_session=True)
    try:
        (told,) = Deadline(120.0).wait_for(lambda: [*tmp_path.glob("case-*/lkharness/labs/lab/lab.json")], what="the lab's first process")
        first = json.loads(told.read_text())
        runner.send_signal(number)
        runner.send_signal(number)
        assert runner.wait(120.0) == 128 + number
    finally:
        runner.kill()
        runner.wait()
    assert lab_registry.start_ticks(first["pid"]) != first["start_ticks"]
    assert not [*tmp_path.glob("case-*")]
