"""What every kind of resource can do, and what it is given to do it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.core.errors import BadUse
from harness.lab.lifekeeper.config.stand_in_settings import Config, Resource
from harness.lab.lifekeeper.config.tunables import Tunables


class Failed(Exception):
    """The action or check did not succeed; the message says why and goes to the log."""


class TimedOut(Exception):
    """A quickCheck ran into its time limit, which is not a failure of the resource (LKL-44)."""


class Fenced(Exception):
    """Another node has taken the shared disk's reservation from us: this node must go down (LKL-40)."""


class Commands(Protocol):
    """Something that runs a command to its end, as `kinds.command.run` does."""

    def run(self, argv: Sequence[str], limit: float, *, extra: Mapping[str, str], again: bool = False) -> str:
        """Runs a command on this node; returns what it printed, raises Failed, or RanOut after `limit` seconds. `again`: it only looks,
        and will be run again."""


@dataclass(frozen=True)
class ResourceContext:
    """`tunables` reads the product's settings afresh, because the IP settings count at once (LKL-52)."""

    config: Config
    tunables: Callable[[], Tunables]
    has_flag: Callable[[str], bool]
    clear_flag: Callable[[str], object]
    commands: Commands

    @property
    def run(self) -> Path:
        """The folder for what lives until the next boot."""
        return Path(self.config.directories.run)


class Kind:
    """Restore must accept a resource that already runs (LKL-31); every method raises Failed with a reason, or returns."""

    takes: tuple[str, ...] = ()  # the parameters the kind knows
    needs: tuple[str, ...] = ()  # those of them it cannot do without
    has_recovery = False

    def __init__(self, resource: Resource, context: ResourceContext) -> None:
        self.resource, self.context = resource, context
        unknown = [name for name in resource.parameters if name not in self.takes]
        missing = [name for name in self.needs if name not in resource.parameters]
        if unknown or missing:
            faults = [f"does not know {', '.join(unknown)}"] * bool(unknown) + [f"lacks {', '.join(missing)}"] * bool(missing)
            raise BadUse(
                f"resource {resource.tag}: kind {resource.kind} {' and '.join(faults)}; it takes {', '.join(self.takes) or 'nothing'}"
            )

    def parameter(self, name: str, default: Any = None) -> Any:
        """A parameter of the resource, or the default."""
        return self.resource.parameters.get(name, default)

    def restore(self) -> None:
        """Brings the resource in service here; raises Failed."""

    def remove(self) -> None:
        """Takes the resource out of service here; raises Failed."""

    def quick_check(self) -> None:
        """Returns when the resource is healthy here; raises Failed, or TimedOut."""

    def recover(self) -> None:
        """Local recovery; only asked for when `has_recovery`."""
        self.restore()

    def taken_elsewhere(self) -> str | None:
        """The other node that holds it by a shared reservation, whatever this node remembers; None when there is no such thing."""
        return None

    def info(self) -> str:
        """The info field of the instance (LKL-19)."""
        return ""
