"""The diagnosis of a folder in which a database's account cannot make its socket on the standby."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosis_sample import CLUSTER, evidence, listening, node

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.linux_host_script_parse import host

DATABASE = next(s for s in CLUSTER.services if s.kind == "postgres")
ACTIVE = """@@ working folders
~data 77 15 /srv/shared/pgdata
~file 700 105 .
~socket /var/run/postgresql
~group 77 /system.slice/lifekeeper.service
"""
ACCOUNTS = "@@ accounts\n= 105 postgres /bin/bash\n~ 108 postgres /var/lib/postgresql\n~groups postgres postgres ssl-cert\n"
GOOD = "@@ files\n2775 /run /run/postgresql directory\n~owner 105 postgres postgres /run/postgresql\n# asked\n"


def told(files: str = GOOD, active: str = ACTIVE, accounts: str = ACCOUNTS, name: str = "postgres") -> list[Cause]:
    here, there = host("lknode01", active), host("lknode02", f"{files}{accounts}")
    listeners = [listening(p, pid=77 if p == DATABASE.port else 5) for p in (12345, *(s.port for s in CLUSTER.services))]
    first = node("lknode01", listeners=listeners, accounts={DATABASE.port: frozenset({105})}, account_names={105: name})
    first = replace(first, data_folders=here.data_folders, control_groups=here.control_groups)
    second = node("lknode02", files=there.files, account_names=there.account_names, account_rights=there.account_rights)
    base = evidence()
    told = diagnose(replace(base, hosts={**base.hosts, "lknode01": first, "lknode02": second}))
    return [c for c in told.causes if "/run/postgresql" in c.says]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "2775 /run /run/postgresql directory\n~owner 105 postgres postgres",
            "755 /run /run/postgresql directory\n~owner 0 root root",
            "root:root",
        ),
        ("2775 /run", "555 /run", "mode 555"),
        ("directory", "regular empty file", "is a regular empty file"),
    ],
)
def test_a_folder_in_which_it_cannot_write(old: str, new: str, words: str) -> None:
    assert old in GOOD
    (cause,) = told(GOOD.replace(old, new))
    assert cause.host == "lknode02" and cause.certainty is Certainty.LIKELY and words in cause.says and DATABASE.tag in cause.says


ROOTS = GOOD.replace("2775 /run", "755 /run").replace("105 postgres postgres", "0 root root")


@pytest.mark.parametrize(
    ("files", "active", "accounts"),
    [
        (GOOD, ACTIVE, ACCOUNTS),
        ("@@ files\n# asked\n", ACTIVE, ACCOUNTS),  # what starts it may make the folder
        (GOOD.replace("105 postgres postgres", "0 root ssl-cert"), ACTIVE, ACCOUNTS),  # by its group
        (ROOTS.replace("755 /run", "1777 /run"), ACTIVE, ACCOUNTS),
        (ROOTS, ACTIVE.replace("lifekeeper.service", "postgresql@15-main.service"), ACCOUNTS),
        (ROOTS, ACTIVE.replace("lifekeeper.service", "docker-0a.scope"), ACCOUNTS),
        (ROOTS, ACTIVE.replace("/var/run/postgresql", "/tmp"), ACCOUNTS),
        (ROOTS, ACTIVE, ""),
        (ROOTS.replace("~owner", "~old"), ACTIVE, ACCOUNTS),  # a bundle of before
        ("", ACTIVE, ACCOUNTS),
    ],
)
def test_what_is_usual_is_none(files: str, active: str, accounts: str) -> None:
    assert told(files, active, accounts) == []


def test_a_cluster_managers_own_unit_makes_nothing() -> None:
    assert len(told(ROOTS, ACTIVE.replace("lifekeeper.service", "pacemaker.service"))) == 1
    assert told(ROOTS, name="root") == []
