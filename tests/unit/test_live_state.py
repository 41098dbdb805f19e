"""What the meter knows while it measures: who answered last, for how long a series has been out, and whether all has recovered."""

from __future__ import annotations

import time

import pytest
from recordings import ADDRESSES, CLIENT, PROBE, A, B, a_series

from harness.measure.live_state import RETENTION_S, UNKNOWN, Live
from harness.remote.recording.recording import PINNED, CapturedPacket, NodeEvent, Sample

SOURCE = "168.63.129.16"
SERIES = a_series()
PIN = a_series(kind=PINNED)
OWN = a_series(A)


@pytest.fixture
def live() -> Live:
    return Live([SERIES, PIN, OWN], ADDRESSES, (SOURCE, PROBE))


@pytest.fixture
def now() -> float:
    return time.monotonic()


def answered(at: float, port: int, outcome: str = "answered") -> Sample:
    return Sample(at, 0.0004, outcome, port)


def syn(
    at: float, host: str, port: int, *, src: str = "10.20.1.20", what: str = "syn", interface: str = "eth0", out: bool = False
) -> CapturedPacket:
    return CapturedPacket(at, host, interface, what, src, port, "10.20.1.11", SERIES.port, out)


def fill(live: Live, now: float, node: str | None, *, count: int = 10, series: str = SERIES.id, first_port: int = 40000) -> None:
    """Attempts of the last tenth of a second, one each 10 ms, each answered and received by `node` (seen by nobody when None)."""
    times = [now - 0.01 * (count - i) for i in range(count)]
    live.samples(series, [answered(at, first_port + i) for i, at in enumerate(times)])
    if node:
        live.sightings([syn(at, node, first_port + i) for i, at in enumerate(times)])


def standing(live: Live, series: str = SERIES.id):
    return next(s for s in live.states() if s.series.id == series)


def test_nothing_is_known_at_first(live, now):
    assert {s.outcome for s in live.states()} == {UNKNOWN} and {s.node for s in live.states()} == {None}
    assert not live.is_right(SERIES.id, None, since=now - 1)
    assert live.last_probe(A) is None


@pytest.mark.parametrize("what", ["syn", "socket"])
def test_who_answers_is_the_node_that_received_it(live, now, what):
    """By its SYN, or by the connection in its socket table where packets may not be captured."""
    live.samples(SERIES.id, [answered(now, 40000)])
    live.sightings([syn(now, B, 40000, what=what)])
    assert (standing(live).node, standing(live).outcome, standing(live).recovered_after_s) == (B, "answered", 0.0)


@pytest.mark.parametrize(
    "seen",
    [
        {"out": True},  # leaving a node, it was not for it
        {"src": "10.20.1.99"},  # somebody else's, from the same port
        {"what": "data"},
        {"what": "rst"},
    ],
    ids=str,
)
def test_other_packets_tell_nothing(live, now, seen):
    live.samples(SERIES.id, [answered(now, 40000)])
    live.sightings([syn(now, B, 40000, **seen)])
    assert standing(live).node is None


def test_an_old_packet_from_the_same_port_is_another_attempts(live, now):
    live.samples(SERIES.id, [answered(now, 40000)])
    live.sightings([syn(now - RETENTION_S - 0.1, B, 40000)])
    assert standing(live).node is None


def test_on_lo_it_is_the_hosts_own(live, now):
    """Its source may be the VIP, and it leaves and arrives at once."""
    live.samples(OWN.id, [answered(now, 40000)])
    live.sightings([syn(now, A, 40000, src="10.20.1.200", interface="lo", out=True)])
    assert standing(live, OWN.id).node == A and standing(live).node is None


def test_right_by_the_node_that_is_wanted(live, now):
    fill(live, now, B)
    assert live.is_right(SERIES.id, B, since=now - 0.2) and live.is_right(SERIES.id, None, since=now - 0.2)
    assert not live.is_right(SERIES.id, A, since=now - 0.2)


def test_two_nodes_are_not_right(live, now):
    """Not even when it does not matter which one answers."""
    fill(live, now - 0.1, A)
    fill(live, now, B, first_port=41000)
    assert not live.is_right(SERIES.id, None, since=now - 0.3) and not live.is_right(SERIES.id, B, since=now - 0.3)
    assert live.is_right(SERIES.id, B, since=now - 0.105), "what was before is over"


@pytest.mark.parametrize("outcome", ["silent", "refused", "reset", "unreachable"])
def test_one_that_failed_since_is_not_right(live, now, outcome):
    fill(live, now, B)
    live.samples(SERIES.id, [answered(now - 0.05, 50000, outcome)])
    assert not live.is_right(SERIES.id, B, since=now - 0.2)
    assert live.is_right(SERIES.id, B, since=now - 0.045)


