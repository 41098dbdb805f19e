"""What a disruption is: one thing done to the cluster, how it is known to have taken effect, and its undoing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from harness.budget import Allowance
from harness.deadline import Deadline
from harness.errors import BadUse

if TYPE_CHECKING:
    from harness.subject import Subject


class Disruption(Protocol):
    """Made for one subject; `begin` once, then `undo` once, whatever happened between."""

    name: str
    sentence: str  # what it does to the cluster, for the report
    settles: bool  # does everything come back to the right node by itself, so that paths must recover within the budget?

    def __init__(self, subject: Subject) -> None: ...

    def allowance(self) -> Allowance:
        """How long the paths may be out."""

    def lacks(self) -> str | None:
        """What the cluster lacks for it, as a reason to skip; None when it can be done."""

    def target(self) -> str:
        """The node it is done to."""

    def begin(self, deadline: Deadline) -> None:
        """Do it."""

    def took_effect(self, deadline: Deadline) -> None:
        """Return when it is seen to have taken effect; raises DeadlineExceeded otherwise, and the test is then not run."""

    def undo(self, deadline: Deadline) -> None:
        """Put back what was done; called on success, on failure and on Ctrl-C."""


_registry: dict[str, type[Disruption]] = {}


def register(kind: type[Disruption]) -> type[Disruption]:
    _registry[kind.name] = kind
    return kind


def of(name: str) -> type[Disruption]:
    """The disruption of that name. Raises BadUse with the names there are."""
    from harness.disrupt import ip_resource_out, power_loss, service_crash, switchover  # noqa: F401

    if name not in _registry:
        raise BadUse(f"there is no disruption {name!r}; there are {', '.join(sorted(_registry))}")
    return _registry[name]
