"""`lkharness azure …`: what the harness does in Azure itself. Each verb is a file of its own here, `azure_<verb>.py`."""

from __future__ import annotations

import importlib
import pkgutil

from harness.commands import azure as here


def add_to(commands) -> None:
    """Adds the command to the parser."""
    azure = commands.add_parser(
        "azure", help="what the harness reads, disturbs, fixes, makes and removes in Azure", epilog="example: lkharness azure rehearse"
    )
    verbs = azure.add_subparsers(title="what to do", metavar="VERB", required=True, parser_class=type(azure))
    for name in sorted(module.name for module in pkgutil.iter_modules(here.__path__) if module.name.startswith("azure_")):
        importlib.import_module(f"{here.__name__}.{name}").add_to(verbs)
