"""The diagnosis, family taken_ports: ports that something else has, and what only looks so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_diagnosis import WEB, faults, node, only, with_host

from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Socket


@pytest.mark.parametrize("state", ["ESTAB", "SYN-SENT", "CLOSE-WAIT"])
def test_an_outgoing_connection_has_the_port_where_a_process_has_the_connection(state: str) -> None:
    held = Socket(state, "10.20.1.12", WEB.port, "10.20.2.11", 22, process="nc", pid=7)
    only(with_host(node("lknode02", sockets=[held])), "lknode02", f"port {WEB.port} (web) is in use", "nc (pid 7)")


@pytest.mark.parametrize("state", ["FIN-WAIT-1", "FIN-WAIT-2", "LAST-ACK", "CLOSING", "TIME-WAIT"])
def test_what_is_half_closed_after_a_move_is_in_nobodys_way(state: str) -> None:
    left = Socket(state, "10.20.1.12", WEB.port, "10.20.1.20", 40000)
    assert faults(diagnose(with_host(node("lknode02", sockets=[left])))) == []
