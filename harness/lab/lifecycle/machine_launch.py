"""What a lab with virtual machines needs before its first process starts: QEMU, machine disks, and a look at hardware virtualisation."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from typing import Any

from harness.core.errors import Unusable
from harness.lab.guests.images import image_store, machine_image
from harness.lab.guests.machine import acceleration, tap
from harness.lab.guests.machine.command_line import PROGRAMS
from harness.lab.lab_config import LabSettings

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


def demand() -> None:
    """Raises Unusable where this process cannot run machines."""
    if platform.machine() not in PROGRAMS:
        raise Unusable(f"guests of kind machine are run on {', '.join(PROGRAMS)} only, and this machine is {platform.machine()}")
    if os.geteuid() != 0:
        raise Unusable("guests of kind machine are run by root only; use sudo, or guests of kind namespace")
    if missing := missing_programs():
        raise Unusable(f"guests of kind machine need QEMU; fix it with: apt-get install -y --no-install-recommends {' '.join(missing)}")
    if not tap.DEVICE.exists():
        raise Unusable(f"guests of kind machine need {tap.DEVICE}; fix it with: modprobe tun")


def prepare(settings: LabSettings, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """What the lab's first process is told: nothing where no host is a machine. Makes the machine disks that are not there yet. Raises
    BadUse and Unusable."""
    if not settings.machines:
        return {}
    demand()
    kernel = None
    for name in sorted({guest.image for guest in settings.machines.values()}):
        kernel = machine_image.make(image_store.find(name), say).kernel
    assert kernel is not None
    accelerator = acceleration.accelerator(kernel)
    say("machines with hardware virtualisation" if accelerator == "kvm" else "machines without hardware virtualisation, which is slow")
    return {"accelerator": accelerator}
