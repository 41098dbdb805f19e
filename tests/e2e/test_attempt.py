"""Attempts on real sockets, on loopback: how each ended, from which port, when."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from itertools import pairwise

import pytest
from loopback import PYTHON, echo_server
from namespaced_host import own_machine

from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive
from harness.hosts.local_host import LocalHost
from harness.remote.connections.attempt import attempt
from harness.remote.connections.attempt_outcome import AttemptOutcome
from harness.remote.connections.worker_session import ConnectionWorker
from tests.free_port import free_port


@pytest.fixture(scope="module")
def here():
    host = LocalHost("here")
    resident = ConnectionWorker(host, PYTHON)
    yield resident
    resident.close()
    host.close()


def test_an_answered_attempt_names_both_its_ends(here):
    with echo_server() as (port, peers):
        before, wall = time.monotonic(), time.time()
        (one,) = attempt(here, "127.0.0.1", port)
        after = time.monotonic()
        Deadline(120).wait_for(lambda: peers, what="the server taking what the kernel has answered", every=0.01)
    assert one.outcome is AttemptOutcome.ANSWERED and one.answered
    assert peers == [("127.0.0.1", one.local_port)] and one.local_address == "127.0.0.1"
    assert before <= one.started <= after
    assert wall <= one.host_time <= time.time()


def test_a_refused_attempt_keeps_its_port(here):
    (one,) = attempt(here, "127.0.0.1", free_port())
    assert one.outcome is AttemptOutcome.REFUSED
    assert one.local_address == "127.0.0.1" and one.local_port
    assert one.detail == "ECONNREFUSED"


def test_many_attempts_have_a_port_each_and_stay_bounded(here):
    with echo_server() as (port, peers):
        many = attempt(here, "127.0.0.1", port, count=600, limit=10, reset=True)
    assert {a.outcome for a in many} == {AttemptOutcome.ANSWERED}
    assert len({a.local_port for a in many}) == 600
    assert {p[1] for p in peers} <= {a.local_port for a in many}


def test_no_port_comes_back_soon_whoever_asked_and_there_is_always_one():
    """A SYN is known on the wire by its port. Of 80 ports 20 are remembered: every attempt has another port than the twenty before it, over
    requests as within one. Of two ports none is: an attempt is made all the same."""
    with own_machine() as host:
        for low, high, count in ((50000, 50079, 30), (50000, 50001, 2)):
            done = host.run(f"echo {low} {high} >/proc/sys/net/ipv4/ip_local_port_range", limit=120)
            assert done.ok, done.err
            worker = ConnectionWorker(host, PYTHON)
            try:
                tried = [a for port in (9, 13, 9) for a in attempt(worker, "127.0.0.1", port, count=count, limit=60)]
            finally:
                worker.close()
            assert {a.outcome for a in tried} == {AttemptOutcome.REFUSED}
            ports = [a.local_port for a in sorted(tried, key=lambda a: a.host_time)]
            remembered = (high - low + 1) // 4
            assert all(port not in ports[max(0, i - remembered) : i] for i, port in enumerate(ports)), ports


def test_spaced_attempts_start_one_after_another(here):
    many = attempt(here, "127.0.0.1", free_port(), count=4, spacing=0.05)
    starts = sorted(a.host_time for a in many)
    assert all(later - earlier > 0.02 for earlier, later in pairwise(starts))


def test_a_full_backlog_is_silent_and_one_slow_attempt_delays_no_other(here):
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        port = door.getsockname()[1]
        many = attempt(here, "127.0.0.1", port, count=6, limit=3.0)
    silent = [a for a in many if a.outcome is AttemptOutcome.SILENT]
    assert silent and all(a.local_port and a.local_address == "127.0.0.1" for a in silent)
    assert max(a.host_time for a in many) - min(a.host_time for a in many) < 3.0


def test_a_source_that_the_origin_does_not_have_is_not_a_finding(here):
    with pytest.raises(Inconclusive, match=r"EADDRNOTAVAIL.*no such source address"):
        attempt(here, "127.0.0.1", free_port(), source="10.99.99.99")


def test_attempts_are_frozen_data(here):
    (one,) = attempt(here, "127.0.0.1", free_port())
    assert str(replace(one, seconds=0.0012)).endswith("refused in 1.2 ms (ECONNREFUSED)")
