"""The diagnosis of what the data folder of a PostgreSQL that runs says of its next start."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, evidence, listening, node, path

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.linux_host_script_parse import host
from harness.hosts.linux import postgres_data_folder

DATABASE = next(s for s in CLUSTER.services if s.kind == "postgres")
PGDATA = "/srv/shared/pgdata"
GOOD = f"""= 77 {PGDATA}
~data 77 15 {PGDATA}
~file 700 105 .
~file 600 105 PG_VERSION
~file 600 105 postgresql.conf
~file 600 105 pg_hba.conf
~group 77 /system.slice/pacemaker.service
/dev/root / ext4 rw 0 0
/dev/sdb /srv/shared ext4 rw 0 0
"""
STANDBY = "/dev/root / ext4 rw 0 0\n"


def seen(
    text: str = GOOD, standby: str = STANDBY, units: dict[str, str] | None = None, uids: tuple[int, ...] = (105,), **more: Any
) -> Evidence:
    told = [
        {"mounts": one.mounts, "data_folders": one.data_folders, "control_groups": one.control_groups, "folders": one.folders}
        for one in (host("it", f"@@ working folders\n{t}") for t in (text, standby))
    ]
    listeners = [listening(p, pid=77) if p == DATABASE.port else listening(p) for p in (12345, *(s.port for s in CLUSTER.services))]
    places = {"directory disk": "/srv/shared"} if units is None else units
    active = node("lknode01", listeners=listeners, accounts={DATABASE.port: frozenset(uids)}, account_names={105: "postgres"}, **told[0])
    base = evidence(**more)
    return replace(base, hosts={**base.hosts, "lknode01": replace(active, units=places), "lknode02": node("lknode02", **told[1])})


def named(it: Evidence) -> list[Cause]:
    return [c for c in diagnose(it).causes if PGDATA in c.says]


def with_lines(*lines: str) -> str:
    return GOOD.replace("~group", "".join(f"{line}\n" for line in lines) + "~group")


@pytest.mark.parametrize(
    ("old", "new", "certainty", "words"),
    [
        ("~file 700 105 .", "~file 755 105 .", Certainty.CERTAIN, "has the mode 755, and PostgreSQL starts with 700 or 750 only"),
        ("~file 700 105 .", "~file 770 105 .", Certainty.CERTAIN, "mode 770"),
        ("~file 700 105 .", "~file 700 0 .", Certainty.CERTAIN, "belongs to uid 0, and the server runs as postgres (uid 105)"),
        ("~file 600 105 pg_hba.conf", "~file 0 105 pg_hba.conf", Certainty.CERTAIN, "pg_hba.conf may not be read by postgres (uid 105)"),
        ("~file 600 105 postgresql.conf", "~file 600 0 postgresql.conf", Certainty.LIKELY, "postgresql.conf may not be read"),
    ],
)
def test_rights_that_a_start_wants(old: str, new: str, certainty: Certainty, words: str) -> None:
    assert old in GOOD
    (cause,) = named(seen(GOOD.replace(old, new)))
    assert cause.host == "lknode01" and cause.certainty is certainty and words in cause.says and "would not start" in cause.says


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "",
        GOOD.replace("~file 700 105 .", "~file 750 105 ."),
        GOOD.replace("~file 600 105 pg_hba.conf\n", ""),  # it lies in /etc
        GOOD.replace("~file 600 105 pg_hba.conf", "~file 640 0 pg_hba.conf"),  # by its group
        GOOD.replace("~file 700 105 .", "~file 755 105 .").replace("/system.slice/pacemaker.service", "/system.slice/docker-0a1b.scope"),
        with_lines(f"~link pg_wal {PGDATA}/../wal").replace("/../", "/"),
        with_lines("~link pg_wal /srv/shared/wal"),
        with_lines("~link pg_wal /mnt/wal").replace("/dev/root", "nas:/wal /mnt/wal nfs4 rw 0 0\n/dev/root"),
    ],
)
def test_what_is_usual_is_none(text: str) -> None:
    assert named(seen(text)) == []


def test_an_old_version_lets_no_group_read() -> None:
    old = GOOD.replace("~data 77 15", "~data 77 9.6")
    assert named(seen(old)) == []
    (cause,) = named(seen(old.replace("~file 700 105 .", "~file 750 105 .")))
    assert "starts with 700 only" in cause.says


def test_an_account_that_is_not_known_is_not_judged() -> None:
    wrong = GOOD.replace("~file 700 105 .", "~file 755 0 .")
    assert named(seen(wrong, uids=())) == named(seen(wrong, uids=(105, 106))) == []


@pytest.mark.parametrize(
    ("name", "then"),
    [("standby.signal", "takes no writes"), ("recovery.signal", "takes no writes"), ("recovery.conf", "would not start")],
)
def test_a_file_that_makes_it_a_standby(name: str, then: str) -> None:
    text = with_lines(f"~file 600 105 {name}")
    (cause,) = named(seen(text))
    assert cause.certainty is Certainty.CERTAIN and name in cause.says and then in cause.says
    replica = [
        path("client", DATABASE, "fail", identity="10.20.1.200:5432 serves reading, and takes no writes: it is in recovery, a standby")
    ]
    assert named(seen(text, paths=replica)) == []
    (cause,) = named(seen(text, paths=[]))
    assert cause.certainty is Certainty.POSSIBLE


def test_a_recovery_conf_of_before() -> None:
    (cause,) = named(seen(with_lines("~file 600 105 recovery.conf").replace("~data 77 15", "~data 77 11")))
    assert "in recovery" in cause.says and cause.certainty is Certainty.LIKELY
    assert named(seen(with_lines("~file 600 105 standby.signal").replace("~data 77 15", "~data 77 11"))) == []


def test_no_pg_hba_conf() -> None:
    (cause,) = named(seen(with_lines("~lacks pg_hba.conf")))
    assert cause.certainty is Certainty.LIKELY and "has no pg_hba.conf" in cause.says


def test_what_a_link_leads_to_stays_behind() -> None:
    text = with_lines("~link pg_wal /opt/ts/pg_wal")
    (cause,) = named(seen(text))
    assert cause.certainty is Certainty.LIKELY and f"{PGDATA}/pg_wal leads to /opt/ts/pg_wal" in cause.says
    assert named(seen(text, units={})) == []  # nothing is known to move
    own_disk = text.replace("/dev/root", "/dev/sdc /opt/ts ext4 rw 0 0\n/dev/root")
    (cause,) = named(seen(own_disk))
    assert cause.certainty is Certainty.POSSIBLE
    (cause,) = named(seen(own_disk, standby=STANDBY + "/dev/sdc /opt/ts ext4 rw 0 0\n"))
    assert cause.certainty is Certainty.LIKELY


def told_in(shell: str, folder: Path) -> str:
    with subprocess.Popen(["cat"], cwd=folder, stdin=subprocess.PIPE) as process:
        words = [shell, "-c", postgres_data_folder.LOOK, "it", str(process.pid), str(process.pid), "999999999"]
        told = subprocess.run(words, capture_output=True, text=True)
        process.communicate(b"")
    assert told.stderr == ""
    return told.stdout.replace(f" {process.pid} ", " 77 ")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (['~wrong invalid value for parameter "work_mem"', f'~wrong configuration file "{PGDATA}/x" contains errors'], "work_mem"),
        ([f'~wrong configuration file "{PGDATA}/x" contains errors'], "contains errors"),
        (["~rule 6 type"], "pg_hba.conf in /srv/shared/pgdata was changed"),
        (["~rule 6 method"], "line 6: the method is none"),
    ],
)
def test_files_that_were_changed_since_the_start(lines: list[str], words: str) -> None:
    (cause,) = named(seen(with_lines(*lines)))
    assert cause.certainty is Certainty.LIKELY and words in cause.says and "would not start" in cause.says


def test_a_program_that_could_not_be_asked_says_nothing_of_the_files() -> None:
    assert named(seen(with_lines("~wrong could not access the server: Permission denied"))) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "pg data"
    for name in ("pg_tblspc", "base"):
        (data / name).mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (data / "PG_VERSION").write_text("15\n")
    (data / "postgresql.conf").write_text("#hba_file = 'ConfigDir/pg_hba.conf'\n")
    (data / "pg_hba.conf").write_text("")
    (data / "postmaster.opts").write_text(f'/usr/lib/postgresql/15/bin/postgres "-D" "{data}" "-p" "5432"\n')
    (data / "pg_tblspc" / "16999").symlink_to(tmp_path / "elsewhere")
    (data / "pg_tblspc" / "17000").symlink_to(tmp_path / "gone")
    data.chmod(0o750)
    return data


def looked(data: Path) -> postgres_data_folder.DataFolder:
    texts = {told_in(shell, data) for shell in ("sh", "bash")}
    (text,) = texts
    (found,) = postgres_data_folder.parse(text).values()
    return found


def test_how_a_folder_is_looked_at(folder: Path) -> None:
    found = looked(folder)
    assert (found.folder, found.version, found.lacks_host_rules) == (str(folder), 15, False)
    assert found.files["."] == (0o750, os.getuid()) and {"PG_VERSION", "pg_hba.conf"} <= set(found.files)
    assert found.links == {"pg_tblspc/16999": str(folder.parent / "elsewhere")}


def test_when_a_folder_lacks_its_pg_hba_conf(folder: Path) -> None:
    (folder / "pg_hba.conf").unlink()
    assert looked(folder).lacks_host_rules
    (folder / "postgresql.conf").write_text("hba_file = '/etc/pg_hba.conf'\n")
    assert not looked(folder).lacks_host_rules
    (folder / "postgresql.conf").write_text("include_dir 'conf.d'\n")
    assert not looked(folder).lacks_host_rules
    (folder / "postgresql.conf").write_text("")
    for words in ('"-D" "/etc/postgresql"', f'"-D" "{folder}" "-c" "hba_file=/etc/hba"', f'"-D" "{folder}" "--config-file=/etc/x"', ""):
        (folder / "postmaster.opts").write_text(f"postgres {words}\n")
        assert not looked(folder).lacks_host_rules, words
    (folder / "postmaster.opts").write_text(f'postgres "-D" "{folder}" "-c" "config_file={folder}/postgresql.conf"\n')  # Pacemaker's agent
    assert looked(folder).lacks_host_rules
    (folder / "postmaster.opts").unlink()
    assert not looked(folder).lacks_host_rules


def test_no_folder_of_a_database(tmp_path: Path) -> None:
    assert told_in("sh", tmp_path) == told_in("bash", tmp_path) == ""
    assert postgres_data_folder.parse("~data x\n~data 1 15\n~data 5  /x\n~file 9 1 .") == {5: postgres_data_folder.DataFolder("/x")}


RULES = """# TYPE
local all all peer
host  all all 127.0.0.1/32 scram-sha-256
host all all 10.0.0.0 255.255.0.0 md5 # as before
host all all all trust
hostssl "my db" all, me ::1/128 cert map=x
host db,db2 all,me samenet ldap ldapserver=a
host all \\
  all 10.0.0.0/8 md5
