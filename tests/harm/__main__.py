"""`python -m tests.harm`: runs that disturb a cluster are killed at random moments, each in a lab of its own, and what is left is compared
with before.

    python -m tests.harm --kills 1000 --seed 7            all of it
    python -m tests.harm --kills 1000 --seed 7 --for 600  as many as begin within ten minutes
    python -m tests.harm --seed 7 --first 41 --kills 1    number 41 of the same thousand again

A line per kill, then the sums: as found (or said not to be), wrong (something was left unsaid, or the run broke: with what), and those that
could not be judged. The exit code is 1 when one was wrong, 3 when one could not be judged or none was.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from harness.core.deadline import Deadline
from tests.e2e.command_shell import Shell, shell_in
from tests.harm.cells import harm, kill_of
from tests.harm.crashes import killed_anywhere

AS_FOUND, WRONG, NOT_JUDGED, NOT_BEGUN = "as found", "wrong", "not judged", "not begun"


class Kill(NamedTuple):
    """One kill's number, what became of it, and in which words."""

    at: int
    became: str
    words: list[str]


def sums(kills: list[Kill]) -> dict[str, int]:
    return {one: sum(kill.became == one for kill in kills) for one in (AS_FOUND, WRONG, NOT_JUDGED)}


def exit_code(kills: list[Kill]) -> int:
    """Nothing judged is no pass."""
    count = sums(kills)
    return 1 if count[WRONG] else 3 if count[NOT_JUDGED] or not count[AS_FOUND] else 0


def one(shell: Shell, folder: Path, seed: int, at: int, time: Deadline) -> Kill:
    """The kill number `at`; none is begun when the time is over."""
    if time.expired:
        return Kill(at, NOT_BEGUN, [])
    cell, took = kill_of(seed, at), Deadline(0.0)
    try:
        left, told = harm(shell, folder / f"kill{at}-{random.randrange(10**6)}", cell, killed_anywhere, f"{seed} {at}")
    except Exception as error:
        kill = Kill(at, WRONG if isinstance(error, AssertionError) else NOT_JUDGED, [traceback.format_exc()])
    else:
        kill = Kill(at, WRONG if left else AS_FOUND, [*left, *told] if left else [])
    print(f"{at:5} {kill.became:10} {took.elapsed():6.1f} s  {cell}", *kill.words, sep="\n        ", flush=True)
    return kill


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no lab is left
    options = argparse.ArgumentParser(
        prog="python -m tests.harm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--kills", type=int, default=1000)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options.add_argument("--first", type=int, default=0, help="the number of the first")
    options.add_argument("--for", type=float, default=float("inf"), dest="seconds", help="seconds in which kills begin")
    options.add_argument("--at-once", type=int, default=3)
    wanted = options.parse_args()
    print(f"--seed {wanted.seed}", flush=True)
    time, numbers = Deadline(wanted.seconds), range(wanted.first, wanted.first + wanted.kills)
    with (
        tempfile.TemporaryDirectory(prefix="harm-") as name,
        shell_in(Path(name) / "state") as shell,
        ThreadPoolExecutor(wanted.at_once) as pool,
    ):
        try:
            kills = list(pool.map(lambda at: one(shell, Path(name), wanted.seed, at, time), numbers))
        finally:
            pool.shutdown(cancel_futures=True)
    print(" · ".join(f"{count} {what}" for what, count in sums(kills).items()), f"of {len(numbers)} asked for, seed {wanted.seed}")
    return exit_code(kills)


if __name__ == "__main__":
    sys.exit(main())