def test_what_was_not_tried_does_not_count(live, now):
    fill(live, now, B)
    live.samples(SERIES.id, [answered(now, 0, "skipped")])
    assert live.is_right(SERIES.id, B, since=now - 0.2)


def test_too_few_to_tell(live, now):
    fill(live, now, B, count=2)
    assert not live.is_right(SERIES.id, B, since=now - 0.2)
    fill(live, now, B, count=3)
    assert not live.is_right(SERIES.id, B, since=now + 0.1)


def test_a_packet_still_under_way_does_not_keep_it_from_being_right(live, now):
    fill(live, now, B)
    live.samples(SERIES.id, [answered(now + 0.001, 50000)])
    assert live.is_right(SERIES.id, B, since=now - 0.2)


def test_answered_by_nobody_that_is_known_is_not_right(live, now):
    """Unless nobody watches: then the answer is all there is. Who has a kept connection was seen long ago."""
    fill(live, now, None)
    assert not live.is_right(SERIES.id, None, since=now - 0.2)
    assert live.is_right(SERIES.id, None, since=now - 0.2, watched=False)
    fill(live, now, None, series=PIN.id)
    assert live.is_right(PIN.id, B, since=now - 0.2)


def test_for_how_long_it_is_out(live, now):
    live.samples(SERIES.id, [answered(now, 1), *(answered(now + 0.01 * n, 1 + n, "silent") for n in range(1, 101))])
    assert standing(live).outcome == "silent" and standing(live).node is None
    assert standing(live).recovered_after_s == pytest.approx(1.0)
    live.samples(SERIES.id, [answered(now + 1.5, 500)])
    assert standing(live).recovered_after_s == 0.0


def test_for_how_long_when_it_is_longer_than_anything_is_remembered(live, now):
    live.samples(SERIES.id, [answered(now, 1)])
    for second in range(1, 3 * int(RETENTION_S)):
        live.samples(SERIES.id, [answered(now + second, 1 + second, "silent")])
    assert standing(live).recovered_after_s == pytest.approx(3 * int(RETENTION_S) - 1)


def test_the_last_probe_of_each_node(live, now):
    def probe(at: float, host: str, **more) -> CapturedPacket:
        given = {"src": SOURCE, "dport": PROBE, "what": "syn", "outgoing": False, **more}
        return CapturedPacket(at, host, "eth0", given["what"], given["src"], 5000, ADDRESSES[host][0], given["dport"], given["outgoing"])

    live.sightings([probe(now, A), probe(now + 0.2, B), probe(now + 0.25, A)])
    assert (live.last_probe(A), live.last_probe(B), live.last_probe(CLIENT)) == (now + 0.25, now + 0.2, None)
    for other in ({"src": "10.20.1.20"}, {"dport": 1521}, {"outgoing": True}, {"what": "data"}):
        live.sightings([probe(now + 1, A, **other)])
    assert live.last_probe(A) == now + 0.25


def test_news_are_what_changed_and_what_the_manager_notices(live, now):
    live.event(NodeEvent(now, A, "log", "a line like any other"))
    assert live.news == ""
    live.event(NodeEvent(now, A, "vip-up", "eth1"))
    assert live.news == "lknode01: vip-up eth1"
    live.event(NodeEvent(now, B, "log", "FAILOVER: begins", {"means": "noticed"}))
    assert live.news == "lknode02: log FAILOVER: begins"


@pytest.mark.parametrize(
    ("left", "told", "node"),
    [(False, True, A), (True, True, None), (False, False, None)],
    ids=["on no NIC", "it left", "its packets may be on the way here"],
)
def test_what_no_nic_saw_stayed_inside_where_loopback_is_not_captured(now, left, told, node):
    live = Live([OWN], ADDRESSES, (SOURCE, PROBE), without_loopback=[A])
    live.samples(OWN.id, [answered(now - 1, 40000)])
    live.sightings([syn(now - 1, A, 40000, out=True)] if left else [])
    live.sightings([syn(now if told else now - 2, A, 40001, out=True)])
    assert standing(live, OWN.id).node == node


def test_a_port_used_again_is_not_the_one_of_before_where_loopback_is_not_captured(now):
    live = Live([OWN], ADDRESSES, (SOURCE, PROBE), without_loopback=[A])
    live.samples(OWN.id, [answered(now - 1, 40000)])
    own = ADDRESSES[A][0]
    live.sightings([syn(now - 2.5, A, 40000, src=own, out=True), syn(now - 2.5, B, 40000, src=own), syn(now, A, 40001, out=True)])
    assert standing(live, OWN.id).node == A
