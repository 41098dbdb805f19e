"""Azure's run-command as a transport: a host that SSH does not reach can still be read.

A command takes seconds, nothing can be streamed or sent in, and only the tail of the output comes back: enough to look, not to measure.
"""

from __future__ import annotations

import base64
import lzma
import shlex
import zlib
from typing import NoReturn

from harness.azure.client import error_mapping
from harness.azure.client.sdk_clients import Clients
from harness.azure.run_command.run_command_call import MAX_OUTPUT_LENGTH, run, wait_for_turn
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError, Unusable
from harness.hosts.host import Command, CommandResult, Host, HostUnreachable
from harness.hosts.shell_command import as_line

MIN_TIMEOUT_S = 90.0  # at least, whatever a caller that thinks of SSH allows: one that is idle takes some 20 s on Azure
MAX_SCRIPT_LENGTH = 200_000  # characters of a script


MAX_UNPACKED_BYTES = 4 << 20
PACKED, PACKED_BY_XZ = "packed by gzip", "packed by xz"
MAX_UNPACKING_MEMORY = 16 << 20  # bytes; what is packed as here takes one
# What is said comes back packed, because only 4,096 characters do. Nothing is written on the host.
_PACKING = """LC_ALL=C; export LC_ALL
said() {{ (
{script}
) }}
packed() {{ echo "packed by $1"; {{ said; printf '\\n%s' "$?"; }} | "$@" | base64 | tr -d '\\n'; }}
if ! command -v base64 >/dev/null 2>&1; then said
elif command -v xz >/dev/null 2>&1; then packed xz -c --format=lzma --lzma1=preset=6e,dict=512KiB,lc=4,pb=0
elif command -v gzip >/dev/null 2>&1; then packed gzip -9 -c
else said; fi"""


class RunCommandHost(Host):
    """Implements `Host` as far as reading goes. Every command runs as root and by itself: no state is kept between two.

    `patience_s` is what all readings of the host together may take.
    """

    patience_s = 1800.0

    def __init__(self, clients: Clients, machine: str, name: str) -> None:
        self.name = name
        self._clients = clients
        self._machine = machine

    def run(self, command: Command, *, limit: float = 10.0, input: bytes | None = None) -> CommandResult:
        """Run to the end, within `limit` seconds or MIN_TIMEOUT_S, whichever is longer. Raises HostUnreachable, DeadlineExceeded.

        Raises Unusable when more was said than comes back: half an answer must not be taken for a whole one.
        """
        line = as_line(command)
        limit_s = max(limit, MIN_TIMEOUT_S)
        script = line if input is None else f"printf %s {shlex.quote(self._text(input))} | {{ {line}\n}}"
        if len(script) > MAX_SCRIPT_LENGTH:
            raise Unusable(f"{self.name}: a command of {len(script)} characters is too long for Azure's run-command; reach the host by SSH")
        try:
            with wait_for_turn(self._clients, self._machine):
                deadline = Deadline(limit_s)
                output = run(self._clients, self._machine, _PACKING.format(script=script), deadline, ends_after_s=limit_s)
        except (error_mapping.NotAllowed, DeadlineExceeded):
            raise
        except HarnessError as error:
            raise HostUnreachable(f"{self.name}: Azure's run-command does not get through: {error}") from error
        if output.cut:
            raise Unusable(
                f"{self.name}: `{line[:80]}` says more than the {MAX_OUTPUT_LENGTH} characters that run-command brings back; "
                "reach the host by SSH"
            )
        out, code = unpack(output.out, output.exit, self.name)
        return CommandResult(self.name, line, code, out, output.err, deadline.anchor, deadline.elapsed())

    def start(self, command: Command) -> NoReturn:
        """Raises HostUnreachable: run-command has no stream."""
        raise HostUnreachable(f"{self.name} is reached by Azure's run-command only, which streams nothing; what measures needs SSH")

    def alive(self, *, limit: float = 2.0) -> bool:
        """Does its agent run a script now? Takes as long as that takes."""
        try:
            return self.run(["true"], limit=limit).ok
        except HarnessError:
            return False

    def close(self) -> None:
        """Nothing is held."""

    def _text(self, input: bytes) -> str:
        try:
            return input.decode()
        except UnicodeDecodeError as error:
            raise Unusable(f"{self.name}: Azure's run-command takes no bytes that are no text; reach the host by SSH") from error


def unpack(out: str, code: int, name: str) -> tuple[str, int]:
    """What a command printed, and its exit code. Raises Unusable for what nobody packed, and for what is too large."""
    head, newline, raw = out.partition("\n")
    if head not in (PACKED, PACKED_BY_XZ) or not newline:
        return out, code
    if not raw.strip():  # it was ended before it said anything
        return "", code
    try:
        decompressor = zlib.decompressobj(31) if head == PACKED else lzma.LZMADecompressor(lzma.FORMAT_ALONE, MAX_UNPACKING_MEMORY)
        unpacked_bytes = decompressor.decompress(base64.b64decode("".join(raw.split()), validate=True), MAX_UNPACKED_BYTES)
        printed, _, exit_code = unpacked_bytes.decode("utf-8", "replace").rpartition("\n")
        if not decompressor.eof:
            raise ValueError("it is incomplete, or too long")
        return printed, int(exit_code)
    except (ValueError, zlib.error, lzma.LZMAError) as error:
        raise Unusable(f"{name}: what run-command brought back cannot be unpacked ({error}); reach the host by SSH") from error
