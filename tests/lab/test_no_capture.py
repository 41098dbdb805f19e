"""A node where packets may not be captured: everything is measured all the same, from its socket table, and the report says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.capture_sources import Source
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.cluster.path_check import check_path
from harness.config import cluster_config
from harness.core.timeline import Timeline
from harness.expectations.connectivity_matrix import Origin
from harness.lab.lifecycle import default_cluster, launch
from harness.remote.recording import recording
from harness.remote.recording.recording import Recording
from tests.pytest_process import PYTEST

pytestmark = [pytest.mark.heavy, pytest.mark.timing]  # all of it, for the sake of one run
BLIND = "lknode02"
PYTHON = "/var/tmp/python-without-capture"
WRAPPER = """#!/bin/sh
exec setpriv --bounding-set -net_raw --inh-caps -net_raw /opt/lab/bin/python3 "$@"
"""
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lab() -> Iterator[launch.RunningLab]:
    """A lab with a node that is blind."""
    overrides = {
        "services": default_cluster.DEFAULT_CLUSTER["services"][:1],
        "lab": {"capture": "hosts"},
    }  # as where no fabric can be asked
    data = default_cluster.cluster_data(overrides=overrides)
    data["nodes"] = [{**n, "ssh": {"python": PYTHON}} if n["name"] == BLIND else n for n in data["nodes"]]
    lab = launch.up(data, name=f"blind-{os.getpid()}", persistent=False)
    try:
        subject = ClusterUnderTest(cluster_config.load(lab.cluster_file), Timeline())
        host = subject.hosts[BLIND]
        host.check(f"cat >{PYTHON} && chmod 755 {PYTHON}", input=WRAPPER.encode())
        blind = host.run([PYTHON, "-c", "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"])
        assert blind.exit != 0 and "Operation not permitted" in blind.err, "the wrapper drops nothing, so this would prove nothing"
        subject.close()
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="module")
def run(lab: launch.RunningLab, tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A measured switchover to the node that is blind."""
    reports = tmp_path_factory.mktemp("reports")
    words = [*PYTEST, "tests/failover", "-q", "--allow-disruption", "--disruption", "switchover"]
    environment = {k: v for k, v in os.environ.items() if k not in ("LKHARNESS_CLUSTER", "PYTEST_ADDOPTS")}
    done = subprocess.run(
        [sys.executable, *words, "--cluster", lab.cluster_file, "--reports", reports],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    (folder,) = reports.glob("2*")
    return done, folder


@pytest.fixture(scope="module")
def record(run) -> dict[str, Any]:
    return json.loads((run[1] / "run.json").read_text())


@pytest.fixture(scope="module")
def seen(run, record) -> Recording:
    return recording.read(run[1] / record["measurements"][0]["recording"])


def test_it_ends_with_a_verdict(run, record):
    """Nothing that needs a capture keeps the rest from being told: neither the test nor the audit behind it breaks."""
    done, _ = run
    said = done.stdout + done.stderr
    assert not any(word in said for word in ("Traceback", "INTERNALERROR", " error")), said
    assert done.returncode in (0, 3) and record["state"] == "finished", said
    assert [a["verdict"]["outcome"] for a in record["audits"]] == ["pass"] * 3, "before and after the test, and that it is as it was found"
    assert record["verdict"]["outcome"] in ("pass", "inconclusive") and not record["counts"]["failed"]


def test_the_switchover_is_measured(record):
    (one,) = record["measurements"]
    measured = one["measured"]
    way = ["lknode01", BLIND] if len(record["set_aside"]) % 2 == 0 else [BLIND, "lknode01"]  # each that noise spoiled moved it, too
    assert [measured["disruption"], measured["before"], measured["after"]] == ["switchover", *way]
    client = [t for t in measured["series"] if t["path"] == "client" and t["kind"] == "new"]
    assert client and all(any(0.02 < o["seconds"] < 7.5 and o["end"] is not None for o in t["outages"]) for t in client), client


def test_the_notes_say_so(record):
    (one,) = record["measurements"]
    (note,) = [n for n in one["measured"]["notes"] if n.startswith(BLIND) and "could not capture" in n]
    assert "not permitted" in note and "its connections were looked at" in note
    assert not any("lknode01 could not" in n for n in one["measured"]["notes"])


def test_who_answered_comes_from_the_socket_table(record, seen):
    """The blind node is seen by its connections only, the other by its packets; and the answers are told to be the blind node's."""
    assert {s.what for s in seen.sightings if s.host == BLIND} == {"socket"}
    assert "socket" not in {s.what for s in seen.sightings if s.host == "lknode01"} and any(s.host == "lknode01" for s in seen.sightings)
    (one,) = record["measurements"]
    all_series = [t for t in one["measured"]["series"] if t["path"] == "client" and t["kind"] == "new"]
    least = min(series["period_s"] for series in all_series)
    for series in all_series:
        by = {s["node"] for s in series["segments"] if s["outcome"] == "answered"}
        assert by <= {"lknode01", BLIND, None}, (series["id"], by)
        # A connection lives for a millisecond, and the table is looked at every five: of ten attempts a second none may be met.
        assert BLIND in by or series["period_s"] > least, (series["id"], by)


def test_where_the_network_can_be_asked_it_is_seen_there(lab: launch.RunningLab) -> None:
    """Its packets then have wire codes, and what stays inside it is told by no link having carried it."""
    command = [sys.executable, "-m", "harness.cli", "lab", "capture", "--name", lab.record.name]
    file = lab.cluster_file.with_name("with-network.toml")
    file.write_text(f"{lab.cluster_file.read_text()}\n[network_capture]\ncommand = {json.dumps(command)}\n")
    subject = ClusterUnderTest(cluster_config.load(file, trusted=True), Timeline())
    try:
        (service,), active = subject.cluster.services, subject.active
        for origin in Origin:
            check = check_path(subject, origin, service, active)
            assert check.verdict and {w.code for w in check.ways} == {"W3" if origin is Origin.INSIDE else "W1"}, (
                f"{origin}: {check.verdict}"
            )
        sources = {name: subject.captures.source(name) for name in subject.hosts}
        assert sources == dict.fromkeys(sources, Source.HOST) | {BLIND: Source.NETWORK}
        assert "not permitted" in subject.capture_refused[BLIND]
    finally:
        subject.close()
