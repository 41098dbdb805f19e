"""The harness, its agents or its SSH sessions killed at any moment of a disruption: the host undoes it within the stated time, what was
recorded is readable, and nothing of ours stays (issue 3, section 4).

Every case has a lab of its own, and a few of them go on at the same time: most of their time is waiting for a host's own undoing.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import tomli_w
from command_shell import Shell, shell_in
from short_lives import KEEP_S, ORPHAN_S

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.core.timeline import Timeline
from harness.disrupt import disruption as base
from harness.hosts.deadman.deadman_switch import remains
from harness.hosts.host import Host
from harness.lab.control import lab_registry
from harness.lab.lifecycle import default_cluster
from harness.remote.agents import agent_launch
from tests.e2e.forked_commands import Begun
from tests.pytest_process import PYTEST

SEED = int(os.environ.get("LKHARNESS_TEST_SEED") or random.SystemRandom().randrange(10**6))
SUITE = "tests/failover"
AT_ONCE = 3
LATE_S = 4.0  # a busy machine's allowance beyond the stated time
ENDS_WITHIN_S = 90.0
SERVICES = {s["name"]: s for s in default_cluster.DEFAULT_CLUSTER["services"]}
TIMERS = {
    "manager": {"takeover_s": 2.5},
    "budget": {"margin_s": 2.0},
}  # the less they are, the sooner a host undoes by itself

# One of each kind: rules, a link, processes, a file, by the manager's word, by the power commands.
KILLED_HARNESS = ["one comm path cut", "NIC down Subnet#2", "service hang", "shared disk full", "IP resource out", "power loss"]
GOES_ON = [("agents", "service hang"), ("sessions", "one comm path cut")]
CASES = [*(f"harness {n}" for n in KILLED_HARNESS), *(f"{what} {n}" for what, n in GOES_ON)]
USUAL = {"agents service hang": (), "harness one comm path cut": pytest.mark.heavy}  # the others are deep
AGENTS = r"""ps -eo pid=,args= | awk '/[l]kharness-agent-/ && /"[s]eries"/ { print $1 }'"""
SESSIONS = r"""ps -eo pid=,args= | awk '/[s]shd.*: root/ { print $1 }'"""


class Case:
    """One lab, one run of one disruption against it, and one killing."""

    def __init__(self, shell: Shell, folder: Path, disruption: str, number: int) -> None:
        self.chance = random.Random(f"{SEED} {disruption} {number}")
        self.disruption = disruption
        self.reports = folder / "reports"
        self.told: list[str] = []
        self._shell = shell
        self._name = f"k{number}"
        folder.mkdir()
        # One service: what is done to it, to the nodes and to the run is the same with more of them, and each costs as much again.
        service = SERVICES["database" if disruption == "shared disk full" else "listener"]
        manager = {**TIMERS["manager"], **({"check_interval_s": 5.0} if disruption == "one comm path cut" else {})}  # which no check sees
        (folder / "lab.toml").write_text(tomli_w.dumps({**TIMERS, "manager": manager, "services": [service]}))
        brought_up = shell.lkharness("lab", "up", "--name", self._name, "--file", folder / "lab.toml")
        assert brought_up.returncode == 0, brought_up.stderr
        self.file = shell.labs / self._name / "cluster.toml"
        self.subject = ClusterUnderTest(cluster_config.load(self.file), Timeline())
        self.before = {name: self.state_of(host) for name, host in self.subject.hosts.items()}
        planned = base.get_disruption(disruption)(self.subject)
        self.longest_s, self.lasts_s = planned.longest_s, planned.lasts_s
        self.process: Begun | None = None
        self._read: dict[Path, int] = {}  # of each recording, how many of its bytes were looked at
        self._marks: dict[str, float] = {}

    def tell(self, text: str) -> None:
        self.told.append(text)

    def begin(self, *, short_lives: bool = False) -> None:
        words = [*PYTEST, "-q", SUITE, "--cluster", self.file, "--allow-disruption", "--period", "250"]
        plugin = ["-p", "tests.e2e.short_lives"] if short_lives else []
        self.process = self._shell.begin_forked(*words, *plugin, "--disruption", self.disruption, "--reports", self.reports)

    def until_a_moment(self) -> None:
        """Some moment while it is done or lasts; three of four surely after `begin` is on record, the others perhaps before."""
        assert self.process is not None
        later = self.chance.random() < 0.75
        seen: Callable[[], object] = (lambda: self.mark("begin")) if later else self.warm
        Deadline(120).wait_for(lambda: seen() or self.process.poll() is not None, what="the disruption beginning", every=0.05)
        # The paths must have been right for half a second before it is done, and then the start is held back for up to one period.
        wait = self.chance.uniform(0.0, 0.9 * self.lasts_s) if later else self.chance.uniform(0.5, 1.5)
        moment = Deadline(wait)
        moment.wait_for(lambda: moment.expired or self.process.poll() is not None, what="the moment", every=0.05)
        self.tell(f"killed {wait:.2f} s after {'the begin mark' if later else 'the warming up began'}")
        assert self.process.poll() is None, f"{self.told}: it was over: {self.process.communicate()}"

    def warm(self) -> bool:
        return any("warming up" in file.read_text() for file in self.reports.glob("2*/timeline.jsonl"))

    def mark(self, kind: str) -> float | None:
        """When that mark was made, on this machine's monotonic clock, which is the run's as well."""
        for file in self.reports.glob("2*/evidence/*/recording.jsonl"):
            with file.open("rb") as rows:  # it grows while it is asked for, and what was looked at has all that it will have
                rows.seek(self._read.get(file, 0))
                whole, _, begun = rows.read().rpartition(b"\n")
                self._read[file] = rows.tell() - len(begun)
            for row in (json.loads(line) for line in whole.splitlines() if line.startswith(b'{"is":"m"')):
                self._marks.setdefault(row["kind"], row["at"])
        return self._marks.get(kind)

    def kill_harness(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def kill_in_hosts(self, listing: str) -> int:
        """Kill what a command lists, in every host; how many there were. A host's processes are only its own lab's."""
        killed = 0
        for machine in self.subject.cluster.machines:
            done = self.inside(machine.name, f"for p in $({listing}); do kill -9 $p && echo $p; done 2>/dev/null; true")
            killed += len(done.split())
        return killed

    def inside(self, host: str, line: str) -> str:
        return self._shell.inside(self._name, host, line)

    def lkharness(self, *words: object) -> subprocess.CompletedProcess[str]:
        return self._shell.lkharness(*words)

    def run(self) -> Path:
        (folder,) = self.reports.glob("2*")
        return folder

    # what must be so afterwards

    def undone(self, deadline: Deadline) -> None:
        """Nothing that a disruption put there is on any host, and links, addresses, routes and processes are as they were."""
        deadline.wait_for(self._left, until=lambda left: not left, what=f"{self.disruption} ({self.told}) being undone", every=2.0)

    def _left(self) -> list[str]:
        """What one look needs not ask is not asked: while a script of ours is there, everything else is as the script left it."""
        hosts = self.subject.hosts.items()
        return self._of_each(hosts, lambda _, host: remains(host, limit=2.0)) or self._of_each(
            hosts, lambda name, host: sorted(self.state_of(host) ^ self.before[name])
        )

    def _of_each(self, hosts: Iterable[tuple[str, Host]], ask: Callable[[str, Host], Iterable[str]]) -> list[str]:
        left = []
        for name, host in hosts:
            try:
                left += [f"{name}: {what}" for what in ask(name, host)]
            except HarnessError as error:
                left.append(f"{name} cannot be asked: {error}")  # without power, frozen, or booting
        return left

    def state_of(self, host: Host) -> set[str]:
        """Links, addresses and routes but for the VIP's, tables of rules, stopped processes, what fills a disk."""
        lines = (
            "ip -o link show | cut -d ' ' -f 2-3 | sed 's|@[^:]*||'; ip -o addr show | awk '{ print $2, $4 }'; ip route show table all; "
            "nft list tables; ps -eo stat=,comm= | grep '^T'; "
            "awk '{ print $2 }' /proc/mounts | while read -r m; do for f in $m/.lkharness-*; do [ ! -e $f ] || echo $f; done; done"
        )
        vip = str(self.subject.cluster.vip)
        return {line for line in host.check(lines).splitlines() if vip not in line}

    def whole(self) -> None:
        manager = self.subject.cluster.manager
        self.subject.wait_until_healthy(Deadline(manager.boot_s + manager.takeover_s + LATE_S))

    def nothing_runs(self, limit: float) -> None:
        """No script of ours and no session of the killed run, in any host; and no folder of an agent. What says for ten minutes that an
        undoing was done takes itself away."""
        self.subject.close()
        places = " ".join(f"{place}/lkharness*" for place in agent_launch.PLACES)
        line = f"ps -eo args= | grep -E -e '-I -S|sshd.*: root' | grep -v grep; ls -d {places} | grep -vx /run/lkharness-undone"

        def strays() -> list[str]:
            names = [m.name for m in self.subject.cluster.machines]
            return [f"{name}: {one}" for name in names for one in self.inside(name, f"{{ {line}; }} 2>/dev/null; true").splitlines()]

        Deadline(limit).wait_for(strays, until=lambda found: not found, what="agents and sessions ending by themselves", every=2.0)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        self.subject.close()
        lab_registry.read(self.file.parent).end()


