"""The diagnosis of what a failover would meet on the other node: frozen daemons, keys, programs, limits, slow names."""

from __future__ import annotations

import shlex
import socket
import subprocess
import threading
from dataclasses import replace
from typing import Any

import pytest
from test_diagnosis import CLUSTER, OUT, TAGS, client, diagnose, evidence, faults, listening, node, only, state, with_host

from harness.collect.linux_host_script import _STOPPED as STOPPED
from harness.collect.linux_host_script import script
from harness.core.deadline import Deadline
from harness.core.finding import Finding, Weight
from harness.diagnosis.cause import Certainty
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.linux_host_script_parse import host
from harness.managers.kinds.pacemaker import Pacemaker
from harness.managers.manager import Answer, ClusterState, NodeState, Question, Says
from harness.managers.manager_registry import manager_of
from harness.managers.pacemaker_survey import ABSENT, PROGRAMS
from harness.managers.parse import corosync_parse
from harness.services.postgres_session import Session, parse_error, read_own_words
from harness.services.service_kind import WordsUntold

KEY = "/etc/corosync/authkey"
CONF = """# a comment: with a colon
totem {
  version: 2
  transport: knet
  crypto_cipher: aes256
  interface {
    linknumber: 0
    mcastport: 5405
  }
}
nodelist {
  node {
    nodeid: 1
    name: lknode01
    ring0_addr: 10.20.1.11
  }
  node {
    name: lknode02
    nodeid: 2
    ring0_addr: lknode02
  }
}
quorum {
  provider: corosync_votequorum
  two_node: 1
}
"""


def both(**told: tuple[Any, Any]) -> Evidence:
    """A sound cluster, of whose nodes each told its own of these."""
    base = evidence()
    hosts = {name: node(name, **{key: pair[i] for key, pair in told.items()}) for i, name in enumerate(("lknode01", "lknode02"))}
    return replace(base, hosts={**base.hosts, **hosts})


@pytest.mark.parametrize(("letter", "certainty"), [("T", Certainty.CERTAIN), ("t", Certainty.CERTAIN), ("D", Certainty.LIKELY)])
def test_a_daemon_of_the_manager_that_does_not_run_on(letter: str, certainty: Certainty) -> None:
    seen = host("lknode02", f"@@ daemons\n  20 {letter}s pacemaker-execd\n 21 D lcd\n  20 {letter}s pacemaker-execd\nnonsense\n")
    assert seen.frozen == {20: (letter, "pacemaker-execd")}, "what was seen once only has gone on"
    cause = only(with_host(node("lknode02", frozen=seen.frozen)), "lknode02", "pacemaker-execd (pid 20)", f"state {letter.upper()}")
    assert cause.certainty is certainty


def key_of(text: str) -> dict[str, str]:
    return dict(host("it", f"@@ keys\n{text}\n").keys)


def test_another_key_of_corosync_is_told_where_it_seals() -> None:
    one, other = key_of(f"0123456789abcdef  {KEY}"), key_of(f"fedcba9876543210  {KEY}")
    assert one == {KEY: "0123456789abcdef"} and key_of("sha256sum: nothing") == {}
    sealed = corosync_parse.parse(CONF)
    cause = only(both(keys=(one, other), corosync=(sealed, sealed)), "lknode02", KEY, "different", "next start")
    assert cause.certainty is Certainty.LIKELY
    for keys in ((one, one), (one, {}), ({}, other)):
        assert faults(diagnose(both(keys=keys, corosync=(sealed, sealed)))) == []
    for text in (CONF.replace("aes256", "none"), CONF.replace("crypto_cipher: aes256", "secauth: off"),
                 CONF.replace("crypto_cipher: aes256", "keyfile: /etc/k")):  # fmt: skip
        unsealed = corosync_parse.parse(text)
        assert not [c for c in diagnose(both(keys=(one, other), corosync=(unsealed, unsealed))).causes if "key" in c.says]
    (default,) = [c for c in diagnose(both(keys=(one, other))).causes if KEY in c.says]
    assert default.certainty is Certainty.POSSIBLE, "whether the key is used was not told"


def test_a_file_of_corosync_that_one_node_lacks_is_told() -> None:
    here, gone = key_of(f"0123456789abcdef  {KEY}"), key_of(f"absent {KEY}")
    sealed, unsealed = corosync_parse.parse(CONF), corosync_parse.parse(CONF.replace("aes256", "none"))
    assert only(both(keys=(here, gone), corosync=(sealed, sealed)), "lknode02", f"{KEY} is not there").certainty is Certainty.LIKELY
    only(both(keys=(gone, here), corosync=(sealed, sealed)), "lknode01", f"{KEY} is not there on lknode01")
    conf = key_of("absent /etc/corosync/corosync.conf")
    only(both(keys=(here, here | conf), corosync=(sealed, {})), "lknode02", "corosync.conf is not there")
    for keys, settings in (
        ((gone, gone), sealed),
        (({}, gone), sealed),
        ((here, gone), unsealed),
        ((here, {}), sealed),
        ((conf, conf), {}),
    ):
        assert faults(diagnose(both(keys=keys, corosync=(settings, settings)))) == []


