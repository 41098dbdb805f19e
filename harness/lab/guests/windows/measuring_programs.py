"""What measures on a stand-in for Windows: the programs in C# themselves, on Mono. The agent takes the place of the script for PowerShell,
too, which no program here runs; what that one is told is told to the C# agent in its own words, and both print the same lines. In the
packet capture a packet socket of Linux takes the place of receive-all, which is Windows' own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading

from harness.lab.guests.windows.known_scripts import AGENT_SCRIPT, is_known, program_name
from harness.lab.guests.windows.powershell_line import NotTaken
from harness.lab.guests.windows.underlying_node import ALIASES, setting
from harness.remote.csharp import csharp_program

MONO = "/usr/bin/mono"
NO_COMPILER = 46  # as the loader has it where nothing may be compiled
MIN_PERIOD_S = 0.05  # of the script


def compiled() -> int:
    """Take the C# source, hold it against the list, and become the program that the lab compiled of it. Nothing may read ahead."""
    source = _counted().decode("utf-8")
    name = next((name for name in csharp_program.PARTS if is_known(program_name(name), source)), None)
    if name is None:
        raise NotTaken("a program in C# was sent with a text that is not known")
    program = setting("programs").get(name)
    if not program:
        sys.stdout.write("no compiler: Mono is not installed on this machine\n")
        return NO_COMPILER
    nics = [f"{device}={alias}" for device, alias in ALIASES.items()] if name == csharp_program.CAPTURE else []
    os.execv(MONO, [MONO, program, *nics])


def by_script() -> int:
    """Take the script for PowerShell with its plan, and have the program in C# do it."""
    task = json.loads(_counted())
    if not is_known(AGENT_SCRIPT, task["script"]):
        raise NotTaken("the measuring script was sent with a text that is not known")
    program = setting("programs").get(csharp_program.AGENT)
    if not program:
        raise NotTaken("nothing measures from this host: Mono, on which the stand-in's agent runs, is not installed on this machine")
    agent = subprocess.Popen([MONO, program], stdin=subprocess.PIPE)
    threading.Thread(target=_feed, args=(agent, plan_lines(task["plan"])), daemon=True).start()
    return agent.wait()


def plan_lines(plan: dict) -> bytes:
    """The script's plan in the words that the program in C# takes. Pure."""
    lines = []
    for series in plan["series"]:
        name = base64.b64encode(str(series["id"]).encode()).decode()
        where = f"{series['destination']} {series['port']} new {max(MIN_PERIOD_S, series['period']):g} {series['limit']:g} 0"
        lines.append(f"track {name} {where} " + " ".join(series.get(key) or "-" for key in ("say", "expect", "again")))
    return "\n".join([*lines, f"lifetime {plan['lifetime']:g}", f"max_open {plan['max_open']}", "begin", ""]).encode("ascii")


def _feed(agent: subprocess.Popen, plan: bytes) -> None:
    """The plan, and then what comes from our own input, until it ends."""
    assert agent.stdin is not None
    try:
        agent.stdin.write(plan)
        agent.stdin.flush()
        while data := os.read(0, 65536):
            agent.stdin.write(data)
            agent.stdin.flush()
        agent.stdin.close()
    except BrokenPipeError:
        return  # it has ended


def _counted() -> bytes:
    """A line that says how many bytes, and so many of input. Raises NotTaken."""
    count = b""
    while (byte := os.read(0, 1)) != b"\n":
        if not byte:
            raise NotTaken("the input ended before it had begun", 45, loud=False)
        count += byte
    data = b""
    while len(data) < int(count):
        part = os.read(0, int(count) - len(data))
        if not part:
            raise NotTaken("the input ended before all of it was there", 45, loud=False)
        data += part
    return data
