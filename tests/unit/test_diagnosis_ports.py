"""The diagnosis, family taken_ports: ports that something else has, and what only looks so."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace

import pytest
from diagnosis_sample import CLUSTER, WEB, client, faults, listening, node, only, paths, with_host

from harness.collect.linux_host_script import script
from harness.diagnosis import linux_host_script_parse
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Socket
from harness.managers.manager_registry import manager_of


@pytest.mark.parametrize("state", ["ESTAB", "SYN-SENT", "CLOSE-WAIT"])
def test_an_outgoing_connection_has_the_port_where_a_process_has_the_connection(state: str) -> None:
    held = Socket(state, "10.20.1.12", WEB.port, "10.20.2.11", 22, process="nc", pid=7)
    only(with_host(node("lknode02", sockets=[held])), "lknode02", f"port {WEB.port} (web) is in use", "nc (pid 7)")


@pytest.mark.parametrize("state", ["FIN-WAIT-1", "FIN-WAIT-2", "LAST-ACK", "CLOSING", "TIME-WAIT"])
def test_what_is_half_closed_after_a_move_is_in_nobodys_way(state: str) -> None:
    left = Socket(state, "10.20.1.12", WEB.port, "10.20.1.20", 40000)
    assert faults(diagnose(with_host(node("lknode02", sockets=[left])))) == []


def test_a_connection_that_came_in_is_no_outgoing_one() -> None:
    """A server that was killed, and whose children go on: no ephemeral port of the kernel's was taken."""
    left = Socket("ESTAB", "10.20.1.12", WEB.port, "10.20.1.20", 50122, process="worker", pid=7)
    cause = only(with_host(node("lknode02", sockets=[left])), "lknode02", "nobody listens on port", "worker (pid 7)", "a server that ended")
    assert cause.certainty is Certainty.LIKELY and "outgoing" not in cause.says and "ip_local" not in cause.do
    going = Socket("ESTAB", "10.20.1.12", WEB.port, "10.20.2.11", 22, process="nc", pid=8)
    both = only(with_host(node("lknode02", sockets=[left, going])), "lknode02", "an outgoing connection", "nc (pid 8)")
    assert "beside what is reserved there already" in both.do


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.53", "10.20.2.12"])
def test_the_probes_port_where_only_the_standby_itself_gets_at_it(address: str) -> None:
    taken = node("lknode02", listeners=[listening(12345, address, process="python3", pid=9)])
    only(
        with_host(taken),
        "lknode02",
        f"python3 (pid 9) has port 12345 (the health-check resource) on {address} of lknode02",
        "could not start",
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.53"])
def test_a_services_port_on_the_standbys_loopback(address: str) -> None:
    taken = node("lknode02", listeners=[listening(WEB.port, address, process="python3", pid=9)])
    only(with_host(taken), "lknode02", f"python3 (pid 9) has port {WEB.port} (web) on {address} of lknode02", "could not start")
    told = diagnose(
        with_host(node("lknode02", listeners=[listening(WEB.port, address), listening(WEB.port, "10.20.1.12", process="other")]))
    )
    assert ["other (pid 5)" in c.says for c in faults(told)] == [True]  # what others reach comes first


@pytest.mark.parametrize(
    ("port", "address", "of_the_active"),
    [
        (WEB.port, "127.0.0.1", ["10.20.1.11", "10.20.1.200"]),  # they keep out of each other's way
        (WEB.port, "::1", ["0.0.0.0"]),
        (WEB.port, "127.0.0.1", ["::"]),
        (WEB.port, "127.0.0.1", []),  # it is not known where the service listens
        (12345, "127.0.0.1", ["10.20.1.11"]),
    ],
)
def test_a_listener_on_the_standbys_loopback_that_is_in_nobodys_way(port: int, address: str, of_the_active: list[str]) -> None:
    base = node("lknode01")
    mine = [*(s for s in base.listeners or () if s.port != port), *(listening(port, a) for a in of_the_active)]
    seen = with_host(node("lknode02", listeners=[listening(port, address)]))
    seen = replace(seen, hosts={**seen.hosts, "lknode01": replace(base, listeners=mine)})
    assert [c.says for c in faults(diagnose(seen)) if "could not start" in c.says] == []


def test_ports_that_outgoing_connections_may_get_are_worth_a_look_once_for_each_node() -> None:
    wide = {"ip_local_port_range": "9000\t65500"}
    told = [c for c in diagnose(with_host(node("lknode02", sysctls=wide))).causes if "ephemeral" in c.says]
    assert [(c.host, c.certainty) for c in told] == [("lknode02", Certainty.POSSIBLE)] and "port 12345" in told[0].says
    for sound in (
        {"ip_local_reserved_ports": "12345,40000-40010"},
        {"ip_local_port_range": "32768 60999"},
        {"ip_local_port_range": "32768"},
    ):
        told = [c for c in diagnose(with_host(node("lknode02", sysctls={**wide, **sound}))).causes if "ephemeral" in c.says]
        assert told == [], sound
    assert [c for c in diagnose(with_host(node("lknode02"))).causes if "ephemeral" in c.says] == []


TWO_PORTS = {"ip_local_port_range": "50000\t50001"}


def test_a_client_whose_ports_are_all_in_time_wait() -> None:
    unknown = {"outcome": "inconclusive", "outcomes": frozenset(), "ways": frozenset(), "nodes": frozenset()}
    reason = "it could not be checked: lkclient: no connection to 10.20.1.200:80 could be tried: EADDRNOTAVAIL, the origin has no …"
    broke = [replace(p, **unknown, reason=reason) if p.service is WEB and p.path == "client" else p for p in paths()]
    waits = client(sysctls=TWO_PORTS, time_wait={("10.20.1.200", 80): 2})
    cause = only(with_host(waits, paths=broke), "lkclient", "ephemeral port", "TIME-WAIT", "50000–50001", "2 connections")
    assert cause.explains == ("client/web",)
    fewer = client(sysctls=TWO_PORTS, time_wait={("10.20.1.200", 80): 1, ("10.20.1.200", 1521): 1, ("10.20.1.9", 80): 9})
    assert faults(diagnose(with_host(fewer))) == []
    told = only(with_host(fewer, paths=broke), "lkclient", "ephemeral port", "50000–50001", "EADDRNOTAVAIL")  # by what attempts say alone
    assert told.certainty is Certainty.LIKELY and told.explains == ("client/web",)


SS = """State     Recv-Q Send-Q Local Address:Port Peer Address:Port Process
ESTAB     0 0 10.20.1.20:40000 10.20.1.200:80 timer:(keepalive,9sec,0)
\t cubic lastsnd:5000 lastrcv:6000 lastack:2000
TIME-WAIT 0 0 10.20.1.20:50000 10.20.1.200:80 timer:(timewait,58sec,0)
\t more of it
TIME-WAIT 0 0 10.20.1.20:50001 10.20.1.200:80 timer:(timewait,58sec,0)
TIME-WAIT 0 0 10.20.1.20:50000 10.20.1.200:1521 timer:(timewait,58sec,0)
ESTAB     0 0 10.20.1.20:40001 10.20.1.200:80
\t cubic lastsnd:1 lastrcv:1 lastack:1
"""


def test_a_client_tells_its_sockets_in_time_wait_by_their_number() -> None:
    manager = manager_of(CLUSTER, {})
    asked = script(CLUSTER, CLUSTER.client, manager)
    program = re.search(r"ss -tanopi '[^']*' \| (awk '[^']*')", asked)
    assert program is not None and "exclude time-wait" not in asked and "exclude time-wait" in script(CLUSTER, CLUSTER.nodes[0], manager)
    printed = subprocess.run(["sh", "-c", program[1]], input=SS, capture_output=True, text=True, check=True).stdout
    seen = linux_host_script_parse.host("lkclient", f"@@ sockets\n{printed}")
    assert seen.time_wait == {("10.20.1.200", 80): 2, ("10.20.1.200", 1521): 1}
    assert [(s.port, s.idle_s) for s in seen.sockets] == [(40000, 5.0), (40001, 0.001)]
