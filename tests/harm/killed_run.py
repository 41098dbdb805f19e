"""One run of one disruption on a customer's lab, what befalls it, and what is left of it afterwards."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import tomli_w

from harness.attach.watchdog import FILE
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.lab.control import lab_registry, nsenter
from harness.lab.lifecycle import default_cluster
from tests.e2e.command_shell import REPOSITORY, Shell, descendants
from tests.harm.customer_software import MARK, Customer
from tests.harm.lab_snapshot import LabLook
from tests.pytest_process import PYTEST

MOVES = {
    "lifekeeper": "/opt/LifeKeeper/bin/perform_action -t cluster-services -a restore",
    "pacemaker": "crm_resource --resource cluster-services --move --node $(hostname) && crm_resource --wait; "
    "crm_resource --resource cluster-services --clear && crm_resource --cleanup >/dev/null 2>&1",
}
# Timers that let a host undo by itself soon; a minute's budget, because how long a path was out is not asked here.
SETTINGS = {"services": [s for s in default_cluster.DEFAULT_CLUSTER["services"] if s["kind"] != "http"], "budget": {"margin_s": 2.0}}
CEILING_S = 900.0  # for each wait that is not the subject
LATE_S = 120.0  # a busy machine's allowance beyond the stated time
SAYS = re.compile(r".*(?:NOT AS IT WAS FOUND|not put back|could not be|is not undone|left as it is|a person must).*")


class KilledRun:
    """`told`: what happened, for whoever reads of a failure."""

    def __init__(self, shell: Shell, folder: Path, manager: str, disruption: str, seed: str) -> None:
        self.chance = random.Random(seed)
        self.manager, self.disruption, self.folder = manager, disruption, folder
        self.reports = folder / "reports"
        self.reports.mkdir(parents=True)
        self.told: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self.output = ""
        self.reset = False  # was power taken from a node by what befell the run?
        self._shell = shell
        self._name = folder.name
        settings = SETTINGS | ({"manager": {"takeover_s": 2.5}} if manager == "lifekeeper" else {})
        (folder / "lab.toml").write_text(tomli_w.dumps(settings))
        shell.up("--name", self._name, "--manager", manager, "--file", folder / "lab.toml")
        self.lab = lab_registry.read(shell.labs / self._name)
        self.customer = Customer(self.lab)
        self.customer.move_in()
        self.look = LabLook(self.lab, MARK)
        self.found = self.active()
        self.before = self.look.baseline()
        self._booted = threading.Event()
        self._boots: set[str] = set()
        self._tending = threading.Thread(target=self._tend, args=(self._pids(),), daemon=True)
        self._tending.start()

    def tell(self, text: str) -> None:
        self.told.append(text)

    # the lab

    def _pids(self) -> dict[str, int | None]:
        return {h["name"]: h["pid"] for h in self.lab.ask("status")["hosts"]}

    def _tend(self, known: dict[str, int | None]) -> None:
        """The customer's own units: whenever a host has booted, what is theirs in its memory comes up again."""
        while not self._booted.wait(0.2):
            with suppress(HarnessError, OSError, AssertionError):  # it is on its way down or up: at the next look
                for name, pid in self._pids().items():
                    if pid is not None and pid != known[name]:
                        self.customer.boot(name)
                        known[name] = pid
                        self._boots.add(name)
                        self.tell(f"{name} booted")

    def active(self) -> str:
        """The node that has everything; waited for, because a move may be under way."""

        def one() -> str:
            nodes = self._shell.status("--name", self._name)["nodes"]
            return next((n["name"] for n in nodes if n["role"] == "active"), "")

        return str(Deadline(CEILING_S).wait_for(one, what="one active node", every=0.5))

    def other(self) -> str:
        return next(n for n in ("lknode01", "lknode02") if n != self.found)

    def inside(self, host: str, line: str) -> str:
        done = nsenter.run(self.lab, host, ["bash", "-c", line], limit=CEILING_S)
        assert done.returncode == 0, (self.told, line, done.stderr)
        return done.stdout

    def move_to(self, node: str) -> None:
        """As somebody else does who has the cluster's own tools."""
        self.inside(node, MOVES[self.manager])
        Deadline(CEILING_S).wait_for(lambda: self.active() == node, what=f"everything being on {node}", every=0.5)

    # the run

    def begin(self, *, plugin: str = "", disk: str = "") -> None:
        """`plugin`: the text of one more pytest plug-in; `disk`: a size, for reports on a disk of their own that nobody else sees."""
        (self.folder / "harm_plugin.py").write_text(plugin)
        words = [sys.executable, *PYTEST, "-p", "harm_plugin", "-q", "-rs", "tests/failover", "--disruption", self.disruption]
        words += ["--cluster", str(self._shell.labs / self._name / "cluster.toml"), "--allow-disruption", "--period", "100"]
        words += ["--reports", str(self.reports)]
        if disk:
            mount = f'mount -t tmpfs -o size={disk} none "$1" && shift && exec "$@"'
            words = ["unshare", "--mount", "sh", "-c", mount, "sh", str(self.reports), *words]
        self.process = subprocess.Popen(
            words,
            cwd=REPOSITORY,
            env={**self._shell.environment, "PYTHONPATH": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "output.txt").open("w"),
            stderr=subprocess.STDOUT,
            text=True,
        )
        if disk:
            self.reports = Path(f"/proc/{self.process.pid}/root{self.reports}")

    @property
    def over(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def done(self) -> bool:
        """Is the deed on record?"""
        for file in self.reports.glob("2*/evidence/*/recording.jsonl"):
            with suppress(OSError):
                if any('"is":"m"' in line and '"begin"' in line for line in file.read_text().splitlines()):
                    return True
        return False

    def until(self, what: str, seen: Callable[[], object]) -> bool:
        """Whether it came before the run's end."""
        Deadline(CEILING_S).wait_for(lambda: seen() or self.over, what=what, every=0.1)
        return bool(seen()) and not self.over

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def guardians(self) -> list[int]:
        assert self.process is not None
        return [p for p in descendants(self.process.pid) if b"harness.attach.watchdog" in _words(p)]

    def finish(self) -> int:
        """The run's own end; returns its exit code."""
        assert self.process is not None
        code = self.process.wait(CEILING_S)
        self.output = self.said()
        for word in ("Traceback", "INTERNALERROR"):
            at = self.output.find(word)
            assert at < 0, "\n".join([*self.told, self.output[max(at - 500, 0) : at + 3000]])
        self.tell(f"the run ended with {code}")
        return code

    def said(self) -> str:
        """Everything that the run and its watchdog said so far."""
        files = [self.folder / "output.txt", *self.reports.glob("2*/timeline.jsonl"), *self.reports.glob(f"2*/{FILE}")]
        return "\n".join(file.read_text() for file in files if file.exists())

    def stated_s(self) -> float:
        """How long after its death the cluster is as it was found, by the run's own plan; seconds."""
        stated = re.search(r"within ([\d.]+) s at most", self.said())
        return float(stated[1]) if stated else 60.0

    # afterwards

    def left(self, limit: float, *, lives: bool) -> list[str]:
        """What is not as it was and was not said, when the time is over. `lives`: processes may have begun anew, because nodes booted."""
        words = "\n".join(SAYS.findall(self.said()))

        def said(one: str) -> bool:
            if lives and ": life of process " in one:
                return True
            if any(
                re.match(rf"{host}: file /run/[\w.-]+ is (?:d|gone \(d|new \(d)", one) for host in self._boots
            ):  # a folder's rights, as its boot makes it
                return True
            return any(token in words for token in re.findall(r"\d+\.\d+\.\d+\.\d+|/[\w./-]{4,}", one))

        return self.look.left(self.before, Deadline(limit), said=said)

    def close(self) -> None:
        self._booted.set()
        self._tending.join()
        if self.process is not None:
            for pid in self.guardians():
                with suppress(ProcessLookupError):
                    os.kill(pid, 9)
            if not self.over:
                self.kill()
        self._shell.lkharness("lab", "down", "--name", self._name)


def _words(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
