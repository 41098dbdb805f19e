"""The power of a lab's hosts where somebody decides about it while it changes: no decision ends the lab, and the last one holds."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from harness.core.deadline import Deadline
from harness.lab.network import fabric
from harness.lab.process.host_power import HostPower

NODE = "lknode01"


class Machine:
    """A guest whose boot ends when the test says so."""

    name = NODE

    def __init__(self) -> None:
        self.cannot: dict[str, str] = {}
        self.pid: int | None = None
        self.boots = 0
        self.up = asyncio.Event()

    @property
    def power(self) -> str:
        return "off" if self.pid is None else "on"

    async def power_on(self) -> str:
        self.boots += 1
        self.pid, self.up = self.boots, asyncio.Event()
        return str(self.pid)

    def connect(self) -> None:
        pass

    async def wait_until_booted(self) -> None:
        await self.up.wait()

    def end_fd(self) -> int:
        assert self.pid is not None, "what is off has no end"
        return os.open("/dev/null", os.O_RDONLY)

    async def power_loss(self) -> None:
        self.pid = None

    def forget_network(self) -> None:
        pass


class Power(HostPower):
    """Of one machine; what the lab would keep running is kept here."""

    def __init__(self, machine: Machine) -> None:
        self.kept: list[asyncio.Task[Any]] = []
        manager = SimpleNamespace(heartbeat_s=0.001, heartbeats_missed=1)
        super().__init__(
            SimpleNamespace(  # type: ignore[arg-type]
                hosts={NODE: machine}, cluster=SimpleNamespace(manager=manager), keep=self.keep, note=MagicMock(), nft=MagicMock(),
                topology=SimpleNamespace(of=lambda _name: []),
                settings=SimpleNamespace(with_dhcp=()), gates=defaultdict(MagicMock), probers=[],
            )
        )  # fmt: skip

    def keep(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        self.kept.append(asyncio.get_running_loop().create_task(work))
        return self.kept[-1]

    def watch(self, host: Any) -> None:
        os.close(host.end_fd())


@pytest.fixture(autouse=True)
def _no_fabric(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fabric, "attach", lambda *_: None)
    monkeypatch.setattr(fabric, "detach", lambda *_: None)


async def boots(machine: Machine, number: int) -> None:
    limit = Deadline(60)
    while machine.boots < number or machine.pid is None:
        assert not limit.expired
        await asyncio.sleep(0.001)


async def rebooting() -> tuple[Machine, Power]:
    """One that has its power back and boots."""
    machine = Machine()
    power = Power(machine)
    await power.power(NODE, "reboot")
    await boots(machine, 1)
    return machine, power


def test_a_reboot_between_its_last_word_and_the_labs_hearing_it() -> None:
    async def lives() -> None:
        machine, power = await rebooting()
        await asyncio.sleep(0)  # until the lab waits for its last word
        machine.up.set()
        await power.power(NODE, "reboot")
        await boots(machine, 2)
        machine.up.set()
        await asyncio.gather(*power.kept)
        assert (machine.power, machine.boots) == ("on", 2), "the later reboot alone gives it its power back"

    asyncio.run(lives())


def test_what_is_switched_off_while_it_reboots_stays_off() -> None:
    async def lives() -> None:
        machine, power = await rebooting()
        await power.power(NODE, "off")
        machine.up.set()
        await asyncio.gather(*power.kept)
        assert (machine.power, machine.boots) == ("off", 1)

    asyncio.run(lives())


def test_a_host_boots_until_it_has_booted() -> None:
    """`lab status` asks nothing of it meanwhile."""

    async def lives() -> None:
        machine, power = await rebooting()
        assert power.is_booting(NODE)
        machine.up.set()
        await asyncio.gather(*power.kept)
        assert not power.is_booting(NODE)

    asyncio.run(lives())
