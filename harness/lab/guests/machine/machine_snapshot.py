"""Snapshots of a lab's machines, memory included, in the cache: what a later lab of the same content goes on from instead of booting."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import BadUse
from harness.lab.guests.images import image_store, machine_image
from harness.lab.guests.machine import qemu_command_line
from harness.lab.lab_config import LabSettings

ABOUT = "snapshot.json"  # written last: without it a folder is no snapshot
KEYS = "keys"
SHARED_DISK = "shared.raw"
KEY_FILE = "snapshot-key"  # in a lab's folder: the key of a snapshot of it


def snapshots_folder() -> Path:
    """Where they lie."""
    return image_store.cache_folder() / "snapshots"


def key(data: Mapping[str, Any], settings: LabSettings, *, accelerator: str, emulator: str, programs: str, bare: bool) -> str:
    """The same for labs whose machines would be the same in every part, so that one can go on where another stood.

    `emulator`: QEMU's version; `programs`: a hash of what this package puts into a machine. The lab's name is no part of it: it is in the
    machines' configuration, and nothing depends on it there.
    """
    images = {name: image_store.find(name).about["key"] for name in {guest.image for guest in settings.machines.values()}}
    formats = [machine_image.FORMAT, qemu_command_line.FORMAT]
    parts = [{**data, "name": ""}, images, formats, accelerator, emulator, programs, bare]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class MachineSnapshot:
    """One in the cache."""

    folder: Path
    about: dict[str, Any]

    @property
    def bytes(self) -> int:
        """What it takes on the disk."""
        return sum(file.stat().st_blocks * 512 for file in self.folder.rglob("*") if file.is_file())


def disk_of(folder: Path, host: str) -> Path:
    """The file in a snapshot's folder with a machine's disk and memory."""
    return folder / f"{host}.qcow2"


def snapshots() -> list[MachineSnapshot]:
    """All of them, the newest first."""
    all_snapshots = [MachineSnapshot(file.parent, json.loads(file.read_text())) for file in snapshots_folder().glob(f"[!.]*/{ABOUT}")]
    return sorted(all_snapshots, key=lambda snapshot: -snapshot.about["taken_at"])


def find(snapshot_key: str) -> MachineSnapshot | None:
    """The snapshot of that key."""
    return next((snapshot for snapshot in snapshots() if snapshot.folder.name == snapshot_key), None)


def remove(snapshot: MachineSnapshot) -> None:
    """Take it out of the cache."""
    (snapshot.folder / ABOUT).unlink()
    shutil.rmtree(snapshot.folder)


def keep(lab_folder: Path, lab: str, hosts: list[str], save: Callable[[Path], Any]) -> MachineSnapshot:
    """Keep a snapshot of a lab that runs: `save` has the lab write its disks into a folder. Raises BadUse for a lab without machines."""
    if not (lab_folder / KEY_FILE).exists():
        raise BadUse(
            f"the lab {lab!r} has no virtual machines, or Azure's API beside them; only machines alone can be kept and gone on from"
        )
    folder = snapshots_folder() / (lab_folder / KEY_FILE).read_text()
    began = time.time()
    with _new_folder(folder) as new:
        save(new)
        shutil.copytree(lab_folder / "keys", new / KEYS)
        about = {"lab": lab, "hosts": hosts, "taken_at": began, "took_s": round(time.time() - began, 3)}
        (new / ABOUT).write_text(json.dumps(about))
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)
    return MachineSnapshot(folder, about)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside it, which is removed unless it becomes that one. What a killed process of this user left is removed as well."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for half in folder.parent.glob(".*.*"):
        pid = half.name.rpartition(".")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(half)
    new = folder.parent / f".{folder.name}.{os.getpid()}"
    new.mkdir(mode=0o700)
    try:
        yield new
    finally:
        if new.exists():
            shutil.rmtree(new)


def copy(source: Path | str, target: Path) -> None:
    """A copy of a disk, with its holes; quick where the file system can share the blocks. Raises OSError."""
    completed = subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(source), str(target)], capture_output=True, text=True)
    if completed.returncode != 0:
        raise OSError(f"a disk could not be copied: {completed.stderr.strip()}")
