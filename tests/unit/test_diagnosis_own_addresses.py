"""An address that is on a NIC and that the kernel does not take for its own: the table `local`, and policy rules that come before it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import BY_ETH0, CLUSTER, LOCAL, SILENT, client, evidence, faults, node, only, paths, probed, with_host

from harness.collect.linux_host_script import _arrivals, _own_addresses
from harness.diagnosis import linux_host_script_parse
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Direct, Link
from harness.hosts.linux.linux_parse import Route

USUAL_RULES = ("0: from all lookup local", "32766: from all lookup main", "32767: from all lookup default")
MOVED_RULES = ("50: from all iif eth0 blackhole", "100: from all lookup local", "32766: from all lookup main")
NOBODY_ANSWERS = {
    "paths": paths(client=SILENT, standby=SILENT),
    "probes": {"lknode01": probed("lknode01", answered=0, answers_by=frozenset())},
}


def of(name: str, route: Route = BY_ETH0, rules: tuple[str, ...] = USUAL_RULES, last: str = "10.20.1.11", **more: Any) -> Any:
    host = node(name, rules=rules, **more)
    return replace(host, routes={**host.routes, (last, ""): route})


def test_an_address_that_the_table_local_lacks() -> None:
    only(
        with_host(of("lknode01"), **NOBODY_ANSWERS),
        "lknode01",
        "10.20.1.11",
        "the routing table `local` has no entry",
        "ip route add table",
    )
    (cause,) = faults(diagnose(with_host(of("lknode01"), **NOBODY_ANSWERS)))
    assert cause.certainty is Certainty.CERTAIN


def test_of_the_standby_it_is_no_security_group() -> None:
    silent = tuple(Direct("lkclient", "lknode02", s.port, "silent", "no answer", arrived=True) for s in CLUSTER.services)
    lost = {"paths": paths(standby=SILENT), "direct": silent, "probes": {"lknode02": probed("lknode02", refused=0)}}
    told = with_host(of("lknode02", last="10.20.1.12"), **lost)
    only(told, "lknode02", "10.20.1.12", "`local` has no entry")


def test_the_second_nic_s_address_is_told_with_the_dead_path() -> None:
    only(with_host(of("lknode02", Route("unreachable"), last="10.20.2.12")), "lknode02", "Subnet#2 (10.20.2.12)", "`local` has no entry")


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        (("5: from all lookup 7", *USUAL_RULES[0:]), "`5: from all lookup 7`"),
        (USUAL_RULES[1:], "no policy rule leads to the table `local`"),
    ],
)
def test_a_policy_rule_before_that_table(rules: tuple[str, ...], says: str) -> None:
    only(with_host(of("lknode01", rules=rules), **NOBODY_ANSWERS), "lknode01", says)


def test_what_comes_in_by_a_nic_is_routed_by_a_rule_of_its_own() -> None:
    arrivals = {("10.20.1.11", "10.20.1.20"): Route("blackhole")}
    lost = with_host(node("lknode01", rules=MOVED_RULES, arrivals=arrivals), **NOBODY_ANSWERS)
    only(lost, "lknode01", "by eth0 is routed otherwise", "50: from all iif eth0 blackhole")


def test_what_is_usual_is_none() -> None:
    assert faults(diagnose(evidence())) == []
    arrive = {("10.20.1.11", "10.20.1.20"): LOCAL}
    assert faults(diagnose(with_host(node("lknode01", rules=MOVED_RULES, arrivals=arrive)))) == []
    assert faults(diagnose(with_host(of("lknode01")))) == [], "it answers, so that somebody's own way of routing is in use"
    in_vrf = {"eth0": Link(master="red"), "red": Link(kind="vrf")}
    assert not [c for c in faults(diagnose(with_host(of("lknode01", links=in_vrf), **NOBODY_ANSWERS))) if "for its own" in c.says]
    old = node("lknode01")
    unasked = replace(old, routes={key: route for key, route in old.routes.items() if key[0] != "10.20.1.11"})
    assert faults(diagnose(with_host(unasked))) == []


def test_a_host_is_asked_of_each_own_address() -> None:
    assert _own_addresses(CLUSTER, CLUSTER.client) == ["10.20.1.20"]
    assert _own_addresses(CLUSTER, CLUSTER.nodes[0]) == ["10.20.1.11", "10.20.2.11"]
    text = "@@ arrivals\n# 10.20.1.11 10.20.1.20\nRTNETLINK answers: Invalid argument\n"
    text += "# 10.20.1.11 168.63.129.16\nlocal 10.20.1.11 from 168.63.129.16 dev lo iif eth0\n"
    told = linux_host_script_parse.host("lknode01", text)
    assert told.arrivals == {("10.20.1.11", "10.20.1.20"): Route("blackhole"), ("10.20.1.11", "168.63.129.16"): Route("local", "lo")}


@pytest.mark.parametrize(
    ("rules", "is_asked"),
    [
        ("\n".join(USUAL_RULES), False),
        ("9: from all iif lo lookup 3", False),
        ("9: from all iif eth0 lookup 3", True),
        ("9: from all iif lan lookup 3", True),
    ],
)
def test_arrivals_are_asked_only_where_a_rule_looks_at_nics(rules: str, is_asked: bool) -> None:
    tools = 'ip() { case "$1" in route) echo asked $3 $5 ;; *) echo 2: eth0 inet ;; esac; }\n'
    line = f"policy='{rules}'\n{tools}{_arrivals(CLUSTER, CLUSTER.nodes[0])}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    callers = ("10.20.1.12", "10.20.1.20", "168.63.129.16")
    pairs = [*(("10.20.1.11", caller) for caller in callers), ("10.20.2.11", "10.20.2.12")]
    assert not done.stderr and re.findall(r"asked (\S+) (\S+)", done.stdout) == (pairs if is_asked else [])


def test_the_client_s_own_is_told_too() -> None:
    host = client(routes={("10.20.1.20", ""): BY_ETH0}, rules=USUAL_RULES)
    told = replace(evidence(paths=paths(client=SILENT)), hosts={**evidence().hosts, "lkclient": host})
    only(told, "lkclient", "10.20.1.20", "`local` has no entry")
