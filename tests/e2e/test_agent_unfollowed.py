"""An agent whose harness is away: for a while nothing is lost; when nobody comes back it ends by itself."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
from agent_fixtures import LIMIT, complete, header, launched, measuring, nothing_of, processes_of, series, service

from harness.core.deadline import Deadline
from harness.hosts.host import HostUnreachable
from harness.hosts.local_host import LocalHost
from harness.remote.agents import agent_launch


@pytest.fixture
def here():
    host = LocalHost("here")
    yield host
    host.close()


def test_an_agent_that_nobody_follows_ends(here, tmp_path) -> None:
    """As when its harness was killed; long before its lifetime is over, and also when nobody ever came."""
    folder = launched(here, tmp_path, orphan_s=1.0, keep_s=0.1)
    until = Deadline(3.0)
    follower = agent_launch.follow(here, sys.executable, folder, 0)
    said = b""
    while not until.expired:  # three times as long as it lives without
        said += follower.recv(65536)
    assert len(processes_of(folder)) == 3 and b"nobody" not in said, "it ended although it was followed"
    follower.close()
    nothing_of(tmp_path)
    launched(here, tmp_path, orphan_s=0.3, keep_s=0.1)
    nothing_of(tmp_path)


def test_a_harness_away_for_less_than_that_finds_the_same_agent_again(here, tmp_path) -> None:
    with service() as it, measuring(here, tmp_path, series("t", it.port), orphan_s=1.5) as (agent, seen):
        life = agent._life
        for times in (1, 2, 3):  # together longer than that: with each follower it counts anew
            heard = Deadline(0.7)
            seen.wait_rows("t", 10)
            heard.wait_for(lambda heard=heard: heard.expired, what="a while of measuring")
            os.kill(agent._process.pid, signal.SIGKILL)
            seen.wait_event("agent-back", times)
        seen.wait_rows("t", 10)
        assert agent._life is life
    complete(agent, seen)


class Away(LocalHost):
    """A host that cannot be reached for a while."""

    gone = False

    def start(self, *words, **more):
        if self.gone:
            raise HostUnreachable(f"{self.name} is away")
        return super().start(*words, **more)


def test_a_harness_away_for_longer_gets_what_it_saw_and_another_one(tmp_path) -> None:
    host = Away("away")
    with service() as it, measuring(host, tmp_path, series("t", it.port), orphan_s=0.5) as (agent, seen):
        seen.wait_rows("t", 10)
        first, pid, began = agent._life, header(agent._life.folder)["pid"], time.monotonic()
        host.gone = True
        os.kill(agent._process.pid, signal.SIGKILL)
        Deadline(LIMIT).wait_for(lambda: pid not in processes_of(tmp_path), what="the agent ending")
        host.gone = False
        assert "new one" in seen.wait_event("agent-back").text
        seen.wait_rows("t", 10)
        assert "nobody followed it for 0.5 s" in first.reason and first.wrote == first.taken
        assert sum(began < row.at < began + 0.4 for row in seen.rows["t"]) >= 10
    host.close()
