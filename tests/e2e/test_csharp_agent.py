"""The measuring agent in C#, compiled and run for real by Mono: what it prints is read as any agent's, and cuts made at known moments are
found within a period."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import agent_fixtures
import pytest
from agent_fixtures import LIMIT, Seen, Service, plan, series, service

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.hosts.host import CommandResult, Host, Process
from harness.hosts.local_host import LocalHost
from harness.remote import host_capabilities
from harness.remote.agents import csharp_agent
from harness.remote.agents.agent_launch import AgentSeries, AgentWatch
from harness.remote.agents.csharp_agent import CsharpAgent
from harness.remote.csharp import csharp_program
from tests import deep_option

pytestmark = pytest.mark.skipif(
    not (shutil.which("mcs") and shutil.which("mono")), reason="Mono is not installed (Debian packages mono-mcs and mono-runtime)"
)
ANSWERS = f"""import socket, sys, threading
listener = socket.create_server((sys.argv[1], 8080))
def answer():
    peer = listener.accept()[0]
    while peer.recv(100):
        peer.sendall({agent_fixtures.ANSWER!r})
threading.Thread(target=answer, daemon=True).start()
input()
"""
SOURCES = [str(csharp_program.FOLDER / f"{part}.cs") for part in csharp_program.PARTS[csharp_program.AGENT]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As Windows PowerShell 5.1 would compile it: C# 5, and no library but System.dll."""
    made = tmp_path_factory.mktemp("agent") / "agent.exe"
    words = ["mcs", "-langversion:5", "-warn:4", "-warnaserror", "-r:System.dll", f"-out:{made}", *SOURCES]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@contextlib.contextmanager
def measuring(
    program: Path,
    *series: AgentSeries,
    lifetime_s: float = 600.0,
    watch: AgentWatch | None = None,
    host: Host | None = None,
) -> Iterator[tuple[CsharpAgent, Seen]]:
    host, seen = host or LocalHost(), Seen()

    def start(lifetime: float) -> Process:
        # Mono on Linux takes no priority for a process; where nice may not, it says so and runs all the same.
        process = host.start(["nice", "-n", "-20", "mono", str(program)])
        process.send(csharp_agent.plan_lines([t.wire() for t in series], lifetime_s=lifetime, watch=watch))
        return process

    agent = CsharpAgent(host, plan("", *series, lifetime_s=lifetime_s), seen, start)
    agent.start(LIMIT)
    try:
        yield agent, seen
    finally:
        trouble = agent.stop()
    assert trouble == [] and agent.complete


def six(it: Service) -> list[AgentSeries]:
    return [series(f"{kind}-{n}", it.port, kind=kind) for n in range(3) for kind in ("new", "pinned")]


def cut_and_mend(it: Service, seen: Seen, series: list[AgentSeries], chance: random.Random) -> list[tuple[float, float]]:
    """Each twice the moment between which it came about: the cut's, and the mending's."""
    began = time.monotonic()
    it.deaf()
    it.cut()
    cut = (began, time.monotonic())
    for one in series:
        seen.wait_row_after(one.id, cut[1], "refused")
    over = Deadline(chance.uniform(0.0, 0.03))
    Deadline(LIMIT).wait_for(lambda: over.expired, what="a moment between two ticks", every=0.001)
    began = time.monotonic()
    it.listen()
    mended = (began, time.monotonic())
    for one in series:
        seen.wait_row_after(one.id, mended[1], "answered")
    return [cut, mended]


def test_cuts_are_found(program: Path) -> None:
    """A few cuts on a machine that has other work; how well it can be done is below."""
    with service() as it:
        series = six(it)
        with measuring(program, *series) as (_, seen):
            for one in series:
                seen.wait_rows(one.id, 3, "answered")
            for cut, mended in [cut_and_mend(it, seen, series, random.Random(n)) for n in range(2)]:
                for one in series:
                    out = [row for row in seen.rows[one.id] if cut[1] <= row.at < mended[0]]
                    assert {row.outcome for row in out} <= {"refused", "reset"}, (one.id, out)
        assert seen.outcomes("new-0") == {"answered", "refused"} | (seen.outcomes("new-0") & {"reset"})
        assert [row.detail for row in seen.rows["pinned-0"] if row.detail][:1] == ["connected"]


