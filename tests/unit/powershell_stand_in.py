"""A host whose PowerShell is the stand-in for the product's loop, over real pipes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from harness.core.errors import DeadlineExceeded
from harness.hosts.host import CommandResult

LOOP = Path(__file__).parents[1] / "powershell_loop_stand_in.py"
LONG_S = 120.0


class Pipes:
    """A process on real pipes."""

    def __init__(self, words: list[str]) -> None:
        self.inner = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def lines(self) -> Iterator[str]:
        for line in self.inner.stdout:
            yield line.decode().rstrip("\r\n")

    def send(self, data: bytes) -> None:
        self.inner.stdin.write(data)
        self.inner.stdin.flush()

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.inner.stdin.close()


class StandIn:
    """A host whose PowerShell is the stand-in; `greeting` is what a profile prints, `resident` whether one may stay."""

    def __init__(self, folder: Path) -> None:
        self.name, self.folder = "lknode01", folder
        self.greeting, self.resident, self.processes, self.runs = "", True, [], 0
        self.alone: CommandResult | None = None

    def start(self, command: str) -> Pipes:
        code = (
            "import sys;print(sys.argv[1])"
            if not self.resident
            else f"import runpy,sys;print({self.greeting!r});sys.argv[1:]=sys.argv[2:];runpy.run_path({str(LOOP)!r},run_name='__main__')"
        )
        self.processes.append(Pipes([sys.executable, "-u", "-c", code, "no", str(self.folder)]))
        return self.processes[-1]

    def run(self, command: str, *, limit: float, input: bytes) -> CommandResult:
        self.runs += 1
        if self.alone is not None:
            return self.alone
        words = [sys.executable, str(LOOP), str(self.folder)]
        try:
            done = subprocess.run(words, input=input, capture_output=True, timeout=limit)
        except subprocess.TimeoutExpired as error:
            raise DeadlineExceeded("too long") from error
        return CommandResult(self.name, command, done.returncode, done.stdout.decode(), done.stderr.decode(), 0.0, 0.0)


def record(folder: Path, name: str, script: str, parameters: dict, rows: list[dict] | None = None, **how: object) -> None:
    said = {"ok": True, "error": None, "message": None, "missing": [], "warnings": [], "rows": rows or []}
    (folder / f"{name}.json").write_text(json.dumps({"script": script, "parameters": parameters, "answer": said} | how))
