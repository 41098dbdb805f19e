"""Stands for a Windows node and its scripts: it takes name and parameters, refuses what does not fit, and answers by what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.hosts.host import HostUnreachable
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
        self.armed: dict[str, dict[str, Any]] = {}  # token → what its task was given, and when it ends
        self.rules: set[str] = set()  # the firewall rules of ours, by name
        self.off: set[str] = set()  # the adapters that are off
        self.hears = True
        self.readiness: Row = {"Administrator": True, "Scheduler": "Running", "Module": True, "FolderFault": ""}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.plays: dict[str, Callable[[dict[str, Any]], ScriptAnswer]] = {}

    def ask(self, name: str, parameters: dict[str, Any], *, limit: float) -> ScriptAnswer:
        assert refusal(name, parameters) == ""
        assert limit > 0
        if not self.hears:
            raise HostUnreachable(f"{self.name}: it does not answer")
        self.asked.append((name, dict(parameters)))
        play = self.plays.get(name) or getattr(self, "_" + name.replace("-", "_"))
        answer = play(parameters)
        assert [misfit(contract_of(name), row) for row in answer.rows if misfit(contract_of(name), row)] == []
        return answer

    def run(self, command: object, **about: object) -> None:
        raise AssertionError(f"a Windows node is asked by scripts, and not for {command}")

    check = start = run

    def reboots(self, ticks: float = 20.0) -> None:
        """Its tasks have a trigger at boot, and do not wait then."""
        self.boot, self.ticks = self.boot + 1, ticks
        for token in list(self.armed):
            self._undoes(token)

    def passes(self, seconds: float) -> None:
        self.ticks += seconds
        for token in [t for t, one in self.armed.items() if one["ends"] <= self.ticks]:
            self._undoes(token)

    def _undoes(self, token: str) -> None:
        one = self.armed.pop(token)
        self.rules.discard(one.get("Rule", ""))
        self.off.discard(one.get("Nic", ""))

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

    def _leased(self, given: dict[str, Any]) -> bool:
        wanted = given.get("Lease", "")
        return not wanted or (self.lease is not None and self.lease["token"] == wanted)

    def _undo_arm(self, given: dict[str, Any]) -> ScriptAnswer:
        if not self._leased(given):
            return refused("LeaseLost", "the lease on this node is not this run's any more, so nothing was done")
        token = given["Token"]
        self.armed[token] = {**given, "ends": self.ticks + given["Seconds"]}
        self.passes(0.0)
        return rows({"Token": token, "Task": f"lkharness-{token}"})

    def _undo_begin(self, given: dict[str, Any]) -> ScriptAnswer:
        if given["Token"] not in self.armed:
            return refused("Missing", "nothing is armed")
        self._undoes(given["Token"])
        return rows({"Token": given["Token"], "Task": f"lkharness-{given['Token']}"})

    def _undo_list(self, given: dict[str, Any]) -> ScriptAnswer:
        wanted = given.get("Token", "")
        found = [{"Token": t, "State": "waiting", "Of": one["Of"]} for t, one in self.armed.items()]
        loose = {rule.removeprefix("lkharness-") for rule in self.rules} - set(self.armed)
        found += [{"Token": t, "State": "rule", "Of": ""} for t in sorted(loose)]
        return rows(*[row for row in found if wanted in ("", row["Token"])])

    def _undo_readiness(self, given: dict[str, Any]) -> ScriptAnswer:
        return rows(self.readiness)

    def _deed(self, given: dict[str, Any], done: Callable[[], object]) -> ScriptAnswer:
        if not self._leased(given):
            return refused("LeaseLost", "the lease on this node is not this run's any more, so nothing was done")
        if "Undo" in given and given["Undo"] not in self.armed:
            return refused("NotArmed", "this host does not wait to undo it, so nothing was done")
        done()
        return rows({"Before": 1000.0, "After": 1000.25})

    def _cut(self, given: dict[str, Any]) -> ScriptAnswer:
        return self._deed(given, lambda: self.rules.add(given["Rule"]))

    def _nic_down(self, given: dict[str, Any]) -> ScriptAnswer:
        return self._deed(given, lambda: self.off.add(given["Nic"]))

    def _effect(self, given: dict[str, Any]) -> ScriptAnswer:
        there = given.get("Rule") in self.rules or given.get("Nic") in self.off
        return rows({"There": there, "InForce": there, "Why": ""})


def rows(*found: Row) -> ScriptAnswer:
    return ScriptAnswer(True, rows=found)


def state(word: str, left: float | None = None, holder: str | None = None, since: str | None = None) -> Row:
    return {"State": word, "Left": left, "Holder": holder, "Since": since}
