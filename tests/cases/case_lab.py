"""A lab for one case: brought up, broken, asked, and taken down. Nothing but the lab is touched.

A line of a case is `HOST: COMMAND`, run there by its shell; `behind HOST: COMMAND`, left running; `not HOST: COMMAND`, which must fail;
`nsg PLACE: RULES`; `azure: KIND`, a misconfiguration; `power: WORDS`; or `move:`, everything in service on the second node. A line
of the proof is tried again until it holds. `{service NAME}` in a command is how the lab starts that stand-in, `{end PORT}` ends who listens
there, `{until COMMAND}` waits for it.
"""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from tests.cases.case import Case, Result, differences, judge, judge_suite
from tests.e2e.command_shell import Shell, shell_in

HOLDS_S = 60.0
QUIET = "[manager]\nhc_timeout_s = 900.0\ncheck_interval_s = 900.0\n"  # a manager that leaves alone what is broken
CALM = "[manager]\nhc_timeout_s = 900.0\n"
SETTINGS = {"quiet": QUIET, "calm": CALM}
FIRST, SECOND, CLIENT = "lknode01", "lknode02", "lkclient"
RESTORE = "/opt/LifeKeeper/bin/perform_action -t cluster-services -a restore; true"  # what does not start there is the case's own matter
MOVE = (
    "crm_resource --move -r cluster-services -N lknode02 && crm_resource --wait --timeout=60s; crm_resource --clear -r cluster-services; "
    "crm_resource --wait --timeout=60s"
)


class CannotBeMade(Exception):
    """The lab did not come up, or the fault is not there: nothing was judged."""


def run(case: Case, folder: Path, *, suite: bool = False) -> Result:
    """What `check` says of it, what it says of the cluster's bundle and, where it is wanted, what the acceptance suite says. Raises
    CannotBeMade."""
    with shell_in(folder) as shell:
        lab = LabOfACase(shell, case)
        judged, answer = lab.judged()
        judged = replace(judged, offline=tuple(differences(answer, lab.check_offline())))
        if not suite:
            return judged
        word, fails = judge_suite(case, lab.run_suite())
        return replace(judged, suite=word, suite_fails=fails)


class LabOfACase:
    def __init__(self, shell: Shell, case: Case) -> None:
        self._shell, self._case = shell, case
        settings = shell.home / "settings.toml"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(SETTINGS.get(case.settings, case.settings))
        done = shell.lkharness("lab", "up", *case.lab, "--file", settings)
        if done.returncode:
            raise CannotBeMade(f"lab up: {done.stderr.strip()[-400:]}")
        self._file = shell.labs / "lab" / "cluster.toml"
        self._pacemaker = tomllib.loads(self._file.read_text()).get("manager", {}).get("kind") == "pacemaker"

    def turn_to(self, case: Case) -> None:
        """Another case, of a lab that is brought up in the same way; what was made before stays."""
        assert case.lab == self._case.lab, f"{case.name} needs another lab"
        self._case = case

    def judged(self) -> tuple[Result, dict[str, Any]]:
        """The fault, made: what is to be thought of what `check` says of it, and what it says."""
        for line in self._case.make:
            self.do(line)
        for line in self._case.proof:
            self.hold(line)
        answer, code = self.check()
        return judge(self._case, answer, code), answer

    def do(self, line: str) -> None:
        if not self._holds(line):
            raise CannotBeMade(f"{self._case.name}: {line}: {self._said}")

    def hold(self, line: str) -> None:
        try:
            Deadline(HOLDS_S).wait_for(lambda: self._holds(line), what=line, every=0.5)
        except DeadlineExceeded as error:
            raise CannotBeMade(f"{self._case.name}: the proof does not hold: {line}: {self._said}") from error

    def check(self) -> tuple[dict[str, Any], int]:
        file = self._file
        if self._case.asked_with:
            text = file.read_text()
            for old, new in self._case.asked_with:
                text, times = re.subn(old, new, text, flags=re.MULTILINE)
                if not times:
                    raise CannotBeMade(f"{self._case.name}: {old!r} is not in the cluster file")
            file = file.with_name("asked.toml")
            file.write_text(text)
        self._asked = file
        return self._answer("check", "--json", "--cluster", file)

    def check_offline(self) -> dict[str, Any]:
        """What a bundle of the cluster says, made with the file that the live look had."""
        bundle = self._shell.home / "bundle.tar.gz"
        self._run(
            "collect", "--cluster", self._asked, "--output", bundle, of=()
        )  # exit 3 where a host told less: it is judged all the same
        return self._answer("check", "--json", bundle)[0]

    def run_suite(self) -> dict[str, Any]:
        """The run.json of the acceptance suite, which only reads here."""
        reports = self._shell.home / "reports"
        self._run("acceptance", "--cluster", self._asked, "--trust-cluster-file", "--reports", reports, "-q", of=())
        try:
            return json.loads((reports / "latest" / "run.json").read_text())
        except OSError:
            raise CannotBeMade(f"{self._case.name}: the suite left no run: exit {self._done.returncode}: {self._said}") from None

    def _answer(self, *words: object) -> tuple[dict[str, Any], int]:
        self._run(*words, of=())
        try:
            return json.loads(self._done.stdout), self._done.returncode
        except ValueError:
            raise CannotBeMade(f"{self._case.name}: {words[0]}: exit {self._done.returncode}, no answer: {self._said}") from None

    def _holds(self, line: str) -> bool:
        where, _, what = line.partition(":")
        where, what = where.strip(), what.strip()
        if where == "move":
            return self._run("exec", SECOND, "--", "sh", "-c", MOVE if self._pacemaker else RESTORE)
        if where == "azure":
            return self._run("azure", "misconfiguration", *what.split())
        if where == "power":
            return self._run("power", *what.split())
        if where.startswith("nsg "):
            rules = self._shell.home / "rules.json"
            rules.write_text(what)
            return self._run("nsg", where.split()[1], rules)
        behind, no = where.startswith("behind "), where.startswith("not ")
        host = where.removeprefix("behind ").removeprefix("not ")
        if host not in (FIRST, SECOND, CLIENT):
            raise CannotBeMade(f"{self._case.name}: no such host: {line}")
        command = _spelled_out(what, host)
        if behind:
            command = f"setsid nohup sh -c {_quoted(command)} >/dev/null 2>&1 </dev/null &"
        return self._run("exec", host, "--", "sh", "-c", command) is not no

    def _run(self, *words: object, of: tuple[str, ...] = ("lab",)) -> bool:
        try:
            self._done = self._shell.lkharness(*of, *words)
        except subprocess.TimeoutExpired as error:
            raise CannotBeMade(f"{self._case.name}: {' '.join(map(str, words))} did not end in {error.timeout:g} s") from error
        self._said = (self._done.stdout + self._done.stderr).strip()[-400:]
        return self._done.returncode == 0


def _quoted(command: str) -> str:
    return "'" + command.replace("'", "'\\''") + "'"


def _spelled_out(command: str, host: str) -> str:
    command = re.sub(r"\{service (\w+)\}", rf"/opt/lab/bin/lab-python -m harness.lab.services.\1 --node {host}", command)
    command = re.sub(r"\{end (\d+)\}", r"kill -9 $(ss -Hltnp 'sport = :\1' | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -u)", command)
    return re.sub(r"\{until ([^}]*)\}", r"i=0; until \1; do i=$((i+1)); [ $i -lt 240 ] || exit 1; sleep 0.25; done", command)