@comment
"""


def test_lines_of_pg_hba_conf_that_are_none(folder: Path) -> None:
    rules, started = folder / "pg_hba.conf", folder / "postmaster.pid"
    rules.write_text(f"{RULES}hosts all all all trust\nhost all all 10.0.0.0/8 trusst\nlocal all all md6\n")
    started.write_text("")
    os.utime(started, (0, 0))
    os.utime(folder / "postgresql.conf", (0, 0))
    assert looked(folder).wrong_rules == ((10, "type"), (11, "type"), (12, "method"), (13, "method"))
    rules.write_text(RULES.replace("@comment\n", ""))
    assert looked(folder).wrong_rules == ()
    rules.write_text("hosts")
    os.utime(rules, (0, 0))
    assert looked(folder).wrong_rules == ()  # it started with that


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("-c listen_addresses=127.0.0.1 -c cluster_name=lknode02", "listen_addresses 127.0.0.1"),
        ("-c cluster_name=x --listen_addresses='localhost,::1'", "listen_addresses localhost, ::1"),
        ("-h 127.0.0.1", "listen_addresses 127.0.0.1"),
        ("-c port=5433", "the port 5433, and not 5432"),
        ("-p 5433", "the port 5433"),
        ("-c listen_addresses=0.0.0.0 -c cluster_name=lknode02", ""),
        ("-c listen_addresses=127.0.0.1,10.20.1.12", ""),
        ("-c port=5432 -c log_directory=/x/port=5", ""),
        ("", ""),
    ],
)
def test_what_the_cluster_manager_starts_it_with_on_one_node(options: str, words: str) -> None:
    hosts = {**evidence().hosts, "lknode02": node("lknode02", units={f"start options {DATABASE.tag}": options})}
    found = [c for c in diagnose(evidence(hosts=hosts)).causes if "start_opt" in c.says]
    assert len(found) == bool(words)
    for cause in found:
        assert cause.host == "lknode02" and words in cause.says and "after a failover" in cause.says and cause.is_fault
