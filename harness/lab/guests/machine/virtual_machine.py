"""A host that is a virtual machine: a disk image under QEMU, driven by QMP; its NICs are taps, which are the fabric's legs themselves.

QEMU is a child of the lab's first process, in the lab's process namespace: it ends with it, however that ends. What the machine writes
to its disk goes to a file that has no name any more, only the lab's open file of it, so that it ends with the lab, too.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from harness.core.deadline import Deadline
from harness.lab.guests.machine import machine_snapshot, qemu_command_line, tap
from harness.lab.guests.machine.qemu_command_line import InheritedFiles, MachineHardware
from harness.lab.guests.machine.qmp import QmpMonitor
from harness.lab.guests.ssh_proxy import own_netns, sshd_answers
from harness.lab.linux.linux_syscalls import CLONE_NEWNET, setns, unshare
from harness.lab.network import fabric

BOOT_TIMEOUT_S = 900.0  # until its sshd answers, without hardware virtualisation, on a busy machine
ANSWER_TIMEOUT_S = 10.0  # of one question whether it does
POLL_INTERVAL_S = 0.5
CONSOLE_LINES = 5
SNAPSHOT = "lkharness"  # the name within the disk
SNAPSHOT_DISKS = {"vmstate": "disk", "devices": ["disk"]}  # not the shared one, which is copied by itself
SNAPSHOT_TIMEOUT_S = 300.0
LEGS_ARE_THERE = ""  # in the place of a network namespace: the fabric makes no legs for a machine, its taps are them


@dataclass(frozen=True)
class MachinePlan:
    """What a machine is made of and where its files lie."""

    name: str
    hardware: MachineHardware
    legs: Mapping[str, str]  # by NIC: the fabric's leg
    initrd: Path  # the image's
    seed: bytes  # what is laid over the image, once, in the kernel's own format
    folder: Path  # of the lab, for what the machine writes to its disk
    snapshot: Path | None = None  # a disk with the machine's memory: it goes on from there the first time that it is given power


class VirtualMachine:
    """A virtual machine from the outside."""

    kind = "machine"
    boot_timeout_s = BOOT_TIMEOUT_S
    cannot: Mapping[str, str] = MappingProxyType({})

    def __init__(self, plan: MachinePlan) -> None:
        self.plan = plan
        self.name = plan.name
        self.pid: int | None = None
        self._process: subprocess.Popen | None = None
        self._process_fd: int | None = None  # by which its end is known, though it has been waited for
        self._monitor: QmpMonitor | None = None
        self._frozen = False
        self._unplugged: set[str] = set()  # NICs whose cable is pulled, with or without power
        self._overlay: int | None = None
        self._initrd: int | None = None
        self._netns = _new_network_namespace()  # QEMU's own: the machine's way in ends at its loopback, and nothing leads out of it

    @property
    def power(self) -> str:
        """`on`, `off` or `frozen`."""
        return "off" if self.pid is None else "frozen" if self._frozen else "on"

    @property
    def management_netns(self) -> int:
        """An open file of the network namespace that the machine reaches at 192.168.255.2, with or without power."""
        return self._netns

    def own_netns(self) -> int | None:
        """An open file of the network namespace whose loopback leads to its sshd; None without power."""
        return self._netns if self.pid is not None else None

    async def power_on(self) -> str:
        """Start QEMU; the machine stands still until `connect`. Its NICs' legs are there when this returns."""
        resumes = self._overlay is None and self.plan.snapshot is not None
        if self._overlay is None:
            self._overlay, self._initrd = self._make_overlay(), _in_memory(self.plan.initrd.read_bytes() + self.plan.seed)
        assert self._initrd is not None
        taps: dict[str, int] = {}
        own_end, monitor_end = socket.socketpair()
        own_end.setblocking(False)
        monitor = QmpMonitor(own_end)
        try:
            for nic, leg in self.plan.legs.items():
                taps[nic] = tap.open_leg(leg)
                fabric.settle_leg(leg)
            files = InheritedFiles(monitor_end.fileno(), self._initrd, self._overlay, taps)
            self._process = self._start(
                qemu_command_line.command_line(self.name, self.plan.hardware, files), [monitor_end.fileno(), *taps.values()]
            )
        finally:
            monitor_end.close()
            for fd in taps.values():
                os.close(fd)
        try:
            await monitor.open()
            if resumes:
                await monitor.run_job("snapshot-load", {"tag": SNAPSHOT, **SNAPSHOT_DISKS}, limit=SNAPSHOT_TIMEOUT_S)
                await monitor.run_job("snapshot-delete", {"tag": SNAPSHOT, "devices": SNAPSHOT_DISKS["devices"]}, limit=SNAPSHOT_TIMEOUT_S)
            for nic in sorted(self._unplugged):
                await monitor.ask("set_link", _link(nic, plugged=False))
        except OSError as error:
            monitor.close()
            self._process.kill()
            self._process.wait()
            raise OSError(f"{self.name}: {error}; QEMU's own words are in the lab's log") from None
        self.pid, self._monitor, self._process_fd = self._process.pid, monitor, os.pidfd_open(self._process.pid)
        return LEGS_ARE_THERE

    def _make_overlay(self) -> int:
        """The open file of a new disk over the image, without a name."""
        path = self.plan.folder / "overlay.qcow2"
        if self.plan.snapshot is not None:
            machine_snapshot.copy(self.plan.snapshot, path)
        else:
            command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(self.plan.hardware.disk), str(path)]
            completed = subprocess.run(command, capture_output=True, text=True)
            if completed.returncode != 0:
                raise OSError(f"{self.name}: its disk could not be made: {completed.stderr.strip()}")
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        path.unlink()
        return fd

    def _start(self, words: list[str], fds: list[int]) -> subprocess.Popen:
        assert self._overlay is not None and self._initrd is not None
        home = own_netns()
        setns(self._netns, CLONE_NEWNET)
        try:
            inherited = [*fds, self._overlay, self._initrd]
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=None, stderr=None, pass_fds=inherited, start_new_session=True)
        finally:
            setns(home, CLONE_NEWNET)
            os.close(home)

    def connect(self) -> None:
        """Its legs are in the fabric: let it run."""
        assert self._monitor is not None
        self._monitor.send("cont")

    async def wait_until_booted(self) -> None:
        """Wait until its sshd answers. Raises OSError when it ended before, or after BOOT_TIMEOUT_S."""
        deadline, home, pid = Deadline(BOOT_TIMEOUT_S), own_netns(), self.pid
        try:
            while not await sshd_answers(self._netns, home, limit=ANSWER_TIMEOUT_S):
                if deadline.expired or self.has_ended or self.pid != pid:
                    problem = "ended while it booted" if self.has_ended else f"had no sshd that answers after {BOOT_TIMEOUT_S:g} s"
                    raise OSError(f"{self.name} {problem}; its console: {self.last_words() or 'nothing'}")
                await asyncio.sleep(POLL_INTERVAL_S)
        finally:
            os.close(home)

    def last_words(self) -> str:
        """The last lines of its console."""
        console = self.plan.hardware.console
        lines = console.read_text(errors="replace").splitlines() if console.exists() else []
        return " / ".join(line.strip() for line in lines[-CONSOLE_LINES:])

    @property
    def has_ended(self) -> bool:
        """Whether QEMU is gone."""
        return self._process is None or self._process.poll() is not None

    def end_fd(self) -> int:
        """A new file that becomes readable when QEMU has ended."""
        assert self._process_fd is not None
        return os.dup(self._process_fd)

    def forget_network(self) -> None:
        """Its management network stays, for the next time that it has power."""

    async def power_loss(self) -> None:
        """QEMU is killed. Its legs must be dark already."""
        if self.pid is None:
            return
        assert self._process is not None and self._monitor is not None
        process, monitor, self.pid, self._monitor, self._frozen = self._process, self._monitor, None, None, False
        process.kill()
        process.wait()
        monitor.close()
        if self._process_fd is not None:
            os.close(self._process_fd)
            self._process_fd = None

    async def shutdown(self) -> None:
        """Press its power button (ACPI), which systemd takes as the wish to stop everything in order."""
        await self._ask("system_powerdown")

    async def freeze(self) -> None:
        """Stop its processors; its own clocks stand still with them."""
        await self._ask("stop")
        self._frozen = True

    async def thaw(self) -> None:
        """Lets them run again."""
        await self._ask("cont")
        self._frozen = False

    async def save(self, file: Path) -> None:
        """Write its disk, with its memory as it is now, to a new file. It must be frozen, and stays so."""
        if self.power != "frozen" or self._monitor is None or self._overlay is None:
            raise ValueError(f"{self.name} is {self.power}; only a machine that stands still can be saved")
        await self._monitor.run_job("snapshot-save", {"tag": SNAPSHOT, **SNAPSHOT_DISKS}, limit=SNAPSHOT_TIMEOUT_S)
        try:
            machine_snapshot.copy(f"/proc/{os.getpid()}/fd/{self._overlay}", file)
        finally:
            await self._monitor.run_job(
                "snapshot-delete", {"tag": SNAPSHOT, "devices": SNAPSHOT_DISKS["devices"]}, limit=SNAPSHOT_TIMEOUT_S
            )

    async def set_link(self, nic: str, *, plugged: bool) -> None:
        """Pull the cable of a NIC, or put it in: the machine sees that its link is down, after a loss of power as well.

        Raises ValueError for a NIC that it has not.
        """
        if nic not in self.plan.legs:
            raise ValueError(f"{self.name} has no NIC {nic!r}; it has {', '.join(self.plan.legs)}")
        if self._monitor is not None:  # without power it is seen at the next start
            await self._ask("set_link", _link(nic, plugged=plugged))
        (self._unplugged.discard if plugged else self._unplugged.add)(nic)

    async def _ask(self, command: str, arguments: Mapping[str, object] | None = None) -> object:
        if self._monitor is None:
            raise OSError(f"{self.name} has no power")
        return await self._monitor.ask(command, arguments)

    def processes(self) -> list[int]:
        """None that the lab sees: they are the machine's own."""
        return []


def _link(nic: str, *, plugged: bool) -> dict[str, object]:
    """The arguments of QMP's `set_link` for one of the machine's NICs."""
    return {"name": f"nic-{nic}", "up": plugged}


def _in_memory(content: bytes) -> int:
    """An open file that has no name on any disk."""
    fd = os.memfd_create("initrd", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(content)
    return fd


def _new_network_namespace() -> int:
    """The open file of a new network namespace, in which only the loopback is up."""
    home = own_netns()
    try:
        unshare(CLONE_NEWNET)
        try:
            fabric.batch(["link set lo up"])
            return own_netns()
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)
