"""QMP, the protocol by which QEMU is told what to do: JSON lines on a socket, answers by number, events in between."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from typing import Any

MAX_LINE = 1 << 20
ANSWER_TIMEOUT_S = 60.0  # of a command that only tells QEMU something, on a busy machine


class QmpMonitor:
    """One machine's monitor, from its greeting to its end."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task | None = None
        self.events: list[str] = []  # the names of the last ones, for whoever has to say what became of it
        self._event_came = asyncio.Event()

    async def open(self) -> None:
        """Take the greeting and leave the mode in which only capabilities are spoken of. Raises OSError."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._line, limit=MAX_LINE)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                greeting = await self._next()
        except TimeoutError:
            raise OSError(f"QEMU's monitor said nothing within {ANSWER_TIMEOUT_S:g} s") from None
        if greeting is None or "QMP" not in greeting:
            raise OSError("QEMU ended before its monitor greeted")
        self._listening = asyncio.get_running_loop().create_task(self._listen())
        await self.ask("qmp_capabilities")

    async def ask(self, command: str, arguments: Mapping[str, Any] | None = None, *, limit: float = ANSWER_TIMEOUT_S) -> Any:
        """One command: what it returned. Raises OSError with QEMU's own words, or when it ended or was silent for `limit` seconds."""
        assert self._writer is not None
        if self._listening is None or self._listening.done():
            raise OSError(f"QEMU has ended, so that it cannot be told to {command}")
        self._number += 1
        number = self._number
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        request: dict[str, Any] = {"execute": command, "id": number}
        if arguments:
            request["arguments"] = dict(arguments)
        try:
            self._writer.write(json.dumps(request).encode() + b"\n")
            await self._writer.drain()
            async with asyncio.timeout(limit):
                return await answer
        except TimeoutError:
            raise OSError(f"QEMU did not answer {command} within {limit:g} s") from None
        finally:
            self._waiting.pop(number, None)

    async def run_job(self, command: str, arguments: Mapping[str, Any], *, limit: float) -> None:
        """A command that QEMU carries out as a job, to its end. Raises OSError with QEMU's own words, or after `limit` seconds."""
        self._number += 1
        job = f"job-{self._number}"
        try:
            async with asyncio.timeout(limit):
                await self.ask(command, {"job-id": job, **arguments})
                while (job_info := await self._job(job))["status"] != "concluded":
                    self._event_came.clear()
                    if (await self._job(job))["status"] != "concluded":  # it may have ended before the event was waited for
                        await self._next_event()
        except TimeoutError:
            raise OSError(f"QEMU did not end {command} within {limit:g} s") from None
        await self.ask("job-dismiss", {"id": job})
        if "error" in job_info:
            raise OSError(f"QEMU could not do {command}: {job_info['error']}")

    async def _job(self, name: str) -> dict[str, Any]:
        for job in await self.ask("query-jobs"):
            if job["id"] == name:
                return job
        raise OSError(f"QEMU knows nothing of {name} any more")

    async def _next_event(self) -> None:
        """Wait for the next event since `_event_came` was cleared. Raises OSError when QEMU ended."""
        assert self._listening is not None
        event_task = asyncio.get_running_loop().create_task(self._event_came.wait())
        try:
            await asyncio.wait({event_task, self._listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            event_task.cancel()
        if self._listening.done():
            raise OSError("QEMU has ended")

    def send(self, command: str) -> None:
        """One command whose answer nobody waits for; what goes wrong with it ends QEMU or shows in what it was for."""
        assert self._writer is not None
        self._writer.write(json.dumps({"execute": command}).encode() + b"\n")

    def close(self) -> None:
        """The machine is gone: nobody waits for an answer any more."""
        if self._listening is not None:
            self._listening.cancel()
        if self._writer is not None:
            self._writer.close()
        else:
            self._line.close()
        self._end("its power was cut")

    async def _next(self) -> dict[str, Any] | None:
        assert self._reader is not None
        try:
            line = await self._reader.readline()
        except (ConnectionError, ValueError):
            return None
        try:
            message = json.loads(line) if line else None
        except ValueError:
            return None
        return message if isinstance(message, dict) else None

    async def _listen(self) -> None:
        while (message := await self._next()) is not None:
            if "event" in message:
                self.events = [*self.events[-99:], str(message["event"])]
                self._event_came.set()
                continue
            answer = self._waiting.get(message.get("id", 0))
            if answer is None or answer.done():
                continue  # whoever asked has given up
            if "error" in message:
                answer.set_exception(OSError(f"QEMU refused: {message['error'].get('desc', message['error'])}"))
            else:
                answer.set_result(message.get("return"))
        self._end("QEMU has ended")

    def _end(self, reason: str) -> None:
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(OSError(reason))
