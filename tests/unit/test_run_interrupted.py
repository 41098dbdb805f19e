"""`./run` that is interrupted while it installs packages leaves the machine able to start its services."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from harness.core.deadline import Deadline

RUN = (Path(__file__).parents[2] / "run").read_text()
INSTALL = re.search(r"^install_quietly\(\) \{.*?^\}", RUN, re.MULTILINE | re.DOTALL)


class Machine:
    """One whose apt-get takes as long as the test wants, and whose policy lies in a folder of the test's."""

    def __init__(self, folder: Path) -> None:
        assert INSTALL
        self.policy, self._bin = folder / "policy-rc.d", folder / "bin"
        self._bin.mkdir()
        (folder / "go").touch()
        self._program("apt-get", f'[ "$1" = update ] || while [ ! -e {folder}/go-on ]; do sleep 0.05; done')
        self._program("dpkg", "exit 1")
        self._program("systemctl", "exit 0")
        self._folder = folder
        self._script = "set -euo pipefail\n" + INSTALL[0].replace("/usr/sbin/policy-rc.d", str(self.policy)) + "\ninstall_quietly x\n"

    def _program(self, name: str, line: str) -> None:
        (self._bin / name).write_text(f"#!/bin/sh\n{line}\n")
        (self._bin / name).chmod(0o755)

    def begin(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PATH": f"{self._bin}:{os.environ['PATH']}"}
        return subprocess.Popen(["bash", "-c", self._script], env=environment, start_new_session=True)

    def go_on(self) -> None:
        (self._folder / "go-on").touch()

    def installs(self) -> None:
        Deadline(120).wait_for(self.policy.exists, what="the policy being written", every=0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_no_policy_is_left_behind(tmp_path: Path, number: signal.Signals) -> None:
    machine = Machine(tmp_path)
    process = machine.begin()
    machine.installs()
    os.killpg(process.pid, number)
    machine.go_on()  # the one that bash had just forked may have lost the signal: apt-get would end by itself, too
    assert process.wait(120) not in (0, None) and not machine.policy.exists()


def test_one_that_was_killed_is_found_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    process = machine.begin()
    machine.installs()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(120)
    assert machine.policy.exists()
    machine.go_on()
    assert machine.begin().wait(120) == 0 and not machine.policy.exists()


def test_somebody_elses_stays(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.policy.write_text("#!/bin/sh\nexit 101\n")
    machine.go_on()
    assert machine.begin().wait(120) == 0 and machine.policy.read_text() == "#!/bin/sh\nexit 101\n"
