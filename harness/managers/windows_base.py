"""What the managers of Windows clusters share: nodes asked at once, and the event log as their log."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, TypeVar

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Unusable
from harness.hosts.host import CommandFailed, Host
from harness.hosts.windows.windows import EVENTS_AT_MOST, WindowsHost
from harness.hosts.windows.windows_parse import Event
from harness.managers.log_window import bounded
from harness.managers.manager import MAX_LOG_LENGTH, Answer, LogWindow, Manager, answer

T = TypeVar("T")
NOT_ASKED = (Unusable, DeadlineExceeded, CommandFailed)  # what asking a node may end with instead of an answer
BY_SCRIPT = "a Windows host is asked by its scripts, whose answers are three (yes, no, not known), and not by a line of shell"
MAX_ALARMING_LEVEL = 2  # levels of an event: 1 critical, 2 error
MAX_LOG_AGE_S = 7 * 24 * 3600.0  # how far back the recent log is looked for


class OnWindows(Manager):
    """Base of the adapters; `source` is who writes the manager's events, `logs` where."""

    platform = "windows"
    source: ClassVar[str]
    logs: ClassVar[Sequence[str]] = ("Application", "System")
    log = None  # Windows keeps events, not a file

    def __init__(self, cluster: cluster_config.Cluster, hosts: Mapping[str, Host]) -> None:
        self._cluster = cluster
        self._hosts = hosts

    @property
    def _names(self) -> list[str]:
        return [n.name for n in self._cluster.nodes]

    def _each(self, work: Callable[[str], T]) -> dict[str, T]:
        """For every node at once: a node that does not answer must not age what the other says."""
        with ThreadPoolExecutor(max_workers=len(self._names)) as pool:
            return dict(zip(self._names, pool.map(work, self._names), strict=True))

    def fencing(self, *, limit: float = 20.0) -> Answer:
        """A cluster on Windows is not disturbed, so nobody asks; neither the next three."""
        return answer([], ["whether one side of a split is stopped is not asked on Windows"])

    def mirror(self, to: str, *, limit: float = 20.0) -> Answer:
        return answer([], [f"whether {to} has a complete copy of the data is not asked on Windows"])

    def starts_at_boot(self, *, limit: float = 20.0) -> Answer:
        return answer([], ["whether the cluster service starts at boot is not asked on Windows"])

    def failures_left(self, *, limit: float = 20.0) -> dict[str, tuple[int, int]]:
        return {}

    def notices(self, line: str) -> bool:
        """An event of level error or worse, by the form that `recent_log` and `log_between` give it."""
        words = line.split(": ", 1)[0].split()
        return len(words) >= 5 and words[-2] == "level" and words[-1].isdecimal() and 0 < int(words[-1]) <= MAX_ALARMING_LEVEL

    def recent_log(self, node: str, *, lines: int = 200) -> str:
        found = self._events(node, time.time() - MAX_LOG_AGE_S, time.time() + 3600, min(lines, EVENTS_AT_MOST))
        return "".join(f"{event}\n" for event in found)

    def log_between(self, node: str, begin: float, end: float, *, most: int = MAX_LOG_LENGTH) -> LogWindow:
        try:
            found = self._events(node, begin, end, EVENTS_AT_MOST)
        except CommandFailed as error:
            return LogWindow("", f"the event log could not be read: {error}")
        full = [f"only the newest {EVENTS_AT_MOST} events were asked for"] if len(found) >= EVENTS_AT_MOST else []
        return bounded([str(event) for event in found], most, full)

    def _events(self, node: str, begin: float, end: float, most: int) -> list[Event]:
        host = WindowsHost(self._hosts[node], limit=60.0)
        return host.events(begin, end, source=self.source, logs=self.logs, most=most)

    def strangers(self, *, limit: float = 10.0) -> list[str]:
        """A cluster on Windows is not disturbed, so nobody asks."""
        return []

    def fail_counts(self, *, limit: float = 10.0) -> dict[str, dict[str, int]]:
        """A cluster on Windows is not disturbed, so nobody asks."""
        return {}

    def end_own_move(self, node: str, *, deadline: Deadline) -> None:
        """A move leaves nothing in force here."""

    def in_service_test(self, tag: str) -> str:
        raise Unusable(BY_SCRIPT)

    def put_back_line(self, tag: str) -> str:
        raise Unusable(BY_SCRIPT)

    def daemon_pids_line(self) -> str:
        raise Unusable(BY_SCRIPT)

    @abstractmethod
    def has_in_service(self, tag: str, node: str, *, limit: float = 20.0) -> bool | None:
        """Has the manager on that node this resource in service? None: that could not be told. Raises nothing for what it reads."""

    def by_hand_line(self, to: str) -> str:
        return "; ".join(self.switch_over_lines(to))
