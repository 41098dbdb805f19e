"""The diagnosis of what a failover would meet on the other node: frozen daemons, stopped processes, limits, accounts."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from diagnosis_sample import CLUSTER, both, client, evidence, faults, listening, node, only, with_host

from harness.collect.linux_host_script import _STOPPED as STOPPED
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.linux_host_script_parse import host


@pytest.mark.parametrize(("letter", "certainty"), [("T", Certainty.CERTAIN), ("t", Certainty.CERTAIN), ("D", Certainty.LIKELY)])
def test_a_daemon_of_the_manager_that_does_not_run_on(letter: str, certainty: Certainty) -> None:
    seen = host("lknode02", f"@@ daemons\n  20 {letter}s pacemaker-execd\n 21 D lcd\n  20 {letter}s pacemaker-execd\nnonsense\n")
    assert seen.frozen == {20: (letter, "pacemaker-execd")}, "what was seen once only has gone on"
    cause = only(with_host(node("lknode02", frozen=seen.frozen)), "lknode02", "pacemaker-execd (pid 20)", f"state {letter.upper()}")
    assert cause.certainty is certainty


@pytest.mark.parametrize(
    ("name", "active", "standby", "found"),
    [
        ("kernel.shmmni", "4096", "0", True),
        ("kernel.sem", "32000 1024000000 500 32000", "250 20 32 2", True),
        ("kernel.sem", "32000 1024000000 500 32000", "250 32000 100 128", False),
        ("kernel.shmmax", "18446744073692774399", "68719476736", False),
        ("fs.file-max", "9223372036854775807", "790000", False),
        ("fs.aio-max-nr", "1048576", "65536", True),
        ("vm.nr_hugepages", "2048\nvm/free_hugepages:48", "0", True),
        ("vm.nr_hugepages", "2048\nvm/free_hugepages:2048", "0", False),
        ("vm.nr_hugepages", "2048", "0", False),
        ("vm.nr_hugepages", "0", "2048", False),
        ("net.core.somaxconn", "4096", "128", False),
        ("net.ipv4.ip_local_port_range", "32768\t60999", "60000\t60999", True),
        ("net.ipv4.ip_local_port_range", "1024 65535", "32768 60999", False),
        ("kernel.shmall", "4096", "", False),
    ],
)
def test_limits_of_the_kernel_that_are_far_lower_on_the_standby(name: str, active: str, standby: str, found: bool) -> None:
    seen = [host("it", f"@@ limits\n{name.replace('.', '/')}:{told}\n").limits for told in (active, standby)]
    told = both(limits=(seen[0], seen[1]))
    if found:
        only(told, "lknode02", name, "database", "far lower")
    assert bool(faults(diagnose(told))) is found


def test_an_account_with_another_number_on_the_standby() -> None:
    database = next(s for s in CLUSTER.services if s.kind == "postgres")
    disk = {"directory disk": "/srv/shared"}
    runs = node("lknode01", accounts={database.port: frozenset({101})}, account_names={101: "postgres"}, units=disk)

    def of(names: dict[int, str]) -> Evidence:
        return evidence(hosts={"lknode01": runs, "lknode02": node("lknode02", account_names=names), "lkclient": client()})

    only(of({113: "postgres"}), "lknode02", "postgres", "uid 113", "101 on lknode01", database.name)
    for harmless in ({101: "postgres"}, {}, {113: "mysql"}, {101: "postgres", 113: "mysql"}):
        assert faults(diagnose(of(harmless))) == [], harmless
    runs = replace(runs, units={})  # data that is copied to the other node: each has its own
    assert faults(diagnose(of({113: "postgres"}))) == []


def test_a_stopped_process_of_a_service() -> None:
    lines = ["77 5 postgres ", "78 1 vi", "79 1 python3.11 /opt/x/lifekeeper/entry.py", "80 5 postgres "]
    text = "\n".join(["@@ stopped processes", *lines, "rubbish", *lines[:3], ""])
    seen = host("lknode01", text, "ip-a").stopped
    assert seen == {77: (5, "postgres", ""), 78: (1, "vi", ""), 79: (1, "python3.11", "/opt/x/lifekeeper/entry.py")}  # the others twice
    database = next(s for s in CLUSTER.services if s.kind == "postgres")
    ports = [12345, *(s.port for s in CLUSTER.services)]
    listeners = [listening(p, pid=5 if p == database.port else 9) for p in ports]
    one = {77: seen[77], 78: seen[78]}
    only(with_host(node("lknode01", listeners=listeners, stopped=one)), "lknode01", "postgres", "stopped", "77", "kill -CONT 77")
    assert faults(diagnose(with_host(node("lknode01", listeners=listeners, stopped={78: seen[78]})))) == []
    by_init = [listening(p, pid=1) for p in ports]  # sockets that systemd listens on
    assert faults(diagnose(with_host(node("lknode01", listeners=by_init, stopped={78: seen[78]})))) == []


def test_of_a_stopped_process_no_more_is_told_than_its_name_and_the_managers_program() -> None:
    """Its words may have a password in them; what was stopped at a terminal is somebody's editor."""
    rows = [
        "40 1 T ? lcd /opt/LifeKeeper/bin/lcd -e",
        "41 1 Tsl ? pacemaker-based /usr/libexec/pacemaker/pacemaker-based",
        "42 1 T ? python3.11 /usr/bin/python3.11 -S -IS /opt/x/lifekeeper/entry.py lkstart",
        "43 1 T pts/0 vi vi /etc/corosync/corosync.conf",
        "44 1 T ? dbtool /usr/bin/dbtool login admin S3cretPw1 /opt/LifeKeeper/x",
        "45 1 t ? postgres postgres: harness",
        "46 1 S ? lcm /opt/LifeKeeper/bin/lcm",
    ]
    shown = "\n".join(rows)
    done = subprocess.run(
        ["sh", "-c", f"ps() {{ cat <<'END'\n{shown}\nEND\n}}; sleep() {{ :; }}; {STOPPED}"], capture_output=True, text=True, check=True
    )
    told = host("lknode02", f"@@ stopped processes\n{done.stdout}", "ip-a").stopped
    assert told == {
        40: (1, "lcd", "/opt/LifeKeeper/bin/lcd"),
        41: (1, "pacemaker-based", "/usr/libexec/pacemaker/pacemaker-based"),
        42: (1, "python3.11", "/opt/x/lifekeeper/entry.py"),
        44: (1, "dbtool", ""),
    }
    assert "S3cret" not in done.stdout


def test_a_stopped_process_that_runs_a_program_of_the_manager() -> None:
    program = "/opt/x/lifekeeper/entry.py"
    cause = only(with_host(node("lknode02", stopped={40: (1, "python3", program)})), "lknode02", program, "pid 40", "kill -CONT 40")
    assert cause.certainty is Certainty.LIKELY  # not by the name of a daemon
    assert faults(diagnose(with_host(node("lknode02", stopped={40: (1, "dbtool", "")})))) == []
