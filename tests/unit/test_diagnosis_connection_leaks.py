"""The diagnosis of connections that the clients have closed and the server has not, and of descriptors that are nearly used up."""

from __future__ import annotations

from typing import Any

import pytest
from diagnosis_sample import WEB, listening, node, with_host

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Socket
from harness.diagnosis.linux_host_script_parse import host


def told(sockets: list[Socket], most: int = 1024, name: str = "lknode01", **more: Any) -> list[Cause]:
    causes = diagnose(with_host(node(name, sockets=sockets, descriptors={5: (70, most)}, **more))).causes
    return [c for c in causes if "CLOSE-WAIT" in c.says]


def closed(number: int, state: str = "CLOSE-WAIT", port: int = WEB.port, **more: Any) -> list[Socket]:
    fields: dict[str, Any] = {"process": "it", "pid": 5, "idle_s": 61.0} | more
    return [Socket(state, "10.20.1.11", port, "10.20.1.20", 1024 + n, **fields) for n in range(number)]


def test_what_a_server_does_not_close() -> None:
    (cause,) = told(closed(60))
    assert cause.certainty is Certainty.POSSIBLE and "it (pid 5)" in cause.says and "60 in CLOSE-WAIT" in cause.evidence[0]
    (cause,) = told(closed(60), most=100)
    assert cause.certainty is Certainty.LIKELY and cause.host == "lknode01"


@pytest.mark.parametrize(
    "sockets",
    [
        closed(49),
        closed(60, idle_s=5.0),  # a busy server has them for moments
        closed(60, idle_s=None),
        closed(60, state="FIN-WAIT-2"),
        closed(60, pid=None, process=None),  # not accepted yet
        closed(60, port=22),
    ],
)
def test_what_is_closed_in_time_is_none(sockets: list[Socket]) -> None:
    assert told(sockets, most=60) == []


def test_the_standby_is_not_asked() -> None:
    assert told(closed(60), name="lknode02", listeners=[]) == []


@pytest.mark.parametrize(("number", "certainty"), [(57, None), (58, Certainty.POSSIBLE), (63, Certainty.POSSIBLE), (64, Certainty.CERTAIN)])
def test_descriptors_that_are_nearly_used_up(number: int, certainty: Certainty | None) -> None:
    seen = host("lknode01", f"@@ descriptors\n5 {number} Max open files 64 64 files\n")
    it = node("lknode01", listeners=[listening(WEB.port)], descriptors=seen.descriptors)
    causes = [c for c in diagnose(with_host(it)).causes if "descriptors" in c.says]
    assert [c.certainty for c in causes] == ([certainty] if certainty else [])
