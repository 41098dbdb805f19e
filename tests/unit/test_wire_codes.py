"""How an attempt travelled, from what the packet captures saw: one case for every wire code, and for what must not pass as one."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from harness.config import cluster_config
from harness.expectations.wire_code_meanings import MEANINGS
from harness.remote.captures.attempt_address import with_addresses
from harness.remote.captures.wire_code_classifier import classify, classify_all
from harness.remote.connections.attempt import Attempt
from harness.remote.connections.attempt_outcome import AttemptOutcome
from harness.remote.recording.packets import Packet

VIP, A, S, C = "10.20.1.200", "10.20.1.11", "10.20.1.12", "10.20.1.20"
PORT, LOCAL = 1521, 40001
CLUSTER = cluster_config.Cluster(
    name="c",
    client={"name": "lkclient", "address": C},
    nodes=[
        {"name": "lknode01", "address": A, "second_address": "10.20.2.11"},
        {"name": "lknode02", "address": S, "second_address": "10.20.2.12"},
    ],
    services=[{"name": "db", "kind": "oracle", "port": PORT, "tag": "t"}],
)
WINDOWS = CLUSTER.model_copy(update={"nodes": tuple(n.model_copy(update={"platform": "windows"}) for n in CLUSTER.nodes)})
ANSWERED, REFUSED, SILENT = AttemptOutcome.ANSWERED, AttemptOutcome.REFUSED, AttemptOutcome.SILENT


def tried(outcome, origin="lkclient", address=C, port=LOCAL):
    return Attempt(origin, VIP, PORT, outcome, address, port, 0.0, 0.0, 0.1)


def syn(src, dst, kind, interface="eth0", seq=7, sport=LOCAL):
    return Packet(0.0, interface, kind, "tcp", src, sport, dst, PORT, "S", seq, 0)


def reply(src, dst, flags, kind="outgoing", interface="eth0", port=LOCAL):
    return Packet(0.0, interface, kind, "tcp", src, PORT, dst, port, flags, 1, 8)


def twice(make):
    return [make("outgoing"), make("host")]


def seen(client=(), one=(), two=()):
    return {"lkclient": list(client), "lknode01": list(one), "lknode02": list(two)}


LEFT_C = syn(C, VIP, "outgoing")
ON_LO = twice(lambda kind: syn(VIP, VIP, kind, "lo"))

CASES = {
    "W1": (tried(ANSWERED), seen([LEFT_C], [syn(C, A, "host"), reply(A, C, "SA")]), ("lknode01", "eth0", A, True)),
    "W1 to the second node": (tried(ANSWERED), seen([LEFT_C], [], [syn(C, S, "host"), reply(S, C, "SA")]), ("lknode02", "eth0", S, True)),
    "W1 from the standby": (
        tried(ANSWERED, "lknode02", S),
        seen([], [syn(S, A, "host"), reply(A, S, "SA")], [syn(S, VIP, "outgoing")]),
        ("lknode01", "eth0", A, True),
    ),
    "W1 client not watched": (
        tried(ANSWERED),
        {k: v for k, v in seen([], [syn(C, A, "host"), reply(A, C, "SA")]).items() if k != "lkclient"},
        ("lknode01", "eth0", A, True),
    ),
    "W2": (tried(ANSWERED), seen([LEFT_C], [syn(C, VIP, "host"), reply(VIP, C, "SA")]), ("lknode01", "eth0", VIP, True)),
    "W3": (
        tried(ANSWERED, "lknode01", VIP),
        seen([], [*ON_LO, *twice(lambda k: reply(VIP, VIP, "SA", k, "lo"))]),
        ("lknode01", "lo", VIP, False),
    ),
    "W4": (
        tried(SILENT, "lknode01", A),
        seen([], [syn(A, VIP, "outgoing"), syn(A, A, "host"), syn(A, VIP, "outgoing"), syn(A, A, "host")]),
        ("lknode01", "eth0", A, True),
    ),
    "W4 though the answer went over lo": (
        tried(SILENT, "lknode01", A),
        seen([], [syn(A, VIP, "outgoing"), syn(A, A, "host"), *twice(lambda k: reply(A, A, "SA", k, "lo"))]),
        ("lknode01", "eth0", A, True),
    ),
    "W5 nat": (tried(REFUSED), seen([LEFT_C], [syn(C, A, "host"), reply(A, C, "AR")]), ("lknode01", "eth0", A, True)),
    "W5 floating": (tried(REFUSED), seen([LEFT_C], [syn(C, VIP, "host"), reply(VIP, C, "AR")]), ("lknode01", "eth0", VIP, True)),
    "W6": (
        tried(REFUSED, "lknode02", VIP),
        seen([], [], [*ON_LO, *twice(lambda k: reply(VIP, VIP, "AR", k, "lo"))]),
        ("lknode02", "lo", VIP, False),
    ),
    "W7": (tried(SILENT), seen([LEFT_C, LEFT_C], [syn(C, VIP, "host"), syn(C, VIP, "host")]), ("lknode01", "eth0", VIP, True)),
    "W8": (tried(SILENT), seen([LEFT_C]), (None, None, None, True)),
    "W8 from a node": (tried(SILENT, "lknode01", A), seen([], [syn(A, VIP, "outgoing")]), (None, None, None, True)),
    "W10": (tried(SILENT), seen([LEFT_C], [syn(C, A, "host"), syn(C, A, "host")]), ("lknode01", "eth0", A, True)),
    "W9": (tried(SILENT, "lknode01", A), seen([], [syn(A, VIP, "outgoing"), syn(A, VIP, "host")]), ("lknode01", "eth0", VIP, True)),
}


@pytest.mark.parametrize("case", CASES)
def test_every_wire_code(case):
    attempt, packets, expected = CASES[case]
    way = classify(attempt, packets, WINDOWS if case == "W10" else CLUSTER)
    assert (way.code, way.node, way.interface, way.destination, way.left_a_nic) == (case.split()[0], *expected), way.sentence
    assert way.is_known and not way.reason
    assert f"{attempt.origin}:{LOCAL}" in way.sentence


def test_every_code_has_a_case():
    assert {case.split()[0] for case in CASES} == set(MEANINGS)


@pytest.mark.parametrize("case", CASES)
def test_a_stranger_s_packets_change_nothing(case):
    """Another port's flow, another origin's flow with the same port, UDP: none of them is the attempt."""
    attempt, packets, _ = CASES[case]
    noise = [
        syn("10.20.1.99", A, "host"),
        syn(C, A, "host", sport=LOCAL + 1),
        syn(A, VIP, "outgoing", sport=LOCAL + 1),
        reply(A, "10.20.1.99", "SA"),
        syn(attempt.local_address, VIP, "otherhost"),
        dataclasses.replace(syn(attempt.local_address, S, "host"), protocol="udp"),
        dataclasses.replace(syn(attempt.local_address, S, "host", seq=8), dport=22),
    ]
    noisy = {name: [*noise, *some, *noise] for name, some in packets.items()}
    assert classify(attempt, noisy, CLUSTER) == classify(attempt, packets, CLUSTER)


def test_many_attempts_are_classified_as_each_alone():
    """With all cases' packets at the witnesses at once, each from another port."""
    tries, witnessed = [], {}
    for number, (attempt, packets, _) in enumerate(CASES.values()):
        moved = {LOCAL: LOCAL + 10 * number + 10}
        tries.append(dataclasses.replace(attempt, local_port=moved[LOCAL]))
        for host, some in packets.items():
            told = [dataclasses.replace(p, sport=moved.get(p.sport, p.sport), dport=moved.get(p.dport, p.dport)) for p in some]
            witnessed.setdefault(host, []).extend(told)
    assert classify_all(tries, witnessed, CLUSTER) == [classify(one, witnessed, CLUSTER) for one in tries]


