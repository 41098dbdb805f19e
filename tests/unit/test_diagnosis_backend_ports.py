"""A load-balancing rule whose backend port is not the service's port."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, SILENT, WEB, evidence, faults, listening, node, only, path, with_host

from harness.check import captured_evidence
from harness.cluster.path_check import PathCheck
from harness.core.verdict import failed
from harness.diagnosis import bundle_observations
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import PathSeen
from harness.expectations.connectivity_matrix import Origin, Situation, expectation
from harness.remote.connections.attempt import Attempt
from harness.remote.connections.attempt_outcome import AttemptOutcome
from harness.remote.recording.packets import Packet

CLIENT, VIP, OWN = "10.20.1.20", "10.20.1.200", "10.20.1.11"
AT_8080 = {"other_ports": frozenset({"lknode01 8080"})}


def lost(**more: Any) -> list[PathSeen]:
    of = {"client": {**SILENT, **AT_8080, **more}, "standby": {**SILENT, **AT_8080, **more}}
    return [path(o, s, **(of.get(o, {}) if s is WEB else {})) for o in ("client", "inside", "standby") for s in CLUSTER.services]


@pytest.mark.parametrize("outcome", ["silent", "refused"])
def test_what_arrives_for_another_port_names_the_rule_and_no_group(outcome: str) -> None:
    seen = evidence(paths=lost(outcomes=frozenset({outcome}), ways=frozenset({"W?"})))
    cause = only(seen, "lknode01", "delivers port 80 (web) to port 8080", "backend port", "nobody listens on port 8080")
    assert cause.certainty is Certainty.CERTAIN and "NSG" not in str(diagnose(seen))


def test_somebody_else_may_listen_there() -> None:
    ports = [12345, 8080, *(s.port for s in CLUSTER.services)]
    seen = with_host(node("lknode01", listeners=[*map(listening, ports)]), paths=lost())
    only(seen, "lknode01", "what listens on port 8080 there is not web")


def test_what_is_served_is_no_fault() -> None:
    assert faults(diagnose(evidence(paths=[replace(p, **AT_8080) for p in evidence().paths]))) == []


def checked(client: Iterable[Packet], there: Iterable[Packet]) -> frozenset[str]:
    attempt = Attempt("lkclient", VIP, WEB.port, AttemptOutcome.SILENT, CLIENT, 40000, 0.0, 0.0, 0.1)
    expected = expectation(CLUSTER.design, Origin.CLIENT, Situation.HEALTHY)
    told = {"expected": expected, "attempts": [attempt], "ways": [], "active": "lknode01", "identity": "", "verdict": failed("lost")}
    check = PathCheck(Origin.CLIENT, "lkclient", WEB, Situation.HEALTHY, seconds=0.1, **told)
    return captured_evidence.path(check, {"lkclient": [*client], "lknode01": [*there]}, CLUSTER).other_ports


def syn(to: str, port: int, kind: str, seq: int = 7) -> Packet:
    return Packet(0.0, "eth0", kind, "tcp", CLIENT, 40000, to, port, "S", seq, 0)


def test_it_is_the_same_packet_by_its_sequence_number() -> None:
    left = syn(VIP, 80, "outgoing")
    assert checked([left], [syn(OWN, 8080, "host")]) == {"lknode01 8080"}
    assert checked([left], [syn(OWN, 80, "host")]) == frozenset()
    assert checked([left], [syn(OWN, 22, "host", seq=9)]) == frozenset(), "another connection from the same port"
    assert checked([], [syn(OWN, 8080, "host")]) == frozenset(), "what was not seen leaving may be anything"


def test_it_is_in_a_bundle_and_older_ones_lack_it() -> None:
    seen = evidence(paths=lost())
    data = bundle_observations.as_data(seen, ())
    assert bundle_observations.parse(data, CLUSTER).paths == seen.paths
    for row in data["paths"]:
        del row["other_ports"]
    assert not any(p.other_ports for p in bundle_observations.parse(data, CLUSTER).paths)
