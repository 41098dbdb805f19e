"""A whole lab with Azure's API beside it: a failover by power off, the command line, and the end of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from harness.core.deadline import Deadline
from harness.lab.control import lab_registry
from tests.e2e import forked_commands


@pytest.fixture(scope="module")
def whole(make_azure_lab):
    """A lab with its cluster in service, no longer than this file: its manager looks at everything every second."""
    lab = make_azure_lab(network_only=False)
    yield lab
    lab.running.down()


def command(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    line = ["-m", "harness.cli", "lab", *words, "--name", name]
    return forked_commands.run(line, folder=Path.cwd(), environment=dict(os.environ), limit_s=120)


def test_a_power_off_moves_the_service_and_the_health_says_so(whole) -> None:
    active, standby = "10.20.1.11", "10.20.1.12"
    assert whole.health() == {active: ("Up", "Up_Probe_Success"), standby: ("Down", "Down_Probe_TcpProbeTimeout")}
    whole.compute.virtual_machines.begin_power_off(whole.group, "lknode01", skip_shutdown=True).result(300)
    whole.wait_for(
        whole.health,
        "the balancer preferring the other node",
        limit=300,
        every=0.5,
        until=lambda h: h == {standby: ("Up", "Up_Probe_Success")},
    )
    whole.compute.virtual_machines.begin_start(whole.group, "lknode01").result(300)
    assert whole.health()[standby] == ("Up", "Up_Probe_Success")


def test_the_command_line(whole) -> None:
    name = whole.running.record.name
    said = command(name, "azure", "fault")
    assert "dropped-after" in said.stdout, said.stderr
    assert command(name, "azure", "fault", "slow", "--path", "instanceView", "--seconds", "0.01").returncode == 0
    whole.power_state("lknode02")
    requests = json.loads(command(name, "azure", "requests", "--path", "instanceView", "--json").stdout)["requests"]
    assert requests[-1]["fault"] == "slow"
    assert "on: floating-ip, floating IP is against the design" in command(name, "azure", "wrong", "floating-ip").stdout
    assert command(name, "azure", "clear").returncode == 0
    assert whole.hand.misconfigurations()["on"] == []
    unknown = command(name, "azure", "fault", "flood")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)


def test_a_lab_without_azure_says_so(make_azure_lab, tmp_path) -> None:
    from harness.lab.lifecycle import default_cluster, launch

    lab = launch.up(default_cluster.cluster_data(), name=f"plain-{os.getpid()}", persistent=False, network_only=True)
    try:
        said = command(lab.record.name, "azure", "clear")
        assert (said.returncode, "lab up --azure" in said.stderr) == (2, True)
    finally:
        lab.down()


def test_the_stand_in_ends_with_the_lab(make_azure_lab) -> None:
    lab = make_azure_lab()
    folder = lab.running.record.folder
    process = json.loads((folder / "azure" / "process.json").read_text())
    assert lab_registry.start_ticks(process["pid"]) == process["start_ticks"]
    os.kill(lab.running.record.pid, 9)
    Deadline(120).wait_for(lambda: lab_registry.start_ticks(process["pid"]) is None, what="the end of the stand-in")
    assert (folder / "azure.log").read_text() == ""
