"""Clients of other networks that are connected now, and what the standby would make of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, WEB, evaluated, evidence, node

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Socket
from harness.diagnosis.firewall import parse
from harness.hosts.linux.linux_parse import InterfaceAddress

OWN = "10.20.1.11"
CLOSED = "*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -s {} -j ACCEPT\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n"
ONLY_OURS = CLOSED.format("10.20.0.0/16").replace("-A INPUT -i lo", "-A INPUT -s 168.63.129.16 -j ACCEPT\n-A INPUT -i lo")


def told(
    *peers: str,
    port: int = WEB.port,
    address: str = OWN,
    there: dict[str, Any] | None = None,
    here: dict[str, Any] | None = None,
    **more: Any,
) -> list[Cause]:
    sockets = [Socket("ESTAB", address, port, peer, 40000 + n) for n, peer in enumerate(peers)]
    one, two = (node(name, **(of or {})) for name, of in (("lknode01", here), ("lknode02", there)))
    hosts = {**evidence().hosts, "lknode01": replace(one, sockets=sockets), "lknode02": two}
    seen = replace(evidence(**more), hosts=hosts, firewalls=evaluated(hosts))
    return [c for c in diagnose(seen).causes if "would get no answer from" in c.says]


def nics(name: str, *more: InterfaceAddress) -> dict[str, Any]:
    return {"addresses": [*(node(name).addresses or ()), *more]}


DOCKER = InterfaceAddress("docker0", "10.30.5.1", 24, "DOWN")


def test_a_network_of_the_standbys_own_that_has_their_address() -> None:
    (cause,) = told("10.30.5.7", "10.30.5.7", "10.30.5.9", there=nics("lknode02", DOCKER))
    assert (cause.host, cause.certainty) == ("lknode02", Certainty.LIKELY) and "10.30.5.7 and 10.30.5.9" in cause.says
    assert "10.30.5.0/24 is the network of its own NIC docker0" in cause.says and "3 connections" in cause.evidence[0]


def test_a_firewall_of_the_standbys_that_knows_the_cluster_alone() -> None:
    (cause,) = told("10.30.5.7", there={"firewall": parse(ONLY_OURS)})
    assert cause.host == "lknode02" and "its firewall stops them by" in cause.says
    assert told("10.30.5.7", there={"firewall": parse(ONLY_OURS)}, here={"firewall": parse(ONLY_OURS)}) == [], "so it is on both"


@pytest.mark.parametrize(
    "of",
    [
        {"peers": ["10.30.5.7"]},
        {
            "peers": ["10.20.1.20", "10.20.1.77", "10.20.1.12", "127.0.0.1", "169.254.1.1", "::1", "rubbish"],
            "there": nics("lknode02", DOCKER),
        },
        {"peers": ["10.30.5.7"], "port": 22, "there": nics("lknode02", DOCKER)},
        {"peers": ["10.30.5.7"], "address": "10.20.2.11", "there": nics("lknode02", DOCKER)},
        {"peers": ["10.30.5.7"], "here": nics("lknode01", DOCKER), "there": nics("lknode02", DOCKER)},  # a container of its own
        {"peers": ["10.30.6.7"], "there": nics("lknode02", DOCKER)},
        {"peers": ["10.30.5.7"], "there": nics("lknode02", DOCKER), "moved": True},
    ],
)
def test_who_is_no_client_or_is_answered(of: dict[str, Any]) -> None:
    assert told(*of.pop("peers"), **of) == [], CLUSTER.name


def test_many_networks_are_cut_short() -> None:
    peers = [f"10.30.5.{n}" for n in range(1, 60)]
    (cause,) = told(*peers, there=nics("lknode02", DOCKER))
    assert "and 55 more" in cause.says and len(cause.evidence) == 2
