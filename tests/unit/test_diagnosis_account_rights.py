"""The diagnosis of groups, homes, ends and limits that an account of a service has on the active node and not on the standby."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, client, evidence, faults, listening, node

from harness.collect import node_sections
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import HostSeen
from harness.diagnosis.host_config import account_rights
from harness.diagnosis.linux_host_script_parse import host

DATABASE = next(s for s in CLUSTER.services if s.kind == "postgres")
PACEMAKER = CLUSTER.model_copy(update={"manager": CLUSTER.manager.model_copy(update={"kind": "pacemaker"})})
DAY = int(time.time() / 86400)
HOME = "/var/lib/postgresql"
HERE = f"~ 104 postgres {HOME}\n~groups postgres postgres ssl-cert\n~home postgres directory"
LIMITS = "postgres hard memlock unlimited\npostgres soft nofile 65536\n# asked"


def seen(text: str, expiry: str = "", limits: str = "", name: str = "lknode01") -> HostSeen:
    account = "= 101 postgres /bin/bash\n? 2 postgres mysql"
    return host(name, f"@@ accounts\n{account}\n{text}\n@@ working folders\n{expiry}\n@@ limits of accounts\n{limits}\n")


def told(standby: HostSeen, active: HostSeen | None = None, *, agent: str = "pgsql", cluster: Any = PACEMAKER, **more: Any) -> list[Cause]:
    """What is said of the account; `more` are units of the active node's manager, or its listener's control group."""
    active = active or seen(HERE)
    listeners = [listening(p) for p in (12345, *(s.port for s in CLUSTER.services))]
    rights = [{"account_rights": h.account_rights, "account_limits": h.account_limits, "clock": time.time()} for h in (active, standby)]
    names: dict[str, Any] = {"account_names": active.account_names, "logins": active.logins}
    units = {f"agent {DATABASE.tag}": agent, **more.get("units", {})}
    one = node(
        "lknode01",
        accounts={DATABASE.port: frozenset({101})},
        listeners=listeners,
        units=units,
        control_groups={5: more.get("group", "/")},
        **names,
        **rights[0],
    )
    other = node("lknode02", **names, **rights[1])
    answers = diagnose(evidence(cluster=cluster, hosts={"lknode01": one, "lknode02": other, "lkclient": client()})).causes
    return [cause for cause in answers if "postgres" in cause.says and cause.host == "lknode02"]


def test_the_same_on_both_is_none() -> None:
    assert told(seen(HERE)) == []
    assert told(seen("")) == []  # a bundle of before
    assert told(seen(HERE), seen("")) == []


@pytest.mark.parametrize(
    ("groups", "certainty"),
    [
        ("postgres", Certainty.LIKELY),
        ("postgres ssl-cert adm", None),  # more is none
        ("", None),  # id gave nothing
    ],
)
def test_a_group_that_gives_rights(groups: str, certainty: Certainty | None) -> None:
    there = HERE.replace("~groups postgres postgres ssl-cert", f"~groups postgres {groups}" if groups else "")
    assert [c.certainty for c in told(seen(there))] == ([certainty] if certainty else [])


def test_another_group_is_worth_a_look() -> None:
    (cause,) = told(seen(HERE), seen(HERE.replace("ssl-cert", "ssl-cert docker")))
    assert cause.certainty is Certainty.POSSIBLE and "docker" in cause.says and "usermod -aG docker postgres" in cause.do


def test_another_number_of_the_group_where_a_disk_moves() -> None:
    disk = {"directory disk-shared": "/srv/shared"}
    (cause,) = told(seen(HERE.replace("104", "4711")), units=disk)
    assert cause.certainty is Certainty.POSSIBLE and "4711" in cause.says
    assert told(seen(HERE.replace("104", "4711"))) == []


@pytest.mark.parametrize(
    ("says", "more", "found"),
    [
        ("stat: cannot statx '/var/lib/postgresql': No such file or directory", {}, 1),
        ("stat: cannot statx '/var/lib/postgresql': Permission denied", {}, 0),
        ("", {}, 0),  # ended by timeout
        ("stat: cannot stat '/var/lib/postgresql': No such file or directory", {"agent": "anything"}, 0),
        ("stat: cannot stat '/var/lib/postgresql': No such file or directory", {"agent": "", "cluster": CLUSTER}, 1),
        (
            "stat: cannot stat '/var/lib/postgresql': No such file or directory",
            {"agent": "", "cluster": CLUSTER, "group": "/system.slice/system-postgresql.slice/postgresql@15-main.service"},
            0,
        ),
        ("stat: cannot stat '/var/lib/postgresql': No such file or directory", {"units": {"directory d": "/var/lib/postgresql"}}, 0),
    ],
)
def test_a_home_that_is_not_there(says: str, more: dict[str, Any], found: int) -> None:
    causes = told(seen(HERE.replace("~home postgres directory", f"~home postgres {says}")), **more)
    assert [c.certainty for c in causes] == [Certainty.POSSIBLE] * found


def test_an_account_that_has_expired() -> None:
    (cause,) = told(seen(HERE, f"~expires postgres {DAY - 1}"))
    assert cause.certainty is Certainty.LIKELY and "expired" in cause.says
    assert told(seen(HERE, f"~expires postgres {DAY + 30}")) == []
    assert told(seen(HERE, "~expires postgres 0"), seen(HERE, "~expires postgres 0")) == []
    assert told(seen(HERE, "~expires postgres 0"), agent="anything") == []


@pytest.mark.parametrize(
    ("active", "standby", "certainty"),
    [
        (LIMITS, "# asked", Certainty.LIKELY),
        (LIMITS, "", None),
        (LIMITS, LIMITS, None),
        (LIMITS, "* - memlock unlimited\n@postgres - nofile 65536\n# asked", None),  # everybody's, and its group's
        (LIMITS, "* - memlock unlimited\n* - nofile 65536\npostgres soft nofile 1024\n# asked", Certainty.LIKELY),  # its own goes before
        (LIMITS, "* - memlock unlimited\n@dba - nofile 65536\n# asked", Certainty.LIKELY),
        ("postgres soft nproc 16384\n# asked", "# asked", None),  # what is usual hangs on the memory
        ("postgres soft nproc 16384\n# asked", "* soft nproc 4096\n# asked", Certainty.POSSIBLE),
        ("postgres soft nofile 1024\npostgres hard nofile 4096\npostgres hard stack 32768\n# asked", "# asked", None),  # usual
        ("postgres soft nofile many\n# asked", "# asked", None),
        ("* soft nofile 2048\n# asked", "* soft nofile 4096\n# asked", None),
    ],
)
def test_limits_that_were_raised_on_one_node(active: str, standby: str, certainty: Certainty | None) -> None:
    causes = told(seen(HERE, limits=standby), seen(HERE, limits=active))
    assert [c.certainty for c in causes] == ([certainty] if certainty else [])
    assert told(seen(HERE, limits=standby), seen(HERE, limits=active), agent="postgresql") == []  # systemd does not read them


def test_how_a_node_tells_it(tmp_path: Path) -> None:
    shadow, limits = tmp_path / "shadow", tmp_path / "limits.conf"
    shadow.write_text("root:$6$secret:1::::::\npostgres:$6$secret:19000:0:99999:7::4:\nmysql:!:19000::::::\nother:x:1:::::5:\n")
    limits.write_text("# a comment\npostgres\tsoft nofile 9\n@dba - memlock unlimited # so\nwww soft nofile 8\n* hard core 0\n")
    sections = node_sections.sections(("postgres", "mysql"))
    expiry = node_sections.by_root(("postgres", "mysql")).replace("/etc/shadow", str(shadow))
    lines = sections["limits of accounts"].replace("/etc/security/limits.conf", str(limits)).replace("/etc/security/limits.d/*.conf", "")
    texts = [subprocess.run(["sh", "-c", line], capture_output=True, text=True).stdout for line in (expiry, lines)]
    assert texts[0] == "~expires postgres 4\n"
    found = account_rights.limits(texts[1])
    assert found is not None and [(one.domain, one.item) for one in found] == [("postgres", "nofile"), ("@dba", "memlock")]
    assert account_rights.limit_of(found, "postgres", {"dba"}, "hard", "memlock") == account_rights.UNLIMITED
    name = f"n={shlex.quote('root')}; g=0; h=/root; bound=; "
    text = subprocess.run(["sh", "-c", name + node_sections.RIGHTS], capture_output=True, text=True).stdout
    (rights,) = account_rights.parse(text, "~expires root 7").values()
    assert rights.groups is not None and "root" in rights.groups and (rights.gid, rights.home_is, rights.expires) == (0, "directory", 7)


def test_a_sound_cluster_has_none_of_it() -> None:
    assert faults(diagnose(evidence())) == []
