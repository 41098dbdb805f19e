"""What the managers of Windows clusters share: the event log as their log, and services that start at boot."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Unusable
from harness.hosts.host import CommandFailed
from harness.hosts.windows.windows_host import MAX_EVENTS, WindowsHost
from harness.hosts.windows.windows_parse import Event
from harness.managers.data_mirror import check_mirror
from harness.managers.log_window import bounded
from harness.managers.manager import MAX_LOG_LENGTH, Answer, LogWindow, Manager, answer
from harness.managers.rules.boot_start_rules import by_units

AUTOMATIC, DISABLED = "Automatic", "Disabled"
NOT_ASKED = (Unusable, DeadlineExceeded, CommandFailed)  # what asking a node may end with instead of an answer
BY_SCRIPT = "a Windows host is asked by its scripts, whose answers are three (yes, no, not known), and not by a line of shell"
MAX_ALARMING_LEVEL = 2  # levels of an event: 1 critical, 2 error
MAX_LOG_AGE_S = 7 * 24 * 3600.0  # how far back the recent log is looked for


class OnWindows(Manager):
    """Base of the adapters; `source` is who writes the manager's events, `logs` where, `service` what has to start at boot."""

    platform = "windows"
    source: ClassVar[str]
    service: ClassVar[str]
    logs: ClassVar[Sequence[str]] = ("Application", "System")
    log = None  # Windows keeps events, not a file

    def fencing(self, *, limit: float = 20.0) -> Answer:
        """Nothing there tells it, so what may split a cluster is not done."""
        return answer([], ["whether one side of a split is stopped is not known of a cluster on Windows"])

    def mirror(self, to: str, *, limit: float = 20.0) -> Answer:
        """By the command that the cluster file names; DataKeeper and what else copies data is asked by nothing of ours."""
        unknown = (
            f"whether {to} has a complete copy of the data, where data is copied, is not known of a cluster on Windows: a command in "
            "manager.mirror_check may tell"
        )
        return check_mirror(self._cluster, self._hosts, to, answer([], [unknown]), limit)

    def starts_at_boot(self, *, limit: float = 20.0) -> Answer:
        """By the start type of its service; a service that is started by hand may have a trigger (WHST-78), which nobody asks for."""
        if self._cluster.manager.starts_at_boot is not None:
            return by_units({}, [], self._cluster.manager.starts_at_boot)
        return starting(self.service, self._each(lambda node: self._start_type(node, limit)))

    def _start_type(self, node: str, limit: float) -> str:
        """Empty where it is not told."""
        try:
            return WindowsHost(self._hosts[node], limit=limit).service(self.service).start
        except NOT_ASKED:
            return ""

    def failures_left(self, *, limit: float = 20.0) -> dict[str, tuple[int, int]]:
        return {}

    def notices(self, line: str) -> bool:
        """An event of level error or worse, by the form that `recent_log` and `log_between` give it."""
        words = line.split(": ", 1)[0].split()
        return len(words) >= 5 and words[-2] == "level" and words[-1].isdecimal() and 0 < int(words[-1]) <= MAX_ALARMING_LEVEL

    def recent_log(self, node: str, *, lines: int = 200) -> str:
        events = self._events(node, time.time() - MAX_LOG_AGE_S, time.time() + 3600, min(lines, MAX_EVENTS))
        return "".join(f"{event}\n" for event in events)

    def log_between(self, node: str, begin: float, end: float, *, most: int = MAX_LOG_LENGTH) -> LogWindow:
        try:
            events = self._events(node, begin, end, MAX_EVENTS)
        except CommandFailed as error:
            return LogWindow("", f"the event log could not be read: {error}")
        limits = [f"only the newest {MAX_EVENTS} events were asked for"] if len(events) >= MAX_EVENTS else []
        return bounded([str(event) for event in events], most, limits)

    def _events(self, node: str, begin: float, end: float, most: int) -> list[Event]:
        host = WindowsHost(self._hosts[node], limit=60.0)
        return host.events(begin, end, source=self.source, logs=self.logs, most=most)

    def fail_counts(self, *, limit: float = 10.0) -> dict[str, dict[str, int]]:
        """LifeKeeper counts none, and Windows' cluster tells none."""
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


def starting(service: str, start_types: Mapping[str, str]) -> Answer:
    """Does the service start with every node? By its start type on each; empty where that was not told. Pure."""
    disabled = [node for node, start_type in start_types.items() if start_type == DISABLED]
    against = [f"{node}: the service {service} is disabled, so it is not started when the node boots" for node in disabled]
    unknown = [
        f"{node}: whether {service} starts at boot is not known (start type {start_type or 'not told'}; manager.starts_at_boot says it)"
        for node, start_type in start_types.items()
        if not start_type.startswith(AUTOMATIC) and start_type != DISABLED
    ]
    return answer(against, unknown)
