"""The diagnosis of accounts of services that the standby lacks, or has otherwise."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, client, evidence, faults, listening, node, only

from harness.collect.linux_host_script import script
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.linux_host_script_parse import host
from harness.managers.manager_registry import manager_of

DATABASE = next(s for s in CLUSTER.services if s.kind == "postgres")
NAMES = "postgres mysql oracle mssql"
HERE = f"= 101 postgres /bin/bash\n? 2 {NAMES}"


def running(standby: str, active: str = HERE, agent: str = "pgsql", **more: Any) -> Evidence:
    """The database runs as uid 101 on the first node; each node's section `accounts`."""
    here, there = (host("it", f"@@ accounts\n{text}\n") for text in (active, standby))
    listeners = [listening(p) for p in (12345, *(s.port for s in CLUSTER.services))]
    units = {f"agent {DATABASE.tag}": agent} if agent else {}
    one = node(
        "lknode01",
        **{"accounts": {DATABASE.port: frozenset({101})}, "listeners": listeners, "units": units, "logins": here.logins},
        account_names=here.account_names,
    )
    other = node("lknode02", account_names=there.account_names, logins=there.logins)
    return evidence(hosts={"lknode01": one, "lknode02": other, "lkclient": client()}, **more)


def test_an_account_that_the_standby_does_not_know() -> None:
    cause = only(
        running(f"= 27 mysql /bin/false\n? 2 {NAMES}"), "lknode02", "the account postgres does not exist on lknode02", DATABASE.name
    )
    assert cause.certainty is Certainty.LIKELY
    for text in (HERE, f"? 124 {NAMES}", f"? 127 {NAMES}", "? 2 mysql", "", "= 101 postgres /bin/bash"):
        assert faults(diagnose(running(text))) == [], text
    assert faults(diagnose(running(f"? 2 {NAMES}", "= 101 app\n? 2 mysql"))) == []  # another account than those that were asked for
    assert faults(diagnose(running(f"? 2 {NAMES}", "= 101 postgres"))) == []  # a bundle of before
    assert faults(diagnose(running(f"? 2 {NAMES}", moved=True))) == []


@pytest.mark.parametrize(
    ("standby", "active", "agent", "found"),
    [
        ("/usr/sbin/nologin", "/bin/bash", "pgsql", True),
        ("/bin/false", "/bin/sh", "oracle", True),
        ("/usr/sbin/nologin", "/bin/bash", "anything", False),
        ("/usr/sbin/nologin", "/bin/bash", "", False),  # a kit of LifeKeeper's, of which it is not known
        ("/usr/sbin/nologin", "/sbin/nologin", "pgsql", False),
        ("/bin/sh", "/bin/bash", "pgsql", False),
        ("", "/bin/bash", "pgsql", False),  # that is /bin/sh
    ],
)
def test_an_account_that_nobody_can_become_on_the_standby(standby: str, active: str, agent: str, found: bool) -> None:
    told = running(f"= 101 postgres {standby}\n? 2 {NAMES}", f"= 101 postgres {active}\n? 0 {NAMES}", agent)
    if found:
        only(told, "lknode02", "postgres", standby, active, f"agent {agent}", "could not start")
    else:
        assert faults(diagnose(told)) == []


def test_how_a_host_tells_of_accounts() -> None:
    machine = next(m for m in CLUSTER.machines if m.name == "lknode01")
    passwd = "root:x:0:0::/root:/bin/sh\npostgres:x:101:104:a secret,,:/var/lib:/bin/bash\n"
    getent = f"timeout() {{ shift; \"$@\"; }}; getent() {{ [ $# = 5 ] && printf '%s' {shlex.quote(passwd)} | grep ^postgres; return 2; }}\n"
    whole = script(CLUSTER, machine, manager_of(CLUSTER, {}))
    part = whole[whole.index("echo '@@ accounts'") : whole.index("echo '@@ chosen routes'")]
    text = subprocess.run(["sh", "-c", getent + part], capture_output=True, text=True).stdout
    assert host("lknode01", text).logins == {"postgres": "/bin/bash", "mysql": None, "oracle": None, "mssql": None}
    assert "secret" not in text


@pytest.mark.parametrize(
    ("standby", "active", "uid", "found"),
    [
        ("6000", "1024", 101, True),
        ("6000", "1024", 0, False),  # root may take any
        ("1024", "1024", 101, False),
        ("6000", "6000", 101, False),  # then it has the capability
        ("5432", "1024", 101, False),
        ("6000", "", 101, False),
    ],
)
def test_a_port_that_an_ordinary_account_may_not_take_on_the_standby(standby: str, active: str, uid: int, found: bool) -> None:
    sound = running(HERE)
    first, second = (
        replace(sound.hosts[name], limits=host("it", f"@@ limits\nnet/ipv4/ip_unprivileged_port_start:{value}\n").limits)
        for name, value in (("lknode01", active), ("lknode02", standby))
    )
    told = replace(sound, hosts={**sound.hosts, "lknode01": replace(first, accounts={DATABASE.port: frozenset({uid})}), "lknode02": second})
    if found:
        only(
            told,
            "lknode02",
            "may take no port below 6000",
            "ip_unprivileged_port_start; 1024 on lknode01",
            "listens on port 5432 as postgres",
        )
    assert found or faults(diagnose(told)) == []


def numbered(port: int, units: dict[str, str], folder: str = "/") -> list[Certainty]:
    """A service that runs as redis, which has another number on the standby, in a cluster whose disk moves."""
    told = running("= 991 redis /bin/false\n", "= 994 redis /bin/false\n")
    its = {"accounts": {port: frozenset({994})}, "units": {"directory disk": "/srv/shared", **units}, "folders": {5: folder}}
    one = replace(told.hosts["lknode01"], **its)
    seen = replace(told, hosts={**told.hosts, "lknode01": one})
    return [c.certainty for c in diagnose(seen).causes if "has the uid 991" in c.says]


def test_another_number_matters_where_the_service_has_something_on_the_disk_that_moves() -> None:
    web = next(s for s in CLUSTER.services if s.kind == "http")
    assert numbered(DATABASE.port, {}) == [Certainty.LIKELY]
    assert numbered(web.port, {}) == [Certainty.POSSIBLE], "its files are local, as far as is known"
    assert numbered(web.port, {}, "/srv/shared/www") == numbered(web.port, {f"disk of {web.tag}": "disk"}) == [Certainty.LIKELY]