def test_how_a_host_tells_of_a_file_of_corosync_that_is_not_there(tmp_path: Any) -> None:
    (tmp_path / "authkey").write_text("it")
    text = ABSENT.replace("/etc/corosync", str(tmp_path))
    told = subprocess.run(["sh", "-c", text], capture_output=True, text=True)
    assert told.stdout == f"absent {tmp_path}/corosync.conf\n" and told.returncode == 0
    assert subprocess.run(["sh", "-c", text.replace(str(tmp_path), f"{tmp_path}/none")], capture_output=True, text=True).stdout == ""


def test_the_key_of_remote_nodes_is_worth_a_look_only() -> None:
    place = "/etc/pacemaker/authkey"
    told = diagnose(both(keys=({place: "0" * 16}, {place: "1" * 16})))
    assert [c.certainty for c in told.causes if place in c.says] == [Certainty.POSSIBLE]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("transport: knet", "transport: udpu", "totem.transport is knet on lknode01 and udpu on lknode02"),
        ("10.20.1.11", "10.20.1.61", "node 1 ring0_addr is 10.20.1.11 on lknode01 and 10.20.1.61"),
        ("two_node: 1", "two_node: 0", "quorum.two_node is 1"),
        ("nodeid: 2", "nodeid: 3", "nodes 1, 2"),
        ("ring0_addr: lknode02", "ring0_addr: 10.20.1.12", ""),
        ("mcastport: 5405", "mcastport: 5407", ""),
        ("two_node: 1", "", "differ: quorum.two_node is 1 on lknode01 and not set on lknode02; lknode02 may"),
        (
            "transport: knet",
            "transport: knet\ntoken: 30000",
            "totem.token is not set on lknode01 and 30000 on lknode02; lknode02 would not wait",
        ),
        ("transport: knet", "transport: knet\ntoken: 3000", ""),  # the default of many versions
        ("transport: knet", "transport: knet\nconsensus: 3600", ""),  # whose default hangs on the token
        ("two_node: 1", "two_node: 1\nwait_for_all: 1\nexpected_votes: 2", ""),
        ("two_node: 1", "two_node: 1\nexpected_votes: 3", "quorum.expected_votes is not set on lknode01 and 3"),
        ("ring0_addr: lknode02", "ring0_addr: lknode02\nring1_addr: 10.20.2.12", "node 2 ring1_addr is not set on lknode01"),
        ("# a comment: with a colon", "# transport: udpu\nlogging {\n debug: on\n}", ""),
    ],
)
def test_settings_of_corosync_that_differ(old: str, new: str, says: str) -> None:
    ours, theirs = (host("it", f"@@ corosync\n{text}").corosync for text in (CONF, CONF.replace(old, new)))
    assert ours["node 1 ring0_addr"] == "10.20.1.11" and ours["totem.crypto_cipher"] == "aes256"
    told = both(corosync=(ours, theirs))
    if says:
        only(told, "lknode02", says)
    assert faults(diagnose(told)) == [] or says
    assert faults(diagnose(both(corosync=(ours, {})))) == []


NO_VOTES = "without lknode01 there are 1 votes, and quorum needs 2"


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (
            CONF.replace("two_node: 1", ""),
            CONF.replace("two_node: 1", ""),
            ("two_node is not set in", "on lknode01 and lknode02", "two_node: 1 in"),
        ),
        (CONF.replace("two_node: 1", "two_node: 0"), "", ("two_node is not set in", "on lknode01:", "corosync-cfgtool -R")),
        (CONF, CONF, ("runs with more expected votes than two nodes have", "corosync-quorumtool -e 2")),
        (CONF.replace("two_node: 1", "two_node: 1\nexpected_votes: 3"),) * 2 + (("quorum.expected_votes 3",),),
        (CONF.replace("two_node: 1", "two_node: 1\ndevice {\nmodel: net\n}"),) * 2 + (("counts a quorum device's vote",),),
        ("", "", ("take that away",)),
    ],
)
def test_why_one_node_alone_has_no_quorum(ours: str, theirs: str, words: tuple[str, ...]) -> None:
    files = tuple(host("it", f"@@ corosync\n{text}").corosync for text in (ours, theirs))
    told = replace(both(corosync=files), may_move={Question.LOST: Answer(Says.NO, (NO_VOTES,))})
    only(told, "lknode02", NO_VOTES, *words)


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


