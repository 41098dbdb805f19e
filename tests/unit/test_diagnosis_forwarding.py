"""The diagnosis of ports that are handed on to a container: nothing gets there where the node forwards nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, SILENT, WEB, evidence, faults, node, only, path, with_host

from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence, PathSeen
from harness.diagnosis.firewall import parse
from harness.hosts.linux.linux_parse import InterfaceAddress

OLD = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination {}:80\nCOMMIT\n"
NFT = "table ip t {{\n chain p {{\n  type nat hook prerouting priority -100; policy accept;\n tcp dport 80 dnat to {}:80\n }}\n}}\n"
OFF = {"ip_forward": "0", "eth0.forwarding": "0"}
SWALLOWED = {**SILENT, "nodes": frozenset({"lknode01"})}


def lost() -> list[PathSeen]:
    of = {"client": SWALLOWED, "standby": SWALLOWED}
    return [path(o, s, **(of.get(o, {}) if s is WEB else {})) for o in ("client", "inside", "standby") for s in CLUSTER.services]


def handed_on(name: str, text: str = OLD, target: str = "172.17.0.2", sysctls: dict[str, str] | None = None, **more: Any) -> Evidence:
    told = node(name)
    addresses = [*(told.addresses or ()), InterfaceAddress("docker0", "172.17.0.1", 16, "UP")]
    its = {"addresses": addresses, "firewall": parse(text.format(target)), "sysctls": OFF if sysctls is None else sysctls}
    return with_host(replace(told, **its), **more)


@pytest.mark.parametrize("text", [OLD, NFT], ids=["iptables", "nft"])
def test_a_port_that_is_handed_on_and_not_forwarded(text: str) -> None:
    seen = handed_on("lknode01", text, paths=lost())
    cause = next(c for c in faults(diagnose(seen)) if "forwards nothing" in c.says)
    assert (cause.host, cause.certainty) == ("lknode01", Certainty.CERTAIN) and "172.17.0.2" in cause.says
    assert "rule before it" not in cause.do and not [c for c in diagnose(seen).causes if "may well stop" in c.says]


def test_the_same_on_the_standby_is_told_before_a_failover() -> None:
    cause = only(handed_on("lknode02"), "lknode02", "forwards nothing", "after a failover")
    assert cause.certainty is Certainty.LIKELY and not cause.explains


@pytest.mark.parametrize("sysctls", [{"ip_forward": "1", "eth0.forwarding": "1"}, {"ip_forward": "0", "eth0.forwarding": "1"}, {}])
def test_a_node_that_forwards_or_does_not_tell_is_not_blamed(sysctls: dict[str, str]) -> None:
    assert faults(diagnose(handed_on("lknode02", sysctls=sysctls))) == []


@pytest.mark.parametrize("target", ["10.20.2.12", "127.0.0.1", "10.20.1.12"])
def test_what_is_sent_to_the_node_itself_needs_no_forwarding(target: str) -> None:
    assert [c for c in diagnose(handed_on("lknode02", target=target)).causes if "forwards nothing" in c.says] == []


def test_what_is_served_is_not_blamed() -> None:
    assert [c for c in diagnose(handed_on("lknode01")).causes if "forwards nothing" in c.says] == []


def test_nothing_is_said_without_such_a_rule() -> None:
    base = evidence()
    hosts = {n: replace(seen, sysctls=OFF) for n, seen in base.hosts.items()}
    assert diagnose(replace(base, hosts=hosts)).causes == ()


def test_a_container_that_does_not_serve_is_not_mended_by_a_rule_before_the_engines() -> None:
    seen = handed_on("lknode01", sysctls={"ip_forward": "1", "eth0.forwarding": "1"}, paths=lost())
    cause = next(c for c in faults(diagnose(seen)) if "may well stop" in c.says)
    assert "rule before it" not in cause.do and "leave a container engine's own rules" in cause.do
    assert "taken away" not in cause.otherwise


KEPT = {"eth0.route_localnet": "0", "all.route_localnet": "0"}


@pytest.mark.parametrize("text", [OLD, NFT], ids=["iptables", "nft"])
def test_a_port_that_is_handed_on_to_a_loopback_address(text: str) -> None:
    seen = handed_on("lknode01", text, target="127.0.0.1", sysctls=KEPT, paths=lost())
    cause = only(seen, "lknode01", "127.0.0.1", "route_localnet is 0")
    assert cause.certainty is Certainty.CERTAIN
    standby = only(handed_on("lknode02", text, target="127.0.0.1", sysctls=KEPT), "lknode02", "after a failover", "route_localnet")
    assert standby.certainty is Certainty.LIKELY


@pytest.mark.parametrize("sysctls", [{"eth0.route_localnet": "1", "all.route_localnet": "0"}, {**KEPT, "all.route_localnet": "1"}, {}])
def test_a_node_that_takes_them_or_does_not_tell(sysctls: dict[str, str]) -> None:
    assert [c for c in diagnose(handed_on("lknode02", target="127.0.0.1", sysctls=sysctls)).causes if "route_localnet" in c.says] == []
