"""Whether this machine's hardware virtualisation works: tried, not believed, because on some machines /dev/kvm is there and hangs."""

from __future__ import annotations

import json
import os
import platform
import select
import subprocess
from pathlib import Path

from harness.core.deadline import Deadline
from harness.core.files import write_atomically
from harness.lab.guests.images.image_store import cache_folder
from harness.lab.guests.machine.qemu_command_line import PROGRAMS

KVM = Path("/dev/kvm")
TRIAL_TIMEOUT_S = 20.0  # a kernel says its first words within a second; a machine that is busy gets more
FIRST_WORDS = b"Linux version"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
KNOWN = "acceleration.json"


def accelerator(kernel: Path) -> str:
    """`kvm` where a kernel comes up with it, else `tcg`, QEMU's own emulation. What was found is kept until this machine boots again."""
    memory_file = cache_folder() / KNOWN
    trial = {"boot": BOOT_ID.read_text().strip(), "kernel": str(kernel), "qemu": version()}
    if (remembered := _read(memory_file)) and {key: remembered.get(key) for key in trial} == trial:
        return str(remembered["accelerator"])
    chosen = "kvm" if KVM.exists() and os.access(KVM, os.R_OK | os.W_OK) and kvm_works(kernel) else "tcg"
    memory_file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(memory_file, json.dumps({**trial, "accelerator": chosen}))
    return chosen


def kvm_works(kernel: Path, *, limit: float = TRIAL_TIMEOUT_S) -> bool:
    """Whether a kernel that is started with it says something within `limit` seconds. It may end at once, hang, or say nothing."""
    program = PROGRAMS[platform.machine()]
    command = [program, "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot", "-machine", "q35,accel=kvm", "-cpu", "host"]
    command += ["-m", "256", "-kernel", str(kernel), "-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1", "-serial", "stdio"]
    deadline = Deadline(limit)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        output, file = b"", process.stdout.fileno()
        try:
            while FIRST_WORDS not in output and select.select([file], [], [], deadline.remaining())[0]:
                chunk = os.read(file, 65536)
                if not chunk:
                    break  # it has ended
                output += chunk
        finally:
            process.kill()
    return FIRST_WORDS in output


def version() -> str:
    """QEMU's, in its own words."""
    program = PROGRAMS.get(platform.machine(), "qemu")
    return subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60.0, check=True).stdout.splitlines()[0]


def _read(file: Path) -> dict | None:
    try:
        data = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return data if isinstance(data, dict) and data.get("accelerator") in ("kvm", "tcg") else None
