"""The scripts of `harness/remote/scripts`: how they get to a host and run there without leaving a file behind."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from harness.core.errors import Unusable
from harness.hosts.host import Host, Process
from harness.hosts.root_rights import ROOT

QUICKLY = ("-I", "-S")  # the scripts need the standard library only; without site-packages an interpreter starts in half the time
FOLDER = Path(__file__).parent / "scripts"
PARTS = {  # of those that are too long for one file
    "agent": ("agent_attempts", "agent_monitors", "agent", "agent_start"),
    "agent_control": ("agent_folder", "agent_control"),
    "flight_recorder": ("agent_attempts", "agent_monitors", "agent", "flight_recorder"),
    "recorder_control": ("agent_folder", "recorder_control"),
    "connection_worker": ("connection_attempt", "connection_worker"),
    "packet_capture": ("capture_socket", "packet_capture"),
    "link_capture": ("capture_socket", "link_capture"),
}

# Those that need root, and where a host's administrator may put a copy that is root's own (`installed`), so that sudoers can name it.
INSTALLABLE = {"packet_capture": "/opt/lkharness/bin/packet-capture"}

# Takes what the harness sends, which must be this very text, and runs its own.
_INSTALLED = """#!/usr/bin/python3 -IS
import json, os, sys

SOURCE = {text!r}
sent = b""
while len(sent) < len(SOURCE):
    data = os.read(0, len(SOURCE) - len(sent))
    if not data:
        break
    sent += data
if sent != SOURCE:
    print(json.dumps({{"error": "{path} is of another version; install it anew (lkharness sudoers --program packet-capture)"}}))
    sys.exit(0)
exec(compile(SOURCE, {name!r}, "exec"))
"""


def installed_program(name: str) -> str:
    """The program to be installed at INSTALLABLE[name], root's own and mode 0755."""
    return _INSTALLED.format(text=source(name), name=name, path=INSTALLABLE[name])


@cache
def source(name: str) -> bytes:
    """A script's text, with the parts that it is made of."""
    return b"\n".join((FOLDER / f"{part}.py").read_bytes() for part in PARTS.get(name, (name,)))


def start(host: Host, python: str, name: str, plan: dict[str, Any]) -> Process:
    """Start a script whose input stays open for what comes after it. Its errors come on its standard output."""
    text = source(name)
    loader = (
        "import os\n"
        "s=b''\n"
        f"while len(s)<{len(text)}:\n"
        f" d=os.read(0,{len(text)}-len(s))\n"
        " if not d: raise SystemExit('the script was cut off')\n"
        " s+=d\n"
        f"exec(compile(s,{name!r},'exec'))"
    )
    itself = f'exec {ROOT if name in INSTALLABLE else ""} "$0" {" ".join(QUICKLY)} -c "$1" "$2" 2>&1'
    if name in INSTALLABLE:
        itself = f'if [ -n "{ROOT}" ] && [ -x {INSTALLABLE[name]} ]; then exec {ROOT} {INSTALLABLE[name]} "$2" 2>&1; fi; {itself}'
    command = ["sh", "-c", itself, python, loader, json.dumps(plan)]
    for last in (False, True):
        process = host.start(command)
        try:
            process.send(text)
            return process
        except OSError as error:
            output = process.recv(4096).decode("utf-8", "replace").strip()
            process.close()
            if output or last:  # closed without a word the first time: the transport's fault, and nothing has run yet
                raise no_python(host, python, name, output or str(error)) from error
    raise AssertionError("the second try returns or raises")


def complaint(process: Process) -> str:
    """The last line of a stream's standard error, where the transport keeps it (such as what sudo said); else nothing."""
    errors = getattr(process, "errors", "").strip()
    return errors.splitlines()[-1] if errors else ""


def no_python(host: Host, python: str, name: str, reason: str) -> Unusable:
    """The error for a host whose Python did not run a script, with what to do."""
    return Unusable(
        f"{host.name}: `{python}` could not run the script `{name}` ({reason}); set ssh.python to a Python 3.6 or newer on that host"
    )
