"""Hosts that are hostile or sick: each condition is made on a running lab, and every command ends in time, with a sentence for a person.

`check` looks at every one of them in every run; whole runs of the suite, of which each takes ten times as long, are for most of them deep.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_shell import REPOSITORY, Shell, shell_in
from faulty_network import by_wires

CHECK_S = (
    90.0  # at most, for a look at the cluster, however sick one of its hosts is; a sound one takes two seconds; wide, for busy machines
)
RUN_S = 240.0
EVERYWHERE = ("lkclient", "lknode01", "lknode02")
ALL_PATHS = 3  # of one service: from the client, from the standby and from the active node itself
PLACEMENT = "tests/acceptance/test_placement.py::test_one_active_node"
PROGRAMS = "/opt/LifeKeeper/bin/*"
SWITCHOVER = "tests/acceptance/test_switching.py::test_switchover"
MEASURED = ("tests/failover", "--disruption", "none", "--period", "100")  # with the agents, and without moving anything


@dataclass(frozen=True)
class Done:
    code: int
    said: str
    errors: str
    seconds: float

    @property
    def found(self) -> set[tuple[str, str, str]]:
        return {(f["weight"], f["host"], f["what"]) for f in json.loads(self.said)["findings"]}

    def paths(self, outcome: str) -> int:
        return sum(p["outcome"] == outcome for p in json.loads(self.said)["paths"])

    def says(self, host: str) -> str:
        return " ".join(f"{f['what']}: {f['says']} do: {f['do']}" for f in json.loads(self.said)["findings"] if f["host"] == host)


@dataclass(frozen=True)
class WrittenToNeither:
    """A look at a cluster on neither of whose nodes anything can be written, and what became of two runs on it."""

    read_only: str
    full: str
    look: Done
    looked: Done
    refused: dict

    @property
    def why_refused(self) -> str:
        (test,) = self.refused["tests"]
        return test["verdict"]["reason"]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_in(tmp_path_factory.mktemp("state")) as one:
        one.up("--name", "sick", "--file", one.modest("listener"))
        yield one


@pytest.fixture(scope="module")
def file(shell: Shell) -> Path:
    return shell.labs / "sick" / "cluster.toml"


def ended(begun: float, done: subprocess.CompletedProcess[str], limit: float) -> Done:
    took = time.monotonic() - begun
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert took < limit, f"it took {took:.0f} s\n{done.stdout}"
    return Done(done.returncode, done.stdout, done.stderr, took)


def checked(shell: Shell, file: Path) -> Done:
    begun = time.monotonic()
    return ended(begun, shell.lkharness("check", "--json", "--cluster", file, limit=2 * CHECK_S), CHECK_S)


def ran(shell: Shell, file: Path, reports: Path, *words: object) -> Done:
    begun = time.monotonic()
    done = shell.pytest("-q", "--cluster", file, "--reports", reports, *words, limit=2 * RUN_S)
    assert "Traceback" not in (reports / "latest" / "report.html").read_text()
    return ended(begun, done, RUN_S)


def sh(shell: Shell, host: str, line: str) -> str:
    return shell.inside("sick", host, line)


@contextlib.contextmanager
def sick(shell: Shell, make: str, mend: str, *hosts: str) -> Iterator[None]:
    """These hosts have the sickness while the block runs."""
    try:
        for host in hosts:
            sh(shell, host, make)
        yield
    finally:
        for host in hosts:
            sh(shell, host, mend)


def role(shell: Shell, role: str) -> str:
    return roles(shell)[role]


def roles(shell: Shell) -> dict[str, str]:
    """Role → the node that has it."""
    return {n["role"]: n["name"] for n in shell.status()["nodes"]}


def run_of(reports: Path) -> dict:
    return json.loads((reports / "latest" / "run.json").read_text())


def assert_lost(done: Done, host: str, *words: str) -> None:
    """One host is lost, named with what to do; what can be judged without it was."""
    assert done.code == 4, done.said
    assert ("unreachable", host, "log-in") in done.found
    assert all(word in done.says(host) for word in ("see that it runs", *words)), done.says(host)


@pytest.mark.heavy
def test_a_half_open_host(shell: Shell, file: Path, tmp_path: Path):
    """From the beginning, and from the middle of the look at it: it takes what it is sent, and never answers."""
    standby = role(shell, "standby")
    with by_wires(file, tmp_path, connect_limit_s=2.0, **{standby: {"dies_after": 0}}) as through:
        done = checked(shell, through)
        assert_lost(done, standby, "is that sshd, and is the host overloaded or frozen?")
        assert done.paths("pass") == 2, "the paths that do not begin on the lost host"
        run = ran(shell, through, tmp_path / "reports", PLACEMENT)
        assert run.code == 4 and standby in run_of(tmp_path / "reports")["state_reason"]
    with by_wires(file, tmp_path, connect_limit_s=2.0, **{standby: {"dies_after": 20000}}) as through:
        assert_lost(checked(shell, through), standby)


def test_a_slow_host(shell: Shell, file: Path, tmp_path: Path):
    """Slower than the log-in may be: lost. What is slow, but in time, is as sound as any: see the profile that prints, below."""
    standby = role(shell, "standby")
    with by_wires(file, tmp_path, connect_limit_s=2.0, **{standby: {"bytes_per_s": 300}}) as through:
        assert_lost(checked(shell, through), standby, "within 2 s")


@pytest.mark.deep  # half a minute of waiting for packets
@pytest.mark.timing  # the product gives a log-in to a database 10 s, which a far way to a busy machine may take
def test_200_ms_to_every_host_and_back(shell: Shell, file: Path, tmp_path: Path):
    with by_wires(file, tmp_path, **{host: {"delay_s": 0.1} for host in EVERYWHERE}) as through:
        done = checked(shell, through)
        assert (done.code, done.found, done.paths("pass")) == (0, set(), ALL_PATHS), done.said
        run = ran(shell, through, tmp_path / "reports", f"{SWITCHOVER}[there]", "--allow-disruption")
    assert run.code == 0, run.said


@pytest.fixture(scope="module")
def written_to_neither(shell: Shell, file: Path, tmp_path_factory: pytest.TempPathFactory) -> WrittenToNeither:
    """The standby with a full disk and the active node with a root that is read-only, as after an error of its disk: one look at them,
    one run that only looks, and one that would disturb."""
    found, reports = roles(shell), tmp_path_factory.mktemp("reports")
    fill = (  # not /run or /dev/shm: a node of the lab that loses those resets itself
        "mount -t tmpfs -o size=8k full /var/tmp; mount -o remount,size=8k /tmp;"
        "for d in /tmp /var/tmp; do head -c 99999 /dev/zero 2>/dev/null >$d/fill || true; done"
    )
    empty = "rm -f /tmp/fill; umount /var/tmp; mount -o remount,size=1g /tmp"
    folders = "/etc /var /opt /root /tmp"
    freeze = f"for d in {folders}; do mount --rbind $d $d && mount -o remount,ro,bind $d; done"
    with sick(shell, fill, empty, found["standby"]), sick(shell, freeze, f"umount -l {folders}", found["active"]):
        look = checked(shell, file)
        looked = ran(shell, file, reports / "looks", PLACEMENT)
        refused = ran(shell, file, reports / "disturbs", f"{SWITCHOVER}[there]", "--allow-disruption")
    assert look.code == 1 and look.found == {("fault", node, "disk") for node in found.values()}, look.said
    assert look.paths("pass") == ALL_PATHS, look.said
    assert refused.code == 3 and role(shell, "active") == found["active"], refused.said
    return WrittenToNeither(found["active"], found["standby"], look, looked, run_of(reports / "disturbs"))


@pytest.mark.heavy
def test_a_full_disk(written_to_neither: WrittenToNeither):
    """What only looks goes on; what would disturb is refused before anything was done."""
    node, look = written_to_neither.full, written_to_neither.look
    assert all(f"{place} is full" in look.says(node) for place in ("/tmp", "/var/tmp")) and "make room" in look.says(node)
    assert written_to_neither.looked.code == 0
    assert written_to_neither.refused["verdict"]["outcome"] == "inconclusive"
    assert f"{node}: /tmp is full" in written_to_neither.why_refused


def test_a_read_only_root(written_to_neither: WrittenToNeither):
    """A switchover would be left half way there, so none is begun."""
    node = written_to_neither.read_only
    assert "/var/log cannot be written to" in written_to_neither.look.says(node)
    assert "nothing was" in written_to_neither.why_refused and f"{node}: /tmp cannot be written to" in written_to_neither.why_refused


@pytest.mark.heavy
def test_no_tmp(shell: Shell, file: Path, tmp_path: Path):
    """Whoever logs in finds a root in which there is no /tmp at all."""
    node = role(shell, "active")
    code = f"mkdir /srv/code; mount --bind {REPOSITORY} /srv/code; sed -i s,{REPOSITORY},/srv/code, /opt/lab/bin/lab-python {PROGRAMS};"
    bare = (
        f"{code} mkdir /run/bare; for d in /*; do case $d in /tmp) ;; *) [ ! -L $d ] || cp -a $d /run/bare;"
        " [ -L $d ] || [ ! -d $d ] || { mkdir /run/bare$d; mount --rbind $d /run/bare$d; } ;; esac; done;"
        "echo 'ChrootDirectory /run/bare' >>/etc/ssh/sshd_config; kill -HUP $(cat /run/sshd.pid)"
    )
    mend = (
        "sed -i /^ChrootDirectory/d /etc/ssh/sshd_config; kill -HUP $(cat /run/sshd.pid); umount -l /run/bare/*;"
        f"sed -i s,/srv/code,{REPOSITORY}, /opt/lab/bin/lab-python {PROGRAMS}"
    )
    with sick(shell, bare, mend, node):
        done = checked(shell, file)
        assert done.code == 1 and done.found == {("fault", node, "disk")} and done.paths("pass") == ALL_PATHS, done.said
        assert "there is no /tmp" in done.says(node)
        assert ran(shell, file, tmp_path, PLACEMENT).code == 0


NOISE = r"""echo '*** AUTHORISED USE ONLY *** {"id": 0} 12:00 [ok]'; echo 'mail: you have none' >&2; printf '\377\376 no end of line'"""


@contextlib.contextmanager
def profiles_that_print(shell: Shell) -> Iterator[None]:
    """On both streams, with what looks like an answer, bytes that are no text, and a trace of every command."""
    banner = "echo 'Banner /etc/motd' >>/etc/ssh/sshd_config; kill -HUP $(cat /run/sshd.pid)"
    noisy = f"cat >/root/.bashrc <<'EOF'\n{NOISE}\n{NOISE} >&2\nset -x\nEOF\n{banner}"
    quiet = "rm /root/.bashrc; sed -i /^Banner/d /etc/ssh/sshd_config; kill -HUP $(cat /run/sshd.pid)"
    with sick(shell, noisy, quiet, *EVERYWHERE):
        yield


def test_a_profile_that_prints(shell: Shell, file: Path, tmp_path: Path):
    """Everywhere; and the standby is slow, but in time, which is no fault either."""
    with profiles_that_print(shell), by_wires(file, tmp_path, **{role(shell, "standby"): {"bytes_per_s": 60000}}) as through:
        done = checked(shell, through)
    assert (done.code, done.found, done.paths("pass")) == (0, set(), ALL_PATHS), done.said


@pytest.mark.deep
def test_a_measured_run_with_a_profile_that_prints(shell: Shell, file: Path, tmp_path: Path):
    with profiles_that_print(shell):
        run = ran(shell, file, tmp_path, *MEASURED, "--allow-disruption")
    assert run.code == 0, run.said
    (measured,) = run_of(tmp_path)["measurements"]
    assert measured["measured"]["verdict"]["outcome"] == "pass"


@pytest.mark.deep
def test_a_locale_that_is_not_english(shell: Shell, file: Path, tmp_path: Path):
    """Not installed there, so that every bash complains of it at log-in."""
    setting = "export LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8"
    with sick(shell, f"echo '{setting}' >/root/.bashrc", "rm -f /root/.bashrc", *EVERYWHERE):
        done = checked(shell, file)
        assert (done.code, done.found, done.paths("pass")) == (0, set(), ALL_PATHS), done.said
        assert ran(shell, file, tmp_path / "reports", PLACEMENT).code == 0


needs_cc = pytest.mark.skipif(
    shutil.which("cc") is None, reason="needs a C compiler to make a host's clock wrong: the kernel has one for all"
)


@contextlib.contextmanager
def clock_ten_minutes_off(shell: Shell, node: str, folder: Path) -> Iterator[None]:
    """Every program that starts there is told another time, by a library before libc; the kernel's own stamps stay right."""
    library = folder / "late.so"
    source = Path(__file__).with_name("late_clock.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-Os", "-s", "-DLATE_S=600", "-o", library, source], check=True)
    packed = base64.b64encode(library.read_bytes()).decode()
    late = f"echo {packed} | base64 -d >/opt/lab/late.so; echo /opt/lab/late.so >/etc/ld.so.preload"
    with sick(shell, late, "rm /etc/ld.so.preload", node):
        assert float(sh(shell, node, "date +%s")) - time.time() > 590
        yield


@needs_cc
def test_a_clock_ten_minutes_off(shell: Shell, file: Path, tmp_path: Path):
    with clock_ten_minutes_off(shell, role(shell, "standby"), tmp_path):
        done = checked(shell, file)
    assert done.code == 1 and {w for w, _, what in done.found if what == "clock"} == {"fault"} and done.paths("pass") == ALL_PATHS, (
        done.said
    )
    # A busy machine takes its time between the two clocks.
    assert any(580 < float(seconds) < 620 for seconds in re.findall(r"(\d+(?:\.\d+)?) s\b", done.said)), done.said


@needs_cc
@pytest.mark.deep
def test_a_measured_run_with_a_clock_ten_minutes_off(shell: Shell, file: Path, tmp_path: Path):
    with clock_ten_minutes_off(shell, role(shell, "standby"), tmp_path):
        run = ran(shell, file, tmp_path / "reports", *MEASURED, "--allow-disruption")
    assert run.code == 0, run.said
    (measured,) = run_of(tmp_path / "reports")["measurements"]
    assert measured["measured"]["verdict"]["outcome"] == "pass"
