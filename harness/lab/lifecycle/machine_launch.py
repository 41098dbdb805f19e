"""What a lab with virtual machines needs before its first process starts: QEMU, machine disks, and a look at hardware virtualisation."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import Unusable
from harness.lab.control import nsenter
from harness.lab.control.lab_registry import LabRecord
from harness.lab.guests.images import image_store, machine_image
from harness.lab.guests.machine import acceleration, machine_provisioning, machine_snapshot, tap
from harness.lab.guests.machine.qemu_command_line import PROGRAMS
from harness.lab.lab_config import LabSettings

CLOCK_TIMEOUT_S = 120.0
UP_TIMEOUT_S = 1800.0  # two boots without hardware virtualisation on a busy machine, and Pacemaker's first start
PACKAGES = ("qemu-system-x86", "qemu-utils")


def missing_programs() -> list[str]:
    """The packages of QEMU that are not here."""
    programs = {PROGRAMS.get(platform.machine(), PROGRAMS["x86_64"]): PACKAGES[0], "qemu-img": PACKAGES[1]}
    return [package for program, package in programs.items() if not shutil.which(program)]


def machine_disk_lack(image: str) -> str:
    """Why a machine of that image cannot be started at once, or nothing."""
    try:
        return "" if machine_image.find(image_store.find(image)) else f"the image {image} has no machine disk yet"
    except Unusable as error:
        return str(error).partition("; build it")[0]


def acceleration_found(image: str) -> str:
    """What a trial of hardware virtualisation shows, in a sentence."""
    disk = machine_image.find(image_store.find(image))
    if disk is not None and acceleration.accelerator(disk.kernel) == "kvm":
        return "a kernel comes up with it"
    reason = "hangs or fails when it is tried" if acceleration.KVM.exists() else "is not there"
    return f"/dev/kvm {reason}: machines are emulated, which is ten times slower"


def architecture_lack() -> str:
    """Why there are no machines for this machine's processor, or nothing."""
    if platform.machine() in PROGRAMS:
        return ""
    return f"guests of kind machine are run on {', '.join(PROGRAMS)} only, and this machine is {platform.machine()}"


def demand() -> None:
    """Raises Unusable where this process cannot run machines."""
    if lack := architecture_lack():
        raise Unusable(lack)
    if os.geteuid() != 0:
        raise Unusable("guests of kind machine are run by root only; use sudo, or guests of kind namespace")
    if missing := missing_programs():
        raise Unusable(f"guests of kind machine need QEMU; fix it with: apt-get install -y --no-install-recommends {' '.join(missing)}")
    if not tap.DEVICE.exists():
        raise Unusable(f"guests of kind machine need {tap.DEVICE}; fix it with: modprobe tun")


@dataclass(frozen=True)
class PreparedMachines:
    """What is settled before the lab's folder is made."""

    accelerator: str
    snapshot_key: str  # empty where no snapshot can be taken of it
    snapshot: Path | None  # the folder of the one that it goes on from

    @property
    def order(self) -> dict[str, Any]:
        """What the lab's first process is told."""
        return {"accelerator": self.accelerator, "snapshot": str(self.snapshot) if self.snapshot else None}

    def give_keys(self, lab_folder: Path) -> None:
        """The keys that the machines of a snapshot know, as those of the lab in that folder."""
        if self.snapshot_key:
            (lab_folder / machine_snapshot.KEY_FILE).write_text(self.snapshot_key)
        if self.snapshot:
            shutil.copytree(self.snapshot / machine_snapshot.KEYS, lab_folder / "keys")


def prepare(
    data: Mapping[str, Any],
    settings: LabSettings,
    say: Callable[[str], None] = lambda text: None,
    *,
    bare: bool,
    azure: bool,
    may_resume: bool = True,
) -> PreparedMachines:
    """Settle it: make the machine disks that are not there yet, try virtualisation, look for a snapshot. Raises BadUse and Unusable."""
    demand()
    kernel = None
    for name in sorted({guest.image for guest in settings.machines.values()}):
        kernel = machine_image.make(image_store.find(name), say).kernel
    assert kernel is not None
    accelerator = acceleration.accelerator(kernel)
    say("machines with hardware virtualisation" if accelerator == "kvm" else "machines without hardware virtualisation, which is slow")
    if azure:  # the certificate of its API is the lab's own, and another one's machines do not trust it
        return PreparedMachines(accelerator, "", None)
    made_by = {"emulator": acceleration.version(), "programs": machine_provisioning.programs_key()}
    snapshot_key = machine_snapshot.key(data, settings, accelerator=accelerator, bare=bare, **made_by)
    snapshot = machine_snapshot.find(snapshot_key) if may_resume else None
    if snapshot:
        say(f"going on from the snapshot {snapshot_key}")
    return PreparedMachines(accelerator, snapshot_key, snapshot.folder if snapshot else None)


def set_clocks(lab: LabRecord, hosts: Iterable[str]) -> None:
    """The wall clocks of machines that have stood still are set to this machine's: over SSH, so to some tenths of a second. Raises
    Unusable."""
    for host in hosts:
        completed = nsenter.run(lab, host, ["date", "--set", f"@{time.time():.3f}"], limit=CLOCK_TIMEOUT_S)
        if completed.returncode != 0:
            raise Unusable(f"the clock of {host} could not be set: {completed.stderr.strip()}")
