"""The shared disk's controller: who has it reserved, and what happens to a node that loses the reservation.

A stand-in for persistent reservations on a shared disk. The disk is a directory of the lab's memory; preempting a
reservation refuses the victim's further I/O, which the lab does by ending the victim's processes that have files open
there (they would have died of I/O errors). Without that, two PostgreSQL servers could write one data directory.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

Note = Callable[..., None]


class Witness:
    """A disk of one claim, by which two nodes that lost each other find out who lives on. Who has it renews the claim; one that was not
    renewed for as long as the asking node names goes to that one."""

    def __init__(self) -> None:
        self.holder: str | None = None
        self._renewed = 0.0

    def carry_out(self, request: dict, now: float) -> dict:
        """`witness-holder`, `witness` (take or renew) or `witness-release`, at the moment `now`, in seconds of a clock that only rises."""
        operation = request["op"]
        if operation == "witness-holder":
            return {"holder": self.holder}
        if operation == "witness-release":
            if self.holder == request["node"]:
                self.holder = None
            return {"ok": True}
        if operation != "witness":
            raise ValueError(f"unknown operation {operation!r}")
        if self.holder not in (None, request["node"]) and now - self._renewed <= float(request["older_than"]):
            return {"ok": False, "holder": self.holder}
        self.holder, self._renewed = request["node"], now
        return {"ok": True}


class Storage:
    """The controller of the shared disk; a node that loses its reservation is reset, as by a real controller's fencing."""

    def __init__(self, disk: Path, processes_of: Callable[[str], Iterable[int]], note: Note) -> None:
        self._device = disk.stat().st_dev
        self._processes_of = processes_of
        self._note = note
        self.holder: str | None = None
        self._witness = Witness()

    async def serve(self, socket_path: Path) -> asyncio.AbstractServer:
        """Listens for the nodes' commands on that socket."""
        return await asyncio.start_unix_server(self._answer, str(socket_path))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async for line in reader:
                writer.write(json.dumps(self._carry_out(json.loads(line))).encode() + b"\n")
                await writer.drain()
        except (ValueError, KeyError, ConnectionError) as error:
            self._note("storage", "fault", f"a request to the shared disk's controller was not understood: {error!r}")
        finally:
            writer.close()

    def _carry_out(self, request: dict) -> dict:
        operation = request["op"]
        if operation == "holder":
            return {"holder": self.holder}
        if operation == "reserve":
            return self._reserve(request["node"], bool(request.get("preempt")))
        if operation == "release":
            if self.holder == request["node"]:
                self.holder = None
                self._note("storage", "released", f"{request['node']} released the shared disk")
            return {"ok": True}
        if operation.startswith("witness"):
            return self._of_witness(request)
        raise ValueError(f"unknown operation {operation!r}")

    def _reserve(self, node: str, preempt: bool) -> dict:
        previous = self.holder
        if previous not in (None, node):
            if not preempt:
                return {"ok": False, "holder": previous}
            self._fence(previous)
        self.holder = node
        self._note(
            "storage", "reserved", f"{node} reserved the shared disk" + (f", taken from {previous}" if previous not in (None, node) else "")
        )
        return {"ok": True}

    def _of_witness(self, request: dict) -> dict:
        before = self._witness.holder
        answer = self._witness.carry_out(request, time.monotonic())
        if (holder := self._witness.holder) != before:
            previous_holder_text = f", taken from {before}" if holder and before else ""
            self._note(
                "storage", "witness", f"{holder} has the witness disk{previous_holder_text}" if holder else "nobody has the witness disk"
            )
        return answer

    def _fence(self, victim: str) -> None:
        for pid in list(self._processes_of(victim)):
            if self._has_files_on_disk(pid):
                os.kill(pid, signal.SIGKILL)
        self._note("storage", "fenced", f"{victim} lost its reservation; its I/O on the shared disk is refused", node=victim)

    def _has_files_on_disk(self, pid: int) -> bool:
        links = [Path(f"/proc/{pid}/cwd")]
        try:
            links += list(Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            return False  # it has ended meanwhile
        return any(_device_of(link) == self._device for link in links)


def _device_of(path: Path) -> int | None:
    try:
        return path.stat().st_dev
    except OSError:
        return None
