"""A real sshd whose PATH holds a recorded `powershell`; used by the tests of Windows hosts and managers."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from sshd_server import Server, start_server

HERE = Path(__file__).parent
SHAPES = HERE / "shapes"


def start_windows(folder: Path, shapes: str) -> Server:
    """A server that answers as recorded in tests/e2e/shapes/`shapes`, of which it works on a copy."""
    folder.mkdir()
    own = folder / "shapes" / shapes
    shutil.copytree(SHAPES / shapes, own)
    shutil.copy(SHAPES / "prologue.ps1", own.parent)
    command = folder / "bin" / "powershell"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{HERE / "fake_powershell.py"}" "{own}" "$@"\n')
    command.chmod(0o755)
    return start_server(folder / "sshd", f"SetEnv PATH={command.parent}:/usr/bin:/bin")


def asked(server: Server) -> list[dict]:
    """What its PowerShell was asked so far, in order."""
    log = _own(server) / "asked.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def swap(server: Server, name: str, other: str) -> None:
    """From now on the record `name` answers as `other` does, as after something has changed on the host."""
    record = _own(server) / f"{name}.json"
    answer = json.loads((_own(server) / f"{other}.later").read_text(encoding="utf-8"))
    record.write_text(json.dumps(json.loads(record.read_text(encoding="utf-8")) | {"answer": answer}), encoding="utf-8")


def record(server: Server, name: str, script: str, parameters: dict, **how: object) -> None:
    """From now on this question is answered so: `answer`, `delay`, `hangs`, `dies`."""
    what = {"script": script, "parameters": parameters, **how}
    (_own(server) / f"{name}.json").write_text(json.dumps(what), encoding="utf-8")


def reset(server: Server) -> None:
    """Every record as it was at first, and nothing asked yet."""
    own = _own(server)
    shutil.copytree(SHAPES / own.name, own, dirs_exist_ok=True)
    (own / "asked.jsonl").unlink(missing_ok=True)


def _own(server: Server) -> Path:
    """The folder that this server's answers come from."""
    (own,) = (path for path in (server.folder.parent / "shapes").iterdir() if path.is_dir())
    return own