def test_no_key_leaves_a_host() -> None:
    lines = Pacemaker(CLUSTER, {}).survey_commands()
    assert KEY in lines["keys"] and "cat" not in lines["keys"]
    kept = lines["corosync"][lines["corosync"].rindex("|") :]
    line = f"printf '%s\\n' '  key: c2VjcmV0' '  keyfile: /k' {kept}"
    text = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
    assert text == "  keyfile: /k\n"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"Ecould not fork new process for connection: Resource temporarily unavailable\n\0", "could not fork new process"),
        (b"E\0\0\0\x2bSFATAL\0VFATAL\0C53300\0Mtoo many clients\0\0", "FATAL: 53300: too many clients"),
        (b"R\0\0\0\x08\0\0\0\0", ""),
        (b"", ""),
        (b"E\x1b[2J\0", "?[2J"),
    ],
)
def test_the_servers_own_sentence(said: bytes, words: str) -> None:
    assert parse_error(said).startswith(words) and bool(parse_error(said)) is bool(words)


def test_a_server_that_answers_the_request_for_tls_with_an_error_is_asked_again_without_a_password() -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                with server.accept()[0] as link:
                    heard.append(link.recv(1000))
                    link.sendall(b"Ecould not fork new process for connection: no memory\n\0")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        with pytest.raises(WordsUntold):
            Session("127.0.0.1", port, {"sslmode": "require"}, Deadline(5.0))
        told = read_own_words("127.0.0.1", port, "harness", "app", Deadline(5.0))
        thread.join(5.0)
    assert "could not fork new process for connection: no memory" in told and "127.0.0.1" not in told
    assert b"harness" in heard[-1] and b"password" not in heard[-1]


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


def test_wait_for_all_that_was_switched_off_in_a_pair() -> None:
    off = {"quorum.two_node": "1", "quorum.wait_for_all": "0"}
    hosts = {name: node(name, corosync=off) for name in ("lknode01", "lknode02")}
    only(evidence(hosts=hosts), "lknode02", "wait_for_all", "lknode01 and lknode02")
    for harmless in ({"quorum.two_node": "1"}, {"quorum.wait_for_all": "0"}, {**off, "quorum.wait_for_all": "1"}):
        assert faults(diagnose(with_host(node("lknode02", corosync=harmless)))) == []


def test_nodes_of_corosync_without_a_number_or_a_name_are_told_apart_by_their_addresses() -> None:
    def listed(*addresses: str) -> str:
        return "nodelist {\n" + "".join(f"node {{\nring0_addr: {a}\n}}\n" for a in addresses) + "}\n"

    one, other = (corosync_parse.parse(listed(*these)) for these in (("10.0.0.4", "10.0.0.5"), ("10.0.0.5", "10.0.0.4")))
    assert [*corosync_parse.differences(one, other)] == []
    assert [*corosync_parse.differences(one, corosync_parse.parse(listed("10.0.0.4", "10.0.0.6")))]
    odd = corosync_parse.parse("nodelist {\nnode {\nnodeid:\n: x\n}\n}\n")
    assert [*corosync_parse.differences(odd, one)] == []


@pytest.mark.parametrize(
    ("conf", "option", "words"),
    [
        (
            CONF.replace("two_node: 1", ""),
            "",
            ("without lknode02, because two_node is not set", "it stops everything", "start lknode02", "two_node: 1"),
        ),
        (CONF, "", ("waits until it has once seen that (wait_for_all", "pcs quorum unblock")),
        (CONF, '<nvpair name="no-quorum-policy" value="freeze"/>', ("(freeze)", "keeps what it has in service")),
        ("", "", ("has no quorum without lknode02; so", "corosync-quorumtool -s")),
    ],
)
def test_a_node_without_quorum_is_told_as_that_and_dead_paths_follow(conf: str, option: str, words: tuple[str, ...]) -> None:
    cib = f"<cib><configuration><crm_config>{option}</crm_config></configuration></cib>"
    told = host("lknode01", f"@@ corosync\n{conf}\n@@ configuration\n{cib}\n")
    one = NodeState("lknode01", True, dict.fromkeys(TAGS, OUT), state().nodes["lknode01"].comm_paths, quorum=False)
    away = NodeState("lknode02", False, {}, (), "could not be asked")
    dead = Finding(Weight.FAULT, "lknode01", "communication path", "10.20.1.11/10.20.1.12 is dead", "see", ())
    base = evidence(active=None, paths=[], probes={}, findings=[dead], state=ClusterState({"lknode01": one, "lknode02": away}))
    hosts = {"lknode01": node("lknode01", corosync=told.corosync, units=told.units)}
    only(replace(base, hosts=hosts, firewalls={}), "lknode01", "lknode01 has no quorum", *words)


def test_a_node_with_quorum_or_a_policy_to_ignore_it_is_no_cause() -> None:
    ignore = '<cib><configuration><crm_config><nvpair name="no-quorum-policy" value="ignore"/></crm_config></configuration></cib>'
    units = host("lknode01", f"@@ configuration\n{ignore}\n").units
    for quorum, its in ((True, {}), (None, {}), (False, units)):
        nodes = {name: replace(one, quorum=quorum) for name, one in state().nodes.items()}
        base = evidence(state=ClusterState(nodes))
        told = diagnose(
            replace(base, hosts={**base.hosts, "lknode01": node("lknode01", units=its), "lknode02": node("lknode02", units=its)})
        )
        assert not [c for c in told.causes if "quorum" in c.says]
