"""`lkharness azure sweep`: find and remove what has expired."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.commands.azure.azure_down import left_over, say
from harness.commands.azure.azure_up import agreed, limit, place
from harness.commands.shared_options import add, print_json
from harness.core.errors import ExitCode


def add_to(verbs) -> None:
    """Adds the command to the parser."""
    about = "find what runs of `azure up` made and whose time is over, and remove it"
    sweep = add(verbs, "sweep", _sweep, about, "lkharness azure sweep --subscription S --plan")
    place(sweep, group=False)
    sweep.add_argument("--plan", action="store_true", help="say what would be removed, and remove nothing")
    sweep.add_argument("--yes", action="store_true", help="remove it without asking first")
    sweep.add_argument("--owner", metavar="NAME", help="only what runs of this owner made")
    limit(sweep, 120)


def _sweep(given: argparse.Namespace) -> int:
    from harness.azure.client import sdk_clients
    from harness.azure.client.arm import Arm
    from harness.azure.provision.deployment_settings import azure_of
    from harness.azure.provision.teardown import find_expired_runs, sweep_runs
    from harness.core.deadline import Deadline

    azure, _ = azure_of(Path(given.azure) if given.azure else None, given.subscription, None, need_group=False)
    talk = sdk_clients.make_clients(azure)
    try:
        over, left = find_expired_runs(Arm(talk), say, given.owner)
        for made in over:
            say(f"would remove {made}")
        if over and not given.plan:
            agreed(given, "remove this?", "nothing was removed")
            left += sweep_runs(Arm(talk), over, Deadline(given.limit * 60.0), say)
    finally:
        talk.close()
    if given.json:
        shown = [{"run": m.run, "owner": m.owner, "group": m.group, "resources": [r["id"] for r in m.resources]} for m in over]
        print_json({"expired": shown, "left": left, **left_over(left)})
    elif not over:
        print("nothing has expired")
    for one in left if not given.json else ():
        print(f"lkharness: left: {one}", file=sys.stderr)
    return int(ExitCode.UNUSABLE if left else ExitCode.PASSED)
