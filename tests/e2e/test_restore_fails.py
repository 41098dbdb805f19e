"""A run whose own put-back fails says so first and last, in every format and in its exit code; its watchdog goes on and mends it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_shell import Shell, shell_in

from harness.attach.watchdog import FILE
from harness.core.deadline import Deadline
from tests.e2e import no_put_back

SWITCHOVER = "tests/acceptance/test_switching.py::test_switchover[there]"
SAYS = f"THE CLUSTER IS NOT AS IT WAS FOUND: {no_put_back.REASON}"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_in(tmp_path_factory.mktemp("state")) as one:
        one.up("--name", "stranger", "--file", one.modest("listener"))
        yield one


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_it_is_said_first_and_last_and_the_guardian_mends_it(shell: Shell, tmp_path: Path) -> None:
    file = shell.labs / "stranger" / "cluster.toml"
    before = shell.status()["nodes"]
    words = ("-p", "tests.e2e.no_put_back", SWITCHOVER, "-q", "--cluster", file, "--allow-disruption", "--reports", tmp_path)
    done = shell.pytest(*words, limit=200.0)
    assert done.returncode == 1, done.stdout + done.stderr
    run = tmp_path / "latest"
    assert done.stderr.splitlines()[-1].startswith(SAYS), done.stderr
    lines = re.sub(r"\n {2,}", " ", done.stdout.partition("result of the run")[2]).splitlines()
    assert lines[1].startswith(f"FAILED: {SAYS}") and any(line.startswith(SAYS) for line in lines[2:])
    record = json.loads((run / "run.json").read_text())
    assert record["exit_code"] == 1 and record["verdict"]["reason"].startswith(SAYS)
    assert SAYS in (run / "junit.xml").read_text() and (run / "report.html").read_text().count(SAYS) >= 2
    log = run / FILE
    ended = Deadline(120.0)
    ended.wait_for(lambda: log.exists() and "the lease is given back" in log.read_text(), what="the watchdog's last word", every=0.5)
    assert "pass:" in log.read_text(), log.read_text()
    assert [(n["name"], n["role"]) for n in shell.status()["nodes"]] == [(n["name"], n["role"]) for n in before]
