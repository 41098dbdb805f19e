"""What is said beside outages: for how long an ordinary client's kernel waits, and what became of a held connection."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from measure_sample import a_measured
from recordings import a_switchover

from harness.core.deadline import Deadline
from harness.core.timeline import Timeline
from harness.disrupt.azure.azure_power import AzurePowerOff
from harness.disrupt.bases import client_tcp_timeout
from harness.disrupt.bases.client_tcp_timeout import describe, retransmission_time_s, sentence
from harness.disrupt.network.idle_timeout import IdleTimeout
from harness.disrupt.node.power_loss import PowerLoss
from harness.hosts.host import HostUnreachable
from harness.hosts.linux.linux_host import LinuxHost
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.remote.recording.recording import Mark
from harness.report.record.measurement_record import MeasurementRecord
from harness.report.statistics import outage_statistics
from harness.report.terminal_summary import _measurement_lines


@pytest.mark.parametrize(("retries", "seconds"), [(0, 0.2), (1, 0.6), (3, 3.0), (8, 102.2), (9, 204.6), (10, 324.6), (15, 924.6)])
def test_as_linux_counts(retries: int, seconds: float) -> None:
    """924.6 s for 15 is in the kernel's own documentation."""
    assert retransmission_time_s(retries) == pytest.approx(seconds)


class Client(LinuxHost):
    def __init__(self, said: str | Exception) -> None:
        self.said = said

    def sysctl(self, name: str) -> str:
        assert name == "net.ipv4.tcp_retries2"
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def subject(said: str | Exception = "15"):
    balancer = SimpleNamespace(tcp_reset=False, idle_timeout_s=4.0)
    cluster = SimpleNamespace(client=SimpleNamespace(name="lkclient"), load_balancer=balancer)
    return SimpleNamespace(cluster=cluster, facts={"lkclient": Client(said)}, timeline=Timeline())


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("15", "after 925 s or more (net.ipv4.tcp_retries2 = 15)"),
        ("?", "which is no number"),
        (HostUnreachable("it is gone"), "it is gone"),
    ],
)
def test_it_is_asked_of_the_client_and_never_guessed(said: str | Exception, words: str) -> None:
    assert words in describe(subject(said))


@pytest.mark.parametrize("kind", [PowerLoss, AzurePowerOff])
def test_a_loss_of_power_says_what_an_ordinary_client_gets(kind: type) -> None:
    made = object.__new__(kind)
    made._subject, made.moment, made._took_s = subject(), None, None
    assert made.observations() == [sentence("lkclient", 15)]


def test_idle_says_what_became_of_the_held_connection_also_when_all_is_as_expected() -> None:
    made = object.__new__(IdleTimeout)
    made._subject, made.finding = subject(), ""
    assert made.observations() == []
    made._lines = iter([json.dumps({"held": "silent", "after": 7.0, "control": "lives"})])
    made.took_effect(Deadline(60.0))
    held, waits = made.observations()
    assert held == "the connection held idle was found silent after 7.0 s; the one with keepalives lives" and "925 s" in waits


def test_what_is_told_comes_from_the_recording_and_reaches_the_terminal() -> None:
    recording = a_switchover()
    result = evaluate(replace(recording, marks=[*recording.marks, Mark(9.0, "told", "it was found silent")]))
    assert result.observations == ["it was found silent"]
    record = MeasurementRecord.of(
        replace(a_measured("switchover", out=1.0, seed=1), observations=result.observations), id="01-it", test="t"
    )
    run = SimpleNamespace(measurements=[record], calibration=None)
    assert outage_statistics.groups(run) and "    it was found silent" in _measurement_lines(run)  # type: ignore[arg-type]


def test_the_page_says_so() -> None:
    assert "tcp_retries2" in (Path(__file__).parents[2] / "docs" / "disruptions.md").read_text()
    assert client_tcp_timeout.SETTING == "net.ipv4.tcp_retries2"
