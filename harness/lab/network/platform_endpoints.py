"""What the platform serves to machines, at addresses that the fabric itself has: the metadata service, and the resource manager.

Who answers is the stand-in for Azure's API, a process beside the lab that no network joins to it. It listens on sockets in the lab's own
mount namespace, as the lab's first process does for whoever controls it; that process accepts a machine's connection in the fabric, says on
the socket whose it is, and carries the bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from pathlib import Path

from harness.config.azure_config import METADATA_ADDRESS
from harness.lab.network.fabric import STUB

RESOURCE_MANAGER = "192.0.2.10"  # of the range for documentation (RFC 5737); on Azure it is one of the internet's
RESOURCE_MANAGER_NAME = "management.azure.com"  # what clients ask that are told no other
FOLDER = Path("/run/lab")  # as processes of the lab see it
METADATA_SOCKET, RESOURCE_MANAGER_SOCKET = "metadata.sock", "resource-manager.sock"
PLACES = {(METADATA_ADDRESS, 80): METADATA_SOCKET, (RESOURCE_MANAGER, 443): RESOURCE_MANAGER_SOCKET}
CHUNK = 1 << 16


def address_lines() -> list[str]:
    """The fabric's addresses for it, as `ip` takes them."""
    return [f"address add {address}/32 dev {STUB}" for address, _ in PLACES]


async def serve() -> None:
    """Accept machines' connections from now on. Raises OSError."""
    for (address, port), name in PLACES.items():
        await asyncio.start_server(partial(_relay, FOLDER / name), address, port)


async def _relay(socket_path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    ends = [writer]
    try:
        answers, questions = await asyncio.open_unix_connection(str(socket_path))
        ends.append(questions)
        questions.write(f"{writer.get_extra_info('peername')[0]}\n".encode())
        await asyncio.gather(_carry(reader, questions), _carry(answers, writer))
    except OSError:
        for end in ends:
            end.transport.abort()  # before the stand-in is up nobody answers; later either end may leave
    finally:
        for end in ends:
            end.close()


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()
    with contextlib.suppress(OSError):  # the other side may be gone already
        sink.write_eof()
