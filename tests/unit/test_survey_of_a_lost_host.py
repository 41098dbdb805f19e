"""A host that is asked and falls silent: how long a look waits for it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from harness.check import host_survey
from harness.hosts.host import HostUnreachable

LIMIT = 60


class Host:
    """It answers a question only when it is let, and says that it is there as often as it is told to."""

    name = "lknode01"

    def __init__(self, *alive: bool) -> None:
        self._alive, self.asked, self.let, self.closed = list(alive), 0, threading.Event(), False

    def alive(self, *, limit: float = 2.0) -> bool:
        self.asked += 1
        if len(self._alive) == self.asked:
            self.let.set()
        return self._alive[min(self.asked, len(self._alive)) - 1]

    def run(self) -> str:
        assert self.let.wait(LIMIT)
        if self.closed:
            raise HostUnreachable("closed")
        return "answer"

    def close(self) -> None:
        self.closed = True
        self.let.set()


def asked(host: Host, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(host_survey, "SILENCE_S", 0.01)
    ask: Any = host
    return host_survey._while_alive(ask, host.run)


def test_it_is_waited_for_as_long_as_it_says_that_it_is_there(monkeypatch) -> None:
    host = Host(True, False, True, True)  # slow to say it once
    assert asked(host, monkeypatch) == "answer" and not host.closed


def test_its_question_is_ended_when_it_says_nothing_twice(monkeypatch) -> None:
    host = Host(True, False, False, False)
    with pytest.raises(host_survey._Lost, match="lknode01: it left a question unanswered"):
        asked(host, monkeypatch)
    assert host.closed and host.asked == 3
