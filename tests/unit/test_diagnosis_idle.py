"""The diagnosis, family idle_connections: what the balancer forgets, and what either end keeps alive."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosis_sample import client, faults, node, only, with_host

from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Socket


def test_idle_connections_without_keepalive_are_told_and_keepalive_by_itself_is_no_fault() -> None:
    idle = Socket("ESTAB", "10.20.1.20", 40000, "10.20.1.200", 80, idle_s=999.0)
    only(with_host(client(sysctls={"tcp_keepalive_time": "7200"}, sockets=[idle])), "lkclient", "keepalive", "7200")
    assert faults(diagnose(with_host(client(sysctls={"tcp_keepalive_time": "7200"})))) == []


@pytest.mark.parametrize(
    ("timer", "unheard_s", "of_the_server", "dead"),
    [
        ("", 999.0, ("keepalive,1sec,0", 0.5), False),  # the server asks, and is answered
        ("", 999.0, ("keepalive,980ms,0", None), False),
        ("", 999.0, ("keepalive,2.500ms,0", 1.0), False),
        ("", 999.0, ("keepalive,119min,0", 60.0), True),
        ("", 999.0, ("keepalive,2sec,3", 999.0), True),  # it asks, and nobody answers
        ("", 999.0, ("on,2sec,3", 1.0), True),
        ("", 999.0, ("", 999.0), True),
        ("keepalive,1sec,0", 1.0, None, False),
        ("keepalive,1.200ms,0", None, None, False),
        ("keepalive,110min,0", 600.0, None, True),  # Linux's own two hours are too late
        ("keepalive,1min53sec,0", None, None, True),
    ],
)
def test_keepalive_of_either_end_keeps_an_idle_connection_if_it_comes_in_time(
    timer: str, unheard_s: float | None, of_the_server: tuple[str, float | None] | None, dead: bool
) -> None:
    idle = Socket("ESTAB", "10.20.1.20", 40000, "10.20.1.200", 80, idle_s=999.0, timer=timer, unheard_s=unheard_s)
    served = ("ESTAB", "10.20.1.11", 80, "10.20.1.20", 40000)
    ends = [Socket(*served, timer=of_the_server[0], unheard_s=of_the_server[1])] if of_the_server else []
    seen = with_host(node("lknode01", sockets=ends))
    seen = replace(seen, hosts={**seen.hosts, "lkclient": client(sysctls={"tcp_keepalive_time": "7200"}, sockets=[idle])})
    assert [c.host for c in faults(diagnose(seen))] == (["lkclient"] if dead else [])


def test_the_kernels_keepalive_time_keeps_nothing_alive_for_a_program_that_asks_for_none() -> None:
    idle = Socket("ESTAB", "10.20.1.20", 40000, "10.20.1.200", 80, idle_s=999.0, unheard_s=999.0, process="nc", pid=7)
    quick = {"tcp_keepalive_time": "2"}
    only(with_host(client(sysctls=quick, sockets=[idle])), "lkclient", "tcp_keepalive_time is 2 s", "SO_KEEPALIVE", "nc (pid 7) does not")
    own_time = replace(idle, timer="keepalive,119min,0", unheard_s=5.0)  # TCP_KEEPIDLE of its own
    only(with_host(client(sysctls=quick, sockets=[own_time])), "lkclient", "keepalive only in 119min")
    asks = replace(idle, timer="keepalive,1sec,0", unheard_s=1.0)
    assert faults(diagnose(with_host(client(sysctls=quick, sockets=[asks, replace(idle, idle_s=3.0)])))) == []
    only(with_host(client(sockets=[idle])), "lkclient", "not told")
