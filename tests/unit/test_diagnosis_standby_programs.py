"""The diagnosis of programs that a resource agent starts and that the standby lacks."""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, both, faults, listening

from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.linux_host_script_parse import host
from harness.managers.pacemaker_survey import PROGRAMS

CIB = """<cib><configuration><resources><primitive id="lbhc-12345" class="ocf" provider="heartbeat" type="azure-lb"/>
<primitive id="own" type="anything"><instance_attributes id="a"><nvpair id="b" name="binfile" value="/usr/bin/own"/></instance_attributes>
</primitive><primitive id="disk" type="Filesystem"><instance_attributes id="c"><nvpair id="d" name="directory" value="/opt/app/"/>
</instance_attributes></primitive></resources></configuration></cib>"""
THERE = "755 100 / regular file"


def programs(standby: str, active: str = THERE, file: str = "/usr/bin/nc") -> Evidence:
    told = [
        host("it", f"@@ configuration\n{CIB.replace('/usr/bin/own', file)}\n@@ programs\n= {file}\n{said}\n") for said in (active, standby)
    ]
    listeners = [listening(12345, process="nc"), *(listening(s.port) for s in CLUSTER.services)]
    return both(programs=(told[0].programs, told[1].programs), units=(told[0].units, told[1].units), listeners=(listeners, []))


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("stat: cannot statx '/usr/bin/nc': No such file or directory", "is not there"),
        ("666 0 /usr/bin/nc character special file", "no program but a character special file"),
        ("755 0 / regular empty file", "is empty"),
        ("644 5 / regular file", "may be run by nobody (mode 644)"),
    ],
)
def test_a_program_that_an_agent_starts_and_the_standby_lacks(said: str, says: str) -> None:
    told = [c for c in faults(diagnose(programs(said))) if "azure-lb" in c.says]
    assert [(c.host, says in c.says, "health probe" in c.says) for c in told] == [("lknode02", True, True)]


@pytest.mark.parametrize(
    ("standby", "active", "file"),
    [
        ("711 90 / regular file", THERE, "/usr/bin/nc"),
        ("stat: cannot statx '/usr/bin/nc': Permission denied", THERE, "/usr/bin/nc"),
        ("stat: cannot statx 'x': No such file or directory", "stat: cannot statx 'x': No such file or directory", "/usr/bin/nc"),
        ("stat: cannot statx 'x': No such file or directory", "755 9 /srv/shared regular file", "/srv/shared/bin/own"),
        ("stat: cannot statx 'x': No such file or directory", "755 9 / regular file", "/opt/app/own"),
    ],
)
def test_a_program_that_is_there_or_lies_on_a_disk_that_moves_is_no_fault(standby: str, active: str, file: str) -> None:
    assert not [c for c in faults(diagnose(programs(standby, active, file))) if "agent" in c.says]


def test_how_a_host_tells_of_programs(tmp_path: Any) -> None:
    (tmp_path / "own").write_text("#!/bin/sh\n")
    cib = f'<nvpair id="a" name="binfile" value="{tmp_path}/own"/><nvpair id="b" name="config" value="/etc/passwd"/>'
    text = subprocess.run(["sh", "-c", f"cib={shlex.quote(cib)}; {PROGRAMS}"], capture_output=True, text=True).stdout
    seen = host("it", f"@@ programs\n{text}").programs
    assert seen[f"{tmp_path}/own"][0].startswith("may be run by nobody") and "/etc/passwd" not in seen
