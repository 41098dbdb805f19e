"""The diagnosis of clusters that are sound and built otherwise than the usual one: nothing is blamed there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosis_sample import WEB, evidence, faults, listening, node, only, path, probed, with_host

from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.linux_host_script_parse import host
from harness.hosts.linux.linux_parse import InterfaceAddress
from harness.managers.manager import ClusterState, CommPath

REFUSED = {"outcome": "fail", "outcomes": frozenset({"refused"})}
OLD_SS = """State      Recv-Q Send-Q Local Address:Port               Peer Address:Port
LISTEN     0      128       *:{v4}                *:*     users:(("it",pid=5,fd=3))
LISTEN     0      128      :::{v6}               :::*     users:(("it",pid=5,fd=4))
"""


def with_listener_of(text: str, name: str = "lknode01", **more: object) -> Evidence:
    """The usual cluster, where that is what `ss -tlnp` prints of the web server's port on a node."""
    base = node(name)
    printed = [s for s in host(name, f"@@ listening\n{text}").listeners or () if s.port == WEB.port]
    others = [s for s in base.listeners or () if s.port != WEB.port]
    return with_host(replace(base, listeners=[*others, *printed]), **more)


def test_an_old_ss_writes_one_for_both_protocols_without_brackets() -> None:
    """iproute2 before 4.13, as on RHEL 7 and SLES 12."""
    dual = OLD_SS.format(v4=22, v6=WEB.port)
    refused = [path(p, s, **(REFUSED if s is WEB else {})) for p in ("client", "standby") for s in (WEB,)]
    for more in ({}, {"paths": refused}):
        assert [c for c in diagnose(with_listener_of(dual, **more)).causes if "IPv6 only" in c.says] == []
    assert [s.address for s in host("lknode01", f"@@ listening\n{dual}").listeners or ()] == ["0.0.0.0", "*"]


@pytest.mark.parametrize("address", ["[::]:80", "[::1]:80", "::1:80"])
def test_one_that_surely_takes_ipv6_only_is_told(address: str) -> None:
    text = f'LISTEN 0 128 {address} [::]:* users:(("it",pid=5,fd=4))\n'
    failed = [path(p, WEB, **REFUSED) for p in ("client", "inside", "standby")]
    only(with_listener_of(text, paths=failed), "lknode01", "IPv6 only")


def test_nothing_is_said_of_ipv6_where_ipv4_is_answered() -> None:
    base = node("lknode01")
    probe = [listening(12345, "::"), *(s for s in base.listeners or () if s.port != 12345)]
    assert faults(diagnose(with_host(replace(base, listeners=probe)))) == []
    unanswered = {"lknode01": probed("lknode01", answered=0, refused=4), "lknode02": probed("lknode02")}
    assert any("IPv6 only" in c.says for c in faults(diagnose(with_host(replace(base, listeners=probe), probes=unanswered))))
    web = [listening(WEB.port, "::"), *(s for s in base.listeners or () if s.port != WEB.port)]
    assert faults(diagnose(with_host(replace(base, listeners=web)))) == []


def test_an_old_asterisk_means_ipv4_alone() -> None:
    """What the standby has on ::1 is in nobody's way then."""
    mine = with_listener_of(OLD_SS.format(v4=WEB.port, v6=22))
    theirs = node("lknode02", listeners=[listening(WEB.port, "::1")])
    seen = replace(mine, hosts={**mine.hosts, "lknode02": theirs})
    assert [c.says for c in faults(diagnose(seen)) if "could not start" in c.says] == []


RIGHT = {"lknode01": ("10.20.1.11",), "lknode02": ("10.20.1.12",), "lkclient": ("10.20.1.20",)}


def resolving(**names_by_host: dict[str, tuple[str, ...]]) -> Evidence:
    """The usual cluster, whose hosts resolve names rightly but for these."""
    base = evidence()
    return replace(base, hosts={n: replace(seen, names=RIGHT | names_by_host.get(n, {})) for n, seen in base.hosts.items()})


def with_address(seen: Evidence, name: str, address: str, nic: str = "eth2") -> Evidence:
    """The same, where a host has this address besides."""
    its = seen.hosts[name]
    more = [*(its.addresses or ()), InterfaceAddress(nic, address, 24, "UP")]
    return replace(seen, hosts={**seen.hosts, name: replace(its, addresses=more)})


def told(seen: Evidence, words: str) -> list[tuple[str, Certainty]]:
    """Whose the causes that say these words are, and how certain."""
    return [(c.host, c.certainty) for c in diagnose(seen).causes if words in c.says]


def test_a_name_may_lead_to_a_third_nic_of_its_machine() -> None:
    seen = resolving(lknode01={"lknode02": ("10.30.1.12",)})
    assert told(seen, "none of its addresses") == [("lknode01", Certainty.LIKELY)]
    assert told(with_address(seen, "lknode02", "10.30.1.12"), "resolves to") == []
    unasked = replace(seen, hosts={**seen.hosts, "lknode02": replace(seen.hosts["lknode02"], addresses=None)})
    assert told(unasked, "none of its addresses") == [("lknode01", Certainty.POSSIBLE)]


def test_the_bridge_of_a_container_engine_leads_nowhere_else() -> None:
    seen = resolving(lknode01={"lknode02": ("172.17.0.1",)})
    seen = with_address(with_address(seen, "lknode02", "172.17.0.1", "docker0"), "lknode01", "172.17.0.1", "docker0")
    assert told(seen, "none of its addresses") == [("lknode01", Certainty.LIKELY)]


@pytest.mark.parametrize("used", ["", "path", "corosync.conf"])
def test_a_label_of_the_file_that_one_node_alone_knows(used: str) -> None:
    seen = resolving(lknode02={"lknode01": ()})
    if used == "path":
        path_by_name = (CommPath("lknode01", "lknode02/lknode01.example", True),)
        seen = replace(seen, state=ClusterState({n: replace(s, comm_paths=path_by_name) for n, s in seen.state.nodes.items()}))
    if used == "corosync.conf":
        other = replace(seen.hosts["lknode02"], corosync={"node 1 ring0_addr": "lknode01", "node 2 ring0_addr": "10.20.1.12"})
        seen = replace(seen, hosts={**seen.hosts, "lknode02": other})
    certainty = Certainty.LIKELY if used else Certainty.POSSIBLE
    assert told(seen, "cannot resolve the name lknode01") == [("lknode02", certainty)]


@pytest.mark.parametrize(("host_name", "certainty"), [("lknode02.example", Certainty.LIKELY), ("vm-17", Certainty.POSSIBLE)])
def test_a_node_that_knows_no_label_is_told_by_its_host_name(host_name: str, certainty: Certainty) -> None:
    seen = resolving(lknode02={"lknode01": (), "lknode02": ()})
    seen = replace(seen, hosts={**seen.hosts, "lknode02": replace(seen.hosts["lknode02"], limits={"kernel.hostname": host_name})})
    assert told(seen, "cannot resolve any name") == [("lknode02", certainty)]
