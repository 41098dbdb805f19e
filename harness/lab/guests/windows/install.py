"""What makes a lab's node a stand-in for a Windows host: its shell, the programs in C# compiled for Mono, and what it does at its start."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from harness.core.errors import Unusable
from harness.lab.guests.windows import known_scripts, underlying_node
from harness.lab.linux import host_filesystem
from harness.lab.linux.host_filesystem import FileSystem
from harness.remote.csharp import csharp_program

SHELL = "/opt/lab/bin/windows-shell"
PROGRAMS = "/opt/lab/windows"
OWN_PARTS = {csharp_program.CAPTURE: [Path(host_filesystem.__file__).with_name("packet_socket.cs")]}  # compiled with a program here only
START = [underlying_node.PYTHON, "-m", "harness.lab.guests.windows.host_boot"]
MONO_SETTINGS = Path("/etc/mono")
COMPILE_TIMEOUT_S = 120.0
NOTE = "The nodes are stand-ins for Windows on Linux, not Windows; only the harness's own scripts are taken there."


def install(disk: FileSystem, root: Path, programs: Mapping[str, Path], manager: str) -> None:
    """Write it on the node's disk. `root`: where LifeKeeper's stand-in is there, `manager`: the kind in whose words it tells;
    `programs`: what `compile_programs` made, or nothing."""
    shell = f'#!/bin/sh\nexec {underlying_node.PYTHON} -m harness.lab.guests.windows.cmd_shell "$@"\n'
    disk.write(f"opt/{SHELL.removeprefix('/opt/')}", shell, mode=0o755)
    places = {name: f"{PROGRAMS}/{name}.exe" for name in programs}
    for name, program in programs.items():
        place = disk.disk / places[name].removeprefix("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(program, place)
    if programs:
        shutil.copytree(MONO_SETTINGS, disk.disk / "etc/mono", symlinks=True)  # without them Mono finds no library of the system
    settings = {"lifekeeper": str(root), "manager": manager, "programs": places}
    disk.write(str(underlying_node.SETTINGS.relative_to("/")), json.dumps(settings))
    accounts = disk.disk / "etc/passwd"
    lines = [line if not line.startswith("root:") else line.rpartition(":")[0] + f":{SHELL}" for line in accounts.read_text().splitlines()]
    accounts.write_text("\n".join(lines) + "\n")


def compile_programs(folder: Path) -> dict[str, Path]:
    """The programs in C#. Raises Unusable without Mono's compiler."""
    return {name: _compile(folder, name) for name in csharp_program.PARTS}


def _compile(folder: Path, name: str) -> Path:
    """One of them, compiled once for each of its texts, by several labs at once too. Raises Unusable."""
    parts = [csharp_program.FOLDER / f"{part}.cs" for part in csharp_program.PARTS[name]] + OWN_PARTS.get(name, [])
    text = "".join(part.read_text(encoding="utf-8") for part in parts)
    made = folder / f"{name}-{known_scripts.digest(text)[:16]}.exe"
    if made.exists():
        return made
    folder.mkdir(parents=True, exist_ok=True)
    new = made.with_suffix(f".{secrets.token_hex(4)}.new")
    begins = ["-main:LkHarness.OnLinux"] if name in OWN_PARTS else []
    words = ["mcs", "-langversion:5", "-r:System.dll", *begins, f"-out:{new}", *map(str, parts)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S)
        if done.returncode != 0:
            raise Unusable(f"Mono did not compile the {name} in C#: {done.stdout.strip()[:300]}")
        new.replace(made)
    except FileNotFoundError:
        raise Unusable("Mono's compiler (mcs) is missing, by which the programs of a Windows host are compiled") from None
    except subprocess.TimeoutExpired:
        raise Unusable(f"Mono did not compile the {name} in C# within {COMPILE_TIMEOUT_S:g} s") from None
    finally:
        new.unlink(missing_ok=True)
    return made
