"""The labs that the tests of the load balancer share, as fixtures: by design and by rules; each is the network alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.lab.frame_capture import (
    ADDRESS,
)

WEB, BACKEND, MESSAGES = 8080, 18080, 5353
RULES = [{"port": WEB, "backend_port": BACKEND}, {"port": MESSAGES, "protocol": "udp"}]
DESIGNS = ["nat", "floating"]

# One rule for every port, and each question answered the other way, cost two labs each. Either design carries them by the same lines.
MOSTLY_NAT = ["nat", pytest.param("floating", marks=pytest.mark.deep)]
MOSTLY_FLOATING = ["floating", pytest.param("nat", marks=pytest.mark.deep)]

KINDS: dict[str, dict[str, Any]] = {
    # Besides the services' rules one to another backend port, and one for UDP.
    "plain": {"lab": {"rules": RULES}},
    # The open questions answered the other way.
    "other": {"lab": {"rules": RULES, "unknowns": {"backend_port_under_floating": "ignore", "new_flow_from_vip": "pass"}}},
    # One rule for every port.
    "ha": {"load_balancer": {"ha_ports": True}},
    "ha other": {"load_balancer": {"ha_ports": True}, "lab": {"unknowns": {"icmp_on_ha_ports": "pass", "mss_clamp": "on"}}},
}


@pytest.fixture(scope="module")
def labs(make_lab: Callable[..., Any]) -> Callable[..., Any]:
    """Labs by design and kind, each brought up when first asked for."""
    made: dict[tuple[str, str], Any] = {}

    def get(design: str, kind: str = "plain") -> Any:
        if (design, kind) not in made:
            made[design, kind] = make_lab(design, **KINDS[kind])
        return made[design, kind]

    return get


@pytest.fixture(params=DESIGNS)
def lab(request: pytest.FixtureRequest, labs: Callable[..., Any]) -> Any:
    return labs(request.param)


@pytest.fixture(params=MOSTLY_FLOATING)
def other(request: pytest.FixtureRequest, labs: Callable[..., Any]) -> Any:
    return labs(request.param, "other")


@pytest.fixture(params=MOSTLY_NAT)
def ha_ports(request: pytest.FixtureRequest, labs: Callable[..., Any]) -> Any:
    return labs(request.param, "ha")


@pytest.fixture(params=MOSTLY_FLOATING)
def ha_ports_other(request: pytest.FixtureRequest, labs: Callable[..., Any]) -> Any:
    return labs(request.param, "ha other")


def destination(bench: Any, node: str) -> str:
    """The address by which client traffic arrives at a node."""
    return bench.vip if bench.data["design"] == "floating" else ADDRESS[node]
