"""The packet capture that a host can bear: the one in Python, or on Windows the one in C#."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from harness.core.errors import Unusable
from harness.hosts.host import Host, Process
from harness.remote.captures.capture_session import FIN_SYN_RST, CaptureProgram, PacketCapture
from harness.remote.csharp import csharp_program
from harness.remote.host_capabilities import Capabilities, Kind
from harness.remote.recording.packets import Packet


def capture_of(
    host: Host,
    capabilities: Capabilities,
    python: str,
    *,
    ports: Sequence[int] = (),
    flags: int = FIN_SYN_RST,
    tell: Callable[[Packet], None] | None = None,
    newest: bool = False,
) -> PacketCapture:
    """One that is not started yet; its options are those of PacketCapture."""
    program = None
    if capabilities.kind is Kind.COMPILED:
        program = CaptureProgram("PowerShell", lambda plan: _start_compiled(host, plan), loopback=False)
    return PacketCapture(host, python, ports=ports, flags=flags, tell=tell, newest=newest, program=program)


def _start_compiled(host: Host, plan: dict[str, Any]) -> Process:
    """Have PowerShell compile and start it. Raises HostUnreachable, Unusable."""
    ports = ",".join(map(str, plan["ports"])) or "-"
    words = f"plan {plan['flags']} {plan['buffer']} {ports}\n"
    try:
        return csharp_program.start(host, csharp_program.CAPTURE, words.encode("ascii"))
    except OSError as error:
        raise Unusable(f"{host.name}: the packet capture could not be sent there: {error}") from error
