"""The product's loop in a real PowerShell, as a process of the tests."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import time
from typing import Any

from harness.hosts.windows import powershell, script_protocol
from harness.hosts.windows.script_contract import ENGINE
from harness.hosts.windows.script_protocol import Line, ScriptAnswer

PWSH = shutil.which("pwsh")
LONG_S = 120.0
JOB = "1" * 12  # the name of one that is started and left alone
SCENES = ("none", "one", "many", "error", "warning", "slow")


class Loop:
    """The product's loop in a real PowerShell."""

    def __init__(self, environment: dict[str, str], *, once: bool = False, words: list[str] | None = None) -> None:
        self.process = subprocess.Popen(
            words or command(), env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._number, self._known, self.noise, self._rest = 0, set[str](), list[str](), b""
        self.send(script_protocol.first_line(once=once))

    def send(self, data: bytes) -> None:
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def ask(self, name: str, parameters: dict[str, Any], limit: float = LONG_S) -> int:
        """The number of the question."""
        self._number += 1
        self.send(script_protocol.question(self._number, name, parameters, limit, with_text=name not in self._known))
        self._known.add(name)
        return self._number

    def clock(self) -> int:
        self._number += 1
        self.send(script_protocol.clock_question(self._number))
        return self._number

    def line(self, *, within: float = LONG_S) -> Line:
        """The next line that is the loop's own."""
        end = time.monotonic() + within
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while True:
                while b"\n" in self._rest:
                    text, _, self._rest = self._rest.partition(b"\n")
                    found = script_protocol.read_line(text.decode())
                    if found is not None:
                        return found
                    self.noise.append(text.decode())
                assert selector.select(max(0.0, end - time.monotonic())), f"no line within {within} s; before it came {self.noise}"
                data = os.read(self.process.stdout.fileno(), 65536)
                assert data, f"it ended: {self.process.stderr.read().decode()}"
                self._rest += data

    def answer(self, name: str, parameters: dict[str, Any], limit: float = LONG_S) -> ScriptAnswer:
        """Ask, and wait for the answer to that."""
        number = self.ask(name, parameters, limit)
        line = self.line()
        assert line.id == number and line.answer is not None
        return line.answer

    def end(self) -> int:
        """Its input ends."""
        self.process.stdin.close()
        code = self.process.wait(timeout=LONG_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return code


def command() -> list[str]:
    """As the product calls it, but for the program's name."""
    return [str(PWSH), *powershell.encoded_line(script_protocol.bootstrap()).split()[1:]]


def job_runner() -> str:
    """What job-start is to have the process run that it makes."""
    return (ENGINE / "job.ps1").read_text(encoding="utf-8")


def guard_program() -> str:
    """What undo-arm is to have the scheduled task run."""
    return (ENGINE / "undo-task.cmd").read_text(encoding="ascii")


def as_json(answer: ScriptAnswer) -> str:
    """For messages."""
    return json.dumps({"error": answer.error, "message": answer.message, "warnings": answer.warnings, "rows": answer.rows}, indent=1)
