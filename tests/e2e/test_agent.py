"""The measuring agent as a real process: what it tells apart, what it survives, and that it leaves nothing."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from agent_fixtures import (
    LIMIT,
    Seen,
    complete,
    header,
    launched,
    measuring,
    namespace,
    needs_namespaces,
    nothing_of,
    plan,
    processes_of,
    series,
    service,
)

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.hosts.local_host import LocalHost
from harness.hosts.ssh.ssh_host import SshHost
from harness.remote import script_transport
from harness.remote.agents import agent_launch
from harness.remote.agents.agent_launch import AgentWatch
from harness.remote.agents.agent_session import Agent
from harness.remote.recording.recording import Sample


@pytest.fixture
def here():
    host = LocalHost("here")
    yield host
    host.close()


# --- what it tells apart


@pytest.mark.parametrize(
    ("mode", "outcome", "detail"),
    [
        ("answer", "answered", ""),
        ("hang", "silent", "accepted, but not answered"),
        ("babble", "silent", "said b'go away"),
        ("reset", "reset", ""),
        ("close", "reset", "closed without a word"),
    ],
)
def test_what_a_service_does_is_told_apart(here, tmp_path, mode, outcome, detail) -> None:
    limit_s = 1.0 if outcome == "silent" else 20.0
    with service(mode) as it, measuring(here, tmp_path, series("t", it.port, limit_s=limit_s)) as (_, seen):
        seen.wait_rows("t", 5)
    assert seen.outcomes("t") == {outcome}
    assert all(row.port > 0 and detail in row.detail for row in seen.rows["t"])
    assert len({row.port for row in seen.rows["t"]}) == len(seen.rows["t"])


@needs_namespaces
def test_what_the_network_does_is_told_apart(tmp_path) -> None:
    rules = "nft add table t; nft 'add chain t o { type filter hook output priority 0; }'; nft add rule t o tcp dport 2 drop"
    with namespace("-n", setup=f"ip link set lo up; {rules}; ip route add unreachable 10.9.0.0/24") as inside:
        all_series = [
            series("refused", 1, period_s=0.1),
            series("silent", 2, period_s=0.1, limit_s=0.2),
            series("no route", 3, destination="10.8.0.1", period_s=0.1),
            series("unreachable", 3, destination="10.9.0.1", period_s=0.1),
        ]
        with measuring(LocalHost("inside", prefix=inside), tmp_path, *all_series) as (_, seen):
            for one in all_series:
                seen.wait_rows(one.id, 2)
    expected = {"refused": "refused", "silent": "silent", "no route": "unreachable", "unreachable": "unreachable"}
    assert {name: seen.outcomes(name) for name in expected} == {name: {outcome} for name, outcome in expected.items()}
    assert {row.detail for row in seen.rows["no route"]} == {"ENETUNREACH"}
    assert all(row.port > 0 for rows in seen.rows.values() for row in rows)


def test_a_slow_attempt_delays_none_and_too_many_are_skipped(here, tmp_path) -> None:
    with service("hang") as it, measuring(here, tmp_path, series("t", it.port, limit_s=0.2), max_open=4) as (_, seen):
        seen.wait_rows("t", 30, "skipped")
        seen.wait_rows("t", 4, "silent")
    assert seen.outcomes("t") == {"silent", "skipped"}
    assert {row.detail for row in seen.rows["t"] if row.outcome == "skipped"} == {"4 sockets are open already"}


def test_a_cut_is_measured(here, tmp_path) -> None:
    with service() as it, measuring(here, tmp_path, series("t", it.port)) as (_, seen):
        seen.wait_rows("t", 5, "answered")
        before_deaf = time.monotonic()
        it.deaf()
        deaf = time.monotonic()
        seen.wait_rows("t", 30, "refused")
        before_listening = time.monotonic()
        it.listen()
        listening = time.monotonic()
        seen.wait_rows("t", 5, "answered")
    failed = [row.at for row in seen.rows["t"] if row.outcome != "answered"]
    right = min(row.at for row in seen.rows["t"] if row.at > failed[-1])
    # generous, and by how late the attempts were on this machine, which has other work: `./run bench` tells how well it can be done
    late = 0.2 + max(b - a for a, b in pairwise(row.at for row in seen.rows["t"]))
    assert before_deaf - late < failed[0] < deaf + late
    assert before_listening - late < right < listening + late


def test_every_tick_is_accounted_for(here, tmp_path) -> None:
    with service() as it, measuring(here, tmp_path, series("t", it.port)) as (agent, seen):
        spool = header(agent._life.folder)
        seen.wait_rows("t", 10)
        os.kill(spool["pid"], signal.SIGSTOP)
        stopped = Deadline(0.35)
        Deadline(LIMIT).wait_for(lambda: stopped.expired, what="a third of a second", every=0.05)
        os.kill(spool["pid"], signal.SIGCONT)
        seen.wait_rows("t", 100)
    assert sum(n.late_ticks for n in seen.noises) >= 29
    assert max(n.worst_late_s for n in seen.noises) >= 0.29
    starts = [row.at for row in seen.rows["t"]]
    period = series("t", it.port).period_s
    assert len(starts) - 1 < (starts[-1] - starts[0]) / period - 25, "the 29 or more that were missed were made up"


# --- the pinned connection


def ports_kept(rows: Sequence[Sample]) -> list[int]:
    """The ports of the connections that stood, in their order, each once. Attempts that began before the one that became the standing
    connection may be answered after it (its server's threads run in any order), and have ports of their own."""
    kept: list[int] = []
    stands = False
    for row in sorted(rows):
        stands = row.outcome == "answered" and (stands or bool(row.detail))
        if stands and row.port not in kept:
            kept.append(row.port)
    return kept


def test_a_pinned_connection_is_kept_and_told_when_it_is_new(here, tmp_path) -> None:
    with service() as it, measuring(here, tmp_path, series("p", it.port, kind="pinned")) as (_, seen):
        seen.wait_rows("p", 10, "answered")
        it.cut()
        seen.wait_rows("p", 10, "answered")
    rows = seen.rows["p"]
    assert [row.detail for row in rows if row.outcome == "answered" and row.detail] == ["connected", "reconnected"]
    assert sum(row.outcome == "reset" for row in rows) == 1
    assert len(ports_kept(rows)) == 2


def test_a_pinned_connection_tries_again_at_every_period_while_its_service_hangs(here, tmp_path) -> None:
    with service() as it, measuring(here, tmp_path, series("p", it.port, kind="pinned", limit_s=1.0)) as (_, seen):
        seen.wait_rows("p", 3, "answered")
        it.mode = "hang"
        seen.wait_rows("p", 10, "silent")
        it.mode = "answer"
        seen.wait_rows("p", 5, "answered")
    rows = sorted(seen.rows["p"])
    first, again = (next(i for i, row in enumerate(rows) if row.detail == word) for word in ("connected", "reconnected"))
    assert {row.outcome for row in rows[again:]} == {"answered"}
    assert sum(row.outcome == "silent" for row in rows[first:again]) >= 10


def test_attempts_after_the_one_that_became_the_pinned_connection_say_nothing(here, tmp_path) -> None:
    with service("slow") as it, measuring(here, tmp_path, series("p", it.port, kind="pinned")) as (_, seen):
        seen.wait_rows("p", 3)
    assert seen.outcomes("p") == {"answered"}
    assert len(ports_kept(seen.rows["p"])) == 1


# --- what it watches


@needs_namespaces
def test_the_vip_and_listeners_are_seen_to_come_and_go(tmp_path) -> None:
    vip = "10.20.1.200"
    with namespace("-n", setup="ip link set lo up") as inside:
        host = LocalHost("inside", prefix=inside)
        watch = AgentWatch(vip=vip, ports=(8080,), every_s=0.02)
        with measuring(host, tmp_path, series("t", 8080, period_s=0.25), watch=watch) as (_, seen):
            assert seen.wait_event("vip-down").data["initial"]
            assert seen.wait_event("listener-down").data == {"port": 8080, "address": "", "initial": True}
            before = time.monotonic()
            host.check(["ip", "addr", "add", f"{vip}/32", "dev", "lo"])
            up = seen.wait_event("vip-up")
            assert up.text == "lo" and before - 0.05 < up.at < time.monotonic()
            listener = host.start([sys.executable, "-c", f"import socket; s = socket.create_server(('{vip}', 8080)); input()"])
            assert seen.wait_event("listener-up").data == {"port": 8080, "address": vip}
            listener.close()
            seen.wait_event("listener-down", address=vip)
            host.check(["ip", "addr", "del", f"{vip}/32", "dev", "lo"])
            seen.wait_event("vip-down", 2)
        host.close()


def test_a_log_is_read_through_absence_rotation_and_truncation(here, tmp_path) -> None:
    log, spools = tmp_path / "lifekeeper.log", tmp_path / "spools"
    spools.mkdir()
    watch = AgentWatch(log=str(log), every_s=0.01)

    def told(count: int) -> list[str]:
        seen.wait_event("log", count)
        return [e.text for e in seen.events if e.kind == "log"]

    with measuring(here, spools, series("t", 1, period_s=0.25), watch=watch) as (_, seen):
        assert "No such file" in seen.wait_event("unwatched", what="log").text
        log.write_text("first\n")
        assert told(1) == ["first"]
        with log.open("a") as more:
            more.write("sec")
            more.flush()
            more.write("ond\n")
        assert told(2)[-1] == "second"
        log.rename(tmp_path / "lifekeeper.log.1")
        log.write_text("third\n")
        assert told(3)[-1] == "third"
        log.write_text("x\n")  # cut short, and written anew
        assert told(4)[-1] == "x"


def test_a_log_that_is_flooded_is_left_out_in_part_and_says_so(here, tmp_path) -> None:
    log, spools = tmp_path / "pacemaker.log", tmp_path / "spools"
    spools.mkdir()
    log.touch()
    watch = AgentWatch(log=str(log), every_s=0.01)
    with measuring(here, spools, series("t", 1, period_s=0.25), watch=watch) as (_, seen), log.open("a") as flood:
        seen.wait_rows("t", 1)
        # At once: a busy machine would write it so slowly that all of it is read.
        flood.write("Fencer connection failed (will retry): Transport endpoint is not connected\n" * 40_000)
        flood.flush()

        def told() -> list[str]:
            return [e.text for e in seen.events if e.kind == "log"]

        Deadline(120).wait_for(lambda: any("left out here" in t for t in told()), what="the gap being told", every=0.05)
        flood.write("the last word\n")
        flood.flush()
        Deadline(120).wait_for(lambda: told()[-1] == "the last word", what="the log being read again", every=0.05)
        assert 1 < len(told()) < 40_000


# --- what it survives


def test_a_lost_connection_loses_nothing(here, tmp_path) -> None:
    with service() as it, measuring(here, tmp_path, series("t", it.port)) as (agent, seen):
        for times in (1, 2, 3):
            seen.wait_rows("t", 10)
            os.kill(agent._process.pid, signal.SIGKILL)
            seen.wait_event("agent-lost", times)
            seen.wait_event("agent-back", times)
        seen.wait_rows("t", 10)
    complete(agent, seen)
    gaps = [b - a for a, b in pairwise(row.at for row in seen.rows["t"])]
    assert max(gaps) < 0.5 + max((n.worst_late_s for n in seen.noises), default=0.0) and seen.kinds() == ["agent-lost", "agent-back"] * 3


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sshd separates privileges")
def test_over_ssh_a_lost_connection_loses_nothing(tmp_path) -> None:
    from sshd_server import start_server

    server = start_server(tmp_path / "sshd")
    spools = tmp_path / "spools"
    spools.mkdir()
    host = SshHost(server.machine())
    try:
        with service() as it, measuring(host, spools, series("t", it.port)) as (agent, seen):
            seen.wait_rows("t", 10)
            for pid in server.connections():
                os.kill(pid, signal.SIGKILL)
            seen.wait_event("agent-back")
            seen.wait_rows("t", 10)
        complete(agent, seen)
        assert all(0 <= clock.error_s < 0.5 and abs(clock.offset_s) <= clock.error_s for clock in seen.clocks)
        nothing_of(spools)
    finally:
        host.close()
        server.process.terminate()
        server.process.wait(120)


def test_a_host_that_falls_silent_is_lost_and_comes_back(here, tmp_path) -> None:
    with service() as it, measuring(here, tmp_path, series("t", it.port)) as (agent, seen):
        seen.wait_rows("t", 10)
        os.kill(agent._process.pid, signal.SIGSTOP)
        lost = seen.wait_event("host-lost")
        os.kill(agent._process.pid, signal.SIGCONT)
        back = seen.wait_event("host-back")
        seen.wait_rows("t", 10)
        assert back.at - lost.at > 1.5  # from when it was last heard
    complete(agent, seen)


@pytest.mark.parametrize(("how", "why"), [(signal.SIGKILL, "killed"), (signal.SIGTERM, "a signal ended it")])
def test_an_agent_that_is_gone_is_replaced(here, tmp_path, how, why) -> None:
    with service() as it, measuring(here, tmp_path, series("t", it.port)) as (agent, seen):
        seen.wait_rows("t", 10)
        first = agent._life
        os.kill(header(first.folder)["pid"], how)
        assert why in seen.wait_event("agent-lost").text
        assert "new one" in seen.wait_event("agent-back").text
        seen.wait_rows("t", 10)
        assert agent._life is not first


@needs_namespaces
def test_a_full_disk_ends_it_and_is_told(tmp_path) -> None:
    with namespace("-m", setup=f"mount --make-rprivate /; mount -t tmpfs -o size=16k t {tmp_path}") as inside:
        host = LocalHost("inside", prefix=inside)
        seen = Seen()
        agent = Agent(host, sys.executable, plan(tmp_path, series("t", 1, period_s=0.001)), seen)
        agent.start()
        try:
            assert "No space left" in seen.wait_event("agent-lost").text
            complete(agent, seen)
        finally:
            assert agent.stop() == []
        assert host.check(["ls", str(tmp_path)]) == ""


# --- its end


def test_it_ends_by_itself_and_takes_its_spool_along(here, tmp_path) -> None:
    launched(here, tmp_path, lifetime_s=0.2, keep_s=0.1)
    nothing_of(tmp_path)


@pytest.mark.parametrize("victim", ["agent", "guard"])
def test_what_a_killed_one_leaves_goes_by_itself(here, tmp_path, victim) -> None:
    folder = launched(here, tmp_path, lifetime_s=1.0, keep_s=0.1)
    agent = header(folder)["pid"]
    guard = next(pid for pid in processes_of(folder) if pid != agent)
    os.kill(agent if victim == "agent" else guard, signal.SIGKILL)
    nothing_of(tmp_path)


def test_it_ends_when_its_folder_is_removed(here, tmp_path) -> None:
    shutil.rmtree(launched(here, tmp_path))
    nothing_of(tmp_path)


def test_a_hung_one_is_ended_by_force(here, tmp_path) -> None:
    folder = launched(here, tmp_path)
    os.kill(header(folder)["pid"], signal.SIGSTOP)
    agent_launch.order(here, sys.executable, "clean", [folder], limit=LIMIT)
    nothing_of(tmp_path)


def test_only_folders_of_agents_are_cleaned(here, tmp_path) -> None:
    (tmp_path / "precious").mkdir()
    with pytest.raises(HarnessError, match="is no folder of an agent"):
        agent_launch.order(here, sys.executable, "clean", [str(tmp_path / "precious")], limit=LIMIT)
    assert (tmp_path / "precious").is_dir()


def test_nobody_else_can_read_its_spool(here, tmp_path) -> None:
    folder = launched(here, tmp_path)
    try:
        assert Path(folder).stat().st_mode & 0o777 == 0o700 and Path(folder, "spool").stat().st_mode & 0o777 == 0o600
    finally:
        agent_launch.order(here, sys.executable, "clean", [folder], limit=LIMIT)


def test_a_host_where_nothing_can_be_written_is_told(here) -> None:
    with pytest.raises(HarnessError, match=r"no folder can be written here \(/proc/1: "):
        launched(here, "/proc/1")


def test_a_host_without_python_is_told(here, tmp_path) -> None:
    given = plan(tmp_path, series("t", 1))
    with pytest.raises(HarnessError, match=r"Python 3\.6"):
        Agent(here, "/bin/false", given, Seen()).start()


def test_its_scripts_are_python_3_6() -> None:
    for script in (agent_launch.SCRIPT, agent_launch.FOLLOW):
        ast.parse(script_transport.source(script), feature_version=(3, 6))


def test_it_needs_no_root(here, tmp_path) -> None:
    if os.geteuid() != 0:
        pytest.skip("runs as an ordinary user anyway")
    given = plan("/dev/shm", series("t", 1))
    folders = agent_launch.new_folders(given)
    nobody = LocalHost("nobody", prefix=["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"])
    folder = agent_launch.launch(nobody, "/usr/bin/python3", given, folders, lifetime_s=5, limit=LIMIT)
    agent_launch.order(nobody, "/usr/bin/python3", "clean", [folder], limit=LIMIT)
    assert not Path(folder).exists() and processes_of(folder) == []
