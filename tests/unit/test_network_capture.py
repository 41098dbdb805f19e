"""A capture at the network's end of the hosts' links: one process for all of them, joined with a host's own loopback interface, and who is
captured where."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import cli
from harness.cluster.capture_sources import CaptureSources, Source
from harness.config import cluster_config, trust
from harness.core.errors import BadUse, Inconclusive, Unusable
from harness.lab.lifecycle import default_cluster
from harness.remote import script_transport
from harness.remote.captures import network_capture
from harness.remote.captures.capture_session import SYN, PacketCapture
from harness.remote.captures.network_capture import NetworkCapture, own_loopback
from harness.remote.host_capabilities import COMPILED, FULL, POWERSHELL, SHELL, Capabilities

RAW = "45000028000040004006000a0a14010a0a1401c8" + "1388" + "05f1" + "00000001" + "00000000" + "5002ffff" + "00000000"
COMMAND = ["capture", "--at", "the switch"]


def packet(interface: str = "eth0", kind: str = "outgoing") -> str:
    return json.dumps({"t": 1.0, "if": interface, "k": kind, "raw": RAW})


class Program:
    """A capture's process: it prints what the test puts in, and answers marks; `dropped` is what it says of itself."""

    def __init__(self, *lines: str, dropped: int = 0) -> None:
        self.said: queue.Queue[str | None] = queue.Queue()
        self.dropped, self.closed, self.asked = dropped, False, 0
        for line in lines:
            self.said.put(line)

    def lines(self) -> Iterator[str]:
        while (line := self.said.get()) is not None:
            yield line

    def send(self, data: bytes) -> None:
        if self.closed:
            raise OSError("it has ended")
        self.asked += 1
        self.said.put(json.dumps({"mark": int(data.split()[1]), "dropped": self.dropped}))

    def recv(self, size: int) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True
        self.said.put(None)


READY = json.dumps({"ready": 1.0, "host": "fabric"})


