"""The lab's fence device: what a management board or a cloud's power API is to a real cluster. JSON lines over a socket in every node."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

Note = Callable[..., None]


class Fencing:
    """Carries out one request at a time, so that of two nodes that shoot at each other exactly one is hit."""

    def __init__(self, power_of: Callable[[str], str], power: Callable[[str, str], Awaitable[str]], note: Note) -> None:
        self._power_of = power_of
        self._power = power
        self._note = note
        self._turn = asyncio.Lock()

    async def serve_machine(self, listener: socket.socket) -> asyncio.AbstractServer:
        """Listens for the fence agents of a host that no socket file reaches."""
        return await asyncio.start_server(self._answer, sock=listener)

    async def serve(self, socket_path: Path) -> asyncio.AbstractServer:
        """Listens for the fence agents on that socket."""
        return await asyncio.start_unix_server(self._answer, str(socket_path))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async for line in reader:
                async with self._turn:
                    answer = await self._carry_out(json.loads(line))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            return  # whoever asked has lost its power
        except (ValueError, KeyError, OSError) as error:
            self._note("fence", "fault", f"a request to the fence device was not understood or failed: {error!r}")
        finally:
            writer.close()

    async def _carry_out(self, request: dict[str, str]) -> dict:
        operation, node, requester = request["op"], request.get("node", ""), request["by"]
        if operation == "status":
            return {"ok": True}
        if operation not in ("off", "on", "reboot"):
            return {"ok": False, "why": f"the fence device knows off, on, reboot and status; not {operation!r}"}
        if self._power_of(requester) != "on":
            return {"ok": False, "why": f"{requester} has no power itself"}  # it died while it waited for its turn
        if operation != "on" and self._power_of(node) == "off":
            # Off is all that a fence must make sure of: power that an operator has cut is the operator's to give back.
            self._note("fence", "fenced", f"{requester} asked for {node} to be fenced; it had no power already", node=node, by=requester)
            return {"ok": True}
        self._note("fence", "fenced", f"{requester} has {node} fenced: power {operation}", node=node, by=requester)
        await self._power(node, operation)
        return {"ok": True}