def test_a_kept_connection_is_made_anew_when_asked(program: Path) -> None:
    with service() as it, measuring(program, series("p", it.port, kind="pinned")) as (agent, seen):
        seen.wait_rows("p", 3, "answered")
        agent.renew()
        Deadline(LIMIT).wait_for(lambda: len({row.port for row in seen.rows["p"]}) > 1, what="another port", every=0.01)
        details = Deadline(LIMIT).wait_for(
            lambda: [row.detail for row in seen.rows["p"] if row.detail], until=lambda told: len(told) > 1, what="why", every=0.01
        )
    assert details == ["connected", "reconnected because a recording began"] and seen.outcomes("p") == {"answered"}


def test_all_that_is_said_is_told_as_by_the_others(program: Path) -> None:
    modes = ("hang", "close", "babble", "reset")
    with contextlib.ExitStack() as stack:
        several = {mode: stack.enter_context(service(mode)) for mode in modes}
        all_series = [series(mode, it.port, period_s=0.1, limit_s=0.3) for mode, it in several.items()]
        with measuring(program, *all_series) as (_, seen):
            for mode, outcome in (("hang", "silent"), ("close", "reset"), ("babble", "silent"), ("reset", "reset")):
                seen.wait_rows(mode, 1, outcome)
        details = {mode: {row.detail for row in seen.rows[mode]} for mode in modes}
    assert details["hang"] == {"accepted, but not answered"} and details["close"] <= {"closed without a word", ""}
    assert details["babble"] == {"said b'go away\\n'"}


@agent_fixtures.needs_namespaces
def test_the_vip_listeners_and_who_is_connected_are_told_as_by_the_others(program: Path) -> None:
    vip = "10.20.1.200"
    with agent_fixtures.namespace("-n", setup="ip link set lo up") as inside:
        host = LocalHost("inside", prefix=inside)
        watch = AgentWatch(vip=vip, ports=(8080,), connections=(8080,), every_s=0.02)
        pinned = series("t", 8080, kind="pinned", destination=vip)
        with measuring(program, pinned, host=host, watch=watch) as (_, seen):
            assert seen.wait_event("vip-down").data == {"address": vip, "interface": "", "initial": True}
            assert seen.wait_event("listener-down").data == {"port": 8080, "address": "", "initial": True}
            # Of the first seconds a busy machine may tell before it has looked for the VIP twice.
            told = Deadline(LIMIT).wait_for(
                lambda: [e.data for e in list(seen.events) if e.kind == "looks" and e.data["vip_longest"]], what="looks", every=0.01
            )
            looks = told[0]
            assert 0.02 <= looks["every"] <= looks["longest"] and looks["vip_longest"] >= 0.05  # as asked for, and as its own limit is
            host.check(["ip", "addr", "add", f"{vip}/32", "dev", "lo"])
            up = seen.wait_event("vip-up")
            assert (up.text, up.data) == ("lo", {"address": vip, "interface": "lo"})
            server = host.start([sys.executable, "-c", ANSWERS, vip])
            assert seen.wait_event("listener-up").data == {"port": 8080, "address": vip}
            seen.wait_rows("t", 3, "answered")
            port = next(row.port for row in seen.rows["t"] if row.outcome == "answered")
            connected = seen.wait_event("connected").data
            assert connected == {"port": 8080, "address": vip, "peer": vip, "peer_port": port}
            server.close()
            seen.wait_event("listener-down", address=vip)
        host.close()