class Network:
    """A NetworkCapture whose processes are the test's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[tuple[dict[str, Any], Program]] = []
        self.prepared: list[Program] = []
        self.capture = NetworkCapture(COMMAND)

        def start(command: list[str]) -> Program:
            program = self.prepared.pop(0) if self.prepared else Program(READY)
            assert command[3:-1] == ["sh", *COMMAND]
            self.begun.append((json.loads(command[-1]), program))
            return program

        monkeypatch.setattr(self.capture._machine, "start", start)

    def of(self, name: str, *, beside: Program | None = None, **options: Any) -> PacketCapture:
        host: Any = SimpleNamespace(name=name)
        start = None if beside is None else lambda plan: beside
        return PacketCapture(host, program=self.capture.program(host, own_loopback=start), **options)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(monkeypatch)


def test_one_process_sees_for_all_and_each_gets_its_own(network: Network) -> None:
    with network.of("a") as a, network.of("b") as b:
        ((_, program),) = network.begun
        for line in (f"a {packet()}", f"b {packet('eth1', 'host')}", f"a {packet()}", f"c {packet()}"):
            program.said.put(line)
        assert (a.mark(), b.mark()) == (2, 1)
        assert [p.interface for p in a.packets()] == ["eth0", "eth0"] and [str(p.kind) for p in b.packets()] == ["host"]
        assert not a.loopback and not a.dropped
        a.stop()
        program.said.put(f"b {packet()}")
        assert b.mark() == 2
    with network.of("a") as again:
        assert again.mark() == 0 and len(network.begun) == 1 and not program.closed, "it goes on, so that the next begins at once"
    network.capture.close()
    assert program.closed


def test_another_plan_is_another_process(network: Network) -> None:
    with network.of("a"), network.of("b", flags=SYN):
        assert [plan["flags"] for plan, _ in network.begun] == [7, 2]


def test_what_it_lost_is_lost_for_every_host(network: Network) -> None:
    with network.of("a") as a, network.of("b") as b:
        network.begun[0][1].dropped = 3
        a.mark()
        b.mark()
        assert (a.dropped, b.dropped) == (3, 3)
    with network.of("a") as later:
        later.mark()
        assert later.dropped == 0, "that was before it listened"
        network.begun[0][1].dropped = 5
        later.mark()
        assert later.dropped == 2


def test_its_end_is_told_to_all_and_the_next_capture_begins_another(network: Network) -> None:
    with network.of("a") as a, network.of("b") as b:
        _, program = network.begun[0]
        program.said.put("nsenter: cannot open the namespace")
        program.said.put(None)
        for capture in (a, b):
            with pytest.raises(Inconclusive, match="capture at the network has ended; it said: nsenter: cannot open"):
                capture.mark()
        assert program.closed
    with network.of("a") as again:
        assert again.mark() == 0 and len(network.begun) == 2


def test_one_that_cannot_begin_says_why(network: Network) -> None:
    network.prepared.append(Program(json.dumps({"error": "cannot capture packets at the network: Operation not permitted"})))
    network.prepared[0].said.put(None)
    with pytest.raises(Unusable, match=r"a: the packets there cannot be watched: .*Operation not permitted"):
        network.of("a").start()


def test_who_does_not_read_is_not_kept_for(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_capture, "MAX_PACKETS_KEPT", 3)
    shared = network_capture._SharedProcess(Program(READY))
    listener = shared.listen("a")
    assert listener is not None
    for _ in range(10):
        shared._take(f"a {packet()}")
    assert len([line for line in listener.lines() if "raw" in line]) <= 3


def test_the_host_s_own_loopback_beside(network: Network) -> None:
    own = Program(READY, dropped=1)
    network.prepared.append(Program(READY, dropped=2))
    with network.of("a", beside=own) as a:
        _, links = network.begun[0]
        own.said.put(packet("lo"))
        links.said.put(f"a {packet('eth0')}")
        assert a.mark() == 2 and a.loopback and a.dropped == 3
        assert {p.interface for p in a.packets()} == {"lo", "eth0"}
        own.said.put(None)  # the host has lost its power
        with pytest.raises(Inconclusive, match="a: the packet capture has ended"):
            for _ in range(10_000):
                a.mark()
    network.capture.close()
    assert own.closed and links.closed


def test_it_has_begun_when_both_have(network: Network) -> None:
    own = Program()
    capture = network.of("a", beside=own)
    with pytest.raises(Inconclusive, match="did not begin"):
        capture.start(0.2)
    assert own.closed


def test_the_loopback_interface_alone_is_asked_of_the_host(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[dict[str, Any]] = []
    monkeypatch.setattr(script_transport, "start", lambda host, python, name, plan: plans.append(plan) or Program(READY))
    host: Any = SimpleNamespace(name="a")
    with PacketCapture(host, program=network.capture.program(host, own_loopback=own_loopback(host, "python3"))):
        assert [plan["interface"] for plan in plans] == ["lo"] and "interface" not in network.begun[0][0]


def a_cluster(**table: Any) -> cluster_config.Cluster:
    return cluster_config.Cluster.model_validate(default_cluster.cluster_data(overrides={"network_capture": table} if table else {}))


@pytest.mark.parametrize(
    ("capabilities", "named", "source"),
    [
        (FULL, False, Source.HOST),
        (FULL, True, Source.NETWORK_AND_LOOPBACK),
        (SHELL, False, Source.NETWORK),
        (POWERSHELL, False, Source.NETWORK),
        (COMPILED, False, Source.HOST),
        (COMPILED, True, Source.NETWORK),
    ],
)
def test_who_is_captured_where(capabilities: Capabilities, named: bool, source: Source) -> None:
    sources = CaptureSources(a_cluster(command=COMMAND, hosts=["lknode01"] if named else []), {}, lambda name: capabilities)
    assert sources.source("lknode01") is source
    assert sources.without_loopback("lknode01") is (source is Source.NETWORK)
    assert sources.at_network("lknode01") is (source is not Source.HOST)


@pytest.mark.parametrize("capabilities", [FULL, COMPILED])
def test_a_host_that_refuses_is_captured_at_the_network_where_there_is_one(capabilities: Capabilities) -> None:
    alone, with_network = (CaptureSources(one, {}, lambda name: capabilities) for one in (a_cluster(), a_cluster(command=COMMAND)))
    assert not alone.fall_back("lknode01", "no") and alone.source("lknode01") is Source.HOST
    assert with_network.fall_back("lknode01", "no") and with_network.source("lknode01") is Source.NETWORK
    assert with_network.refused == {"lknode01": "no"} and not with_network.fall_back("lknode01", "no"), "there is no third way"
    assert with_network.source("lknode02") is Source.HOST


def test_nobody_can_be_captured_without_either() -> None:
    assert CaptureSources(a_cluster(), {}, lambda name: SHELL).source("lknode01") is Source.NONE


def test_a_stranger_s_command_is_not_run_before_somebody_agreed() -> None:
    data = default_cluster.cluster_data(overrides={"network_capture": {"command": ["watch", "-p", "secret"]}})
    requests = trust.trust_requests(data)
    assert requests == ["network_capture.command runs `watch [removed]` on this machine"]
    assert trust.withhold(cluster_config.Cluster.model_validate(data), requests).network_capture is None


def test_hosts_of_it_are_hosts_of_the_file() -> None:

    with pytest.raises(BadUse, match=r"network_capture\.hosts: lknode03 is no host of this file"):
        cluster_config.parse(
            default_cluster.cluster_data(overrides={"network_capture": {"command": COMMAND, "hosts": ["lknode03"]}}), Path("x")
        )


@pytest.mark.parametrize("plan", ["{", "[]", '{"buffer": "much"}'])
def test_a_plan_that_cannot_be_read_is_one_sentence(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lab", "capture", plan]) == 2
    assert "give" in capsys.readouterr().err
