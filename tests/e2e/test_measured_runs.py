"""Measured runs from a shell: repeats by seed, a sweep through the probe's period, and the exit codes of wishes that cannot be met."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from command_shell import Shell, shell_in

from harness.config import cluster_config
from harness.measure.evaluation.attempt_attribution import clock_errors
from harness.pytest_plugin.measurement_plan import MeasurementOptions
from harness.remote.recording import recording
from harness.remote.recording.recording import Recording
from tests import deep_option

SUITE = "tests/failover"
STEPS = deep_option.number(2, 3, "LKHARNESS_STEPS")
ENDED = (0, 1, 3)  # when it began is looked at here, not its verdict: on a busy machine an attempt may fail though nothing is done
NEAR_S = 0.015  # of a start to the moment that was asked for, on a machine that has nothing else to do


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_in(tmp_path_factory.mktemp("state")) as one:
        # Of `none` a check's interval and 2 s are measured, so this is most of what each start here takes.
        one.up("--name", "measured", "--file", one.modest("listener", check_interval_s=0.5))
        yield one


class Measured:
    """One run: how it ended, its run.json and its recordings in the order in which they were made."""

    def __init__(self, done: subprocess.CompletedProcess[str], reports: Path) -> None:
        self.done = done
        self.folder = (reports / "latest").resolve()
        self.record = json.loads((self.folder / "run.json").read_text())
        self.recordings = [recording.read(self.folder / one["recording"]) for one in self.record["measurements"]]

    @property
    def offsets(self) -> list[float]:
        return [one["measured"]["offset_s"] for one in self.record["measurements"]]


def measure(shell: Shell, reports: Path, *words: str) -> Measured:
    given = [SUITE, "-q", "--cluster", shell.labs / "measured" / "cluster.toml", "--reports", reports]
    done = shell.pytest(*given, "--allow-disruption", *words, limit=600)
    assert "Traceback" not in done.stdout + done.stderr and "INTERNALERROR" not in done.stdout + done.stderr, done.stdout
    return Measured(done, reports)


@pytest.mark.heavy
def test_a_seed_repeats_a_run(shell, tmp_path):
    """The offsets are those that this process draws of the same seed, each repeat with its own, and the starts were held back by them."""
    run = measure(shell, tmp_path, "--disruption", "none", "--repeat", "2", "--seed", "7", "--period", "250")
    assert run.done.returncode in ENDED, run.done.stdout
    cluster = cluster_config.load(shell.labs / "measured" / "cluster.toml")
    assert run.offsets == [start.offset_s for start in MeasurementOptions(repeat=2, seed=7).starts("none", cluster)]
    assert len(set(run.offsets)) == 2
    assert [one["measured"]["repeat"] for one in run.record["measurements"]] == [0, 1]
    assert {r.header.seed for r in run.recordings} == {7} and [r.header.offset_s for r in run.recordings] == run.offsets
    assert len(run.record["tests"]) == 2 and len({t["id"] for t in run.record["tests"]}) == 2


def after_probe(read: Recording) -> tuple[float, float]:
    """How long after the latest probe of the active node it began, by the witness's own packets; and by how much that may be off:
    the witness's clock, and how late the machine was."""
    header, begin = read.header, read.mark("begin")
    assert begin is not None
    probes = [
        s.at
        for s in read.sightings
        if (s.host, s.what, s.src, s.dport) == (header.active, "syn", header.probe_source, header.probe_port) and not s.outgoing
    ]
    before = [at for at in probes if at <= begin]
    assert before and len(probes) > len(before), "no probes were seen around the start, so nothing can be told"
    late = max((n.worst_late_s for n in read.noise if begin - 2.0 < n.at < begin + 2.0), default=0.0)
    return begin - max(before), NEAR_S + clock_errors(read)[header.active] + late


@pytest.mark.heavy
@pytest.mark.timing
def test_a_sweep_walks_through_the_probes_period(shell, tmp_path):
    """Two starts: at a probe, and half of its interval after one. Three of the deep part: a third and two thirds of it after one."""
    run = measure(shell, tmp_path, "--disruption", "none", "--sweep", str(STEPS), "--period", "50")
    assert run.done.returncode in ENDED, run.done.stdout
    interval = run.recordings[0].header.probe_interval_s
    assert run.offsets == pytest.approx([step * interval / STEPS for step in range(STEPS)])
    assert len(run.record["tests"]) == STEPS
    for wanted, read in zip(run.offsets, run.recordings, strict=True):
        found, near = after_probe(read)
        off = (found - wanted + interval / 2) % interval - interval / 2  # one right before a probe is right at it
        assert abs(off) < near, f"wanted {wanted:.3f} s after a probe, began {found:.3f} s after it, {near:.3f} s allowed"


def deep(words: list[str], says: str) -> ParameterSet:
    """A further wish of the same kind; what is said of each is test_measurement_plan's as well."""
    return pytest.param(words, says, marks=pytest.mark.deep)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--disruption", "earthquake"], "there is no disruption 'earthquake'; there are IP resource lost"),
        deep(["--disruption", "switchover", "--disruption", "Switchover"], "there is no disruption 'Switchover'"),
        deep(["--period", "7"], "--period 7: the meter knows 1, 10, 50, 100, 250 ms"),
        deep(["--repeat", "0"], "--repeat must be 1 or more"),
        deep(["--repeat", "2", "--sweep", "3"], "--repeat and --sweep do not go together"),
        (["--period", "fast"], "invalid int value: 'fast'"),
    ],
    ids=lambda x: "-".join(x) if isinstance(x, list) else "",
)
def test_wishes_that_cannot_be_met(shell, tmp_path, words, says):
    """Exit 2 and a sentence, before anything is made or begun."""
    before = shell.folders()
    done = shell.pytest(SUITE, "-q", *words, "--reports", tmp_path / "none")
    said = done.stdout + done.stderr
    assert done.returncode == (4 if "fast" in words else 2), said
    assert says in said and "Traceback" not in said and "INTERNALERROR" not in said
    assert not (tmp_path / "none").exists() and shell.folders() == before


def test_a_cluster_that_may_not_be_disturbed(shell, tmp_path):
    """Without --allow-disruption it is skipped with that reason, and nothing at all happens to the cluster."""
    before = shell.status()
    done = shell.pytest(
        SUITE,
        "-q",
        "-rs",
        "--disruption",
        "switchover",
        "--cluster",
        shell.labs / "measured" / "cluster.toml",
        "--reports",
        tmp_path / "none",
    )
    assert done.returncode in (0, 3) and "1 skipped" in done.stdout, done.stdout
    assert "allow that with --allow-disruption" in re.sub(r"\s+", " ", done.stdout)
    assert not list((tmp_path / "none").glob("*/evidence/*/recording.jsonl"))
    after = shell.status()
    assert (after["pid"], after["nodes"]) == (before["pid"], before["nodes"])
