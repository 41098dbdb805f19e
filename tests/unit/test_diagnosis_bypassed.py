"""The diagnosis of connections that go past the load balancer, to the active node's own address."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosis_sample import CLUSTER, client, evidence, faults, node, paths

from harness.config.cluster_config import Design
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence, Socket

FLOATING = CLUSTER.model_copy(update={"design": Design.FLOATING})
PORT = next(s.port for s in CLUSTER.services if s.name == "database")
AS_VIP = {"arrived_as": frozenset({"10.20.1.200"})}
AS_NODE = {"arrived_as": frozenset({"10.20.1.11"})}


def connected(peer: str, address: str = "10.20.1.11", state: str = "ESTAB", port: int = PORT, **more: object) -> Evidence:
    """A floating cluster on whose active node that connection is, and whose client has its other end."""
    here = node("lknode01", sockets=[Socket(state, address, port, peer, 41000)])
    there = client(sockets=[Socket("ESTAB", "10.20.1.20", 41000, address, port, process="app", pid=9)])
    told = {"cluster": FLOATING, "paths": paths(client=AS_VIP, standby=AS_VIP)} | more
    base = evidence(**told)
    return replace(base, hosts={**base.hosts, "lknode01": here, "lkclient": there})


def bypassed(seen: Evidence) -> list[Cause]:
    return [c for c in diagnose(seen).causes if "past the load balancer" in c.says]


def test_a_client_that_is_connected_to_the_node_itself() -> None:
    (cause,) = bypassed(connected("10.20.1.20"))
    assert (cause.host, cause.certainty) == ("lknode01", Certainty.POSSIBLE) and "10.20.1.20 to port 5432 (database) goes" in cause.says
    assert any("app (pid 9) is connected to 10.20.1.11:5432" in line for line in cause.evidence)
    assert faults(diagnose(connected("10.20.1.20"))) == []
    assert bypassed(connected("10.30.5.7")), "another one's than the file's client"


@pytest.mark.parametrize(
    "told",
    [
        {"peer": "10.20.1.12"},  # the other node's
        {"peer": "10.20.2.12"},
        {"peer": "10.20.1.11"},  # its own
        {"peer": "10.20.1.20", "address": "10.20.1.200"},  # as the balancer delivers it
        {"peer": "10.20.1.20", "address": "10.20.2.11"},  # by Subnet#2: no client's way
        {"peer": "10.20.1.20", "state": "TIME-WAIT"},
        {"peer": "10.20.1.20", "port": 22},
        {"peer": "10.20.1.20", "cluster": CLUSTER, "paths": paths()},  # without floating IP all go there
        {"peer": "10.20.1.20", "paths": paths(client=AS_NODE, standby=AS_NODE)},  # floating IP is off, against the file
        {"peer": "10.20.1.20", "paths": paths(client=AS_VIP, standby=AS_NODE)},  # of one rule
        {"peer": "10.20.1.20", "paths": ()},  # that was not seen
        {"peer": "10.20.1.20", "moved": True},
    ],
)
def test_what_does_not_go_past_the_balancer(told: dict) -> None:
    assert bypassed(connected(**told)) == []


def test_many_peers_are_cut_short() -> None:
    base = connected("10.20.1.20")
    many = [Socket("ESTAB", "10.20.1.11", PORT, f"10.30.5.{n}", 41000) for n in range(1, 41)]
    seen = replace(base, hosts={**base.hosts, "lknode01": node("lknode01", sockets=many)})
    (cause,) = bypassed(seen)
    assert "40 connections" in cause.says and "and 35 more" in cause.says and len(cause.evidence) < 9
