"""One disruption on one manager and what befalls the run, on a lab of its own, and what is left of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

from harness.disrupt import disruption as base
from tests.e2e.command_shell import Shell
from tests.harm.crashes import CRASHES
from tests.harm.killed_run import KilledRun

MANAGERS = ("lifekeeper", "pacemaker")
DISRUPTIONS = [n for n, kind in base.all_of().items() if not kind.by_azure and n not in ("none", "idle beyond the balancer's timeout")]


class Cell(NamedTuple):
    manager: str
    disruption: str
    crash: str

    def __str__(self) -> str:
        return " / ".join(self)


CELLS = [Cell(*one) for one in product(MANAGERS, DISRUPTIONS, CRASHES)]


class Outcome(NamedTuple):
    """`left`: what is not as it was and was not said; `told`: what happened."""

    left: list[str]
    told: list[str]


class NotUp(Exception):
    """Nothing was begun, because the lab did not come up: a busy machine's affair."""


def kill_of(seed: int, at: int) -> Cell:
    """Which run the kill number `at` of a seed meets."""
    chance = random.Random(f"{seed} {at} kill")
    return Cell(chance.choice(MANAGERS), chance.choice(DISRUPTIONS), "killed")


def harm(shell: Shell, folder: Path, cell: Cell, crash: Callable[[KilledRun], float], seed: str) -> Outcome:
    """`folder`: new, and its name is the lab's; `seed` decides the moments. Raises NotUp."""
    try:
        run = KilledRun(shell, folder, cell.manager, cell.disruption, seed)
    except AssertionError as error:
        raise NotUp(f"{cell}: its lab did not come up") from error
    try:
        limit = crash(run)
        left = run.left(limit, lives=run.reset or base.get_disruption(cell.disruption).reboots)
        return Outcome(left, [*run.told, run.output[-1500:]])
    finally:
        print(f"{cell}: {run.told}", flush=True)
        run.close()
