"""QMP, held against a monitor that answers as QEMU's does, late, wrongly, or not at all."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable

import pytest

from harness.lab.guests.machine.qmp import QmpMonitor

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}}, "capabilities": ["oob"]}}


class FakeMonitor:
    """QEMU's end of the line."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    async def start(self, *, greeting: object = GREETING) -> None:
        """Greets, and agrees on capabilities."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._line)
        self.say(greeting)

    def say(self, message: object) -> None:
        """One message."""
        self._writer.write(json.dumps(message).encode() + b"\r\n")

    async def hear(self) -> dict:
        """The next command."""
        return json.loads(await self._reader.readline())

    def end(self) -> None:
        """QEMU ends."""
        self._writer.close()


def talk(conversation: Callable[[QmpMonitor, FakeMonitor], Awaitable[None]]) -> None:
    """An opened monitor and the other end of it, for one conversation."""

    async def run() -> None:
        own_end, other_end = socket.socketpair()
        for end in (own_end, other_end):
            end.setblocking(False)
        monitor, fake = QmpMonitor(own_end), FakeMonitor(other_end)
        await fake.start()
        opening = asyncio.create_task(monitor.open())
        asked = await fake.hear()
        assert asked["execute"] == "qmp_capabilities"
        fake.say({"return": {}, "id": asked["id"]})
        await opening
        await asyncio.wait_for(conversation(monitor, fake), 60)
        monitor.close()
        fake.end()

    asyncio.run(run())


def test_an_answer_is_found_by_its_number_whatever_comes_before_it() -> None:
    async def conversation(monitor: QmpMonitor, fake: FakeMonitor) -> None:
        first, second = (asyncio.create_task(monitor.ask(command)) for command in ("stop", "query-status"))
        asked = [await fake.hear(), await fake.hear()]
        assert [one["execute"] for one in asked] == ["stop", "query-status"] and "arguments" not in asked[0]
        fake.say({"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}})
        fake.say({"return": {"status": "paused"}, "id": asked[1]["id"]})
        fake.say({"return": {}, "id": asked[0]["id"]})
        assert (await first, await second) == ({}, {"status": "paused"})
        assert monitor.events == ["STOP"]

    talk(conversation)


def test_an_answer_that_comes_twice_is_taken_once() -> None:
    async def conversation(monitor: QmpMonitor, fake: FakeMonitor) -> None:
        asking = asyncio.create_task(monitor.ask("stop"))
        asked = await fake.hear()
        for text in ("once", "twice"):
            fake.say({"return": text, "id": asked["id"]})
        assert await asking == "once"
        asking = asyncio.create_task(monitor.ask("cont"))
        fake.say({"return": {}, "id": (await fake.hear())["id"]})
        assert await asking == {}

    talk(conversation)


def test_arguments_and_a_refusal_in_qemu_s_own_words() -> None:
    async def conversation(monitor: QmpMonitor, fake: FakeMonitor) -> None:
        asking = asyncio.create_task(monitor.ask("set_link", {"name": "nic-eth9", "up": False}))
        asked = await fake.hear()
        assert asked["arguments"] == {"name": "nic-eth9", "up": False}
        fake.say({"error": {"class": "DeviceNotFound", "desc": "Device 'nic-eth9' not found"}, "id": asked["id"]})
        with pytest.raises(OSError, match="QEMU refused: Device 'nic-eth9' not found"):
            await asking

    talk(conversation)


def test_whoever_waits_is_told_that_qemu_has_ended() -> None:
    async def conversation(monitor: QmpMonitor, fake: FakeMonitor) -> None:
        asking = asyncio.create_task(monitor.ask("stop"))
        await fake.hear()
        fake.end()
        with pytest.raises(OSError, match="QEMU has ended"):
            await asking
        with pytest.raises(OSError, match="QEMU has ended, so that it cannot be told to cont"):
            await monitor.ask("cont")

    talk(conversation)


def test_a_monitor_that_is_silent_is_not_waited_for_for_ever() -> None:
    async def conversation(monitor: QmpMonitor, fake: FakeMonitor) -> None:
        with pytest.raises(OSError, match=r"QEMU did not answer stop within 0\.01 s"):
            await monitor.ask("stop", limit=0.01)
        late = await fake.hear()
        fake.say({"return": {}, "id": late["id"]})  # nobody waits for it any more
        asking = asyncio.create_task(monitor.ask("cont"))
        asked = await fake.hear()
        fake.say({"return": {"right": True}, "id": asked["id"]})
        assert await asking == {"right": True}

    talk(conversation)


@pytest.mark.parametrize("said", [{"hello": 1}, [], "QMP"])
def test_what_greets_with_something_else_is_no_monitor(said: object) -> None:
    async def run() -> None:
        own_end, other_end = socket.socketpair()
        for end in (own_end, other_end):
            end.setblocking(False)
        monitor, fake = QmpMonitor(own_end), FakeMonitor(other_end)
        await fake.start(greeting=said)
        with pytest.raises(OSError, match="QEMU ended before its monitor greeted"):
            await monitor.open()
        monitor.close()
        fake.end()

    asyncio.run(run())


class Jobs:
    """QEMU's answers about a job: what it says each time that it is asked, and an event before each but the first."""

    def __init__(self, fake: FakeMonitor, states: list[dict]) -> None:
        self.fake, self.states, self.dismissed, self.asked = fake, states, False, []

    async def serve(self) -> None:
        while not self.dismissed:
            request = await self.fake.hear()
            self.asked.append(request)
            answer: object = {}
            if request["execute"] == "query-jobs":
                state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
                answer = [{"id": "another", "status": "running"}, {"id": self.asked[0]["arguments"]["job-id"], **state}]
                if state["status"] != "concluded":
                    asyncio.get_running_loop().call_later(0.01, self.fake.say, {"event": "JOB_STATUS_CHANGE", "data": {}})
            self.dismissed = request["execute"] == "job-dismiss"
            self.fake.say({"return": answer, "id": request["id"]})


