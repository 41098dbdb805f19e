"""What a flight recorder says before it starts, and the unit that starts it when its host has booted."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.commands.runs import record
from harness.core.errors import BadUse, Inconclusive, Unusable
from harness.hosts.host import CommandResult
from harness.hosts.local_host import LocalHost
from harness.hosts.root_rights import is_marked_for_root
from harness.recorder import boot_unit, cluster_recorders
from harness.recorder.boot_unit import BootUnit
from harness.recorder.cluster_recorders import Recorders, low_period_s
from harness.recorder.recorder_load import statement
from harness.remote.agents.agent_launch import AgentSeries
from harness.remote.agents.recorder_link import RecorderLink, RecorderOptions
from harness.remote.host_capabilities import COMPILED, FULL, POWERSHELL, SHELL, Capabilities
from harness.services.service_kind import Hello, Unbearable

UNIT = BootUnit("lkharness-agent-recorder-0123", "/var/tmp/lkharness-agent-recorder-0123", "/usr/bin/python3", "operator")


def test_the_load_is_said_in_connections_bytes_and_their_end() -> None:
    series = {AgentSeries(f"h/{name}/new", "10.0.0.1", 1, period_s=low): fast for name, low, fast in (("a", 0.1, 0.01), ("b", 0.25, 0.25))}
    said = statement({"h": series, "i": series}, 14, RecorderOptions(), ["k: nothing is recorded there, because …"])
    for words in (
        "14 connections a second",
        "28 connections a second in all",
        "2,419,200 a day",
        "max_connect_errors",
        "208 a second in all, for 60 s",
        "17 MB of the disk",
        "k: not",
        "for 14 days; it reads",
    ):
        assert words in said
    assert "ends by itself after 1 day, and" in statement({"h": series}, 1, RecorderOptions(), [])


@pytest.mark.parametrize(
    ("incidents", "faults", "why"),
    [
        (["a"], {}, "1 file of incidents was not fetched and would be lost by it"),
        (["a", "b"], {}, "2 files of incidents were not fetched and would be lost by it"),
        ([], {"lknode01": "it is down"}, "what was not fetched of lknode01 is not known (it is down), and 0 files"),
    ],
)
def test_where_nobody_can_be_asked_it_says_why_nothing_is_removed(incidents, faults, why, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stdin", None)
    recorders = SimpleNamespace(status=lambda: {"lkclient": {"incidents": incidents}}, faults=faults, remove=pytest.fail)
    for as_json in (False, True):
        assert record._remove(argparse.Namespace(json=as_json, yes=False), recorders) == 2
        assert f"nothing was done, because {why}" in capsys.readouterr().out


def test_the_unit_runs_as_the_account_within_limits_and_removes_itself_when_the_recorder_is_gone() -> None:
    lines = UNIT.text.splitlines()
    assert {"User=operator", "CPUQuota=25%", "MemoryMax=200M", "TimeoutStopSec=5", "Restart=on-failure", "OOMPolicy=continue"} <= set(lines)
    assert f"ExecStart=/usr/bin/python3 -I -S {UNIT.folder}/program {UNIT.folder}" in lines
    (stop,) = [line for line in lines if line.startswith("ExecStopPost=")]
    assert stop.startswith("ExecStopPost=+/bin/sh -c ") and f"rm -f {UNIT.path} " in stop and stop.count("stat -c") == 2
    assert 'Environment="LKHARNESS_ROOT=sudo -n"' in replace(UNIT, root="sudo -n").text and "LKHARNESS_ROOT" not in UNIT.text


def test_the_unit_executes_nothing_that_another_may_have_put_there(tmp_path) -> None:
    (check,) = [line for line in UNIT.text.splitlines() if line.startswith("ExecStartPre=")]
    assert check.startswith("ExecStartPre=/bin/sh -c ") and "ConditionPathExists" not in UNIT.text  # a unit without its folder goes
    user, folder = pwd.getpwuid(os.geteuid()).pw_name, tmp_path / "recorder"
    unit = replace(UNIT, folder=str(folder), user=user)

    def runs(one: BootUnit = unit) -> bool:
        (line,) = [line for line in one.text.splitlines() if line.startswith("ExecStartPre=")]
        words = shlex.split(line.partition("=")[2].replace("$$", "$").replace("%%", "%"))  # as systemd reads it
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    assert not runs()
    folder.mkdir(mode=0o700)
    assert not runs()
    (folder / "program").write_text("pass")
    assert runs() and not runs(replace(unit, user="another"))
    folder.chmod(0o755)
    assert not runs()
    folder.chmod(0o700)
    (tmp_path / "link").symlink_to(folder)
    assert not runs(replace(unit, folder=str(tmp_path / "link")))
    (folder / "program").rename(tmp_path / "elsewhere")
    (folder / "program").symlink_to(tmp_path / "elsewhere")
    assert not runs()


@pytest.mark.parametrize("whose", ["own", "another's", "nobody's"])
def test_a_unit_whose_folder_is_gone_or_anothers_removes_itself(tmp_path, monkeypatch, whose: str) -> None:
    monkeypatch.setattr(boot_unit, "FOLDER", str(tmp_path))
    tools, folder = tmp_path / "tools", tmp_path / "recorder"
    tools.mkdir()
    (tools / "systemctl").write_text("#!/bin/sh\n")
    (tools / "systemctl").chmod(0o755)
    if whose != "nobody's":
        folder.mkdir(mode=0o700 if whose == "own" else 0o755)
        (folder / "program").write_text("pass")
    unit = replace(UNIT, folder=str(folder), user=pwd.getpwuid(os.geteuid()).pw_name)
    Path(unit.path).write_text(unit.text)
    (line,) = [line for line in unit.text.splitlines() if line.startswith("ExecStopPost=+")]
    words = shlex.split(line.partition("=+")[2].replace("$$", "$").replace("%%", "%"))
    subprocess.run(words, env={"PATH": f"{tools}:{os.environ['PATH']}"}, check=True)
    assert Path(unit.path).exists() is (whose == "own")


@pytest.mark.parametrize(
    ("kills", "systemd", "user", "lasts"),
    [
        ("b true", True, "operator", False),
        ("b true", True, "root", True),
        ("b false", True, "operator", True),
        ("Failed to connect to bus", True, "operator", None),
        ("sh: busctl: not found", False, "operator", True),
    ],
)
def test_what_no_unit_started_may_end_with_the_log_in(kills: str, systemd: bool, user: str, lasts: bool | None) -> None:
    assert boot_unit.survives_logout(kills, systemd, user) is lasts


class Link:
    """A recorder that is there once it was installed, and says what was asked of it."""

    def __init__(self, name: str, asked: list[str], *, fails: str = "") -> None:
        self.name, self.asked, self.fails, self.there, self.alive = name, asked, fails, False, False

    def status(self) -> dict[str, object] | None:
        return {"folder": UNIT.folder, "python": "p", "user": "operator", "alive": self.alive} if self.there else None

    def __getattr__(self, do: str):
        def done(*_: object, **__: object) -> None:
            self.asked.append(f"{self.name} {do}")
            self.there = do != "remove" and (self.there or do == "install")
            if do == self.fails:
                raise Inconclusive(f"{self.name}: {do} failed")

        return done


def recorders_of(*links: Link) -> Recorders:
    made = object.__new__(Recorders)
    node = SimpleNamespace(name="client")
    cluster = SimpleNamespace(client=node, services=(), vip="10.0.0.9", load_balancer=SimpleNamespace(probe=SimpleNamespace(port=1)))
    made.subject = SimpleNamespace(  # type: ignore[assignment]
        hosts={link.name: None for link in links},
        cluster=cluster,
        manager=SimpleNamespace(log=""),
        together=lambda *works: [work() for work in works],
        capabilities=lambda name: SimpleNamespace(full=True),
    )
    made.name, made.links, made.faults = UNIT.name, {link.name: link for link in links}, {}  # type: ignore[assignment]
    return made


def test_the_folder_goes_only_once_the_unit_has_gone(monkeypatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(boot_unit, "remove", lambda host, unit: "h: its unit is left")
    assert recorders_of(Link("h", asked)).remove() == ["h: its unit is left; so the recorder stays until that is removed"] and not asked
    monkeypatch.setattr(boot_unit, "remove", lambda host, unit: "")
    assert recorders_of(Link("h", asked)).remove() == [] and asked == ["h remove"]


def test_a_start_goes_by_the_unit_and_one_that_dies_with_the_log_in_is_none(monkeypatch) -> None:
    asked: list[str] = []
    link = Link("h", asked)
    link.there = True

    def by_unit(host: object, unit: BootUnit) -> str:
        asked.append("unit")
        link.alive = True
        return ""

    monkeypatch.setattr(boot_unit, "install", by_unit)
    assert recorders_of(link).resume() == {"h": "started again"} and asked == ["unit"]

    def dies(host: object, user: str) -> str:
        raise Unusable("KillUserProcesses=yes")

    link.alive = False
    monkeypatch.setattr(boot_unit, "install", lambda host, unit: "h: no unit")
    monkeypatch.setattr(boot_unit, "outlives_logout", dies)
    found = recorders_of(link)
    assert found.resume() == {} and "KillUserProcesses" in found.faults["h"] and asked == ["unit"]


@pytest.mark.parametrize("fails", ["install", "start"])
def test_a_start_that_fails_leaves_no_recorder_and_one_that_was_there_stays(monkeypatch, fails: str) -> None:
    asked: list[str] = []
    monkeypatch.setattr(boot_unit, "install", lambda host, unit: "no unit")
    monkeypatch.setattr(boot_unit, "remove", lambda host, unit: "")
    monkeypatch.setattr(boot_unit, "outlives_logout", lambda host, user: "")
    links = [Link("a", asked), Link("b", asked, fails=fails)]
    with pytest.raises(Unusable, match=f"no flight recorder was started: b: {fails} failed"):
        recorders_of(*links).start({"a": {}, "b": {}}, 1)
    assert {"a remove", "b remove"} <= set(asked) and not any(link.there for link in links)
    asked.clear()
    there = Link("a", asked)
    there.there = True
    with pytest.raises(Unusable, match="is there already"):
        recorders_of(there).start({"a": {}}, 1)
    assert there.there and not asked


def test_a_cleaning_up_that_fails_does_not_keep_the_others_from_theirs(monkeypatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(boot_unit, "install", lambda host, unit: "no unit")
    monkeypatch.setattr(boot_unit, "remove", lambda host, unit: "")
    monkeypatch.setattr(boot_unit, "outlives_logout", lambda host, user: "")
    links = [Link("a", asked, fails="remove"), Link("b", asked), Link("c", asked, fails="start")]
    with pytest.raises(Unusable, match="c: start failed; a: remove failed"):
        recorders_of(*links).start({"a": {}, "b": {}, "c": {}}, 1)
    assert {"b remove", "c remove"} <= set(asked)


@pytest.mark.parametrize("line", [UNIT.install_line(), UNIT.remove_line()])
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


def test_a_service_that_does_something_for_each_connection_is_asked_no_more_often_than_the_others() -> None:
    bears, counts = Hello(b"", b"", keeps=False), Hello(b"", b"", keeps=False, least_period_s=0.1)
    quick = Hello(b"", b"", keeps=False, least_period_s=0.01)
    assert [low_period_s(0.1, one) for one in (bears, quick, counts)] == [0.1, 0.1, 0.25] and low_period_s(0.25, bears) == 0.25


def test_a_server_that_would_shut_the_host_out_gets_no_recorder(monkeypatch) -> None:
    def refuses(subject: object, *, many: bool) -> None:
        assert many
        raise Unbearable("it greets as MySQL")

    monkeypatch.setattr(cluster_recorders, "demand_bearable", refuses)
    with pytest.raises(Unbearable, match="MySQL"):
        recorders_of().able()


@pytest.mark.parametrize(
    ("capabilities", "why"),
    [(POWERSHELL, "does not run on Windows"), (COMPILED, "does not run on Windows"), (SHELL, "needs a Python 3.6 or newer on it")],
)
def test_a_host_that_has_no_recorder_is_named_with_the_reason_that_holds_there(monkeypatch, capabilities: Capabilities, why: str) -> None:
    monkeypatch.setattr(cluster_recorders, "demand_bearable", lambda subject, many: None)
    recorders = recorders_of(SimpleNamespace(name="h"), SimpleNamespace(name="i"))  # type: ignore[arg-type]
    monkeypatch.setattr(recorders.subject, "capabilities", lambda name: FULL if name == "i" else capabilities)
    plans, reasons = recorders.able()
    assert list(plans) == ["i"] and reasons == [f"h: nothing is recorded there, because the recorder {why}"]


@pytest.mark.parametrize(("whole", "there", "fault"), [(False, False, False), (False, True, True), (True, False, True)])
def test_a_host_without_python_spoils_no_command_unless_a_recorder_is_left_there(whole: bool, there: bool, fault: bool) -> None:
    link = SimpleNamespace(name="h", folders=["/var/lib/x", "/tmp/x"])

    def status() -> None:
        raise Unusable("h: `python3` could not run the script")

    link.status = status
    found = recorders_of(link)  # type: ignore[arg-type]
    found.subject.capabilities = lambda name: SimpleNamespace(full=whole)  # type: ignore[method-assign,assignment,return-value]
    found.subject.hosts["h"] = SimpleNamespace(run=lambda line, limit: SimpleNamespace(ok=there))  # type: ignore[assignment]
    assert found.status() == {} and bool(found.faults) is fault


def test_a_removal_asks_where_it_is_not_known_what_was_not_fetched(monkeypatch, capsys) -> None:
    from harness.commands.runs import record

    removed: list[str] = []
    asked = SimpleNamespace(faults={"b": "b: no answer"}, status=lambda: {"a": None}, remove=lambda: removed.append("all") or [])
    given = SimpleNamespace(yes=False, json=True)
    assert record._remove(given, asked) == 2 and not removed  # type: ignore[arg-type]
    assert '"unknown"' in capsys.readouterr().out
    given.yes = True
    record._remove(given, asked)  # type: ignore[arg-type]
    assert removed == ["all"]


def test_only_a_yes_starts_it_and_days_have_a_bound(monkeypatch, capsys) -> None:
    from harness.commands.runs import record

    given = type("Given", (), {"yes": False, "json": False})
    monkeypatch.setattr("sys.stdin", None)
    assert not record._confirm(given, "start it? ")
    for answer, goes in (("yes", True), ("y", False), ("YES", False), ("", False)):
        monkeypatch.setattr("harness.commands.prompt.ask", lambda question, answer=answer: answer)
        monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": staticmethod(lambda: True)}))
        assert record._confirm(given, "start it? ") is goes
    for days in (0, -1, 91, float("nan")):
        with pytest.raises(BadUse, match="--days"):
            record._record(type("Given", (), {"do": None, "text": "", "days": days}))


class Answering(LocalHost):
    """Its recorder's program answers so."""

    def __init__(self, reply: dict[str, object]) -> None:
        super().__init__("here")
        self.reply = reply

    def run(self, command, **more) -> CommandResult:
        return CommandResult("here", "python", 0, json.dumps(self.reply), "", 0.0, 0.0)


