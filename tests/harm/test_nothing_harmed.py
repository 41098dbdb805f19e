"""Every disruption on both managers, and everything that may befall the run meanwhile, on nodes with what customers have besides: every
host is as before afterwards, but for what the run said.

With --heavy one cell of a few, chosen by seed; all of the matrix with --deep. LKHARNESS_HARM sets how many of the matrix,
or `all`; LKHARNESS_HARM_CELL names one.
With --deep also kills at any moment, 20 or LKHARNESS_HARM_KILLS; a thousand of them are `python -m tests.harm`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import deep_option
from tests.e2e.command_shell import shell_in
from tests.harm.cells import CELLS, Cell, Outcome, harm, kill_of
from tests.harm.crashes import CRASHES, killed_anywhere
from tests.harm.killed_run import KilledRun

SEED = int(os.environ.get("LKHARNESS_TEST_SEED") or random.SystemRandom().randrange(10**6))
AT_ONCE = int(os.environ.get("LKHARNESS_HARM_AT_ONCE") or 3)
NAMED = os.environ.get("LKHARNESS_HARM_CELL", "")  # one cell: `lifekeeper / power loss / node reset`
KILLS = deep_option.number(20, 20, "LKHARNESS_HARM_KILLS")

# What --heavy draws its one cell from: a process and a link, a run that lives and one that is killed with its watchdog.
USUAL = (
    "lifekeeper / NIC down Subnet#2 / none",
    "lifekeeper / service crash / harness and watchdog killed",
)


def chosen() -> list[Cell]:
    """The cells of this run, by seed."""
    if NAMED:
        return [Cell(*NAMED.split(" / "))]
    asked, chance = os.environ.get("LKHARNESS_HARM", ""), random.Random(SEED)
    if not asked and not deep_option.is_deep():
        return [Cell(*chance.choice(USUAL).split(" / "))]
    count = int(asked) if asked.isdigit() else len(CELLS)
    return chance.sample(CELLS, min(count, len(CELLS)))


def kills() -> list[Cell]:
    return [kill_of(SEED, at) for at in range(KILLS)]


@contextmanager
def outcomes(folder: Path, cells: list[Cell], crash: Callable[[KilledRun], float] | None = None) -> Iterator[list[Future[Outcome]]]:
    """A few at a time, because most of their time is waiting."""
    with shell_in(folder / "state") as shell, ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            yield [
                pool.submit(harm, shell, folder / f"harm{os.getpid()}-{at}", cell, crash or CRASHES[cell.crash], f"{SEED} {at}")
                for at, cell in enumerate(cells)
            ]
        finally:
            pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Future[Outcome]]]:
    with outcomes(tmp_path_factory.mktemp("harm"), chosen()) as running:
        yield running


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Future[Outcome]]]:
    with outcomes(tmp_path_factory.mktemp("kills"), kills(), killed_anywhere) as running:
        yield running


def nothing_left(cell: Cell, outcome: Future[Outcome]) -> None:
    print(f"LKHARNESS_TEST_SEED={SEED}: {cell}")
    left, told = outcome.result()
    print(*told, sep="\n")
    assert not left, "\n".join(left)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a full disk of its own")


@needs_root
@deep_option.heavy_unless("LKHARNESS_HARM", "LKHARNESS_HARM_CELL")
@pytest.mark.timeout(0)  # each wait within has its own ceiling
@pytest.mark.parametrize("at", range(len(chosen())))
def test_nothing_harmed(cells: list[Future[Outcome]], at: int) -> None:
    nothing_left(chosen()[at], cells[at])


@pytest.mark.deep
@pytest.mark.timeout(0)
@pytest.mark.parametrize("at", range(KILLS))
def test_killed_anywhere(killed: list[Future[Outcome]], at: int) -> None:
    nothing_left(kills()[at], killed[at])
