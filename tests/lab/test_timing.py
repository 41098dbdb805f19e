"""How long a verdict takes, on the wire (facts TIME). The exact windows are proved in test_health_probe.py; here the lower bounds are
firm and the upper ones leave a loaded machine room."""

from __future__ import annotations

import time
from functools import partial

import pytest

from tests.lab.conftest import Bench, Process
from tests.lab.connections import (
    APP,
    CLIENT,
    HTTPD,
    NODE1,
    NODE2,
    PROBE,
    QUIET,
    RESPONDER,
    SYN,
    WATCH,
    ask,
    at_once,
    connect_from,
    deaf,
    gently,  # noqa: F401
    identities,
    next_verdict,
    side_by_side,
    stop,
    switches,
    vip_on,
)

pytestmark = pytest.mark.timing
I = 0.3  # s, the interval  # noqa: E741
RETRANSMITTED_S = 20.0  # within which a SYN has come four times more: after 1, 3, 7 and 15 s
EARLY, LATE = 0.1, 1.5  # s of allowance: a probe that was late itself shortens the interval to the next one


@pytest.fixture(scope="module")
def tcp(make_lab) -> list[Bench]:
    return [make_lab("nat", load_balancer={"probe": {"interval_s": I, "threshold": n}}) for n in (1, 3)]


@pytest.fixture(scope="module")
def designs(make_lab) -> list[Bench]:
    return [make_lab(design, load_balancer={"probe": {"interval_s": I}}) for design in ("nat", "floating")]


@pytest.fixture(scope="module")
def http(make_lab) -> Bench:
    return make_lab("nat", load_balancer={"probe": {"protocol": "http", "interval_s": I, "threshold": 3}})


def threshold(lab: Bench) -> int:
    return lab.data["load_balancer"]["probe"]["threshold"]


def two(seen: list[list[str]]) -> bool:
    return len(seen) >= 2


def within(took: float, least: float, most: float) -> None:
    assert least - EARLY <= took <= most + LATE


@pytest.mark.fact("TIME-01", "TIME-03")
@side_by_side("tcp")
def test_refused_and_answered_again(tcp):
    """A closed listener takes a member out after (N-1)·I to N·I, and an opened one brings it in after as long."""
    n = threshold(tcp)
    tcp.wait_healthy()
    since, began = len(tcp.events()), time.time()
    responder = tcp.start(NODE1, RESPONDER, "0.0.0.0", PROBE)
    within(next_verdict(tcp, NODE1, since=since, up=True) - began, (n - 1) * I, n * I)
    began = time.time()
    stop(responder)
    within(next_verdict(tcp, NODE1, since=since, up=False) - began, (n - 1) * I, n * I)


@pytest.mark.fact("TIME-02", "PRB-10")
@side_by_side("tcp")
def test_silence(tcp):
    """A dead machine and one whose packets are dropped are both taken out after N·I to (N+1)·I."""
    n = threshold(tcp)
    for node in (NODE1, NODE2):
        tcp.start(node, RESPONDER, "0.0.0.0", PROBE)
    tcp.wait_healthy(NODE1, NODE2)
    since, began = len(tcp.events()), time.time()
    tcp.ask("power", node=NODE1, to="off")
    try:
        off = time.time()
        with deaf(tcp, NODE2):
            down = next_verdict(tcp, NODE2, since=since, up=False)
        within(down - off, n * I, (n + 1) * I)
        within(next_verdict(tcp, NODE1, since=since, up=False) - began, n * I, (n + 1) * I)
    finally:
        tcp.ask("power", node=NODE1, to="on")


@pytest.mark.fact("TIME-04")
def test_an_http_status_needs_no_threshold(http):
    """An HTTP status flips the verdict within I in either direction, although the threshold is 3."""
    server = http.start(NODE1, HTTPD, "0.0.0.0", PROBE)
    http.wait_healthy(NODE1)
    for answer, up in (("503", False), ("200", True)):
        since, began, served = len(http.events()), time.time(), ask(server, f"answer {answer}")
        within(next_verdict(http, NODE1, since=since, up=up) - began, 0, I)
        assert ask(server, "") - served <= 2  # not three of them


