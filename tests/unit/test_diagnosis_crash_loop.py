"""The diagnosis of a service that is there and is not, and of one that listens on another port than it should."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import WEB, evidence, faults, listening, node, only, paths, with_host

from harness.core.finding import Finding, Weight
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence, PathSeen
from harness.diagnosis.firewall import parse

NOBODY = Finding(Weight.FAULT, "lknode01", f"listener of {WEB.name}", f"nobody listens on {WEB.port}", "restart it")
BOTH, REFUSED, ANSWERED = frozenset({"answered", "refused"}), frozenset({"refused"}), frozenset({"answered"})


def tried(client: frozenset[str], inside: frozenset[str], standby: frozenset[str]) -> list[PathSeen]:
    outcomes = {"client": client, "inside": inside, "standby": standby}
    return [
        replace(p, outcomes=outcomes[p.path], outcome="pass" if outcomes[p.path] == ANSWERED else "fail") if p.service is WEB else p
        for p in paths()
    ]


def seen_with(there: bool, ways: list[PathSeen], **more: Any) -> Evidence:
    base = node("lknode01", **more)
    listeners = [s for s in base.listeners or () if there or s.port != WEB.port]
    return with_host(replace(base, listeners=listeners), paths=ways, findings=() if there else (NOBODY,))


@pytest.mark.parametrize(
    ("there", "ways"),
    [
        (True, tried(BOTH, ANSWERED, ANSWERED)),
        (True, tried(REFUSED, REFUSED, REFUSED)),  # somebody listened when it was looked
        (False, tried(ANSWERED, ANSWERED, ANSWERED)),  # and here nobody did
        (False, tried(BOTH, REFUSED, ANSWERED)),
    ],
)
def test_a_service_in_a_crash_loop(there: bool, ways: list[PathSeen]) -> None:
    cause = only(seen_with(there, ways), "lknode01", "port 80 (web) of lknode01 comes and goes", "again and again", "http-80")
    assert cause.certainty is Certainty.LIKELY and cause.explains


@pytest.mark.parametrize(
    ("there", "ways"),
    [
        (True, tried(ANSWERED, ANSWERED, ANSWERED)),
        (False, tried(REFUSED, REFUSED, REFUSED)),  # nobody is there, and that is told
        (True, tried(REFUSED, ANSWERED, ANSWERED)),  # something refuses the client
        (True, tried(BOTH, ANSWERED, ANSWERED)[:0]),
    ],
)
def test_what_is_there_or_is_not_all_the_time(there: bool, ways: list[PathSeen]) -> None:
    assert not [c for c in diagnose(seen_with(there, ways)).causes if "comes and goes" in c.says]


def test_connections_that_arrive_at_both_nodes_are_the_balancers_matter() -> None:
    ways = [replace(p, nodes=frozenset({"lknode01", "lknode02"})) if p.path != "inside" else p for p in tried(BOTH, ANSWERED, BOTH)]
    assert not [c for c in diagnose(seen_with(True, ways)).causes if "comes and goes" in c.says]


def test_a_container_to_which_a_rule_hands_the_port_on_is_no_crash_loop() -> None:
    table = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 80 -j {}\nCOMMIT\n"
    for target in ("DNAT --to-destination 172.17.0.2:80", "ELSEWHERE --where x"):  # what that does cannot be told
        served = seen_with(False, tried(ANSWERED, ANSWERED, ANSWERED), firewall=parse(table.format(target)))
        assert not [c for c in diagnose(served).causes if "comes and goes" in c.says], target


def test_a_service_that_listens_on_another_port() -> None:
    base = seen_with(False, tried(REFUSED, REFUSED, REFUSED))
    active = base.hosts["lknode01"]
    moved = replace(active, listeners=[*(active.listeners or ()), listening(8080, process="httpd", pid=77)])
    cause = only(replace(base, hosts={**base.hosts, "lknode01": moved}), "lknode01", "the two disagree", "httpd (pid 77) listens on 8080")
    assert "httpd (pid 77)" in cause.do
    for port, here in ((8080, True), (22, False)):  # the standby has it as well; nobody has another one
        standby = replace(base.hosts["lknode02"], listeners=[listening(port)])
        active_too = replace(active, listeners=[*(active.listeners or ()), *([listening(port)] if here else [])])
        told = faults(diagnose(replace(base, hosts={**base.hosts, "lknode01": active_too, "lknode02": standby})))
        assert [c for c in told if "the two disagree" in c.says and "listens on 8080" not in c.says], told
    assert evidence().hosts
