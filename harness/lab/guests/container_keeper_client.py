"""The lab's end of the line to the keeper of its containers. Its loss ends the lab, loudly."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from typing import Any

MAX_MESSAGE = 65536


class KeeperClient:
    """Asks the keeper, any number of requests at a time."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._line.setblocking(False)
        self._number = 0
        self._waiting: dict[int, asyncio.Future[tuple[Any, list[int]]]] = {}
        self._listens = False

    async def ask(self, operation: str, **arguments: Any) -> tuple[Any, list[int]]:
        """One request: its result, and the open files that came with it (the caller's). Raises OSError with the keeper's words."""
        loop = asyncio.get_running_loop()
        if not self._listens:
            loop.add_reader(self._line, self._hear)
            self._listens = True
        self._number += 1
        answer: asyncio.Future[tuple[Any, list[int]]] = loop.create_future()
        self._waiting[self._number] = answer
        await loop.sock_sendall(self._line, json.dumps({"id": self._number, "op": operation, **arguments}).encode())
        return await answer

    def _hear(self) -> None:
        message, fds, _, _ = socket.recv_fds(self._line, MAX_MESSAGE, 4)
        if not message:
            print("the keeper of the lab's containers has ended, so the lab ends too", file=sys.stderr, flush=True)
            os._exit(70)
        reply = json.loads(message)
        answer = self._waiting.pop(reply["id"])
        if answer.cancelled():
            for fd in fds:
                os.close(fd)
        elif "error" in reply:
            answer.set_exception(OSError(reply["error"]))
        else:
            answer.set_result((reply.get("result"), fds))
