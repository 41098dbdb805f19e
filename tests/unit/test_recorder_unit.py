"""What a flight recorder says before it starts, and the unit that starts it when its host has booted."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import pytest

from harness.core.errors import BadUse, Unusable
from harness.hosts.host import CommandResult
from harness.hosts.local_host import LocalHost
from harness.hosts.root_rights import marked
from harness.recorder import boot_unit
from harness.recorder.boot_unit import BootUnit
from harness.recorder.load import statement
from harness.remote.agents.agent_launch import AgentSeries
from harness.remote.agents.recorder_link import RecorderOptions

UNIT = BootUnit("lkharness-agent-recorder-0123", "/var/tmp/lkharness-agent-recorder-0123", "/usr/bin/python3", "operator")


def test_the_load_is_said_in_connections_bytes_and_their_end() -> None:
    series = {AgentSeries(f"h/{name}/new", "10.0.0.1", 1, period_s=low): fast for name, low, fast in (("a", 0.1, 0.01), ("b", 0.25, 0.25))}
    said = statement({"h": series, "i": series}, 14, RecorderOptions(), ["k: nothing is recorded there, because …"])
    for words in (
        "14 connections a second",
        "28 connections a second in all",
        "208 a second in all, for 60 s",
        "17 MB of the disk",
        "k: not",
    ):
        assert words in said


def test_the_unit_runs_as_the_account_within_limits_and_removes_itself_when_the_recorder_is_gone() -> None:
    lines = UNIT.text.splitlines()
    assert {"User=operator", "CPUQuota=25%", "MemoryMax=200M"} <= set(lines)
    assert f"ExecStart=/usr/bin/python3 -I -S {UNIT.folder}/program {UNIT.folder}" in lines
    (stop,) = [line for line in lines if line.startswith("ExecStopPost=")]
    assert stop.startswith("ExecStopPost=+/bin/sh -c ") and f"rm -f {UNIT.path} " in stop and f"test -e {UNIT.folder}/plan ||" in stop


@pytest.mark.parametrize("line", [UNIT.installing(), UNIT.removing()])
def test_its_shell_is_shell(line: str) -> None:
    subprocess.run(["sh", "-n", "-c", line], check=True)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_reads_the_unit(tmp_path) -> None:
    file = tmp_path / f"{UNIT.name}.service"
    file.write_text(replace(UNIT, user="root").text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, check=False)
    assert file.name not in done.stderr, done.stderr


def test_where_there_is_no_unit_that_is_said_and_nothing_is_removed(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(boot_unit, "FOLDER", str(tmp_path))
    host = LocalHost("here")
    try:
        assert boot_unit.remove(host, UNIT) == ""
    finally:
        host.close()


def test_only_a_yes_starts_it_and_days_have_a_bound(monkeypatch, capsys) -> None:
    from harness.commands.runs import record

    given = type("Given", (), {"yes": False, "json": False})
    monkeypatch.setattr("sys.stdin", None)
    assert not record._agreed(given, "start it? ")
    for answer, goes in (("yes", True), ("y", False), ("YES", False), ("", False)):
        monkeypatch.setattr("harness.commands.prompt.ask", lambda question, answer=answer: answer)
        monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": staticmethod(lambda: True)}))
        assert record._agreed(given, "start it? ") is goes
    for days in (0, -1, 91, float("nan")):
        with pytest.raises(BadUse, match="--days"):
            record._record(type("Given", (), {"do": None, "text": "", "days": days}))


class Refusing(LocalHost):
    """Its sudo allows nothing; every other command is answered as if the unit were there."""

    def run(self, command, **more) -> CommandResult:
        if marked(command):
            raise Unusable("here: `sudo -n` does not work for operator")
        return CommandResult("here", "test", 0, "", "", 0.0, 0.0)


def test_a_sudo_that_refuses_keeps_nobody_from_recording_and_what_may_be_left_is_said() -> None:
    host = Refusing("here")
    said = boot_unit.install(host, UNIT)
    assert "does not outlive a reboot, because here: `sudo -n` does not work for operator" in said and "record start" in said
    assert f"{UNIT.path} may be left" in boot_unit.remove(host, UNIT)


def test_a_host_without_systemd_or_without_root_is_told_apart() -> None:
    class Ended(LocalHost):
        code = 3

        def run(self, command, **more) -> CommandResult:
            return CommandResult("here", "sh", self.code, "", "no such unit" if self.code == 1 else "", 0.0, 0.0)

    host = Ended("here")
    for code, words in ((3, "it has no systemd"), (4, "the account is not root"), (1, "no such unit"), (0, "")):
        host.code = code
        assert words in boot_unit.install(host, UNIT) and (code != 0 or boot_unit.install(host, UNIT) == "")
