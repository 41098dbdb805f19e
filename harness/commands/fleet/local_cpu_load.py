"""How busy this machine's processors are: in what part of the last seconds something waited for one, and how many want one."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PRESSURE = Path("/proc/pressure/cpu")
WINDOW_S = 4.0  # the kernel's own average, of 10 s, still tells of a run that has ended


@dataclass(frozen=True)
class MachineLoad:
    """What is known of it; None where the machine does not tell."""

    waiting: float | None = None
    """Percent of the last seconds in which something that could have worked waited for a processor."""
    per_processor: float | None = None
    """Processes that run or want to, for each processor, on average over the last minute."""


class LoadReader:
    """Reads the machine's load again and again. The waiting is of the last `WINDOW_S`; at first it is the kernel's average of 10 s."""

    def __init__(self, pressure: Path = PRESSURE, clock: Callable[[], float] = time.monotonic) -> None:
        self._pressure, self._clock = pressure, clock
        self._totals: deque[tuple[float, float]] = deque()  # when, and for how many seconds something had waited until then

    def __call__(self) -> MachineLoad:
        """The load now. Nothing makes it raise."""
        return MachineLoad(self._waiting(), _per_processor())

    def _waiting(self) -> float | None:
        try:
            pressure_text = self._pressure.read_text(encoding="ascii", errors="replace")
        except OSError:  # not Linux, or a kernel that has it switched off
            return None
        pressure_match = re.search(r"(?m)^some avg10=(\d{1,3}\.\d{1,4}) .*total=(\d{1,19})$", pressure_text)
        if pressure_match is None:
            return None
        now = self._clock()
        self._totals.append((now, int(pressure_match[2]) / 1e6))
        while len(self._totals) > 2 and self._totals[1][0] <= now - WINDOW_S:
            self._totals.popleft()
        (since, earlier_total), total = self._totals[0], self._totals[-1][1]
        if now - since < WINDOW_S / 2:
            return float(pressure_match[1])
        return max(0.0, min(100.0, 100 * (total - earlier_total) / (now - since)))


def _per_processor() -> float | None:
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except (AttributeError, OSError):  # Windows has none
        return None
