"""Stands for a Windows node and its scripts: it takes name and parameters, refuses what does not fit, and answers by what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.hosts.windows.script_contract import contract_of, misfit, refusal
from harness.hosts.windows.script_protocol import Row, ScriptAnswer


def refused(error: str, message: str) -> ScriptAnswer:
    return ScriptAnswer(False, error, message)


class WindowsNode:
    """`ticks` and `boot` are its own count and number; `lease` its record. `plays`: by script, what answers instead of the node."""

    def __init__(self, name: str = "lknode01") -> None:
        self.name, self.windows_script_runner = name, self
        self.ticks, self.boot = 100.0, 7
        self.lease: dict[str, Any] | None = None
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.plays: dict[str, Callable[[dict[str, Any]], ScriptAnswer]] = {}

    def ask(self, name: str, parameters: dict[str, Any], *, limit: float) -> ScriptAnswer:
        assert refusal(name, parameters) == ""
        assert limit > 0
        self.asked.append((name, dict(parameters)))
        play = self.plays.get(name) or getattr(self, "_" + name.replace("-", "_"))
        answer = play(parameters)
        assert [misfit(contract_of(name), row) for row in answer.rows if misfit(contract_of(name), row)] == []
        return answer

    def run(self, command: object, **about: object) -> None:
        raise AssertionError(f"a Windows node is asked by scripts, and not for {command}")

    check = start = run

    def reboots(self, ticks: float = 20.0) -> None:
        self.boot, self.ticks = self.boot + 1, ticks

    def _lease(self, given: dict[str, Any]) -> ScriptAnswer:
        has = self.lease
        left = has["until"] - self.ticks if has and has["boot"] == self.boot else 0.0
        left = 0.0 if left > given["Longest"] else left
        mine = has is not None and has["token"] == given["Token"]
        if given["Verb"] == "give":
            self.lease = None if mine else has
            return rows(state("gone"))
        if has is not None and not mine and left > 0:
            return rows(state("held", left, has["holder"], "2026-11-29T10:00:00Z"))
        self.lease = {"token": given["Token"], "holder": given["Holder"], "until": self.ticks + given["Term"], "boot": self.boot}
        return rows(state("mine"))

    def _boot(self, given: dict[str, Any]) -> ScriptAnswer:
        return rows({"Number": self.boot, "Ticks": self.ticks})


def rows(*found: Row) -> ScriptAnswer:
    return ScriptAnswer(True, rows=found)


def state(word: str, left: float | None = None, holder: str | None = None, since: str | None = None) -> Row:
    return {"State": word, "Left": left, "Holder": holder, "Since": since}