def test_it_ends_with_its_input(program: Path) -> None:
    with service() as it:
        line = csharp_agent.plan_lines([series("t", it.port).wire()], lifetime_s=600)
        done = subprocess.run(["mono", str(program)], input=line, capture_output=True, timeout=LIMIT)
    assert done.stdout.splitlines()[-1] == b"x" and b"its input ended" in done.stdout


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent with streams and sockets that fail."""
    folder, own = tmp_path_factory.mktemp("faults"), Path(__file__).with_name("agent_faults.cs")
    words = ["mcs", "-langversion:5", "-r:System.dll", "-main:Faults", f"-out:{folder}/faults.exe", *SOURCES, str(own)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "faults.exe"


@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        ("input", '"reason":"its input broke: ObjectDisposedException: '),
        ("output", "ended 0"),
        ("plan", "ended 2"),
        ("socket", "open 0 sockets 0"),
        ("warm", '"kind":"no-warm-up","text":"connections to this host itself failed: TooManyOpenSockets"'),
    ],
)
def test_what_a_thread_or_a_socket_throws_ends_the_measuring_and_not_the_process(faults: Path, what: str, wanted: str) -> None:
    """An exception that nobody catches in a thread ends PowerShell with the agent in it."""
    line = f'ulimit -n 200; exec mono "{faults}" {what}'
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0 and wanted in done.stdout, done.stdout + done.stderr


@pytest.mark.deep
@pytest.mark.timing
def test_a_hundred_cuts_within_a_period(program: Path, tmp_path: Path) -> None:
    """10 ms, six series. The bar: a period, beside what the machine itself was late; one tick in a hundred late after the warm-up."""
    cuts, chance = deep_option.number(20, 100, "LKHARNESS_CUTS"), random.Random(7)
    with service() as it:
        series = six(it)
        with agent_fixtures.measuring(LocalHost(), tmp_path, *series) as (_, control):  # how well this machine can do it just now
            control.wait_rows("new-0", 200, "answered")
            for _ in range(10):
                cut_and_mend(it, control, series, chance)
        with measuring(program, *series) as (_, seen):
            for one in series:
                seen.wait_rows(one.id, 100, "answered")
            moments = [cut_and_mend(it, seen, series, chance) for _ in range(cuts)]
    slack = 0.001 + seen.clocks[-1].error_s
    errors = []
    for cut, mended in moments:
        for one in series:
            rows = seen.rows[one.id]
            first = min(row.at for row in rows if row.at >= cut[0] - 0.05 and row.outcome in ("refused", "reset"))
            back = min(row.at for row in rows if row.at >= mended[0] - 0.005 and row.outcome == "answered")
            errors += [first - cut[1], back - mended[1]]
    within = sum(error <= 0.01 + slack for error in errors) / len(errors)
    worst, late = max(n.worst_late_s for n in seen.noises), late_part(seen)
    told = f"{cuts} cuts, {len(errors)} moments: {within:.2%} within a period, worst {max(errors) * 1000:.1f} ms; {late:.2%} of ticks late"
    print(f"{told}, at most {worst * 1000:.1f} ms; the Python agent before: {late_part(control):.2%}", file=sys.stderr)
    assert max(errors) <= 0.01 + slack + worst, told
    assert late <= 0.01 + 2 * late_part(control), told


def late_part(seen: Seen) -> float:
    """Of all ticks those that came late."""
    return sum(n.late_ticks for n in seen.noises) / max(1, sum(n.ticks for n in seen.noises))


class Compiling:
    """Stands for a Windows host: `run` takes the loader and its input as PowerShell would, and Mono does what Add-Type would."""

    name = "lknode01"

    def __init__(self, program: Path, *, refuses: str = "") -> None:
        self._program, self._refuses = program, refuses

    def run(self, command: str, *, limit: float, input: bytes) -> CommandResult:
        assert command == csharp_program.loader() and "Add-Type" in command
        head = csharp_program.loader_input(csharp_program.AGENT, b"")
        assert input.startswith(head)
        if self._refuses == "slow":
            raise DeadlineExceeded("it did not end in time")
        if self._refuses:
            return CommandResult(self.name, "", 46, f"no compiler: {self._refuses}\n", "", 0.0, 0.0)
        rest = input[len(head) :]
        done = subprocess.run(["mono", str(self._program)], input=rest, capture_output=True, timeout=LIMIT)
        return CommandResult(self.name, "", done.returncode, done.stdout.decode(), done.stderr.decode(), 0.0, 0.0)


def test_whether_a_host_compiles_it_is_tried(program: Path) -> None:
    assert csharp_agent.compiles(Compiling(program))  # type: ignore[arg-type]
    for why in ("slow", "Cannot add type. Definition of new types is not supported in this language mode."):
        assert not csharp_agent.compiles(Compiling(program, refuses=why))  # type: ignore[arg-type]
    assert host_capabilities.COMPILED.period_s(0.001) == csharp_agent.MIN_PERIOD_S and host_capabilities.COMPILED.keeps
