"""How the world outside talks to a running lab: one JSON line in, one out, over a socket in the lab's own mount namespace.

It is reached through /proc/PID/root, so that nothing of it is left on disk when the lab dies, however it dies.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from harness.core.errors import BadUse, Unusable

SOCKET = Path("/run/lab/control.sock")
Operation = Callable[..., Awaitable[Any]]


class Server:
    """Serves named operations; an operation's ValueError or KeyError becomes the caller's error, in one sentence."""

    def __init__(self, operations: dict[str, Operation]) -> None:
        self._operations = operations

    async def start(self) -> asyncio.AbstractServer:
        """Listens on the lab's control socket until the server that is returned is closed."""
        return await asyncio.start_unix_server(self._serve, str(SOCKET), limit=1 << 20)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async for line in reader:
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            return  # the caller went away; there is nobody to tell
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            operation = self._operations[request.pop("op")]
        except (ValueError, KeyError, AttributeError):
            return {"error": f"the lab knows no such request; it knows {', '.join(sorted(self._operations))}"}
        try:
            return {"result": await operation(**request)}
        except (ValueError, KeyError, TypeError, OSError, RuntimeError, Unusable) as error:
            return {"error": str(error)}


def ask(pid: int, operation: str, *, limit: float = 30.0, **arguments: Any) -> Any:
    """Ask the lab whose first process is `pid`. Raises BadUse with the lab's own words, Unusable when it does not answer."""
    path = f"/proc/{pid}/root{SOCKET}"
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(limit)
            line.connect(path)
            line.sendall(json.dumps({"op": operation, **arguments}).encode() + b"\n")
            reply = json.loads(line.makefile("rb").readline() or b'{"error": "the lab ended while it was asked"}')
    except OSError as error:
        raise Unusable(f"the lab with process {pid} does not answer ({error.strerror or error}); see `lkharness lab status`") from error
    if "error" in reply:
        raise BadUse(reply["error"])
    return reply["result"]
