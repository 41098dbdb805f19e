"""An agent that lives only as long as its connection: a script that is streamed to a host without Python, and leaves nothing there.

What happens while the connection is lost is not measured; another script then takes its place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from harness.hosts.host import Host, HostUnreachable, Process
from harness.remote.agents.agent_launch import AgentPlan
from harness.remote.agents.agent_session import Agent, Sink
from harness.remote.agents.clock_sync import HostClock
from harness.remote.agents.spool_reader import AgentRun

Start = Callable[[float], Process]
"""Starts the script for so many seconds; its stream is what `harness.remote.agents.spool_reader.Reader` reads."""


class StreamedAgent(Agent):
    """Implements what the meter asks of an agent by a script that `start` starts."""

    def __init__(self, host: Host, plan: AgentPlan, sink: Sink, start: Start) -> None:
        super().__init__(host, "", plan, sink)
        self._start_script = start

    def _begin(self, limit: float) -> AgentRun:
        return AgentRun("", HostClock(self.name))

    def _open(self, life: AgentRun) -> Process:
        # a life that was heard before is over with its stream: the next script has times of its own
        fresh = AgentRun("", HostClock(self.name))
        vars(life).update(vars(fresh))
        try:
            return self._start_script(max(1.0, self._lifetime.remaining()))
        except OSError as error:
            raise HostUnreachable(f"{self.name}: the measuring script could not be sent there: {error}") from error

    def renew(self) -> None:
        """It keeps no connection."""

    def _ask_to_end(self, limit: float) -> None:
        process = self._process
        if process is not None:
            with contextlib.suppress(OSError, ValueError):  # it has just ended by itself
                process.send(b"stop\n")

    def _clean(self, limit: float) -> list[str]:
        return []
