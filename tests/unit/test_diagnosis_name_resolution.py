"""The diagnosis of names that are answered late: by which name server, and what is no fault."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from diagnosis_sample import CLUSTER, faults, node, only, with_host

from harness.collect.linux_host_script import script
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.firewall import parse
from harness.diagnosis.linux_host_script_parse import host
from harness.hosts.linux.linux_parse import InterfaceAddress
from harness.managers.manager_registry import manager_of


def resolving(times: str, order: str = "dns files", here: str = "lknode02") -> Evidence:
    lines = f"@@ names\n{times}\n@@ resolver\nnameserver 10.20.1.53\nnameserver 10.20.1.54\nhosts: {order}\n"
    told = host(here, lines)
    return with_host(node(here, names=told.names, slow_names=told.slow_names, resolver=told.resolver))


def test_names_that_are_answered_late_are_told_with_the_name_server_that_is_asked_first() -> None:
    late = "lknode01 10.20.1.11\n# 127.0.0.1 3 0\n# lknode01 1700 0\n# lkclient 2003 124"
    cause = only(resolving(late), "lknode02", "lknode01: 1.7 s", "10.20.1.53", "before /etc/hosts", "dns files")
    assert cause.certainty is Certainty.LIKELY and "10.20.1.54 (" not in cause.says
    assert "lkclient" not in host("it", f"@@ names\n{late}").names, "what was waited for too long is not unknown"
    assert "before /etc/hosts" not in only(resolving(late, "files dns"), "lknode02", "10.20.1.53").says


@pytest.mark.parametrize(
    "times",
    [
        "lknode01 10.20.1.11\n# 127.0.0.1 3 0\n# lknode01 800 0",
        "lknode01 10.20.1.11\n# 127.0.0.1 600 0\n# lknode01 1700 0",  # the host is busy
        "# 127.0.0.1 3 0\n# lknode01 2002 124",  # a label of the cluster file's, which no host knows
        "lknode01 10.20.1.11",  # a bundle of before
    ],
)
def test_names_that_may_be_slow(times: str) -> None:
    assert faults(diagnose(resolving(times))) == []


def test_a_name_that_times_out_here_and_is_known_there_is_a_real_one() -> None:
    slow = resolving("# 127.0.0.1 3 0\n# lknode01 2002 124")
    names = {"lknode01": ("10.20.1.11",)}
    other = replace(slow.hosts["lkclient"], names=names)
    only(replace(slow, hosts={**slow.hosts, "lkclient": other}), "lknode02", "lknode01: 2.0 s, then given up")
    itself = replace(slow.hosts["lknode01"], names=names)  # every host may know its own
    assert faults(diagnose(replace(slow, hosts={**slow.hosts, "lknode01": itself}))) == []


def test_the_script_asks_each_name_for_its_time() -> None:
    cluster = CLUSTER
    machine = next(m for m in cluster.machines if m.name == cluster.client.name)
    text = subprocess.run(["sh", "-c", script(cluster, machine, manager_of(cluster, {}))], capture_output=True, text=True).stdout
    said = text.partition("@@ names\n")[2].partition("@@")[0]
    assert {line.split()[1] for line in said.splitlines() if line.startswith("#")} == {"127.0.0.1", *(m.name for m in cluster.machines)}
    assert "127.0.0.1 127.0.0.1" in said


TWO = ("10.20.1.12", "10.20.1.99")


@pytest.mark.parametrize(
    ("names", "certainty", "words"),
    [
        ({"lknode02": TWO}, Certainty.LIKELY, ("lknode02 resolves to", "10.20.1.99", "none of its addresses")),
        ({"lknode02": TWO[::-1]}, Certainty.LIKELY, ("10.20.1.99 (the first of them)",)),
        ({"lknode02": ("fd00::12",)}, Certainty.LIKELY, ("IPv6 alone", "fd00::12", "10.20.1.12")),
        ({"lknode01": ("10.20.1.99", "10.20.1.11")}, Certainty.LIKELY, ("own name", "10.20.1.99", "comes first")),
        ({"lknode01": ("10.20.1.11", "10.20.1.99")}, Certainty.POSSIBLE, ("own name", "10.20.1.99")),
        ({"lknode02": ("10.20.1.12", "fd00::12")}, None, ()),
        ({"lknode02": ("10.20.1.12", "10.20.1.200")}, None, ()),  # the cluster's own address
        ({"lknode02": ("10.20.1.12", "10.20.2.12")}, None, ()),
        ({"lknode01": ("10.20.1.11", "10.20.1.200", "fe80::1")}, None, ()),
    ],
)
def test_two_lines_for_one_name_one_of_them_old(
    names: dict[str, tuple[str, ...]], certainty: Certainty | None, words: tuple[str, ...]
) -> None:
    told = [c for c in diagnose(with_host(node("lknode01", names=names))).causes if "resolves to" in c.says]
    assert [c.certainty for c in told] == ([certainty] if certainty else [])
    assert all(word in told[0].says for word in words)
    on_a_third_nic = replace(
        node("lknode02"), addresses=[*(node("lknode02").addresses or ()), InterfaceAddress("eth2", "10.20.1.99", 24, "UP")]
    )
    seen = with_host(on_a_third_nic)
    seen = replace(seen, hosts={**seen.hosts, "lknode01": node("lknode01", names={"lknode02": TWO})})
    assert not [c for c in diagnose(seen).causes if "resolves to" in c.says]


NO_NAMES = "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A {} -p udp -m udp --{}port 53 -j DROP\nCOMMIT\n"
LATE = "lknode01 10.20.1.11\n# 127.0.0.1 3 0\n# lknode01 1700 0"


@pytest.mark.parametrize(("chain", "end"), [("OUTPUT", "d"), ("INPUT", "s")])
def test_its_own_firewall_is_told_where_it_keeps_the_name_server_away(chain: str, end: str) -> None:
    late = resolving(LATE)
    shut = replace(late.hosts["lknode02"], firewall=parse(NO_NAMES.format(chain, end)))
    cause = only(with_host(shut), "lknode02", "10.20.1.53", "own firewall", f"--{end}port 53 -j DROP", "let UDP and TCP port 53")
    assert "does not answer" not in cause.says
    itself = replace(shut, resolver=("nameserver 127.0.0.53", "hosts: dns files"))
    assert "own firewall" not in only(with_host(itself), "lknode02", "127.0.0.53").says
