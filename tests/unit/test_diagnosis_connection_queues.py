"""The diagnosis of kernel settings that leave next to no room for connections that wait."""

from __future__ import annotations

import pytest
from diagnosis_sample import both

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.linux_host_script_parse import host


def accepted(active: str, standby: str) -> list[Cause]:
    limits = [host("it", f"@@ limits\nnet/core/somaxconn:{most}\n").limits for most in (active, standby)]
    return [c for c in diagnose(both(limits=(limits[0], limits[1]))).causes if "somaxconn" in c.says]


@pytest.mark.parametrize(("active", "standby"), [("1", "4096"), ("1", "1"), ("0", "0"), ("15", "128")])
def test_a_queue_for_next_to_nobody(active: str, standby: str) -> None:
    (cause,) = accepted(active, standby)
    assert cause.host == "lknode01" and cause.certainty is Certainty.LIKELY and f"net.core.somaxconn is {active} on lknode01" in cause.says


def test_of_the_standby_alone_it_is_told_once() -> None:
    (cause,) = accepted("4096", "1")
    assert cause.host == "lknode02"
    (cause,) = accepted("128", "13")  # not by a tenth
    assert cause.host == "lknode02" and "next start" in cause.says


@pytest.mark.parametrize(("active", "standby"), [("128", "128"), ("4096", "512"), ("", ""), ("many", "4096")])
def test_usual_queues_are_none(active: str, standby: str) -> None:
    assert accepted(active, standby) == []


def half_open(cookies: str, most: str) -> list[Cause]:
    seen = host("it", f"@@ sysctls\ntcp_syncookies:{cookies}\ntcp_max_syn_backlog:{most}\n")
    return [c for c in diagnose(both(sysctls=(seen.sysctls, {}))).causes if "syn_backlog" in c.says]


def test_half_open_connections() -> None:
    assert [(c.host, c.certainty) for c in half_open("0", "1")] == [("lknode01", Certainty.POSSIBLE)]
    assert half_open("1", "1") == half_open("2", "1") == half_open("0", "128") == half_open("0", "") == []
