"""The lab's fence device, as Pacemaker sees it: reads `name=value` lines, asks the lab to cut a node's power, exits 0 when it is done.

What a machine's management board or a cloud's API is to a real cluster, the lab itself is here.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

SOCKET = Path("/run/fence.sock")
DEVICE = Path("/etc/lkharness-lab/fence-device")  # where the lab is not reached by a socket file: its address and port
REQUEST_TIMEOUT_S = 15.0
SILENT = {"monitor", "status", "list", "validate-all"}
METADATA = """<?xml version="1.0" ?>
<resource-agent name="fence_lab" shortdesc="Power of a node of a test lab">
  <longdesc>Asks the test lab, through a socket in every node, to cut and restore a node's power.</longdesc>
  <parameters>
    <parameter name="action" unique="0" required="1"><content type="string" default="reboot"/><shortdesc lang="en">What to do</shortdesc>
    </parameter>
    <parameter name="plug" unique="0" required="0"><content type="string"/><shortdesc lang="en">The node</shortdesc></parameter>
  </parameters>
  <actions>
    <action name="on" automatic="0"/><action name="off"/><action name="reboot"/><action name="status"/><action name="list"/>
    <action name="monitor"/><action name="metadata"/>
  </actions>
</resource-agent>"""


def main() -> int:
    """Carries out one action of Pacemaker's; returns the exit code (0: done)."""
    options = dict(line.strip().partition("=")[::2] for line in sys.stdin if "=" in line and not line.startswith("#"))
    action = options.get("action", "reboot")
    if "metadata" in (action, *sys.argv):
        print(METADATA)
        return 0
    node = options.get("plug") or options.get("nodename") or ""
    try:
        answer = ask(op=action if action not in SILENT else "status", node=node, by=os.uname().nodename)
    except (OSError, ValueError) as error:
        print(f"the lab's fence device did not answer: {error}", file=sys.stderr)
        return 1
    if answer.get("ok"):
        return 0
    print(answer.get("why", "refused"), file=sys.stderr)
    return 1


def ask(**request: str) -> dict:
    """One question to the lab's fence device, as a JSON line each way; raises OSError."""
    with _connect() as line:
        line.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(line.makefile("rb").readline())


def _connect() -> socket.socket:
    if DEVICE.exists():
        address, port = DEVICE.read_text().split()
        return socket.create_connection((address, int(port)), timeout=REQUEST_TIMEOUT_S)
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(REQUEST_TIMEOUT_S)
    line.connect(str(SOCKET))
    return line


if __name__ == "__main__":
    raise SystemExit(main())
