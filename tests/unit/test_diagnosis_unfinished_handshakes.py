"""The diagnosis of handshakes that do not end: the file's client gets through, and clients of another network do not."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from diagnosis_sample import BY_ETH0, CLUSTER, WEB, evidence, node

from harness.collect.linux_host_script import _WAYS_BACK, script
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence, Socket
from harness.diagnosis.linux_host_script_parse import host
from harness.hosts.linux.linux_parse import Route
from harness.managers.manager_registry import manager_of

OWN, FAR, BY_ETH1 = "10.20.1.11", "10.30.5.7", Route("unicast", "eth1")


def half(peer: str = FAR, timer: str = "on,3sec,2", address: str = OWN, port: int = WEB.port, peer_port: int = 41000) -> Socket:
    return Socket("SYN-RECV", address, port, peer, peer_port, timer=timer)


def seen(*sockets: Socket, route: Route | None = BY_ETH1, name: str = "lknode01") -> Evidence:
    ways = {(s.peer, s.address): route for s in sockets} if route else {}
    base = evidence()
    return replace(base, hosts={**base.hosts, name: node(name, sockets=sockets, ways_back=ways)})


def told(those: Evidence) -> list[Cause]:
    return [c for c in diagnose(those).causes if "their SYNs arrive" in c.says]


@pytest.mark.parametrize(
    ("route", "certainty", "words"),
    [
        (BY_ETH1, Certainty.LIKELY, "out of eth1, not by eth0"),
        (Route("blackhole"), Certainty.LIKELY, "nowhere (blackhole), not by eth0"),
        (Route("unicast", "docker0"), Certainty.POSSIBLE, "out of docker0"),  # a container of its own, which is gone
        (BY_ETH0, Certainty.POSSIBLE, "do not end"),
        (None, Certainty.POSSIBLE, "do not end"),
    ],
)
def test_clients_of_another_network_get_no_answer(route: Route | None, certainty: Certainty, words: str) -> None:
    (cause,) = told(seen(half(), route=route))
    assert (cause.host, cause.certainty) == ("lknode01", certainty)
    assert FAR in cause.says and "port 80 (web)" in cause.says and words in cause.says


def test_many_at_once_are_told_after_one_answer_that_was_sent_again() -> None:
    several = [half(timer="on,1sec,1", peer_port=41000 + n) for n in range(3)]
    assert [c.certainty for c in told(seen(*several))] == [Certainty.LIKELY]
    assert told(seen(*several[:2])) == []


@pytest.mark.parametrize(
    "one",
    [
        half(timer="on,820ms,0"),  # it has just begun
        half(timer="on,1sec,1"),
        half(timer=""),
        half(peer="10.20.1.20"),  # the file's client, whose routes are looked at
        half(peer="10.20.1.12"),
        half(address="10.20.2.11"),  # by its second NIC on purpose
        half(port=22),
    ],
)
def test_handshakes_that_are_nobodys_fault(one: Socket) -> None:
    assert told(seen(one)) == []


def test_the_standby_and_a_cluster_that_moves_are_not_judged() -> None:
    assert told(seen(half(), name="lknode02")) == []
    assert told(replace(seen(half()), moved=True)) == []


SS = """State    Recv-Q Send-Q Local Address:Port Peer Address:Port Process
ESTAB    0 0 10.20.1.11:80 10.20.1.20:5000 timer:(keepalive,3sec,2)
SYN-RECV 0 0 10.20.1.11:80 10.30.5.7:41000 timer:(on,3sec,2)
SYN-RECV 0 0 [::ffff:10.20.1.11]:80 [::ffff:10.30.5.8]:41000 timer:(on,1sec,1)
SYN-RECV 0 0 10.20.1.11:80 10.30.5.7:41001 timer:(on,3sec,2)
SYN-RECV 0 0 10.20.1.11:80 10.30.5.9:41000 timer:(on,820ms,0)
SYN-RECV 0 0 [fd00::1]:80 [fd00::2]:41000 timer:(on,3sec,2)
"""


def test_a_node_asks_for_the_ways_of_answers_that_were_sent_again(tmp_path) -> None:
    (tmp_path / "ip").write_text('#!/bin/sh\necho "$3 from $5 dev eth1 src $5"\n')
    (tmp_path / "ip").chmod(0o755)
    run = 'PATH="$1:$PATH"; half=$2; ' + _WAYS_BACK
    text = subprocess.run(["sh", "-c", run, "it", tmp_path, SS], capture_output=True, text=True, check=True).stdout
    ways = host("lknode01", f"@@ ways back\n{text}").ways_back
    assert {key: route.interface for key, route in ways.items()} == {(FAR, OWN): "eth1", ("10.30.5.8", OWN): "eth1"}
    flood = "".join(f"SYN-RECV 0 0 10.20.1.11:80 10.30.6.{n}:41000 timer:(on,3sec,2)\n" for n in range(99))
    text = subprocess.run(["sh", "-c", run, "it", tmp_path, flood], capture_output=True, text=True, check=True).stdout
    assert text.count("# ") == 8
    quiet = subprocess.run(["sh", "-c", run, "it", tmp_path, SS.replace("SYN-RECV", "ESTAB")], capture_output=True, text=True, check=True)
    assert quiet.stdout == ""


def test_only_nodes_are_asked_for_ways_back() -> None:
    asked = {m.name: "@@ ways back" in script(CLUSTER, m, manager_of(CLUSTER, {})) for m in CLUSTER.machines}
    assert asked == {"lknode01": True, "lknode02": True, "lkclient": False}