def test_a_mark_where_nothing_records_is_no_success(monkeypatch, capsys) -> None:
    """One host records, one's recorder has ended, one never had one."""
    replies = {"a": {"alive": True}, "b": {"alive": False}, "c": {"missing": True}}
    links = {name: RecorderLink(Answering(reply), "python3", "r") for name, reply in replies.items()}
    for name, link in links.items():
        link.name = name
    recorders = recorders_of(*(links[name] for name in ("a", "b", "c")))  # type: ignore[arg-type]
    assert record._mark(argparse.Namespace(text="users complain", json=False), recorders) == 4
    told = capsys.readouterr()
    assert told.out == "marked on a\n" and "b: nothing is kept there, because its flight recorder does not run" in told.err
    assert record._mark(argparse.Namespace(text="", json=False), recorders_of(links["b"])) == 4  # type: ignore[arg-type]
    assert record._mark(argparse.Namespace(text="", json=False), recorders_of(links["c"])) == 3  # type: ignore[arg-type]


class Refusing(LocalHost):
    """Its sudo allows nothing; every other command is answered as if the unit were there."""

    def run(self, command, **more) -> CommandResult:
        if is_marked_for_root(command):
            raise Unusable("here: `sudo -n` does not work for operator")
        return CommandResult("here", "test", 0, "", "", 0.0, 0.0)


def test_a_sudo_that_refuses_keeps_nobody_from_recording_and_what_may_be_left_is_said() -> None:
    host = Refusing("here")
    said = boot_unit.install(host, UNIT)
    assert (
        "does not outlive a reboot, because here: `sudo -n` does not work for operator" in said
        and "record start" in said
        and "removed by the next" in said
    )
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
