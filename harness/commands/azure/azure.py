"""`lkharness azure …`: what the harness does in Azure itself. Each verb is a file of its own here, `azure_<verb>.py`."""

from __future__ import annotations

import importlib

VERBS = ("down", "heal", "rehearse", "sweep", "up")  # named here, because to look for them takes longer than to load them


def add_to(commands) -> None:
    """Adds the command to the parser."""
    azure = commands.add_parser(
        "azure", help="what the harness reads, disturbs, fixes, makes and removes in Azure", epilog="example: lkharness azure rehearse"
    )
    verbs = azure.add_subparsers(title="what to do", metavar="VERB", required=True, parser_class=type(azure))
    for verb in VERBS:
        importlib.import_module(f"{__package__}.azure_{verb}").add_to(verbs)
