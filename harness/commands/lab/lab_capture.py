"""`lkharness lab capture`: what the lab's fabric sees of its hosts' packets, for `[network_capture]` of the lab's cluster file."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from harness.commands.shared_options import add
from harness.core.errors import BadUse


def add_to(verbs) -> None:
    """Adds the verb to the parser."""
    capture = add(
        verbs,
        "capture",
        _capture,
        "print the packets at the fabric's end of every host's link, as that host sees them, until the input ends",
        "lkharness lab capture </dev/tty",
        has_json=False,
    )
    capture.add_argument("--name", help="which lab (not needed when one is running)")
    capture.add_argument("plan", nargs="?", default="{}", metavar="PLAN", help="JSON: ports, flags (default: FIN, SYN, RST), snap, buffer")


def _capture(arguments: argparse.Namespace) -> int:
    from harness.lab.control import lab_registry, nsenter
    from harness.remote import script_transport
    from harness.remote.captures.capture_session import DEFAULT_PLAN

    plan: dict[str, Any] = {**DEFAULT_PLAN, **_read_plan(arguments.plan)}
    lab = lab_registry.find(arguments.name)
    fabric = lab.ask("fabric")
    plan["buffer"] *= len(fabric["legs"])  # one socket hears all of them
    python = [sys.executable, *script_transport.QUICKLY, "-c", script_transport.source("link_capture").decode()]
    command = nsenter.fabric_command(lab, fabric["netns"], [*python, json.dumps({**plan, "links": fabric["legs"]})])
    sys.stdout.flush()
    os.execvp(command[0], command)


def _read_plan(text: str) -> dict[str, Any]:
    try:
        plan = json.loads(text)
    except ValueError as error:
        raise BadUse(f"the plan is no JSON ({error}); give an object, such as " + "'{\"ports\": [1521]}'") from error
    if not isinstance(plan, dict) or not isinstance(plan.get("buffer", 0), int):
        raise BadUse("the plan is no JSON object; give one, such as " + "'{\"ports\": [1521]}'")
    return plan
