"""The distribution modes' keys (facts FLOW-01, FLOW-02), over so many clients, rules and ports that no part of a key can be wrong by luck.

Packets are made, not connections: only so can a lab's one client have many addresses. Which node got each is seen at the nodes.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP

from harness.core.deadline import Deadline
from tests.lab.connections import SECOND_APP, gently, side_by_side  # noqa: F401
from tests.lab.frame_capture import ADDRESS, APP, CLIENT, NODE1, NODE2, Eyes, in_fabric, only_up

CLIENTS = [f"10.20.1.{n}" for n in range(64, 72)]
TCP_PORTS = [APP, SECOND_APP, *range(8000, 8009)]
UDP_PORTS = [5353, *range(8000, 8003)]
RULES = [{"protocol": "tcp", "port": p} for p in TCP_PORTS if p >= 8000] + [{"protocol": "udp", "port": p} for p in UDP_PORTS]
LIMIT_S = 120.0  # for a packet to be seen where it went; takes milliseconds

Went = dict[str, dict[str, list[str]]]  # client → tcp or udp → the node that each port's packet went to


@pytest.fixture(scope="module")
def modes(make_lab) -> list[Any]:
    """A lab of either design for each mode but Default, in which the fabric takes the many clients for the one."""
    labs = [
        make_lab(design, load_balancer={"distribution": mode}, lab={"rules": RULES})
        for mode in ("SourceIP", "SourceIPProtocol")
        for design in ("nat", "floating")
    ]
    for lab in labs:
        in_fabric(lab, "nft", f"insert rule ip fabric sources ip saddr {{ {', '.join(CLIENTS)} }} accept")
    return labs


def where_they_went(lab: Any) -> Went:
    """A TCP and a UDP packet from every client to every rule, each from a source port of its own."""
    client, nodes = Eyes(lab, CLIENT), {name: Eyes(lab, name) for name in (NODE1, NODE2)}
    packets = [
        IP(src=address, dst=lab.vip) / layer(sport=20000 + 97 * i + port % 89, dport=port)
        for i, address in enumerate(CLIENTS)
        for layer, ports in ((TCP, TCP_PORTS), (UDP, UDP_PORTS))
        for port in ports
    ]
    client.send(*packets)
    found: dict[tuple[str, int, int], str] = {}

    def look() -> int:
        for name, eyes in nodes.items():
            arrived = (s for s in eyes.all(out=False) if s.src in CLIENTS)
            found.update({(s.src, s.proto, s.dport): name for s in arrived})
        return len(found)

    # Each look takes all frames so far apart again, in scapy.
    Deadline(LIMIT_S).wait_for(look, what="every packet at a node", until=lambda n: n == len(packets), every=0.5)
    went: Went = defaultdict(lambda: {"tcp": [], "udp": []})
    for (address, protocol, _), name in sorted(found.items()):
        went[address]["tcp" if protocol == 6 else "udp"].append(name)
    return went


@pytest.mark.fact("FLOW-02")
@side_by_side("modes")
def test_what_parts_flows_and_what_does_not(modes):
    """SourceIP parts clients and nothing else; SourceIPProtocol parts a client's protocols as well, but no ports."""
    with only_up(modes, NODE1, NODE2):
        went = where_they_went(modes)
    assert set(went) == set(CLIENTS) and ADDRESS[CLIENT] not in went
    assert {c: by for c, by in went.items() if len(set(by["tcp"])) > 1 or len(set(by["udp"])) > 1} == {}, "a client's ports were parted"
    assert {by["tcp"][0] for by in went.values()} == {by["udp"][0] for by in went.values()} == {NODE1, NODE2}, "clients were not parted"
    protocols_parted = {c for c, by in went.items() if by["tcp"][0] != by["udp"][0]}
    if modes.data["load_balancer"]["distribution"] == "SourceIP":
        assert protocols_parted == set()
    else:
        assert set() < protocols_parted < set(CLIENTS)  # which of them, the hash decides
