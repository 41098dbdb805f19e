"""Which scripts of the harness the stand-in knows, by the hash of their content. A text that is not in the list is refused.

`known_scripts.json` says of which text each stand-in was made. Who changes a script looks at its stand-in, and then has the list written
anew: `python -m harness.lab.guests.windows.known_scripts`.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import harness
from harness.hosts.windows import powershell, script_protocol
from harness.hosts.windows.script_contract import ENGINE, contracts
from harness.remote.csharp import csharp_program

LIST = Path(__file__).with_suffix(".json")
AGENTS = Path(harness.__file__).parent / "remote/agents"
LOADER, COMPILER, AGENT_SCRIPT = "load-agent.ps1", "compile.ps1", "agent.ps1"
NOTHING = "exit 0"  # with which the harness asks whether a host runs commands at all


def digest(text: str) -> str:
    """The hash of a script's text, whatever follows its last line."""
    return hashlib.sha256(text.rstrip("\n").encode()).hexdigest()


def program_name(name: str) -> str:
    """What a program in C# is called in the list."""
    return f"program {name}"


def actual() -> dict[str, str]:
    """The hash of every text as it is now, by its name."""
    loop = json.loads(script_protocol.first_line(once=False))
    texts = {
        "frame": powershell.PROLOGUE + powershell.WATCHDOG + powershell.BODY,
        "bootstrap": script_protocol.bootstrap(),
        "loop": loop["loop"],
        "prelude": loop["prelude"],
        "undo-task.cmd": (ENGINE / "undo-task.cmd").read_text(encoding="ascii"),
        "job.ps1": (ENGINE / "job.ps1").read_text(encoding="utf-8"),
        COMPILER: csharp_program.loader(),
        **{program_name(name): csharp_program.source(name) for name in csharp_program.PARTS},
        **{name: (AGENTS / "powershell" / name).read_text(encoding="utf-8") for name in (LOADER, AGENT_SCRIPT)},
        **{f"script {name}": contract.text for name, contract in contracts().items()},
    }
    return {name: digest(text) for name, text in sorted(texts.items())}


@cache
def known() -> dict[str, str]:
    """The hashes that the stand-ins were made of."""
    found: dict[str, str] = json.loads(LIST.read_text(encoding="ascii"))
    return found


def is_known(name: str, text: str) -> bool:
    """Whether this is the text that the stand-in of that name was made of."""
    return known().get(name) == digest(text)


if __name__ == "__main__":
    LIST.write_text(json.dumps(actual(), indent=1) + "\n", encoding="ascii")