@pytest.mark.fact("TIME-05", "PRB-11")
def test_http_silence(http):
    """A silent HTTP responder is taken out after (N-1)·I + T to N·I + T, with T the interval."""
    server = http.start(NODE1, HTTPD, "0.0.0.0", PROBE)
    http.wait_healthy(NODE1)
    since, began = len(http.events()), time.time()
    ask(server, "answer silent")
    within(next_verdict(http, NODE1, since=since, up=False) - began, 2 * I + I, 3 * I + I)


@pytest.mark.fact("TIME-06")
@side_by_side("tcp")
def test_down_before_up_makes_a_gap(tcp):
    """When the old node goes down before the new one comes up there is a gap, at least as long as the takeover, without anybody."""
    for node in (NODE1, NODE2):
        tcp.listen(node, APP)
    old = tcp.start(NODE1, RESPONDER, "0.0.0.0", PROBE)
    tcp.wait_healthy(NODE1)
    since = len(tcp.events())
    stop(old)
    down = next_verdict(tcp, NODE1, since=since, up=False)
    assert identities(tcp, count=3, limit=QUIET) == ["silent"] * 3  # the takeover goes on meanwhile
    opened = time.time()
    tcp.start(NODE2, RESPONDER, "0.0.0.0", PROBE)
    up = next_verdict(tcp, NODE2, since=since, up=True)
    assert up - down >= opened - down + (threshold(tcp) - 1) * I - EARLY
    assert tcp.wait_for(lambda: switches(tcp, since), "both switches", until=two) == [[], [NODE2]]
    assert identities(tcp, count=3) == [NODE2] * 3


@pytest.mark.fact("TIME-06")
@side_by_side("tcp")
def test_up_before_down_makes_an_overlap(tcp):
    """When the new node comes up first two members are healthy for a while, and new flows are split between them."""
    for node in (NODE1, NODE2):
        tcp.listen(node, APP)
    old = tcp.start(NODE1, RESPONDER, "0.0.0.0", PROBE)
    tcp.wait_healthy(NODE1)
    since = len(tcp.events())
    tcp.start(NODE2, RESPONDER, "0.0.0.0", PROBE)
    tcp.wait_healthy(NODE1, NODE2)
    assert set(connect_from(tcp, 21000, 20)) == {NODE1, NODE2}
    stop(old)
    tcp.wait_healthy(NODE2)
    assert tcp.wait_for(lambda: switches(tcp, since), "both switches", until=two) == [[NODE1, NODE2], [NODE2]]
    assert set(connect_from(tcp, 21000, 20)) == {NODE2}


@pytest.mark.fact("TIME-10")
@side_by_side("designs")
def test_a_connect_begun_in_the_gap_succeeds_on_a_retransmission(designs):
    """A SYN that the old node swallowed, and one that came while nobody was healthy, are answered by the new node once they come again.

    By then neither flow is pinned: no handshake was ever answered.
    """
    for node in (NODE1, NODE2):
        designs.listen(node, APP)
    old, wire, client = designs.start(NODE1, RESPONDER, "0.0.0.0", PROBE), designs.start(NODE1, WATCH), designs.start(CLIENT, WATCH)
    designs.wait_healthy(NODE1)
    patiently = partial(designs.connect, CLIENT, designs.vip, APP, limit=RETRANSMITTED_S)
    with vip_on(designs, NODE1, NODE2), deaf(designs, NODE1, APP), at_once() as submit:
        swallowed = submit(patiently)
        designs.wait_for(lambda: _syns(wire), "the SYN at the old node")
        stop(old)
        designs.wait_healthy()
        begun = len({p["sport"] for p in _syns(client)})
        unheard = submit(patiently)
        designs.wait_for(lambda: len({p["sport"] for p in _syns(client)}) > begun, "the SYN in the gap")
        designs.start(NODE2, RESPONDER, "0.0.0.0", PROBE)
        designs.wait_healthy(NODE2)
        (first,), (second,) = swallowed.result(), unheard.result()
    assert (first["outcome"], second["outcome"]) == ("answered", "answered")
    assert first["hello"]["host"] == second["hello"]["host"] == NODE2
    for one in (first, second):
        assert len([p for p in _syns(client) if p["sport"] == one["port"]]) > 1  # not at the first attempt


def _syns(watch: Process) -> list[dict]:
    return [p for p in ask(watch, "") if p["flags"] == SYN and p["dport"] == APP]
