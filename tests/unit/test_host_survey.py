"""A host that does not tell everything of itself is told with its error, and what it did tell counts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.check import host_survey
from harness.config import cluster_config
from harness.core.errors import Unusable
from harness.core.finding import Weight
from harness.hosts.host import CommandResult, HostUnreachable
from harness.hosts.shell_command import CommandTookTooLong
from harness.lab.lifecycle import default_cluster
from harness.managers.manager_registry import manager_of

CLUSTER = cluster_config.parse(default_cluster.cluster_data(), Path("a test's"))
ADDRESSES = "@@ time\n1000.5 +0000\n@@ addresses\n2: eth0: <UP> mtu 1500 state UP\n    inet 10.20.1.11/24 scope global eth0\n"


class Scripted:
    """Answers its one script with a text, or raises."""

    def __init__(self, name: str, says: str | Exception, alive: bool = True) -> None:
        self.name, self.says, self.there, self.asked = name, says, alive, 0

    def run(self, command: str, *, limit: float = 10.0, input: bytes | None = None) -> CommandResult:
        self.asked += 1
        if isinstance(self.says, Exception):
            raise self.says
        return CommandResult(self.name, command, 0, self.says, "", 0.0, 0.0)

    def alive(self, *, limit: float = 2.0) -> bool:
        return self.there


def surveyed(says: str | Exception, alive: bool = True) -> tuple[host_survey.Survey, Scripted]:
    hosts = {m.name: Scripted(m.name, "@@ time\n") for m in CLUSTER.machines}
    hosts["lknode01"] = Scripted("lknode01", says, alive)
    subject: Any = SimpleNamespace(
        cluster=CLUSTER,
        hosts=hosts,
        absent=set(),
        manager=manager_of(CLUSTER, {}),
        runs_commands=lambda name: True,
        together=lambda *work: [one() for one in work],
    )
    return host_survey.survey(subject), hosts["lknode01"]


@pytest.mark.parametrize("error", [HostUnreachable("lknode01: the connection was lost"), CommandTookTooLong("lknode01", "x", 20.0, "", "")])
def test_a_host_that_is_lost_meanwhile_is_told_with_its_error(error: Exception) -> None:
    found, _ = surveyed(error, alive=False)
    (gone,) = found.lost_hosts
    assert (gone.weight, gone.host, gone.what, gone.says) == (Weight.UNREACHABLE, "lknode01", "log-in", str(error))
    assert set(found.facts) == {"lkclient", "lknode02"} == set(found.hosts_seen)


@pytest.mark.parametrize(
    "error",
    [Unusable("lknode01: `sudo -n` does not work"), CommandTookTooLong("lknode01", "x", 20.0, "", ""), HostUnreachable("broke off")],
)
def test_a_host_that_is_there_and_tells_nothing_is_told_with_its_error(error: Exception) -> None:
    found, _ = surveyed(error)
    assert not found.lost_hosts and str(error) in found.facts["lknode01"].not_told[0]


def test_of_a_script_that_hangs_in_one_tool_what_came_before_counts() -> None:
    found, host = surveyed(CommandTookTooLong("lknode01", "x", 20.0, ADDRESSES + "@@ routes\n# 10.20", ""))
    facts = found.facts["lknode01"]
    assert facts.nic_of("10.20.1.11") == "eth0" and host.asked == 1 and facts.offset is None
    assert "its route to the VIP: lknode01: routes took longer than 20 s" in facts.not_told
    assert not any(why.startswith("its addresses") for why in facts.not_told)


def test_every_host_is_asked_once() -> None:
    found, host = surveyed(ADDRESSES)
    assert host.asked == 1 and any(why.startswith("its clock: lknode01") for why in found.facts["lknode01"].not_told)
