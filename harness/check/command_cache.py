"""A host that is asked nothing twice in one look: a command that several questions need is run once, and all have that answer."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from concurrent.futures import Future

from harness.hosts.host import Command, CommandResult, Host, Process
from harness.hosts.shell_command import as_line


class CachingHost(Host):
    """Implements `Host` for commands that only read. The limit of who asks first counts for all; an error is everybody's."""

    def __init__(self, host: Host) -> None:
        self.name = host.name
        self._host = host
        self._results: dict[Hashable, Future[CommandResult]] = {}
        self._lock = threading.Lock()

    def run(self, command: Command, *, limit: float = 10.0, input: bytes | None = None) -> CommandResult:
        """The command's result, of the one time that it was run; raises what that raised."""
        key = (as_line(command), input)
        with self._lock:
            is_first = key not in self._results
            result_future = self._results.setdefault(key, Future())
        if is_first:
            try:
                result_future.set_result(self._host.run(command, limit=limit, input=input))
            except BaseException as error:
                result_future.set_exception(error)
        return result_future.result()

    def start(self, command: Command) -> Process:
        """Starts a command that is streamed, each time anew."""
        return self._host.start(command)

    def alive(self, *, limit: float = 2.0) -> bool:
        """Whether the host answers now."""
        return self._host.alive(limit=limit)

    def close(self) -> None:
        """The host is its owner's to close."""
