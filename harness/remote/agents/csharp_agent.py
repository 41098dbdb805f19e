"""The measuring agent in C#, for Windows hosts without Python: new and established connections at 10 ms, in one process that PowerShell
compiles it in. Run for real on Mono; on Windows shape only.

What it prints is what `harness.remote.agents.spool_reader.Reader` reads. It lives as long as its connection.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from harness.core.errors import DeadlineExceeded
from harness.hosts.host import Host, Process
from harness.remote.agents.agent_launch import AgentWatch
from harness.remote.agents.streamed_agent import StreamedAgent
from harness.remote.csharp import csharp_program

MIN_PERIOD_S = 0.01
COMPILE_TIMEOUT_S = 30.0  # Add-Type took 2.4 s on a machine that was not busy


def plan_lines(
    all_series: Sequence[Mapping[str, Any]],
    *,
    lifetime_s: float,
    max_open: int = 2000,
    watch: AgentWatch | None = None,
) -> bytes:
    """What the agent is told first. `series` as `AgentSeries.wire` gives them; of `watch`, all but the log."""
    lines = []
    for series in all_series:
        period = max(MIN_PERIOD_S, series["period"])
        name = base64.b64encode(str(series["id"]).encode()).decode()
        where = f"{series['destination']} {series['port']} {series.get('kind', 'new')} {period:g} {series['limit']:g}"
        where += " 1" if series.get("http") else " 0"
        words = " ".join(series.get(key) or "-" for key in ("say", "expect", "again"))
        lines.append(f"track {name} {where} {words}")
    lines += [f"lifetime {lifetime_s:g}", f"max_open {max_open}", *_watch_lines(watch), "begin"]
    return ("\n".join(lines) + "\n").encode("ascii")


def _watch_lines(watch: AgentWatch | None) -> list[str]:
    if watch is None or not (watch.vip or watch.ports or watch.connections):
        return []
    ports, connections = (",".join(map(str, numbers)) or "-" for numbers in (watch.ports, watch.connections))
    return [f"watch {watch.vip or '-'} {watch.every_s:g} {ports} {connections}"]


def compiles(host: Host) -> bool:
    """Whether PowerShell there compiles and runs the agent: tried once, without a series and for no time. Raises HostUnreachable."""
    try:
        plan = csharp_program.loader_input(csharp_program.AGENT, plan_lines([], lifetime_s=0.0))
        completed = host.run(csharp_program.loader(), limit=COMPILE_TIMEOUT_S, input=plan)
    except DeadlineExceeded:
        return False
    return "h running" in completed.out.splitlines() and completed.out.rstrip().endswith("\nx")


class CsharpAgent(StreamedAgent):
    """Its kept connections can be made anew."""

    def renew(self) -> None:
        """As `Agent.renew`; raises OSError when the agent is not to be reached just now."""
        process = self._process
        if process is None:
            raise ConnectionError(f"{self.name}: its agent is not followed just now")
        process.send(b"renew\n")


def start(host: Host, series: Sequence[Mapping[str, Any]], *, lifetime_s: float, watch: AgentWatch | None = None) -> Process:
    """Have PowerShell compile and start it; it measures until it is sent `stop`, its input ends or its lifetime is over.

    Raises what `Host.start` raises, OSError.
    """
    return csharp_program.start(host, csharp_program.AGENT, plan_lines(series, lifetime_s=lifetime_s, watch=watch))
