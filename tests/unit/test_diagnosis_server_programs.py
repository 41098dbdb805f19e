"""The diagnosis of a server's program, or an agent's version, that the standby has otherwise than the active node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, IN, both, listening, state

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.linux_host_script_parse import host

DATABASE = next(s for s in CLUSTER.services if s.kind == "postgres")
SERVER = "/usr/lib/postgresql/15/bin/postgres"
ROW = f"755 / {SERVER} regular file\n"
OLDER = ROW.replace("/15/", "/13/")


def told(standby: str = "# asked", active: str = f"{ROW}# asked", exe: str = SERVER, units: Any = None, **more: Any) -> list[Cause]:
    listeners = [listening(p) for p in (12345, *(s.port for s in CLUSTER.services if s is not DATABASE))]
    listeners.append(listening(DATABASE.port, process="postgres", pid=9))
    seen = host("it", f"@@ working folders\n= 9 /\n'/proc/9/exe' -> '{exe}'\n")
    files = [host("it", f"@@ files\n{text}\n").files for text in (active, standby)]
    told_of = both(listeners=(listeners, []), executables=(seen.executables, {}), files=tuple(files), units=(units or {}, {}))
    return [c for c in diagnose(replace(told_of, **more)).causes if "postgres" in c.says and c.host == "lknode02"]


def test_a_server_that_is_not_on_the_standby() -> None:
    (cause,) = told()
    assert cause.certainty is Certainty.LIKELY and SERVER in cause.says and "instead" not in cause.says
    (cause,) = told(f"{OLDER}# asked")
    assert "which has /usr/lib/postgresql/13/bin/postgres instead" in cause.says
    assert len(told(exe=f"{SERVER} (deleted)", active=f"{ROW}# asked")) == 1  # a package was installed anew since


@pytest.mark.parametrize(
    "more",
    [
        {"standby": f"{ROW}# asked"},
        {"standby": ""},  # not told
        {"active": "# asked"},  # a container's: the host does not have it
        {"active": f"755 /opt/data {SERVER} regular file\n# asked"},  # on a disk of its own
        {"exe": "/usr/bin/other"},
        {
            "exe": "/usr/sbin/mariadbd",
            "active": "755 / /usr/sbin/mariadbd regular file\n# asked",
            "standby": "755 / /usr/sbin/mysqld regular file\n# asked",
        },
        {"units": {"directory d": "/usr/lib/postgresql"}},
        {"units": {f"program {DATABASE.tag}": "/usr/lib/postgresql/15/bin/pg_ctl"}},  # which is compared by itself
        {"state": state(standby={DATABASE.tag: IN})},
        {"moved": True},
    ],
)
def test_what_is_no_fault(more: dict[str, Any]) -> None:
    assert told(**more) == []


def versions(standby: str, active: str = "755 7712 / regular file", file: str = "heartbeat/azure-lb", **more: Any) -> list[Cause]:
    agent = f"/usr/lib/ocf/resource.d/{file}"
    one, other = (host("it", f"@@ programs\n= {agent}\n{said}\n") for said in (active, standby))
    units = {"script lbhc-12345": "/usr/lib/ocf/resource.d/heartbeat/azure-lb", **more}
    seen = both(programs=(one.programs, other.programs), program_sizes=(one.program_sizes, other.program_sizes), units=(units, units))
    return [c for c in diagnose(seen).causes if "other versions" in c.says]


def test_an_agent_of_another_version() -> None:
    (cause,) = versions("755 7731 / regular file")
    assert cause.certainty is Certainty.POSSIBLE and "azure-lb has 7712 bytes on lknode01 and 7731 on lknode02" in cause.says
    assert versions("755 7712 / regular file") == versions("755 0 / regular empty file") == versions("") == []
    assert versions("755 7731 / regular file", file="heartbeat/other") == []  # no resource of ours is of it
    assert versions("755 7731 / regular file", "755 7712 /srv/shared regular file") == []
    assert versions("755 7731 / regular file", **{"kept off lbhc-12345": "lknode02"}) == []
