"""Hosts without Python behind a real sshd: one with a shell, one that runs no command at all. What each can bear, and what it measures."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from agent_fixtures import EXPECT, SAY, Seen, Service, series, service
from loopback import echo_server
from sshd_server import SSHD, Server, servers

from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive, Unusable
from harness.hosts.host import Host
from harness.hosts.ssh import forwarding
from harness.hosts.ssh.ssh_host import SshHost
from harness.measure.evaluation.attempt_attribution import Traced
from harness.measure.evaluation.series_outages import runs_of_failure
from harness.remote import host_capabilities
from harness.remote.agents import shell_agent
from harness.remote.agents.agent_factory import Measures, agent_of
from harness.remote.agents.agent_launch import AgentPlan, AgentSeries
from harness.remote.connections.attempt import attempt
from harness.remote.connections.attempt_outcome import AttemptOutcome
from harness.remote.connections.connector_without_python import FallbackConnector
from harness.remote.connections.tcp_tunnel import relay
from harness.remote.host_capabilities import Answers, Capabilities, Kind
from harness.remote.recording.recording import NEW, Series
from tests.free_port import free_port

pytestmark = [
    pytest.mark.skipif(not SSHD.exists(), reason="needs a real sshd (Debian package openssh-server)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sshd separates privileges"),
]
NO_PYTHON = "/nowhere/python3"
CONFIGURED = {Kind.SHELL: (), Kind.FORWARDING: ("AllowTcpForwarding yes", "ForceCommand /bin/false")}


@pytest.fixture(scope="module", params=list(CONFIGURED), ids=str)
def server(request, tmp_path_factory) -> Iterator[tuple[Kind, Server]]:
    with servers(tmp_path_factory.mktemp("host")) as serve:
        yield request.param, serve(*CONFIGURED[request.param])


@pytest.fixture
def host(server) -> Iterator[SshHost]:
    made = SshHost(server[1].machine("lkclient"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def bears(server) -> Capabilities:
    host = SshHost(server[1].machine("lkclient"))
    found = host_capabilities.ask(host, "linux", NO_PYTHON)
    host.close()
    assert found.kind is server[0]
    return found


@contextlib.contextmanager
def at_work(host: Host, bears: Capabilities, *series: AgentSeries) -> Iterator[tuple[Measures, Seen]]:
    seen = Seen()
    agent = agent_of(host, bears, NO_PYTHON, AgentPlan(series, lifetime_s=60.0), seen)
    agent.start()
    try:
        yield agent, seen
    finally:
        assert agent.stop() == []


def coarse(name: str, port: int, bears: Capabilities, **more: object) -> AgentSeries:
    return series(name, port, period_s=bears.least_period_s, **{"limit_s": 0.25, **more})


def ours() -> set[str]:
    """The processes of the script, by what bash was told to load."""
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if shell_agent.LOADER.encode() in (place / "cmdline").read_bytes():
                found.add(place.name)
    return found


# --- what a host can bear


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (Answers(python=True, shell=True, forwards=True), Kind.PYTHON),
        (Answers("windows"), Kind.POWERSHELL),
        (Answers(shell=True, forwards=True), Kind.SHELL),
        (Answers(forwards=True), Kind.FORWARDING),
    ],
)
def test_the_best_that_a_host_bears_is_taken(answers, kind):
    found = host_capabilities.decide(answers)
    assert found is not None and found.kind is kind
    assert (found.sentence("h", 0.01) == "") == found.full and found.period_s(0.5) == 0.5


def test_a_host_that_bears_nothing_is_told(tmp_path):
    assert host_capabilities.decide(Answers()) is None
    with servers(tmp_path) as serve:
        host = SshHost(serve("AllowTcpForwarding no", "ForceCommand /bin/false").machine("lkclient"))
        with pytest.raises(Unusable, match="its sshd may make no connections for us; set AllowTcpForwarding"):
            host_capabilities.ask(host, "linux", NO_PYTHON)
        host.close()


def test_a_host_with_python_is_measured_by_it(tmp_path):
    with servers(tmp_path) as serve:
        host = SshHost(serve().machine("lkclient"))
        assert host_capabilities.ask(host, "linux", "python3").full
        host.close()


# --- measuring


def test_what_a_service_does_is_told_apart(host, bears):
    expected = {"answer": "answered", "hang": "silent", "babble": "silent", "close": "reset", "deaf": "refused", "plain": "answered"}
    with contextlib.ExitStack() as stack:
        modes = {m: stack.enter_context(service(m)) for m in ("answer", "hang", "babble", "close")}
        series = [coarse(m, s.port, bears, limit_s=2.0) for m, s in modes.items()]
        series += [coarse("deaf", 1, bears, limit_s=2.0), coarse("plain", modes["hang"].port, bears, say=b"", expect=b"", limit_s=2.0)]
        _, seen = stack.enter_context(at_work(host, bears, *series))
        for one in series:
            seen.wait_rows(one.id, 2, expected[one.id])
    found = {name: seen.outcomes(name) - {"skipped"} for name in expected}  # a tick that a busy host left out tells nothing of the service
    assert found == {name: {outcome} for name, outcome in expected.items()}
    details = [row.detail for row in seen.rows["hang"] if row.outcome == "silent"]
    # A busy host may take an attempt's whole time to begin it, and then knows no more than that.
    assert "accepted, but not answered" in details and set(details) <= {"accepted, but not answered", ""}, details
    tried = [row for row in seen.rows["plain"] if row.outcome == "answered"]
    assert tried and all((row.port > 0) == bears.tells_port for row in tried)


@pytest.mark.timing
def test_a_full_backlog_is_silent_and_delays_nothing(host, bears):
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        with (
            contextlib.closing(socket.create_connection(door.getsockname())),
            at_work(host, bears, coarse("full", door.getsockname()[1], bears)) as (_, seen),
        ):
            seen.wait_rows("full", 8, "silent")
    rows = [row.at for row in seen.rows["full"] if row.outcome == "silent"]
    assert (rows[-1] - rows[0]) / (len(rows) - 1) < 2 * bears.least_period_s  # each tick has an attempt of its own


@pytest.mark.timing
def test_connections_that_sshd_still_tries_do_not_pile_up(host, bears, monkeypatch):
    """SSH cannot take them back, so the SSH connection is given up for another one, and no tick is missed meanwhile."""
    if bears.kind is not Kind.FORWARDING:
        pytest.skip("a script ends its own")
    monkeypatch.setattr(forwarding, "MAX_ABANDONED_CHANNELS", 4)
    dialled = []
    monkeypatch.setattr(host, "forwarding", lambda limit, open=host.forwarding: dialled.append(open(limit)) or dialled[-1])
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        with (
            contextlib.closing(socket.create_connection(door.getsockname())),
            at_work(host, bears, coarse("full", door.getsockname()[1], bears)) as (_, seen),
        ):
            seen.wait_rows("full", 14, "silent")
    starts = [row.at for row in sorted(seen.rows["full"])]
    assert len(dialled) > 2 and seen.kinds() == []
    assert max(b - a for a, b in pairwise(starts)) < 2.5 * bears.least_period_s


def cut(it: Service, seconds: float) -> tuple[float, float]:
    begun = time.monotonic()
    it.deaf()
    whole = Deadline(seconds, anchor=begun)
    whole.wait_for(lambda: whole.expired, what="the cut's end", every=seconds)
    ended = time.monotonic()
    it.listen()
    return begun, ended


@pytest.mark.timing
def test_a_known_cut_is_measured_within_the_period_that_is_left(host, bears):
    with service() as it, at_work(host, bears, coarse("t", it.port, bears)) as (_, seen):
        seen.wait_rows("t", 6, "answered")
        begun, ended = cut(it, 1.0)
        seen.wait_rows("t", 6, "answered")
    rows = sorted(seen.rows["t"])
    measured = Series("t", "lkclient", "", NEW, it.port, bears.least_period_s, 0.25)
    (run,) = runs_of_failure(measured, [Traced(r.at, r.seconds, r.outcome, None) for r in rows])
    assert run.end is not None
    starts = [row.at for row in rows if begun - 1 < row.at < ended + 1]
    late = max(b - a for a, b in pairwise(starts)) - bears.least_period_s  # this machine has other work
    error = max(clock.error_s for clock in seen.clocks)
    assert abs(run.end - run.start - (ended - begun)) <= bears.least_period_s + late
    assert begun - error - 0.01 <= run.start <= begun + bears.least_period_s + late + error
    assert ended - error - 0.01 <= run.end <= ended + bears.least_period_s + late + error


def test_a_lost_connection_is_told_and_another_takes_its_place(server, host, bears):
    with service() as it, at_work(host, bears, coarse("t", it.port, bears)) as (_, seen):
        seen.wait_rows("t", 3, "answered")
        for pid in server[1].connections():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        kind = "agent" if server[0] is Kind.SHELL else "host"
        seen.wait_event(f"{kind}-lost")
        seen.wait_event(f"{kind}-back")
        seen.wait_rows("t", 3, "answered")
    assert seen.outcomes("t") == {"answered"}  # the path was never out: its loss is the connection's


def test_nothing_is_left_when_the_connection_ends(host, server):
    if server[0] is not Kind.SHELL:
        pytest.skip("nothing is ever there")
    before = ours()
    with service("hang") as it:
        process = shell_agent.start(host, [series("t", it.port, period_s=0.1)], lifetime_s=60)
        Deadline(120).wait_for(lambda: ours() - before, what="the script runs", every=0.05)
        host.close()
        Deadline(120).wait_for(lambda: not ours() - before, what="the script has ended", every=0.05)
        process.close()


# --- single attempts, and relays


@pytest.fixture
def lean(host, bears) -> Iterator[FallbackConnector]:
    made = FallbackConnector(host, bears)
    yield made
    made.close()


def test_attempts_end_as_they_do_with_python(lean, bears):
    with echo_server() as (port, peers):
        many = attempt(lean, "127.0.0.1", port, count=3)
        assert {a.outcome for a in many} == {AttemptOutcome.ANSWERED} and len(many) == 3
        if bears.tells_port:
            ours = {(a.local_address, a.local_port) for a in many}
            Deadline(120).wait_for(lambda: ours <= set(peers), what="the server taking them all", every=0.01)
        else:
            assert {a.local_port for a in many} == {None}
    (refused,) = attempt(lean, "127.0.0.1", free_port())
    assert refused.outcome is AttemptOutcome.REFUSED
    (unknown,) = attempt(lean, "127.0.0.1", free_port(), limit=30)
    assert unknown.seconds < 30


def test_a_script_of_so_many_attempts_ends_after_them(host, server):
    """So that nobody who wants one attempt waits until a later one shows that none before it is under way."""
    if server[0] is not Kind.SHELL:
        pytest.skip("no script is ever there")
    process = shell_agent.start(host, [series("t", free_port(), period_s=0.1, limit_s=0.5)], lifetime_s=600, attempts=2)
    said = b""
    while data := process.recv(65536):
        said += data
    process.close()
    lines = said.splitlines()
    assert [line.split()[4] for line in lines if line.startswith(b"s ")] == [b"r", b"r"] and lines[-1] == b"x"


def test_a_source_is_not_to_be_had(lean):
    with pytest.raises((Unusable, Inconclusive), match="without Python"):
        attempt(lean, "127.0.0.1", 1, source="127.0.0.2")


def test_a_relay_speaks_over_a_connection_that_sshd_made(lean):
    with echo_server(b"hello\n") as (port, _), relay(lean, "127.0.0.1", port) as link:
        assert link.attempt.answered
        with socket.create_connection((link.host, link.port), timeout=60) as sock, sock.makefile("rb") as words:
            assert words.readline() == b"hello\n"
            sock.sendall(b"ping\n")
            assert words.readline() == b"ping\n"
            sock.shutdown(socket.SHUT_WR)
            assert words.read() == b""
    with relay(lean, "127.0.0.1", free_port()) as link:
        assert link.port is None and link.attempt.outcome is AttemptOutcome.REFUSED


# --- pure


@pytest.mark.parametrize(
    ("took", "heard", "outcome"),
    [
        (1000, b"6d650a", b"a"),
        (1000, b"676f0a", b"s"),
        (1000, b"", b"x"),
        (1000, None, b"a"),
        (300_000, b"6d650a", b"s"),
    ],
)
def test_what_the_script_heard_is_judged_here(took, heard, outcome):
    one = AgentSeries("t", "127.0.0.1", 1, period_s=0.1, limit_s=0.25, say=SAY, expect=EXPECT)
    assert shell_agent.judge_answer(one, took, heard)[0] == outcome
