"""A client without Python, and (deep) one whose sshd does nothing but forward: a whole measured run on a lab, and what its report says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.cluster.path_check import check_path
from harness.config import cluster_config
from harness.core.timeline import Timeline
from harness.core.verdict import Outcome
from harness.expectations.connectivity_matrix import Origin
from harness.lab.lifecycle import default_cluster, launch
from harness.measure.calibration import calibrate
from harness.remote.host_capabilities import Kind
from tests.pytest_process import PYTEST

REPOSITORY = Path(__file__).resolve().parents[2]
NO_COMMANDS = "sed -i 's|^|command=\"/bin/false\" |' /etc/ssh/authorized_keys"
PERIOD_S = {Kind.SHELL: 0.1, Kind.FORWARDING: 0.25}


@dataclass
class Ground:
    kind: Kind
    lab: launch.RunningLab
    subject: ClusterUnderTest

    @property
    def period_s(self) -> float:
        return PERIOD_S[self.kind]


KINDS = [Kind.SHELL, pytest.param(Kind.FORWARDING, marks=pytest.mark.deep)]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def ground(request) -> Iterator[Ground]:
    data = default_cluster.cluster_data(
        overrides={
            "services": [s for s in default_cluster.DEFAULT_CLUSTER["services"] if s["kind"] != "postgres"],
            "budget": {"margin_s": 60.0},
        }
    )
    data["client"] = {**data["client"], "ssh": {"python": "/nowhere/python3"}}
    lab = launch.up(data, name=f"no-python-{request.param}-{os.getpid()}", persistent=False)
    try:
        if request.param is Kind.FORWARDING:
            first = ClusterUnderTest(cluster_config.load(lab.cluster_file), Timeline())
            first.hosts["lkclient"].check(NO_COMMANDS)
            first.close()
        subject = ClusterUnderTest(cluster_config.load(lab.cluster_file), Timeline())
        subject.reach()
        assert subject.capabilities("lkclient").kind is request.param
        yield Ground(request.param, lab, subject)
        subject.close()
    finally:
        lab.down()


@pytest.mark.timing
@pytest.mark.parametrize("by_the_lab", [True, False], ids=["links", "loopback"])
def test_a_known_cut_is_measured_within_the_period_that_is_left(ground, by_the_lab):
    found = calibrate(ground.subject, period_s=0.01, cut=ground.lab.known_cut if by_the_lab else None)
    assert found.verdict.outcome is Outcome.PASS, found.verdict
    assert found.period_s == ground.period_s
    assert found.measured_s is not None and abs(found.measured_s - found.cut_s) <= ground.period_s + 0.001


def test_the_client_path_is_judged_by_what_is_left(ground):
    """Through the shell an attempt's port is known, so the packets tell; through sshd the service alone says who it is."""
    for service in ground.subject.cluster.services:
        check = check_path(ground.subject, Origin.CLIENT, service, ground.subject.active)
        assert check.verdict.outcome is Outcome.PASS, check.verdict
        assert "it runs on lknode01" in check.verdict.reason
        assert check.codes.startswith("W1" if ground.kind is Kind.SHELL else "W?")
        assert ("how they travelled was not seen" in check.verdict.reason) == (ground.kind is Kind.FORWARDING)


@pytest.fixture(scope="module")
def record(ground, tmp_path_factory) -> dict[str, Any]:
    """What the report of a measured switchover holds."""
    reports = tmp_path_factory.mktemp("reports")
    words = [*PYTEST, "tests/failover", "-q", "--allow-disruption", "--disruption", "switchover"]
    environment = {k: v for k, v in os.environ.items() if k not in ("LKHARNESS_CLUSTER", "PYTEST_ADDOPTS")}
    done = subprocess.run(
        [sys.executable, *words, "--cluster", ground.lab.cluster_file, "--reports", reports],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    said = done.stdout + done.stderr
    assert not any(word in said for word in ("Traceback", "INTERNALERROR")) and done.returncode in (0, 3), said
    (folder,) = reports.glob("2*")
    return json.loads((folder / "run.json").read_text())


@pytest.mark.heavy
@pytest.mark.timing
def test_the_report_says_which_resolution_is_left(ground, record):
    (note,) = [n["text"] for n in record["host_notes"] if n["host"] == "lkclient"]
    assert f"the resolution that is left is {ground.period_s * 1000:g} ms instead of the 10 ms asked for" in note
    assert "not measured from there are pinned connections" in note
    (one,) = record["measurements"]
    assert note in one["measured"]["notes"]


@pytest.mark.heavy
@pytest.mark.timing
def test_the_switchover_is_measured_with_that_period(ground, record):
    (one,) = record["measurements"]
    measured = one["measured"]
    mine = [t for t in measured["series"] if t["origin"] == "lkclient"]
    others = [t for t in measured["series"] if t["origin"] != "lkclient"]
    assert mine and {t["kind"] for t in mine} == {"new"} and {t["period_s"] for t in mine} == {ground.period_s}
    assert min(t["period_s"] for t in others) == 0.01 and "pinned" in {t["kind"] for t in others}
    assert record["verdict"]["outcome"] in ("pass", "inconclusive") and not record["counts"]["failed"], record["verdict"]
    if "was not done" in record["verdict"]["reason"]:
        pytest.skip(f"this machine was too busy: {record['verdict']['reason']}")  # then there is no switchover to look at
    for series in mine:
        # a busy machine has outages of its own: late attempts that come close together, and a last one that is silent
        ended = [o for o in series["outages"] if o["end"] is not None]
        assert ended and max(ended, key=lambda o: o["seconds"])["period_s"] >= ground.period_s, series
        # what the nodes' own witnesses say answered it in the end; of the very last attempts they may not have told yet
        answered = [s["node"] for s in series["segments"] if s["outcome"] == "answered" and s["node"]]
        assert answered and answered[-1] == measured["after"], series["segments"]
    assert measured["after"] not in (None, measured["before"])
