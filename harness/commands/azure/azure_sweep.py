"""`lkharness azure sweep`: find and remove what has expired."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.commands.azure.azure_down import remains_error, say
from harness.commands.azure.azure_up import add_limit_option, add_place_options, demand_agreement
from harness.commands.shared_options import add, print_json
from harness.core.errors import ExitCode


def add_to(verbs) -> None:
    """Adds the command to the parser."""
    description = "find what runs of `azure up` made and whose time is over, and remove it"
    sweep = add(verbs, "sweep", _sweep, description, "lkharness azure sweep --subscription S --plan")
    add_place_options(sweep, group=False)
    sweep.add_argument("--plan", action="store_true", help="say what would be removed, and remove nothing")
    sweep.add_argument("--yes", action="store_true", help="remove it without asking first")
    sweep.add_argument("--owner", metavar="NAME", help="only what runs of this owner made")
    add_limit_option(sweep, 120)


def _sweep(arguments: argparse.Namespace) -> int:
    from harness.azure.client import sdk_clients
    from harness.azure.client.arm import Arm
    from harness.azure.provision.deployment_settings import azure_of
    from harness.azure.provision.teardown import find_expired_runs, sweep_runs
    from harness.core.deadline import Deadline

    azure, _ = azure_of(Path(arguments.azure) if arguments.azure else None, arguments.subscription, None, need_group=False)
    talk = sdk_clients.make_clients(azure)
    try:
        expired_deployments, remains = find_expired_runs(Arm(talk), say, arguments.owner)
        for deployment in expired_deployments:
            say(f"would remove {deployment}")
        if expired_deployments and not arguments.plan:
            demand_agreement(arguments, "remove this?", "nothing was removed")
            remains += sweep_runs(Arm(talk), expired_deployments, Deadline(arguments.limit * 60.0), say)
    finally:
        talk.close()
    if arguments.json:
        rows = [
            {"run": m.run, "owner": m.owner, "group": m.group, "resources": [r["id"] for r in m.resources]} for m in expired_deployments
        ]
        print_json({"expired": rows, "left": remains, **remains_error(remains)})
    elif not expired_deployments:
        print("nothing has expired")
    for resource in remains if not arguments.json else ():
        print(f"lkharness: left: {resource}", file=sys.stderr)
    return int(ExitCode.UNUSABLE if remains else ExitCode.PASSED)