def test_a_job_is_followed_to_its_end_and_dismissed() -> None:
    async def conversation(monitor: QmpMonitor, fake: FakeMonitor) -> None:
        jobs = Jobs(fake, [{"status": "created"}, {"status": "running"}, {"status": "running"}, {"status": "concluded"}])
        serving = asyncio.create_task(jobs.serve())
        await monitor.run_job("snapshot-save", {"tag": "t", "devices": ["disk"]}, limit=60)
        await serving
        first = jobs.asked[0]
        assert first["execute"] == "snapshot-save" and first["arguments"]["devices"] == ["disk"]
        assert jobs.asked[-1]["arguments"] == {"id": first["arguments"]["job-id"]}

    talk(conversation)


def test_a_job_that_ended_between_a_look_and_the_next_is_not_waited_for() -> None:
    async def conversation(monitor: QmpMonitor, fake: FakeMonitor) -> None:
        running = asyncio.create_task(monitor.run_job("snapshot-save", {}, limit=20))
        job, status = None, "running"
        while (request := await fake.hear())["execute"] != "job-dismiss":
            job = job or request["arguments"]["job-id"]
            if request["execute"] == "query-jobs" and status == "running":
                fake.say({"event": "JOB_STATUS_CHANGE", "data": {"status": "concluded"}})  # the last one, told before the answer
            fake.say({"return": [{"id": job, "status": status}] if request["execute"] == "query-jobs" else {}, "id": request["id"]})
            status = "concluded" if request["execute"] == "query-jobs" else status
        fake.say({"return": {}, "id": request["id"]})
        await running

    talk(conversation)


def test_a_job_that_failed_says_why_and_is_dismissed_all_the_same() -> None:
    async def conversation(monitor: QmpMonitor, fake: FakeMonitor) -> None:
        jobs = Jobs(fake, [{"status": "concluded", "error": "Device 'disk' is writable but does not support snapshots"}])
        serving = asyncio.create_task(jobs.serve())
        with pytest.raises(OSError, match="QEMU could not do snapshot-save: Device 'disk' is writable"):
            await monitor.run_job("snapshot-save", {}, limit=60)
        await serving

    talk(conversation)


def test_a_job_that_does_not_end_is_given_up() -> None:
    async def conversation(monitor: QmpMonitor, fake: FakeMonitor) -> None:
        serving = asyncio.create_task(Jobs(fake, [{"status": "running"}]).serve())
        with pytest.raises(OSError, match=r"QEMU did not end snapshot-load within 0\.1 s"):
            await monitor.run_job("snapshot-load", {}, limit=0.1)
        serving.cancel()

    talk(conversation)
