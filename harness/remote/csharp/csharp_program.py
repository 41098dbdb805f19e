"""A program in C# on a Windows host: its parts as one text, and the script by which PowerShell compiles and runs it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from harness.hosts.host import Host, Process

FOLDER = Path(__file__).parent
AGENT, CAPTURE = "agent", "capture"
PARTS = {AGENT: ("clocks", "series", "host_watch", "agent"), CAPTURE: ("clocks", "capture", "receive_all")}


@cache
def source(name: str) -> str:
    """A program's text, of all its parts."""
    return "\n".join((FOLDER / f"{part}.cs").read_text(encoding="utf-8") for part in PARTS[name])


@cache
def loader() -> str:
    """The script that takes a program and then the program's own input from its input. Where the language is constrained, or nothing may be
    compiled, it says so and exits 46."""
    return (FOLDER / "compile.ps1").read_text(encoding="utf-8").rstrip("\n")


def loader_input(name: str, words: bytes) -> bytes:
    """What the loader takes from its input: the source with its length before it, and the program's own input."""
    text = source(name).encode("utf-8")
    return b"%d\n" % len(text) + text + words


def start(host: Host, name: str, words: bytes) -> Process:
    """Have PowerShell compile and start it; its input stays open. Raises what `Host.start` raises, OSError."""
    process = host.start(loader())
    try:
        process.send(loader_input(name, words))
    except OSError:
        process.close()
        raise
    return process
