"""PowerShell itself, where there is one: needs pytest and `pwsh` on PATH, and of the product only what is pure of harness.hosts.windows."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.hosts.windows import powershell, script_protocol
from harness.hosts.windows.script_protocol import Line, ScriptAnswer

HERE = Path(__file__).parent
PWSH = shutil.which("pwsh")
LONG_S = 120.0
SCENES = ("none", "one", "many", "error", "warning", "slow")
TOOLS = {
    "netsh": """#!/bin/sh
case "$LK_SCENE" in error) exit 1;; slow) exec sleep 300;; esac
printf '\\nPortausschlussbereiche f\\303\\274r Protokoll TCP\\n\\nStartport    Endport\\n----------    --------\\n'
[ "$LK_SCENE" = none ] || printf '      5357        5357\\n     50000       50059     *\\n'
printf '\\n* - Verwaltet\\n'
""",
    "reg": """#!/bin/sh
case "$LK_SCENE" in none|error) exit 1;; esac
case "$*" in
  *KeepAliveTime) printf 'HKEY\\r\\n    KeepAliveTime    REG_DWORD    0x493e0\\r\\n';;
  *v4tov4*) printf 'HKEY\\r\\n    0.0.0.0/1521    REG_SZ    10.20.1.200/1522\\r\\n    */80    REG_SZ    x/8080\\r\\n';;
  *) exit 1;;
esac
""",
}
LIFEKEEPER = """#!/bin/sh
case "$LK_SCENE" in slow) exec sleep 300;; esac
printf 'args:'; for word in "$@"; do printf ' [%s]' "$word"; done; printf '\\n'
[ "$LK_SCENE" = none ] || echo "warning on the other stream" >&2
cat
exit 7
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and PWSH is None:
            item.add_marker(pytest.mark.skip(reason="needs PowerShell 7 (`pwsh` on PATH)"))


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
    return [str(PWSH), *powershell.encoded(script_protocol.bootstrap()).split()[1:]]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """The environment of a process: the stand-ins, and what `scene` they play."""
    folder = tmp_path_factory.mktemp("windows")
    for name, text in TOOLS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    root = folder / "LK of o'neil"
    (root / "Bin").mkdir(parents=True)
    for name in ("lcdstatus.exe", "perform_action.exe"):
        (root / "Bin" / name).write_text(LIFEKEEPER)
        (root / "Bin" / name).chmod(0o755)
    (root / "Bin" / "flg_list").write_text("# for LifeKeeper's own Perl\n")
    perl = root / "perl" / "5.8" / "perl.exe"
    perl.parent.mkdir(parents=True)
    perl.write_text(LIFEKEEPER)
    perl.chmod(0o755)
    (root / "etc" / "default").mkdir(parents=True)
    (root / "etc" / "default" / "LifeKeeper").write_text("LCDSYNC=1\nNAME=l\u00e4uft\n", encoding="utf-8")

    def made(scene: str = "many", **more: str) -> dict[str, str]:
        given = {
            "PSModulePath": str(HERE / "modules"), "PATH": f"{folder}:{os.environ['PATH']}", "LK_SCENE": scene, "LKROOT": str(root),
            "POWERSHELL_TELEMETRY_OPTOUT": "1", "POWERSHELL_UPDATECHECK": "Off",
        }  # fmt: skip
        return {**os.environ, **given, **more}

    return made


@pytest.fixture(scope="session")
def loops(environment: Callable[..., dict[str, str]]) -> Iterator[Callable[[str], Loop]]:
    """One process for each scene."""
    made: dict[str, Loop] = {}

    def of(scene: str) -> Loop:
        if scene not in made:
            made[scene] = Loop(environment(scene))
            assert made[scene].line().ready
        return made[scene]

    yield of
    for loop in made.values():
        loop.end()


def as_json(answer: ScriptAnswer) -> str:
    """For messages."""
    return json.dumps({"error": answer.error, "message": answer.message, "warnings": answer.warnings, "rows": answer.rows}, indent=1)
