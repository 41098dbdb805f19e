"""The command line of QEMU for one machine: what it is made of, and the open files that it inherits. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FORMAT = 2  # of the machine: with another one a snapshot is of another machine
PROGRAMS = {"x86_64": "qemu-system-x86_64"}  # by machine architecture, as Python names it
FIRMWARE_NAME = "romfile="  # of a NIC: none, so that nothing is looked for on the network
MANAGEMENT_NET = "192.168.255.0/24"  # between QEMU and the machine only
HOST_ADDRESS = "192.168.255.2"  # QEMU's own there: the loopback of the network namespace that QEMU is in
# Without virtualisation the processor's own counters run with the host's and are measured wrongly while other processes have the host's
# processors: time is taken from the chip set's, which QEMU keeps right.
EMULATED_CLOCKS = ("clocksource=hpet", "nolapic_timer", "tsc=unstable", "no_timer_check")
# What the kernel does against faults of real processors and against attackers costs an emulated one much; no lab is a sandbox.
EMULATED_PROCESSOR = ("mitigations=off", "audit=0", "apparmor=0", "init_on_alloc=0", "rcupdate.rcu_expedited=1", "nowatchdog")


@dataclass(frozen=True)
class MachineNic:
    """A NIC of a machine: its MAC address, and what carries it."""

    name: str
    mac: str


@dataclass(frozen=True)
class MachineHardware:
    """What a machine is made of."""

    architecture: str
    accelerator: str  # kvm or tcg
    memory_mb: int
    processors: int
    kernel: Path
    disk: Path  # its image, which is only read
    nics: tuple[MachineNic, ...]  # in the order in which they are found
    console: Path  # what it writes to its serial console is appended there
    management: MachineNic  # by which it is logged in to, with the address below
    management_address: str
    shared_disk: Path | None = None  # of both nodes
    append: tuple[str, ...] = field(default=())  # further words for the kernel


@dataclass(frozen=True)
class InheritedFiles:
    """The numbers of the open files that QEMU inherits."""

    monitor: int  # a socket that speaks QMP
    initrd: int
    overlay: int  # what it writes to its disk
    taps: Mapping[str, int]  # by NIC


def command_line(name: str, hardware: MachineHardware, files: InheritedFiles) -> list[str]:
    """All words of it. The machine stands still until QMP's `cont`; a reboot ends QEMU, whose end is the lab's to judge."""
    emulated = hardware.accelerator == "tcg"
    words = [PROGRAMS[hardware.architecture], "-name", name, "-no-user-config", "-nodefaults", "-display", "none", "-S", "-no-reboot"]
    words += ["-machine", f"q35,accel={hardware.accelerator}", "-cpu", "max" if emulated else "host"]
    words += ["-m", str(hardware.memory_mb), "-smp", str(hardware.processors), "-rtc", "base=utc"]
    words += ["-chardev", f"socket,id=monitor,fd={files.monitor}", "-mon", "chardev=monitor,mode=control"]
    words += ["-chardev", f"file,id=console,path={_escaped(hardware.console)},append=on", "-serial", "chardev:console"]
    words += ["-kernel", str(hardware.kernel), "-initrd", f"/proc/self/fd/{files.initrd}"]
    kernel_words = ["console=ttyS0", "panic=-1", "net.ifnames=0", "random.trust_cpu=on", *hardware.append]
    words += ["-append", " ".join([*kernel_words, *((*EMULATED_CLOCKS, *EMULATED_PROCESSOR) if emulated else ())])]
    # Lost power loses what the machine's kernel has not written, and nothing else: what QEMU runs on stays up, so that no flush need reach
    # its disk.
    words += ["-add-fd", f"fd={files.overlay},set=1"]
    for block_device in (
        f"driver=file,node-name=image-file,filename={_escaped(hardware.disk)},read-only=on",
        "driver=raw,node-name=image,file=image-file,read-only=on",
        "driver=file,node-name=written,filename=/dev/fdset/1,cache.no-flush=on",
        "driver=qcow2,node-name=disk,file=written,backing=image,cache.no-flush=on",
    ):
        words += ["-blockdev", block_device]
    words += ["-device", "virtio-blk-pci,drive=disk"]
    if hardware.shared_disk:
        file = f"driver=file,filename={_escaped(hardware.shared_disk)},locking=off,cache.no-flush=on"
        words += ["-blockdev", f"{file},node-name=shared-file", "-blockdev", "driver=raw,node-name=shared,file=shared-file"]
        words += ["-device", "virtio-blk-pci,drive=shared,share-rw=on"]
    words += ["-device", "virtio-rng-pci"]
    for nic in hardware.nics:
        words += ["-netdev", f"tap,id={nic.name},fd={files.taps[nic.name]}"]
        words += ["-device", f"virtio-net-pci,netdev={nic.name},id=nic-{nic.name},mac={nic.mac},{FIRMWARE_NAME}"]
    words += ["-netdev", f"user,id=management,net={MANAGEMENT_NET},hostfwd=tcp:127.0.0.1:22-{hardware.management_address}:22"]
    words += ["-device", f"virtio-net-pci,netdev=management,id=nic-management,mac={hardware.management.mac},{FIRMWARE_NAME}"]
    return words


def _escaped(path: Path) -> str:
    """QEMU takes a comma for the end of an option, unless there are two."""
    return str(path).replace(",", ",,")
