"""`lkharness azure down`: remove exactly what one run made."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from harness.commands.azure.azure_up import limit, place
from harness.commands.shared_options import add, print_json
from harness.core.errors import ExitCode


def add_to(verbs) -> None:
    """Adds the command to the parser."""
    down = add(verbs, "down", _down, "remove exactly what a run of `azure up` made", "lkharness azure down --subscription S --run 1f2e3d4c")
    place(down, group=False)
    down.add_argument("--run", metavar="ID", required=True, help="the run, as its plan and the tag lkharness-run say")
    down.add_argument("--plan", action="store_true", help="say what would be removed, and remove nothing")
    limit(down, 60)


def _down(given: argparse.Namespace) -> int:
    from harness.azure.client import sdk_clients
    from harness.azure.client.arm import Arm
    from harness.azure.provision.deployment_settings import azure_of
    from harness.azure.provision.teardown import remove, resources_of, stop_deployment
    from harness.core.deadline import Deadline

    azure, _ = azure_of(Path(given.azure) if given.azure else None, given.subscription, None, need_group=False)
    talk = sdk_clients.make_clients(azure)
    try:
        arm = Arm(talk)
        made = resources_of(arm, given.run)
        say(f"{'would remove' if given.plan else 'removing'} {made}")
        deadline = Deadline(given.limit * 60.0)
        left = []
        if not given.plan:
            made = stop_deployment(arm, made, deadline, say)
            left = remove(arm, made, deadline, say)
    finally:
        talk.close()
    if given.json:
        about = {"run": made.run, "resources": [r["id"] for r in made.resources], "group": made.group, "left_alone": list(made.strangers)}
        print_json({**about, "left": left, **left_over(left)})
    for one in left if not given.json else ():
        print(f"lkharness: left: {one}", file=sys.stderr)
    return int(ExitCode.UNUSABLE if left else ExitCode.PASSED)


def left_over(left: list[str]) -> dict[str, Any]:
    """For JSON: what is left of what should be gone is an error."""
    return {"error": f"left: {'; '.join(left)}", "exit_code": int(ExitCode.UNUSABLE)} if left else {}


def say(text: str) -> None:
    """Prints one line of progress to standard error."""
    print(text, file=sys.stderr, flush=True)
