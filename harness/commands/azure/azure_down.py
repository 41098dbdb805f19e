"""`lkharness azure down`: remove exactly what one run made."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from harness.commands.azure.azure_up import add_limit_option, add_place_options
from harness.commands.shared_options import add, print_json
from harness.core.errors import ExitCode


def add_to(verbs) -> None:
    """Adds the command to the parser."""
    down = add(verbs, "down", _down, "remove exactly what a run of `azure up` made", "lkharness azure down --subscription S --run 1f2e3d4c")
    add_place_options(down, group=False)
    down.add_argument("--run", metavar="ID", required=True, help="the run, as its plan and the tag lkharness-run say")
    down.add_argument("--plan", action="store_true", help="say what would be removed, and remove nothing")
    add_limit_option(down, 60)


def _down(arguments: argparse.Namespace) -> int:
    from harness.azure.client import sdk_clients
    from harness.azure.client.arm import Arm
    from harness.azure.provision.deployment_settings import azure_of
    from harness.azure.provision.teardown import remove, resources_of, stop_deployment
    from harness.core.deadline import Deadline

    azure, _ = azure_of(Path(arguments.azure) if arguments.azure else None, arguments.subscription, None, need_group=False)
    talk = sdk_clients.make_clients(azure)
    try:
        arm = Arm(talk)
        deployment = resources_of(arm, arguments.run)
        say(f"{'would remove' if arguments.plan else 'removing'} {deployment}")
        deadline = Deadline(arguments.limit * 60.0)
        remains = []
        if not arguments.plan:
            deployment = stop_deployment(arm, deployment, deadline, say)
            remains = remove(arm, deployment, deadline, say)
    finally:
        talk.close()
    if arguments.json:
        outcome = {
            "run": deployment.run,
            "resources": [r["id"] for r in deployment.resources],
            "group": deployment.group,
            "left_alone": list(deployment.strangers),
        }
        print_json({**outcome, "left": remains, **remains_error(remains)})
    for resource in remains if not arguments.json else ():
        print(f"lkharness: left: {resource}", file=sys.stderr)
    return int(ExitCode.UNUSABLE if remains else ExitCode.PASSED)


def remains_error(remains: list[str]) -> dict[str, Any]:
    """For JSON: what is left of what should be gone is an error."""
    return {"error": f"left: {'; '.join(remains)}", "exit_code": int(ExitCode.UNUSABLE)} if remains else {}


def say(text: str) -> None:
    """Prints one line of progress to standard error."""
    print(text, file=sys.stderr, flush=True)
