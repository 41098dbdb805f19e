"""`lkharness azure heal`: undo what a harness that died left disturbed in Azure."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from harness.commands import trust
from harness.commands.azure.azure_up import add_limit_option
from harness.commands.shared_options import add, print_json
from harness.core.errors import BadUse


def add_to(verbs) -> None:
    """Adds the command to the parser."""
    description = "undo everything that a killed run left disturbed in the cluster's resource group, by the tags that say how"
    heal = add(verbs, "heal", _heal, description, "lkharness azure heal --cluster customer.toml --run 1a2b3c4d")
    heal.add_argument("--cluster", metavar="FILE", help="the cluster file with [azure] (also LKHARNESS_CLUSTER)")
    runs = heal.add_mutually_exclusive_group()
    runs.add_argument("--run", metavar="ID", default="", help="only what this run left, and at once: it is known to be dead")
    runs.add_argument("--all", action="store_true", help="what every run left, even one that may still be at work on another cluster")
    add_limit_option(heal, None, "for each undoing (default: twice operation_limit_s)")
    trust.add_option(heal)


def _heal(arguments: argparse.Namespace) -> int:
    from harness.config import cluster_config, trust

    file = arguments.cluster or os.environ.get("LKHARNESS_CLUSTER")
    if not file:
        raise BadUse("say which cluster with --cluster FILE")
    cluster = cluster_config.load(Path(file), trusted=arguments.trust_cluster_file)
    trust.demand(cluster, file)
    azure = cluster.azure
    if azure is None:
        raise BadUse(f"{file} has no [azure] table, so nothing of it was disturbed through Azure")
    from harness.azure.faults.undo_leftovers import exit_code, heal
    from harness.azure.faults.undo_tag_validation import Ours
    from harness.core.terminal import CLEANER

    def say(source: str, kind: str, text: str, **data: object) -> None:
        print(CLEANER.text(text), file=sys.stderr, flush=True)

    undoings = heal(
        azure, say, ours=Ours.of(cluster), limit_s=arguments.limit and arguments.limit * 60.0, run=arguments.run, all_runs=arguments.all
    )
    code = exit_code(undoings)
    if arguments.json:
        failures = [str(h) for h in undoings if h.failed]
        error = {"error": "; ".join(failures), "exit_code": int(code)} if failures else {}
        print_json({"undone": [vars(h) for h in undoings], **error})
    else:
        of_run = f" of run {arguments.run}" if arguments.run else ""
        print("\n".join(map(str, undoings)) or f"nothing{of_run} in {azure.resource_group} is left to undo")
    return int(code)
