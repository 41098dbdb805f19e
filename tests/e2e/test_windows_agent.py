"""The agent for hosts without Python gets to its host whole, and what it prints is what the meter reads. PowerShell itself is not run."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from dataclasses import replace

import pytest
from agent_fixtures import Seen
from sshd_server import SSHD, stop_server
from windows_server import asked, start_windows

from harness.core.errors import BadUse
from harness.hosts.ssh.ssh_host import SshHost
from harness.remote import host_capabilities
from harness.remote.agents import powershell_agent
from harness.remote.agents.agent_factory import agent_of
from harness.remote.agents.agent_launch import AgentPlan, AgentSeries
from harness.remote.agents.clock_sync import HostClock
from harness.remote.agents.spool_reader import OUTCOMES, AgentRun, Reader

pytestmark = [
    pytest.mark.skipif(not SSHD.exists(), reason="needs a real sshd (Debian package openssh-server)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sshd separates privileges"),
]
SERIES = [
    AgentSeries("client-oracle", "10.20.1.200", 1521, period_s=0.01, say=b"\x00\xff", expect=rb"\xff"),
    AgentSeries("client-http", "10.20.1.200", 80),
]


class Sink:
    def __init__(self):
        self.rows, self.noises = {}, []

    def samples(self, series, rows):
        self.rows.setdefault(series, []).extend(rows)

    def event(self, event):
        raise AssertionError(event)

    def noise(self, noise):
        self.noises.append(noise)

    def clock(self, clock):
        pass


@pytest.fixture
def server(tmp_path):
    server = start_windows(tmp_path / "host", "windows")
    yield server
    stop_server(server)


def test_it_is_sent_whole_and_its_stream_is_read(server):
    host, sink = SshHost(server.machine().model_copy(update={"platform": "windows"})), Sink()
    try:
        process = powershell_agent.start(host, [t.wire() for t in SERIES], lifetime_s=60)
        life = AgentRun("", HostClock("lknode01"))
        reader = Reader(life, "lknode01", sink)
        process.send(life.clock.begin(3))
        while not reader.over:
            data = process.recv(65536)
            assert data, reader.complaint
            for word, clock in reader.take(data, time.monotonic()):
                process.send(word or b"")
                if clock is not None:
                    with contextlib.suppress(BrokenPipeError):  # a second clock's: the first "stop" may have ended it
                        process.send(b"stop\n")
        process.close()
    finally:
        host.close()
    task = json.loads((server.folder.parent / "shapes" / "windows" / "task.json").read_text())
    assert task["script"] == powershell_agent.script()
    assert [t["period"] for t in task["plan"]["series"]] == [0.05, 0.05] and task["plan"]["series"][0]["say"] == "AP8="
    assert [s.outcome for s in sink.rows["client-oracle"]] == ["answered", "silent"]
    assert [s.outcome for s in sink.rows["client-http"]] == ["refused", "unreachable"]
    assert (life.wrote, life.taken, life.final, reader.complaint) == (4, 4, True, "")
    assert [n.ticks for n in sink.noises] == [40]


def test_the_meter_chooses_it_by_itself(server):
    host = SshHost(server.machine().model_copy(update={"platform": "windows"}))
    bears = host_capabilities.ask(host, "windows", "python3")
    assert bears.kind is host_capabilities.Kind.POWERSHELL and bears.period_s(0.01) == powershell_agent.MIN_PERIOD_S
    all_series = [replace(series, period_s=bears.period_s(series.period_s)) for series in SERIES]
    seen = Seen()
    agent = agent_of(host, bears, "", AgentPlan(all_series, lifetime_s=60.0), seen)
    try:
        agent.start()
    finally:
        assert agent.stop() == []
        host.close()
    assert seen.outcomes("client-oracle") == {"answered", "silent"} and [n.ticks for n in seen.noises] == [40]
    assert set(seen.kinds()) <= {"host-lost", "host-back"}  # a busy machine's stand-in may be silent for a while
    assert seen.clocks
    assert asked(server)[-1]["body"] == powershell_agent.loader()


def test_pinned_connections_are_refused(server):
    host = SshHost(server.machine().model_copy(update={"platform": "windows"}))
    series = AgentSeries("pin", "10.20.1.200", 1521, kind="pinned", say=b"x", expect=b"x")
    with pytest.raises(BadUse, match="leave out pin"):
        powershell_agent.start(host, [series.wire()], lifetime_s=60)


def test_the_script_prints_only_outcomes_that_the_meter_knows():
    script = powershell_agent.script()
    table = re.findall(r"\b[A-Z][A-Za-z]+ = '([a-z])'", script)
    said = re.findall(r"Record \$attempt '(\w+)'", script)
    assert table and said and {*table, *said} <= set(OUTCOMES)
    assert script.isascii()
