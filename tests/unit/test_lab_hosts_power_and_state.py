"""How long a lab's power is waited for, and what `lab status` says of a host that boots or does not answer. Without a lab."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.commands.lab import lab as lab_command
from harness.commands.lab import lab_machines
from harness.config import cluster_config
from harness.lab.azure.resources import vms
from harness.lab.azure.state.azure_state import AzureState
from harness.lab.control import control_socket, lab_registry
from harness.lab.guests.container import ContainerGuest
from harness.lab.guests.machine.virtual_machine import VirtualMachine
from harness.lab.guests.namespace import NamespaceGuest
from harness.lab.lifecycle import default_cluster, lab_status

CLUSTER = cluster_config.parse(default_cluster.cluster_data("fast", {}), Path("x"))
HOST: dict[str, Any] = {
    "name": "lknode01",
    "kind": "machine",
    "power": "on",
    "booting": False,
    "ssh_port": 1,
    "cannot": [],
    "silenced": None,
}


class ControlSocket:
    """In the place of a running lab's: it notes what is asked, and how long the caller would wait."""

    def __init__(self, **host: Any) -> None:
        self.host = {**HOST, "boot_timeout_s": 900.0, **host}
        self.asked: list[tuple[str, float, dict[str, Any]]] = []

    def ask(self, pid: int, operation: str, *, limit: float = 30.0, **arguments: Any) -> Any:
        self.asked.append((operation, limit, arguments))
        if operation == "power":
            self.host["power"] = "off" if arguments["to"] == "shutdown" else arguments["to"]
            return self.host["power"]
        return {"hosts": [dict(self.host)]}

    def told(self, to: str) -> list[float]:
        """For how long each such change of power was waited for."""
        return [limit for operation, limit, arguments in self.asked if operation == "power" and arguments["to"] == to]


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> ControlSocket:
    control = ControlSocket()
    monkeypatch.setattr(control_socket, "ask", control.ask)
    monkeypatch.setattr(lab_registry, "start_ticks", lambda pid: 1)
    monkeypatch.setattr(lab_registry, "find", lambda name: RECORD)
    return control


RECORD = lab_registry.LabRecord("lab", Path("/nowhere"), 1, 1)


def fabric() -> Any:
    return AzureState(RECORD, CLUSTER, SimpleNamespace(profile="fast"), SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]


def test_a_machine_is_given_the_time_that_its_boot_takes(control: ControlSocket, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = argparse.Namespace(name=None, host="lknode01", to="on", seconds=None, json=False)
    assert lab_command._power(arguments) == 0 and capsys.readouterr().out == "lknode01 is on\n"
    vms._start(fabric(), "lknode01")
    assert len(control.told("on")) == 2 and min(control.told("on")) > 900.0


def test_every_kind_of_guest_says_how_long_its_boot_may_take() -> None:
    assert VirtualMachine.boot_timeout_s > ContainerGuest.boot_timeout_s > NamespaceGuest.boot_timeout_s > 0


def test_a_host_with_an_init_is_shut_down_by_it(control: ControlSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its services are stopped in its own order, and its file systems written out."""
    inside: list[list[str]] = []
    monkeypatch.setattr(vms.nsenter, "run", lambda lab, host, words, **_: inside.append(words))
    vms._power_off(fabric(), "lknode01", orderly=True)
    assert [arguments["to"] for operation, _, arguments in control.asked if operation == "power"] == ["shutdown", "off"] and not inside
    control.host |= {"power": "on", "cannot": ["shutdown"]}
    vms._power_off(fabric(), "lknode01", orderly=True)
    assert len(inside) == 1 and len(control.told("shutdown")) == 1


def test_a_restart_is_over_when_the_machine_has_booted(control: ControlSocket) -> None:
    control.host |= {"booting": True}
    assert not vms._is_up(fabric(), "lknode01")
    control.host |= {"booting": False}
    assert vms._is_up(fabric(), "lknode01")


def node_status(monkeypatch: pytest.MonkeyPatch, answer: Any, **host: Any) -> dict[str, Any]:
    def run(*words: Any, **_: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(lab_status.nsenter, "run", run)
    return lab_status._node(RECORD, CLUSTER, CLUSTER.nodes[0], {**HOST, **host})


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (subprocess.CompletedProcess([], 255, "", "ssh: connect: timed out"), "cannot be logged in to: ssh: connect: timed out"),
        (subprocess.TimeoutExpired("ssh", 20.0), "has not answered within 20 s"),
        (subprocess.CompletedProcess([], 0, "", ""), "does not tell its addresses"),
    ],
)
def test_a_node_that_does_not_answer_is_a_role(monkeypatch: pytest.MonkeyPatch, answer: Any, says: str) -> None:
    found = node_status(monkeypatch, answer)
    assert found["role"] == "not answering" and says in found["manager"] and found["holds_vip_on"] == []


def test_a_node_that_boots_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert node_status(monkeypatch, AssertionError("it was asked"), booting=True)["role"] == "booting"


def test_a_hosts_name_may_have_dots(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[dict[str, Any]] = []
    record = SimpleNamespace(ask=lambda operation, **arguments: asked.append(arguments))
    monkeypatch.setattr(lab_registry, "find", lambda name: record)
    assert lab_machines._nic(argparse.Namespace(name=None, nic="node.a.eth0", to="unplug", json=False)) == 0
    assert asked == [{"node": "node.a", "nic": "eth0", "plugged": False}]
