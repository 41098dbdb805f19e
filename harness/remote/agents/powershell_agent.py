"""The measuring agent for Windows hosts without Python: one PowerShell script, streamed over one connection. Shape only: never run.

It measures new connections, at 50 ms or coarser, only while the connection lasts; pinned ones, packets and listeners it does not watch.
What it prints is what `harness.remote.agents.spool_reader.Reader` reads, the spool's lines and its follower's together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness.core.errors import BadUse
from harness.hosts.host import Host, Process

MIN_PERIOD_S = 0.05  # the resolution that is left, for the report to state


@cache
def script() -> str:
    """The script's text."""
    return (Path(__file__).parent / "powershell/agent.ps1").read_text(encoding="utf-8")


@cache
def loader() -> str:
    """The script that takes the agent and its plan from its input: the agent is too long for a command line."""
    return (Path(__file__).parent / "powershell/load-agent.ps1").read_text(encoding="utf-8").rstrip("\n")


def start(host: Host, all_series: Sequence[Mapping[str, Any]], *, lifetime_s: float, max_open: int = 500) -> Process:
    """Start it; it measures until it is sent `stop`, its input ends or its lifetime is over. `series` as `AgentSeries.wire` gives them.

    Raises BadUse for a pinned series, and what `Host.start` raises. A period below 50 ms becomes 50 ms.
    """
    pinned = [str(series["id"]) for series in all_series if series.get("kind", "new") != "new"]
    if pinned:
        raise BadUse(f"{host.name}: without Python only new connections are measured; leave out {', '.join(pinned)}")
    wanted = ("id", "destination", "port", "period", "limit", "say", "expect", "again")
    plan = {
        "series": [{key: series[key] for key in wanted} | {"period": max(MIN_PERIOD_S, series["period"])} for series in all_series],
        "lifetime": lifetime_s,
        "max_open": max_open,
    }
    task = json.dumps({"script": script(), "plan": plan}).encode("ascii")
    process = host.start(loader())
    try:
        process.send(b"%d\n" % len(task) + task)
    except OSError:
        process.close()
        raise
    return process
