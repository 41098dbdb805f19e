"""A harness, as a process of its own, one host of which floods it: `python flooded_harness.py HOW LEASE [MACHINE]`.

Prints one JSON object: what it made of that (`said`), the memory that it took for it (`more`, bytes), and the longest time between two
renewals of a lease on that same host (`longest`, seconds; `LEASE` is its folder), and whether it was lost. MACHINE: a machine of a cluster
file as JSON; without it, commands run on this machine.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from itertools import pairwise

from harness.attach.lease import Lease, _now
from harness.config.cluster_config import Machine
from harness.core.errors import HarnessError
from harness.hosts.bounded_parse import MAX_DOCUMENT_LENGTH
from harness.hosts.host import Host
from harness.hosts.linux import linux_parse
from harness.hosts.local_host import LocalHost
from harness.hosts.output_limits import MAX_OUTPUT_BYTES
from harness.hosts.ssh.ssh_host import SshHost
from harness.hosts.windows import powershell
from harness.managers.parse import pacemaker_parse

MIB = 1024 * 1024
RENEW_S = 0.5
OBJECT, SAYS = '{"a": []},', '<S S="Error">a_x000A_</S>'
FLOOD_S = 2.0


def printed(piece: str, size: int, before: str = "", after: str = "") -> str:
    """A line of shell that prints a piece again and again, without an end of a line."""
    return f"printf '%s' '{before}'; yes '{piece}' | tr -d '\\n' | head -c {size // len(piece) * len(piece)}; printf '%s' '{after}'"


def streamed(host: Host, line: str) -> str:
    stream = host.start(["sh", "-c", line])
    try:
        for _ in stream.lines():
            pass
    finally:
        stream.close()
    return "read to its end"


def asked(host: Host, line: str, read: Callable[[str], object], limit: float = 120.0) -> str:
    return str(read(host.run(["sh", "-c", line], limit=limit).out))[:200]


FLOODS: dict[str, Callable[[Host], str]] = {
    "output without end": lambda host: asked(host, "exec yes 0123456789abcdef", len, FLOOD_S),
    "errors without end": lambda host: asked(host, "exec yes 0123456789abcdef >&2", len, FLOOD_S),
    "a line without end": lambda host: asked(host, "tr '\\0' x </dev/zero", len, FLOOD_S),
    "a stream of a line without end": lambda host: streamed(host, "tr '\\0' x </dev/zero"),
    "64 MiB of JSON": lambda host: asked(host, printed(OBJECT, 64 * MIB, "[", "{}]"), linux_parse.addresses),
    "JSON, as much as is read": lambda host: asked(host, printed(OBJECT, MAX_DOCUMENT_LENGTH - 100, "[", "{}]"), linux_parse.addresses),
    "JSON, more than is read": lambda host: asked(host, printed(OBJECT, MAX_DOCUMENT_LENGTH + 100, "[", "{}]"), linux_parse.addresses),
    "JSON, nested": lambda host: asked(host, printed("[", MAX_DOCUMENT_LENGTH - 100), linux_parse.addresses),
    "XML, as much as is read": lambda host: asked(
        host,
        printed('<a b=""/>', MAX_DOCUMENT_LENGTH - 100, "<crm_mon>", "</crm_mon>"),
        lambda said: f"crm_mon: {pacemaker_parse.read(said).why}",
    ),
    "short lines, as many as are read": lambda host: asked(host, f"yes x | head -c {MAX_OUTPUT_BYTES}", linux_parse.listeners),
    "1 MiB of CLIXML": lambda host: asked(host, printed(SAYS, MIB, "#< CLIXML <Objs >"), lambda said: len(powershell.clean_errors(said))),
    "CLIXML, as much as is read": lambda host: asked(
        host, printed(SAYS, MAX_OUTPUT_BYTES - 100, "#< CLIXML <Objs >"), lambda said: len(powershell.clean_errors(said))
    ),
}


class Renewed(Lease):
    """Notes when it was confirmed."""

    def _renew_everywhere(self) -> None:
        super()._renew_everywhere()
        MOMENTS.append(self._confirmed_at)


MOMENTS: list[float] = []


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(how: str, folder: str, machine: str = "") -> None:
    host: Host = SshHost(Machine.model_validate_json(machine)) if machine else LocalHost("lknode01")
    lease = Renewed({"lknode01": host}, "run", folder=folder, renew_s=RENEW_S)
    lease.take()
    host.run(["true"])
    print("ready", flush=True)
    before, began = peak(), _now()
    try:
        said = FLOODS[how](host)
    except HarnessError as error:
        said = f"{type(error).__name__}: {error}"
    more = peak() - before
    moments = [began, *(m for m in MOMENTS if m > began), _now()]
    lost = lease.loss_reason
    lease.give_back()
    host.close()
    print(json.dumps({"said": said, "more": more, "lost": lost, "longest": max(b - a for a, b in pairwise(moments))}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
