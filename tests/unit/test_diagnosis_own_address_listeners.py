"""A service that listens on the active node's own address: what the other node would listen on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, both, faults, listening, node

from harness.config.cluster_config import Design
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.linux_host_script_parse import host

DATABASE = next(s for s in CLUSTER.services if s.kind == "postgres")
FOLDER = host("it", "@@ working folders\n= 5 /srv/shared/pgdata\n~data 5 15 /srv/shared/pgdata\n~file 700 105 .\n").data_folders
OWN, VIP, PEER = "10.20.1.11", "10.20.1.200", "10.20.1.12"


def told(*addresses: str, there: str = "", here: str = "", design: Design = Design.NAT, moves: bool = True, **more: Any) -> list[Cause]:
    others = [listening(p) for p in (12345, *(s.port for s in CLUSTER.services if s is not DATABASE))]
    units = {"directory disk": "/srv/shared"} if moves else {}
    one = node(
        "lknode01",
        listeners=[*others, *(listening(DATABASE.port, address) for address in addresses)],
        data_folders=FOLDER,
        units=units | ({f"start options {DATABASE.tag}": here} if here else {}),
    )
    it = both()
    two = node("lknode02", units={f"start options {DATABASE.tag}": there} if there else {})
    cluster = it.cluster.model_copy(update={"design": design})
    seen = replace(it, hosts={**it.hosts, "lknode01": one, "lknode02": two}, cluster=cluster, **more)
    return [c for c in diagnose(seen).causes if "with the same configuration" in c.says]


def test_its_own_address_and_the_vip() -> None:
    (cause,) = told(OWN, VIP)
    assert (cause.host, cause.certainty) == ("lknode02", Certainty.LIKELY) and f"would not listen on {PEER}" in cause.says
    (cause,) = told(OWN, VIP, moves=False)
    assert cause.certainty is Certainty.POSSIBLE and cause not in faults(diagnose(both()))
    same = f"-c listen_addresses={OWN},{VIP}"
    assert told(OWN, VIP, moves=False, here=same, there=same)[0].certainty is Certainty.LIKELY


@pytest.mark.parametrize(
    "of",
    [
        {"addresses": ["0.0.0.0"]},
        {"addresses": ["::"]},
        {"addresses": [OWN, VIP, PEER]},
        {"addresses": [VIP]},  # which is told as what is lacking now
        {"addresses": [OWN, VIP], "design": Design.FLOATING},
        {"addresses": [OWN, VIP], "there": f"-c listen_addresses={PEER},{VIP}"},
        {"addresses": [OWN, VIP], "there": "-c listen_addresses=0.0.0.0"},
        {"addresses": [OWN, VIP], "moved": True},
    ],
)
def test_what_is_right_on_both_nodes(of: dict[str, Any]) -> None:
    assert told(*of.pop("addresses"), **of) == []