Judge = Callable[[Case], None]


def harness_killed(case: Case) -> None:
    case.begin(short_lives=True)
    case.until_a_moment()
    case.kill_harness()
    killed = time.monotonic()
    if case.mark("undo-begin"):
        case.tell("which was while it was being undone")
    begun = case.mark("begin")
    boots = case.subject.cluster.manager.boot_s if case.disruption == "power loss" else 0.0  # until it can be asked
    case.undone(Deadline(case.longest_s + boots + LATE_S, anchor=begun or killed))
    case.tell(f"undone {time.monotonic() - (begun or killed):.1f} s after it began, {case.longest_s:g} s stated")
    readable(case, begun)
    heal(case)
    case.nothing_runs(ORPHAN_S + KEEP_S + 10.0)


def readable(case: Case, begun: float | None) -> None:
    """What is stored can be judged and rendered, and says what happened to it: neither a pass nor a traceback."""
    run = case.run()
    judged = case.lkharness("judge", run, "--json")
    assert "Traceback" not in judged.stderr and judged.returncode in (1, 3), (case.told, judged)
    (one,) = json.loads(judged.stdout)["measurements"]
    case.tell(f"judged {one['verdict']}")
    assert one["verdict"]["outcome"] in ("fail", "inconclusive") and one["verdict"]["reason"], (case.told, one)
    assert begun is None or one["disruption"] == case.disruption
    written = case.lkharness("judge", run, "--write")
    assert "Traceback" not in written.stderr and written.returncode == judged.returncode, (case.told, written)
    told = case.lkharness("report", run)
    assert "Traceback" not in told.stderr and told.returncode in (1, 3) and not told.stderr, (case.told, told)
    assert "did not finish" in told.stdout or "killed" in told.stdout or "begun" in told.stdout, told.stdout
    assert (run / "report.html").stat().st_size and (run / "junit.xml").stat().st_size


