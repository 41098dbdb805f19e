"""A host name that was changed under a cluster manager that knows the node by it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from diagnosis_sample import evidence, faults, node, only, state
from test_diagnosis_corosync_files import CONF

from harness.collect import next_boot_script
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.linux_host_script_parse import host
from harness.managers.manager import ClusterState, CommPath


def seen(name: str, *, kind: str = "lifekeeper", peer: str = "lknode02", corosync: str = "") -> Evidence:
    base = evidence()
    told = host("lknode02", f"@@ limits\nkernel/hostname:{name}\n@@ corosync\n{corosync}\n")
    cluster = base.cluster.model_copy(update={"manager": base.cluster.manager.model_copy(update={"kind": kind})})
    path = (CommPath(peer, "10.20.1.11/10.20.1.12", True), CommPath(peer, "10.20.2.11/10.20.2.12", True))
    nodes = {n: replace(s, comm_paths=path if n == "lknode01" else s.comm_paths) for n, s in state().nodes.items()}
    hosts = {**base.hosts, "lknode02": node("lknode02", limits=told.limits, corosync=told.corosync)}
    return replace(base, cluster=cluster, hosts=hosts, state=ClusterState(nodes))


def test_lifekeeper_knows_a_node_by_its_hosts_name() -> None:
    cause = only(seen("lknode02-new"), "lknode02", "the host name of lknode02 is lknode02-new now", "next start", "hostnamectl")
    assert "the cluster manager on lknode01 knows its peer as lknode02" in cause.evidence


@pytest.mark.parametrize(("name", "peer"), [("lknode02", "lknode02"), ("LKNODE02.example.org", "lknode02"), ("", "lknode02"),
                                            ("vm-2", "vm-2")])  # fmt: skip
def test_the_same_name_and_one_that_only_the_file_has_are_no_fault(name: str, peer: str) -> None:
    assert faults(diagnose(seen(name, peer=peer))) == []


def test_pacemaker_goes_by_it_only_where_corosync_has_no_name() -> None:
    unnamed = (
        CONF.replace("    name: lknode01\n", "")
        .replace("    name: lknode02\n", "")
        .replace("ring0_addr: lknode02", "ring0_addr: 10.20.1.12")
    )
    only(seen("other", kind="pacemaker", corosync=unnamed), "lknode02", "the host name of lknode02 is other now")
    for corosync in (CONF, unnamed.replace("10.20.1.12", "lknode02"), ""):
        assert not [c for c in faults(diagnose(seen("other", kind="pacemaker", corosync=corosync))) if "host name" in c.says]


@pytest.mark.parametrize(
    ("written", "told"),
    [("sap-template", 1), ("lknode02", 0), ("LKNODE02.example.org", 0), ("localhost", 0), ("", 0), ("$(id)", 0)],
)
def test_a_name_that_the_next_boot_brings(tmp_path: Path, written: str, told: int) -> None:
    file = tmp_path / "hostname"
    file.write_text(f"{written}\n")
    line = next_boot_script._NAME.replace("/etc/hostname", str(file))
    said = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
    it = seen("lknode02")
    boot = host("it", f"@@ next boot\n{said}\n").next_boot
    hosts = {**it.hosts, "lknode02": replace(it.hosts["lknode02"], next_boot=boot)}
    causes = faults(diagnose(replace(it, hosts=hosts)))
    assert [c.says[:75] for c in causes] == ["the host name of lknode02 is sap-template from its next boot on (/etc/hostn"] * told
