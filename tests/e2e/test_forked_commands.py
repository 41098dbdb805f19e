"""A forked command is what a new interpreter's would be, so that tests may use it in that one's place."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.core.deadline import Deadline
from harness.lab.lifecycle import default_cluster, launch
from tests.e2e import forked_commands, forked_labs

REPOSITORY = Path(__file__).resolve().parents[2]


def environment(**more: str) -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if k != "PYTEST_ADDOPTS"}, "COLUMNS": "100", **more}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["harness.cli", "--version"], 0, marks=pytest.mark.deep),
        (["harness.cli", "lab", "status", "--json"], 2),
        pytest.param(["harness.cli", "check", "--cluster", "nowhere.toml"], 2, marks=pytest.mark.deep),
        pytest.param(
            ["pytest", "-q", "-p", "no:cacheprovider", "tests/acceptance", "--cluster", "nowhere.toml"], 2, marks=pytest.mark.deep
        ),
        (["pytest", "-q", "-p", "no:cacheprovider", "--collect-only", "tests/acceptance/test_probe.py"], 0),
    ],
    ids=lambda x: " ".join(x[:3]) if isinstance(x, list) else "",
)
def test_it_says_what_a_new_interpreter_says(words: list[str], code: int, tmp_path: Path):
    """Its arguments, its environment (where labs are), both streams, and its code."""
    chosen = environment(XDG_STATE_HOME=str(tmp_path))
    assert forked_commands.can_run(["-m", *words], chosen)
    forked = forked_commands.run(["-m", *words], folder=REPOSITORY, environment=chosen, limit_s=300)
    new = subprocess.run([sys.executable, "-m", *words], cwd=REPOSITORY, env=chosen, capture_output=True, text=True, timeout=300)

    def without_times(text: str) -> list[str]:
        return [line for line in text.splitlines() if " in " not in line or not line.rstrip("= ").endswith("s")]

    assert forked.returncode == new.returncode == code, (forked, new)
    assert without_times(forked.stdout) == without_times(new.stdout) and without_times(forked.stderr) == without_times(new.stderr)


def test_it_is_killed_at_its_limit_and_the_next_one_runs(tmp_path: Path):
    (tmp_path / "test_long.py").write_text("import time\n\n\ndef test_long():\n    print('begun', flush=True)\n    time.sleep(600)\n")
    words = ["-m", "pytest", "-s", "-p", "no:cacheprovider", "-p", "no:lkharness", str(tmp_path)]
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        forked_commands.run(words, folder=tmp_path, environment=environment(), limit_s=2.0)
    assert time.monotonic() - began < 300
    assert (
        forked_commands.run(["-m", "harness.cli", "--version"], folder=REPOSITORY, environment=environment(), limit_s=300).returncode == 0
    )


def test_many_at_once_have_each_their_own_answer(tmp_path: Path):
    def version(number: int) -> tuple[int, str]:
        words = ["-m", "harness.cli", "--version"] if number % 2 else ["-m", "harness.cli", "no-such-command"]
        done = forked_commands.run(words, folder=REPOSITORY, environment=environment(), limit_s=300)
        return done.returncode, done.stdout + done.stderr

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(version, range(16)))
    assert all((code, "lkharness 0" in said) == ((0, True) if n % 2 else (2, False)) for n, (code, said) in enumerate(answers)), answers


def test_what_the_interpreter_reads_at_its_start_needs_a_new_one():
    assert not forked_commands.can_run(["-m", "harness.cli"], environment(PYTHONIOENCODING="latin-1"))
    assert not forked_commands.can_run(["-m", "harness.cli"], environment(LC_ALL="tr_TR.UTF-8"))
    assert not forked_commands.can_run(["-c", "pass"], environment())


@pytest.mark.skipif(os.geteuid() != 0, reason="labs of an ordinary user are not forked: theirs need a user namespace as well")
def test_a_forked_lab_is_in_namespaces_of_its_own_and_dies_with_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """As by `unshare --kill-child`; its log is the lab's."""
    begun: list[forked_commands.Begun] = []

    def spawn(order: dict, folder: Path, fds: list[int]) -> forked_commands.Begun:
        begun.append(forked_labs.fork_elsewhere(order, folder, fds))
        return begun[-1]

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(launch, "_spawn", spawn)
    lab = launch.up(default_cluster.cluster_data(), name="forked", persistent=False, network_only=True)
    try:
        first, parent = lab.record.pid, begun[0].pid
        own = {
            kind: Path(f"/proc/{first}/ns/{kind}").readlink() != Path(f"/proc/self/ns/{kind}").readlink()
            for kind in ("pid", "net", "mnt", "uts")
        }
        assert own == {"pid": True, "net": True, "mnt": True, "uts": False}
        status = Path(f"/proc/{first}/status").read_text()
        assert status.split("NSpid:")[1].split()[1] == "1" and f"PPid:\t{parent}\n" in status
        assert Path(f"/proc/{first}/fd/1").readlink() == lab.record.folder / "log"
        begun[0].kill()
        Deadline(60).wait_for(lambda: not Path(f"/proc/{first}").exists(), what="the lab's end with its parent")
        assert begun[0].wait(60) == -9
    finally:
        lab.down()
