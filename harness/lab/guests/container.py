"""A host that is a container: an image with its own systemd, run by docker or podman; its NICs are the fabric's legs, moved in."""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.core.deadline import Deadline
from harness.lab.guests.container_keeper_client import KeeperClient
from harness.lab.guests.ssh_proxy import own_netns, sshd_answers

BOOT_TIMEOUT_S = 300.0  # until its sshd answers
POLL_INTERVAL_S = 0.02
ANSWER_TIMEOUT_S = 2.0  # of one question
POWER_ON = "power-on"  # a FIFO in the folder that lab and container share: its first process waits for a line in it
SYSCTLS = {  # as every host of the lab has them (see guests/namespace.py)
    "ipv6/conf/all/disable_ipv6": 1,
    "ipv6/conf/default/disable_ipv6": 1,
    "ipv4/ip_unprivileged_port_start": 0,
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/tcp_timestamps": 0,
}


@dataclass(frozen=True)
class ContainerPlan:
    """What a container is made of."""

    name: str
    container: str  # its name with the engine
    image: str  # as the engine knows it
    network: list[str]  # `ip -batch` lines for inside
    seed: Path  # the folder whose files are laid over the image's
    shared: Path  # the folder that the container sees as /run/lab
    hosts: dict[str, str]
    binds: dict[str, str] = field(default_factory=dict)


class ContainerGuest:
    """A container from the outside. The engine is asked through the keeper, because the lab's processes are in other namespaces."""

    kind = "container"
    boot_timeout_s = BOOT_TIMEOUT_S
    cannot: Mapping[str, str] = MappingProxyType({})

    def __init__(self, plan: ContainerPlan, keeper: KeeperClient) -> None:
        self.plan = plan
        self.name = plan.name
        self.pid: int | None = None
        self._frozen = self._changes = False
        self._keeper = keeper
        self._is_created = False
        self._netns: int | None = None
        self._process: int | None = None  # pidfd of its first process
        self._go: int | None = None

    def own_netns(self) -> int | None:
        """An open file of its network namespace; None without power."""
        return self._netns

    @property
    def power(self) -> str:
        """`on`, `off` or `frozen`; on while its power changes, so that a fence waits for the end of that and sees to it that it is off."""
        if self._changes:
            return "on"
        return "off" if self.pid is None else "frozen" if self._frozen else "on"

    async def _ask(self, operation: str, **arguments: Any) -> tuple[Any, list[int]]:
        return await self._keeper.ask(operation, name=self.plan.container, **arguments)

    async def power_on(self) -> str:
        """Start it (its disk is as it left it), and return its network namespace; it waits for its NICs (`connect`)."""
        self._changes = True
        try:
            return await self._start()
        finally:
            self._changes = False

    async def _start(self) -> str:
        if not self._is_created:
            binds = {str(self.plan.shared): "/run/lab", **self.plan.binds}
            options = {
                "image": self.plan.image,
                "hostname": self.name,
                "hosts": self.plan.hosts,
                "binds": binds,
                "seed": str(self.plan.seed),
            }
            await self._ask("create", **options)
            self._is_created = True
        fifo = self.plan.shared / POWER_ON
        fifo.unlink(missing_ok=True)
        os.mkfifo(fifo, 0o600)
        self._go = os.open(fifo, os.O_RDWR | os.O_CLOEXEC)
        self.pid, fds = await self._ask("start")
        self._netns, self._process = fds
        return f"/proc/{os.getpid()}/fd/{self._netns}"

    def connect(self) -> None:
        """Its NICs are there: give them their addresses, as DHCP would, and let it boot."""
        assert self._go is not None and self._netns is not None
        settings = "; ".join(f"echo {value} > /proc/sys/net/{name}" for name, value in SYSCTLS.items())
        command_line = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self._netns}", "sh", "-ec", f"{settings}; exec ip -batch -"]
        completed = subprocess.run(command_line, input="\n".join(self.plan.network) + "\n", capture_output=True, text=True)
        if completed.returncode != 0:
            raise OSError(f"the NICs of {self.name} could not be set up: {completed.stderr.strip()}")
        os.write(self._go, b"go\n")

    async def wait_until_booted(self) -> None:
        """Wait until its sshd answers. Raises OSError when it ended before, or after BOOT_TIMEOUT_S."""
        assert self._go is not None
        deadline, home = Deadline(BOOT_TIMEOUT_S), own_netns()
        try:
            while not await self._answers(home):
                if deadline.expired or self.has_ended:
                    console, _ = await self._ask("console")
                    problem = "ended while it booted" if self.has_ended else f"had no sshd that answers after {BOOT_TIMEOUT_S:g} s"
                    raise OSError(f"{self.name} {problem}; its console: {console or 'nothing'}")
                await asyncio.sleep(POLL_INTERVAL_S)
        finally:
            os.close(home)
        os.close(self._go)
        self._go = None

    async def _answers(self, home: int) -> bool:
        return self._netns is not None and await sshd_answers(self._netns, home, limit=ANSWER_TIMEOUT_S)

    @property
    def has_ended(self) -> bool:
        """Whether its first process is gone."""
        return self._process is None or bool(select.select([self._process], [], [], 0)[0])

    def end_fd(self) -> int:
        """A new file that becomes readable when its first process has ended."""
        assert self._process is not None
        return os.dup(self._process)

    def forget_network(self) -> None:
        """Closes the handle of its network namespace."""
        if self._netns is not None:
            os.close(self._netns)
            self._netns = None

    async def power_loss(self) -> None:
        """End everything in it at once. Its legs must be dark already."""
        if self.pid is None:
            return
        self.pid, self._changes = None, True  # from now on its end is no surprise
        try:
            await self._ask("kill", frozen=self._frozen)
        finally:
            self._changes = self._frozen = False
        if self._process is not None:
            os.close(self._process)
            self._process = None

    async def shutdown(self) -> None:
        """Ask its systemd to stop everything in order and power off."""
        await self._ask("shut_down")

    async def freeze(self) -> None:
        """Stop every process of it where it stands (the freezer of its control group)."""
        await self._ask("pause")
        self._frozen = True

    async def thaw(self) -> None:
        """Lets them run again."""
        await self._ask("unpause")
        self._frozen = False

    def processes(self) -> list[int]:
        """None that the lab sees: it is in another pid namespace."""
        return []
