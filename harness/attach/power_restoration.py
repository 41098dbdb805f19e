"""Giving power back in the place of a run that was killed, and waiting for the power commands that go on without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.disrupt.bases.power_command import PowerCommand, RunningProcess

SETTLING_S = 10.0  # a machine that was told to reboot goes on answering for a moment

Commands = Mapping[tuple[str, ...], float]
"""The words of each command, and for how many seconds its end is waited for."""


def give_power(commands: Commands, say: Callable[[str], None]) -> None:
    """Run each of them, and say what became of it."""
    for command, limit_s in commands.items():
        say(run_power_command(command, limit_s))


def run_power_command(command: Sequence[str], limit_s: float) -> str:
    """What became of it. Only the program is told of a power command, whose words may hold a secret. What takes longer is not ended."""
    try:
        result = PowerCommand(command).result_within(limit_s)
    except OSError as error:
        return f"{command[0]} could not be run: {error.strerror}"
    return f"{command[0]} did not end within {limit_s:g} s, and goes on" if result is None else f"{command[0]} exited {result.exit}"


def follow_power_commands(processes: Sequence[RunningProcess], back: Commands, limit_s: float, say: Callable[[str], None]) -> None:
    """Where one that the run had begun goes on, its end is waited for, for `limit_s` seconds at most, and `back` is given then: every node
    may answer now, and be without power in a moment."""
    running = [process for process in processes if process.goes_on()]
    if not running:
        return
    say("a power command of the run still goes on, and is waited for")
    try:
        Deadline(limit_s).wait_for(lambda: not any(p.goes_on() for p in running), what="the end of the power command", every=0.2)
    except DeadlineExceeded as error:
        say(f"{error}; it was not ended, and goes on")
    give_power(back, say)
    settling = Deadline(SETTLING_S)
    with suppress(DeadlineExceeded):
        settling.wait_for(lambda: settling.expired, what="what it does being done", every=SETTLING_S)
