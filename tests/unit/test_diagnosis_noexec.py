"""The diagnosis of the cluster manager's programs on a file system from which nothing may be started."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosis_sample import evidence, node

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.linux_host_script_parse import host

AGENT, FENCE = "/usr/lib/ocf/resource.d/heartbeat/pgsql", "/usr/sbin/fence_azure_arm"
CIB = """<cib><configuration><resources><primitive id="pgsql-5432" class="ocf" provider="heartbeat" type="pgsql"/>
<primitive id="fence" class="stonith" type="fence_azure_arm"/></resources></configuration></cib>"""
MOUNTS = """= 7 /srv/shared
/dev/root / ext4 rw 0 0
/dev/sdc /usr/lib/ocf ext4 rw,relatime 0 0
tmpfs /tmp tmpfs rw,nosuid,nodev,noexec 0 0
tmpfs /dev/shm tmpfs rw,noexec 0 0
/dev/sdb /srv/shared xfs rw,noexec 0 0
"""
HARDENED = MOUNTS.replace("ext4 rw,relatime", "ext4 rw,nodev,noexec")


def seen(mounts: str, pacemaker: bool = True, of: str = "/usr/lib/ocf") -> Evidence:
    programs = f"= {AGENT}\n755 9 {of} regular file\n= {FENCE}\n755 9 / regular file"
    told = host("it", f"@@ working folders\n{mounts}@@ programs\n{programs}\n@@ configuration\n{CIB if pacemaker else ''}")
    other = node("lknode02", mounts=told.mounts, not_to_be_run=told.not_to_be_run, programs=told.programs, units=told.units)
    base = evidence()
    manager = base.cluster.manager.model_copy(update={"kind": "pacemaker" if pacemaker else "lifekeeper"})
    cluster = base.cluster.model_copy(update={"manager": manager})
    return replace(base, cluster=cluster, hosts={**base.hosts, "lknode02": other})


def told(mounts: str, pacemaker: bool = True) -> list[Cause]:
    return [c for c in diagnose(seen(mounts, pacemaker)).causes if "noexec" in c.says]


def test_agents_that_the_kernel_does_not_start() -> None:
    (cause,) = told(HARDENED)
    assert cause.host == "lknode02" and cause.certainty is Certainty.CERTAIN and AGENT in cause.says and FENCE not in cause.says


@pytest.mark.parametrize("mounts", [MOUNTS, HARDENED + "/dev/sdc /usr/lib/ocf ext4 rw 0 0\n", ""])
def test_what_lies_elsewhere_may_be_noexec(mounts: str) -> None:
    assert told(mounts) == []


def test_what_stat_tells_of_links_and_of_bound_folders() -> None:
    bound = HARDENED.replace("/dev/sdc", "/dev/root")
    (cause,) = [c for c in diagnose(seen(bound, of="/")).causes if "noexec" in c.says]
    assert "/usr/lib/ocf of lknode02" in cause.says
    linked = MOUNTS + "/dev/sdd /srv/agents ext4 rw,noexec 0 0\n"
    (cause,) = [c for c in diagnose(seen(linked, of="/srv/agents")).causes if "noexec" in c.says]
    assert "/srv/agents of lknode02" in cause.says


def test_the_folder_of_lifekeeper() -> None:
    (cause,) = told(MOUNTS + "/dev/sdd /opt ext4 rw,noexec 0 0\n", pacemaker=False)
    assert "/opt of lknode02 is mounted with noexec" in cause.says
    assert told(HARDENED, pacemaker=False) == []
