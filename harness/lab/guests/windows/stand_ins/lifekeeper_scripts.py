"""LifeKeeper for Windows' commands: the lab's stand-in for LifeKeeper beneath, what it prints in the form that Windows' has (LKW-03)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from harness.lab.guests.windows import underlying_node
from harness.lab.guests.windows.script_answers import Missing, Row, stands_for

DEFAULT_ROOT = r"C:\LK"
RUNS = Path("/run/lifekeeper-standin")
SETTINGS_FILE = Path("/etc/default/LifeKeeper")


def program_of(command: str) -> str:
    """Where the stand-in's command is on the node."""
    return str(Path(underlying_node.setting("lifekeeper"), "bin", command))


def demand_root(root: str) -> str:
    """The folder as Windows names it. Raises Missing for one that is not there."""
    place = root or DEFAULT_ROOT
    if underlying_node.is_failover_cluster() or place.lower().rstrip("\\") != DEFAULT_ROOT.lower():
        raise Missing(f"LifeKeeper is not installed there: there is no folder {place}\\Bin")
    return DEFAULT_ROOT


def daemon() -> int | None:
    """The process of LifeKeeper's stand-in; None where none runs."""
    text = underlying_node.read_or_none(RUNS / "daemon.pid")
    pid = int(text) if text and text.strip().isdigit() else None
    return pid if pid is not None and underlying_node.started_at(pid) is not None else None


def service_state() -> str:
    """Of the service that LifeKeeper's stand-in would be."""
    return "Running" if daemon() is not None else "Stopped"


@stands_for("lifekeeper-command")
def lifekeeper_command(command: str, words: Iterable[str] = (), root: str = "") -> Iterable[Row]:
    """One of the commands that only tell."""
    demand_root(root)
    done = underlying_node.run([program_of(command), *words])
    text = windows_shape(done.stdout) if command == "lcdstatus" else done.stdout
    return [{"Text": text.replace("\n", "\r\n"), "Errors": done.stderr, "Exit": done.returncode, "Service": service_state()}]


def windows_shape(table: str) -> str:
    """The table with children marked as Windows marks them: a bar and dashes in place of blanks. Pure."""
    lines = table.split("\n")
    title = lines[0].find("TAG") if lines else -1
    return "\n".join(_marked(line, title) for line in lines)


def _marked(line: str, title: int) -> str:
    if title < 0 or line[:1].isspace() or line[title : title + 1] != " ":
        return line
    rest = line[title:]
    depth = len(rest) - len(rest.lstrip(" "))
    tag = rest.lstrip(" ")
    return f"{line[:title]}|{'---' * depth}{tag}" if tag else line


@stands_for("lifekeeper-program")
def lifekeeper_program(command: str, root: str = "") -> Iterable[Row]:
    """Where it would be on Windows; a job that runs it finds the stand-in's."""
    folder = demand_root(root) + r"\Bin"
    if not os.access(program_of(command), os.X_OK):
        raise Missing(f"there is no {command} in {folder}")
    return [{"Program": rf"{folder}\{command}.exe", "Words": [], "Folder": folder}]


@stands_for("lifekeeper-settings")
def lifekeeper_settings(root: str = "") -> Iterable[Row]:
    """The file of settings."""
    demand_root(root)
    text = underlying_node.read_or_none(SETTINGS_FILE)
    return [] if text is None else [{"Text": text}]
