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
from harness.diagnosis.linux_host_script_parse import host
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
