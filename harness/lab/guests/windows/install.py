"""What makes a lab's node a stand-in for a Windows host: its shell, the agent in C# compiled for Mono, and what it does at its start."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from pathlib import Path

from harness.core.errors import Unusable
from harness.lab.guests.windows import known_scripts, underlying_node
from harness.lab.linux.filesystem import FileSystem

SHELL = "/opt/lab/bin/windows-shell"
AGENT = "/opt/lab/windows/agent.exe"
START = [underlying_node.PYTHON, "-m", "harness.lab.guests.windows.boot_tasks"]
MONO_SETTINGS = Path("/etc/mono")
COMPILE_TIMEOUT_S = 120.0
NOTE = "The nodes are stand-ins for Windows on Linux, not Windows; only the harness's own scripts are taken there."


def install(disk: FileSystem, root: Path, agent: Path | None) -> None:
    """Write it on the node's disk. `root`: where LifeKeeper's stand-in is there; `agent`: the program that `compile_agent` made."""
    shell = f'#!/bin/sh\nexec {underlying_node.PYTHON} -m harness.lab.guests.windows.cmd_shell "$@"\n'
    disk.write(f"opt/{SHELL.removeprefix('/opt/')}", shell, mode=0o755)
    if agent is not None:
        place = disk.disk / AGENT.removeprefix("/")
        place.parent.mkdir(parents=True)
        shutil.copyfile(agent, place)
        shutil.copytree(MONO_SETTINGS, disk.disk / "etc/mono", symlinks=True)  # without them Mono finds no library of the system
    settings = {"lifekeeper": str(root), "agent": AGENT if agent is not None else ""}
    disk.write(str(underlying_node.SETTINGS.relative_to("/")), json.dumps(settings))
    accounts = disk.disk / "etc/passwd"
    lines = [line if not line.startswith("root:") else line.rpartition(":")[0] + f":{SHELL}" for line in accounts.read_text().splitlines()]
    accounts.write_text("\n".join(lines) + "\n")


def compile_agent(folder: Path) -> Path:
    """The agent in C#, compiled once for each of its texts, by several labs at once too. Raises Unusable without Mono's compiler."""
    source = known_scripts.AGENTS / known_scripts.AGENT_SOURCE
    made = folder / f"agent-{known_scripts.digest(source.read_text(encoding='utf-8'))[:16]}.exe"
    if made.exists():
        return made
    folder.mkdir(parents=True, exist_ok=True)
    new = made.with_suffix(f".{secrets.token_hex(4)}.new")
    words = ["mcs", "-langversion:5", "-r:System.dll", f"-out:{new}", str(source)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S)
        if done.returncode != 0:
            raise Unusable(f"Mono did not compile the agent in C#: {done.stdout.strip()[:300]}")
        new.replace(made)
    except FileNotFoundError:
        raise Unusable("Mono's compiler (mcs) is missing, by which the agent of a Windows host is compiled") from None
    except subprocess.TimeoutExpired:
        raise Unusable(f"Mono did not compile the agent in C# within {COMPILE_TIMEOUT_S:g} s") from None
    finally:
        new.unlink(missing_ok=True)
    return made
