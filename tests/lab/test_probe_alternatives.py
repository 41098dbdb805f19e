"""The open questions of the probes, answered the other way than by default (OQ-05, OQ-06, OQ-10, OQ-14, OQ-19)."""

from __future__ import annotations

import time

import pytest

from tests.lab.conftest import Bench
from tests.lab.connections import (
    ACK,
    HTTPD,
    NODE1,
    NODE2,
    PROBE,
    RESPONDER,
    RST,
    SYN,
    WATCH,
    after_probes,
    answer_by_the_second_nic,
    answers,
    ask,
    gently,  # noqa: F401
    next_verdict,
    stop,
)


@pytest.fixture(scope="module")
def http(make_lab) -> Bench:
    return make_lab("nat", load_balancer={"probe": {"protocol": "http", "threshold": 3, "interval_s": 0.15}})


@pytest.fixture(scope="module")
def otherwise(make_lab) -> Bench:
    """The open questions of the TCP probe, each answered the other way."""
    unknowns = {
        "flap_penalty_intervals": 2,
        "probe_connection": "hold",
        "probe_answer_through_other_nic": "accept",
        "first_success_after_boot": "one",
    }
    return make_lab("nat", load_balancer={"probe": {"threshold": 3, "interval_s": 0.15}}, lab={"unknowns": unknowns})


@pytest.fixture(scope="module")
def http_otherwise(make_lab) -> Bench:
    """The same of the HTTP probe."""
    unknowns = {"probe_connection": "keep-alive", "http_probe_refused": "at-once"}
    # One answer that a busy machine delays beyond an interval would cost the kept connection, and a closed listener gives no other.
    return make_lab("nat", load_balancer={"probe": {"protocol": "http", "threshold": 3, "interval_s": 0.7}}, lab={"unknowns": unknowns})


@pytest.mark.fact("OQ-10")
def test_a_probe_answered_on_another_nic_counts_where_told_so(otherwise):
    """With probe_answer_through_other_nic = accept the member stays up while its answers leave by the second NIC."""
    otherwise.start(NODE1, RESPONDER, "0.0.0.0", PROBE)
    otherwise.wait_healthy(NODE1)
    watch = otherwise.start(NODE1, WATCH)
    since = len(otherwise.events())
    answer_by_the_second_nic(otherwise, True)
    try:
        after_probes(otherwise, NODE1, 5)
        assert [p["nic"] for p in ask(watch, "") if p["out"] and p["sport"] == PROBE and p["flags"] == SYN | ACK].count("eth1") >= 4
        assert not [e for e in otherwise.events()[since:] if e["kind"] == "probe"]
    finally:
        answer_by_the_second_nic(otherwise, False)


@pytest.mark.fact("OQ-05", "OQ-19")
def test_the_first_success_may_be_enough_and_a_flapping_member_may_wait(otherwise):
    """With first_success_after_boot = one the first success counts alone; with a flap penalty of 2 the way back takes 3 + 2 successes."""
    otherwise.ask("power", node=NODE2, to="off")
    otherwise.wait_for(lambda: NODE2 not in otherwise.healthy(), "its loss")
    otherwise.ask("power", node=NODE2, to="on")
    watch = otherwise.start(NODE2, WATCH)
    since, began = len(otherwise.events()), time.time()
    responder = otherwise.start(NODE2, RESPONDER, "0.0.0.0", PROBE)
    up = next_verdict(otherwise, NODE2, since=since, up=True)
    assert answers(ask(watch, ""), SYN | ACK, after=began, before=up) == 1
    stop(responder)
    next_verdict(otherwise, NODE2, since=since, up=False)
    since, began = len(otherwise.events()), time.time()
    otherwise.start(NODE2, RESPONDER, "0.0.0.0", PROBE)
    again = next_verdict(otherwise, NODE2, since=since, up=True)
    assert answers(ask(watch, ""), SYN | ACK, after=began, before=again) == 5


@pytest.mark.fact("OQ-06")
@pytest.mark.parametrize("held", [False, True])
def test_how_long_a_tcp_probe_stays_open(nat, otherwise, held):
    """A TCP probe connection is closed at once, or with probe_connection = hold only when the next probe is due."""
    lab = otherwise if held else nat
    interval = lab.data["load_balancer"]["probe"]["interval_s"]
    responder = lab.start(NODE1, RESPONDER, "0.0.0.0", PROBE)
    ended = lab.wait_for(lambda: [c for c in ask(responder, "") if c[1]], "ended probes", until=lambda found: len(found) >= 5)
    middle = sorted(closed - opened for opened, closed, _, _ in ended)[len(ended) // 2]
    assert (middle > interval / 2) == held
    assert {how for _, _, how, _ in ended} == {"fin"}


@pytest.mark.fact("OQ-06")
def test_a_kept_http_connection_hides_a_closed_listener(http_otherwise):
    """With probe_connection = keep-alive a node stays up after its listener has closed, unless it answers Connection: close."""
    lab = http_otherwise
    server = lab.start(NODE1, HTTPD, "0.0.0.0", PROBE)
    ask(server, "connection keep-alive")
    lab.wait_healthy(NODE1)
    served = ask(server, "unlisten")
    after_probes(lab, NODE1, 4)
    assert lab.connect(NODE1, "127.0.0.1", PROBE)[0]["outcome"] == "refused"
    assert lab.healthy() == [NODE1] and ask(server, "unlistened already? answers go on") >= served + 3
    ask(server, "connection close")
    lab.wait_healthy()


@pytest.mark.fact("OQ-14")
@pytest.mark.parametrize(("at_once", "refusals"), [(False, 3), (True, 1)])
def test_a_refused_http_probe_is_counted_or_decides(http, http_otherwise, at_once, refusals):
    """A refused HTTP probe counts towards the threshold of 3, or with http_probe_refused = at-once decides alone."""
    lab = http_otherwise if at_once else http
    watch = lab.start(NODE1, WATCH)
    server = lab.start(NODE1, HTTPD, "0.0.0.0", PROBE)
    lab.wait_healthy(NODE1)
    since, began = len(lab.events()), time.time()
    stop(server)
    down = next_verdict(lab, NODE1, since=since, up=False)
    assert answers(ask(watch, ""), RST | ACK, after=began, before=down) == refusals
    assert lab.reason(NODE1) == "Down_Probe_HttpEndpointUnreachable"