UNKNOWN = {
    "a blind capture proves no silence": (tried(SILENT), seen(), "was not seen sending it, not even on lo"),
    "a local answer that lo did not see": (tried(ANSWERED, "lknode01", VIP), seen(), "was not seen sending it"),
    "an answer in the node's place": (tried(ANSWERED), seen([LEFT_C]), "something between answers in the nodes' place"),
    "a refusal in the node's place": (tried(REFUSED), seen([LEFT_C]), "something between answers"),
    "a handshake that the node did not take part in": (tried(ANSWERED), seen([LEFT_C], [syn(C, A, "host")]), "complete handshakes"),
    "a refusal without the node's RST": (tried(REFUSED), seen([LEFT_C], [syn(C, A, "host")]), "whose RST was not seen"),
    "an answer lost on the way back": (
        tried(SILENT),
        seen([LEFT_C], [syn(C, A, "host"), reply(A, C, "SA")]),
        "SYN-ACK was lost on the way back",
    ),
    "a node that drops at its private address": (tried(SILENT), seen([LEFT_C], [syn(C, A, "host")]), "does a filter of lknode01 drop it"),
    "two receivers": (tried(ANSWERED), seen([LEFT_C], [syn(C, A, "host")], [syn(C, S, "host")]), "arrived at lknode01 and lknode02"),
    "the other node's address": (tried(ANSWERED), seen([LEFT_C], [syn(C, S, "host")]), "not an address of it"),
    "an unwatched client that hears nothing": (tried(SILENT), {"lknode01": [], "lknode02": []}, "lkclient itself was not watched"),
    "an unwatched node": (tried(SILENT), {"lkclient": [LEFT_C], "lknode01": []}, "lknode02 was not watched"),
    "silence on lo": (tried(SILENT, "lknode01", VIP), seen([], ON_LO), "does a local filter drop it"),
    "a hairpin that was answered": (
        tried(ANSWERED, "lknode01", A),
        seen([], [syn(A, VIP, "outgoing"), syn(A, A, "host")]),
        "and yet it was answered",
    ),
    "another port's rule": (
        tried(SILENT),
        seen([LEFT_C], [dataclasses.replace(syn(C, A, "host"), dport=8080)]),
        "for another port, at lknode01:8080: the backend port",
    ),
    "another port's rule that is refused": (
        tried(REFUSED),
        seen([LEFT_C], [dataclasses.replace(syn(C, A, "host"), dport=8080)]),
        "for another port, at lknode01:8080",
    ),
    "no local port": (tried(AttemptOutcome.UNREACHABLE, port=None), seen(), "no local port"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_is_no_code_says_why(case):
    attempt, packets, reason = UNKNOWN[case]
    way = classify(attempt, packets, CLUSTER)
    assert way.code == "W?" and reason in way.reason, way
    assert not way.is_known


def test_a_local_flow_is_not_local_once_a_nic_saw_it():
    attempt, packets, _ = CASES["W3"]
    leaked = seen([], [*packets["lknode01"], syn(VIP, VIP, "outgoing", "eth1")])
    way = classify(attempt, leaked, CLUSTER)
    assert way.code == "W?" and way.left_a_nic


def test_another_flow_s_syn_is_not_the_returned_one():
    """A hairpin is told by the same sequence number."""
    attempt = tried(SILENT, "lknode01", A)
    way = classify(attempt, seen([], [syn(A, VIP, "outgoing", seq=7), syn(A, A, "host", seq=8)]), CLUSTER)
    assert way.code == "W8"


@pytest.mark.parametrize(
    ("outcome", "packets", "code"),
    [
        (ANSWERED, [], "W3"),
        (REFUSED, [], "W6"),
        (SILENT, [], "W?"),
        (SILENT, [syn(A, VIP, "outgoing"), syn(A, A, "host")], "W4"),
        (SILENT, [syn(A, VIP, "outgoing")], "W8"),
    ],
)
def test_where_loopback_is_not_captured_what_was_on_no_nic_stayed_inside(outcome, packets, code):
    way = classify(tried(outcome, "lknode01", A), seen([], packets), CLUSTER, without_loopback={"lknode01"})
    assert way.code == code and (code not in ("W3", "W6") or (way.node == "lknode01" and not way.left_a_nic))


def test_no_packet_of_a_host_that_was_not_captured_says_nothing():
    packets = {name: some for name, some in seen().items() if name != "lknode01"}
    assert not classify(tried(ANSWERED, "lknode01", A), packets, CLUSTER, without_loopback={"lknode01"}).is_known


def test_the_address_of_an_attempt_whose_host_tells_its_port_alone():
    one = tried(ANSWERED, "lknode02", None)
    packets = seen([syn(C, VIP, "outgoing")], [syn(S, A, "host"), syn("10.9.9.9", A, "host")], [])
    assert [a.local_address for a in with_addresses([one, tried(SILENT)], packets, CLUSTER)] == [S, C]
    assert [a.local_address for a in with_addresses([one], seen(), CLUSTER)] == [S]
    assert with_addresses([tried(ANSWERED, "lknode02", None, None)], packets, CLUSTER)[0].local_address is None


def test_silence_of_a_linux_node_is_no_stealth_mode_and_a_windows_node_s_answer_that_was_lost_is_none():
    attempt, packets, _ = CASES["W10"]
    assert classify(attempt, packets, CLUSTER).code == "W?"
    packets = {**packets, "lknode01": [*packets["lknode01"], reply(A, C, "SA")]}
    assert classify(attempt, packets, WINDOWS).code == "W?"
    assert "stealth mode" in classify(CASES["W7"][0], CASES["W7"][1], WINDOWS).sentence


def test_the_documents_table_has_the_words_that_reports_have():
    """A reader of a report finds its words in `reading-a-report.md`, and every code has its row there."""
    page = (Path(__file__).parents[2] / "docs" / "reading-a-report.md").read_text()
    assert dict(re.findall(r"(?m)^\| (W\d+) \| ([^|]+) \|", page)) == MEANINGS
