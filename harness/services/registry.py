"""Service kinds by their name in the cluster file. Drivers are imported on use only."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from harness.errors import BadUse
from harness.services.base import ServiceKind

KINDS = {"postgres": "Postgres", "oracle": "Oracle", "http": "Http", "tcp": "Tcp"}  # module in harness.services → class


def kind(name: str) -> ServiceKind:
    """The dialogue of that kind of service. Raises BadUse for a kind that nobody wrote."""
    if name not in KINDS:
        raise BadUse(f"there is no service kind {name}; known: {', '.join(sorted(KINDS))}")
    make: Callable[[], ServiceKind] = getattr(import_module(f"harness.services.{name}"), KINDS[name])
    return make()