def heal(case: Case) -> None:
    """Whole again. What the host cannot know is that a resource's failure was made: that mark is for whoever looks next (LKL-14)."""
    cleared = base.get_disruption("none")(case.subject)
    cleared.undo(Deadline(120))
    case.whole()


def goes_on(listing: str) -> Callable[[Case], None]:
    def killed(case: Case) -> None:
        case.begin()
        case.until_a_moment()
        count = case.kill_in_hosts(listing)
        case.tell(f"killed {count}")
        assert count, case.told
        assert case.process is not None
        out, err = case.process.communicate(timeout=ENDS_WITHIN_S)
        assert "Traceback" not in out + err and "INTERNALERROR" not in out + err, (case.told, out, err)
        record = json.loads((case.run() / "run.json").read_text())
        case.tell(f"{record['verdict']}")
        assert case.process.returncode in (0, 3) and record["state"] == "finished", (case.told, out)
        assert record["verdict"]["outcome"] in ("pass", "inconclusive") and record["verdict"]["reason"]
        case.undone(Deadline(LATE_S))
        case.whole()
        case.nothing_runs(10.0)

    return killed


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[dict[str, Future[list[str]]]]:
    """Every chosen case, a few at a time; a test then asks for its own."""
    work: dict[str, tuple[str, Callable[[Case], None]]] = {f"harness {name}": (name, harness_killed) for name in KILLED_HARNESS}
    work |= {f"{what} {name}": (name, goes_on(AGENTS if what == "agents" else SESSIONS)) for what, name in GOES_ON}
    chosen = {item.callspec.params["case"] for item in request.session.items if getattr(item, "function", None) is test_killed}
    folder = tmp_path_factory.mktemp("killed")
    with shell_in(folder / "state") as shell, ThreadPoolExecutor(AT_ONCE) as pool:

        def one(number: int, disruption: str, does: Callable[[Case], None]) -> list[str]:
            case = Case(shell, folder / f"case{number}", disruption, number)
            try:
                does(case)
            finally:
                print(f"{disruption}: {case.told}")
                case.close()
            return case.told

        try:
            yield {name: pool.submit(one, i, *work[name]) for i, name in enumerate(work) if name in chosen}
        finally:
            pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(900)  # for all of them, on a busy machine
@pytest.mark.parametrize("case", [pytest.param(c, marks=USUAL.get(c, pytest.mark.deep)) for c in CASES])
def test_killed(outcomes, case):
    """Undone within the stated time, readable, healthy again, nothing left; and a run that lives ends with a verdict."""
    print(f"LKHARNESS_TEST_SEED={SEED}", *outcomes[case].result(), sep="\n  ")
