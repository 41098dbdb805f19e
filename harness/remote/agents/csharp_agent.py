"""The measuring agent in C#, for Windows hosts without Python: new and established connections at 10 ms, in one process that PowerShell
compiles it in. Run for real on Mono; on Windows shape only.

What it prints is what `harness.remote.agents.spool_reader.Reader` reads. It lives as long as its connection.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness.core.errors import DeadlineExceeded
from harness.hosts.host import Host, Process
from harness.remote.agents.streamed_agent import StreamedAgent

MIN_PERIOD_S = 0.01
COMPILE_TIMEOUT_S = 30.0  # Add-Type took 2.4 s on a machine that was not busy
# So many bytes of source from raw standard input, and no more: the rest is the agent's. Add-Type finds System.dll and mscorlib by itself.
# Where the language is constrained, or nothing may be compiled, it says so and exits 46; the script of `powershell_agent` remains then.
LOADER = """$ErrorActionPreference='Stop';$i=[Console]::OpenStandardInput();$b=New-Object byte[] COUNT;$k=0
while($k -lt $b.Length){$g=$i.Read($b,$k,$b.Length-$k);if($g -le 0){exit 45};$k+=$g}
try{Add-Type -TypeDefinition ([Text.Encoding]::UTF8.GetString($b))}
catch{[Console]::Out.Write("no compiler: $($_.Exception.Message)`n");exit 46}
exit [LkHarness.Agent]::Run($i,[Console]::OpenStandardOutput())"""


@cache
def source() -> str:
    """The C# file's text."""
    return (Path(__file__).parent / "agent.cs").read_text(encoding="utf-8")


def plan_lines(all_series: Sequence[Mapping[str, Any]], *, lifetime_s: float, max_open: int = 2000, capture: str = "") -> bytes:
    """What the agent is told first. `series` as `AgentSeries.wire` gives them; `capture`: the host's address whose packets are watched."""
    lines = []
    for series in all_series:
        period = max(MIN_PERIOD_S, series["period"])
        name = base64.b64encode(str(series["id"]).encode()).decode()
        where = f"{series['destination']} {series['port']} {series.get('kind', 'new')} {period:g} {series['limit']:g}"
        where += " 1" if series.get("http") else " 0"
        words = " ".join(series.get(key) or "-" for key in ("say", "expect", "again"))
        lines.append(f"track {name} {where} {words}")
    lines += [f"lifetime {lifetime_s:g}", f"max_open {max_open}", *([f"capture {capture}"] if capture else []), "begin"]
    return ("\n".join(lines) + "\n").encode("ascii")


def compiles(host: Host) -> bool:
    """Whether PowerShell there compiles and runs the agent: tried once, without a series and for no time. Raises HostUnreachable."""
    text = source().encode("utf-8")
    try:
        done = host.run(LOADER.replace("COUNT", f"{len(text):d}", 1), limit=COMPILE_TIMEOUT_S, input=text + plan_lines([], lifetime_s=0.0))
    except DeadlineExceeded:
        return False
    return "h running" in done.out.splitlines() and done.out.rstrip().endswith("\nx")


class CsharpAgent(StreamedAgent):
    """Its kept connections can be made anew."""

    def renew(self) -> None:
        """As `Agent.renew`; raises OSError when the agent is not to be reached just now."""
        process = self._process
        if process is None:
            raise ConnectionError(f"{self.name}: its agent is not followed just now")
        process.send(b"renew\n")


def start(host: Host, series: Sequence[Mapping[str, Any]], *, lifetime_s: float, capture: str = "") -> Process:
    """Have PowerShell compile and start it; it measures until it is sent `stop`, its input ends or its lifetime is over.

    Raises what `Host.start` raises, OSError.
    """
    text = source().encode("utf-8")
    process = host.start(LOADER.replace("COUNT", f"{len(text):d}", 1))
    try:
        process.send(text + plan_lines(series, lifetime_s=lifetime_s, capture=capture))
    except OSError:
        process.close()
        raise
    return process
