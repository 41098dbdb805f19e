"""Starting the keeper of a lab's containers beside it, and what the lab must be told of it."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config import cluster_config
from harness.core.errors import Unusable
from harness.lab import lab_config
from harness.lab.control import lab_registry
from harness.lab.guests import container_keeper
from harness.lab.guests.host_provisioning import REPOSITORY
from harness.lab.guests.images import container_engine, image_store
from harness.lab.services.postgres_template import server_binaries

END_TIMEOUT_S = 120.0
MEMORY = container_keeper.MEMORY
UP_TIMEOUT_S = 300.0  # the engine, and a boot with systemd, on a busy machine


@dataclass
class Prepared:
    """A keeper that runs, and the lab's end of the line to it."""

    line: socket.socket
    process: subprocess.Popen
    prefix: str  # of the containers' names
    shared: Path  # what they share with the lab; the keeper removes it

    @property
    def order(self) -> dict[str, Any]:
        """What the lab's first process is told of it."""
        return {"keeper_fd": self.line.fileno(), "container_prefix": self.prefix, "shared_folder": str(self.shared)}

    @property
    def fds(self) -> list[int]:
        """What the lab's first process must inherit."""
        return [self.line.fileno()]

    def let_go(self) -> None:
        """Close this process's copy of the lab's end: from now on the keeper lives as long as the lab."""
        self.line.close()

    def ended(self) -> None:
        """Wait until it has removed everything and ended; the lab's end of the line is closed."""
        self.process.wait(END_TIMEOUT_S)


def prepare(folder: Path, name: str) -> Prepared | None:
    """For the lab in `folder`, whose cluster file stands there: None where no host is a container. Raises BadUse and Unusable."""
    file = folder / "cluster.toml"
    settings = lab_config.make_lab_config(cluster_config.load(file, trusted=True), file)
    if not settings.containers:
        return None
    engine = container_engine.demand()
    for image in {guest.image: image_store.find(guest.image) for guest in settings.containers.values()}.values():
        _demand_same_database(image)
        engine.take_in(image)
    prefix = f"lkharness-{name}-{secrets.token_hex(3)}"
    shared = _choose_folder(folder, settings.shared_disk_mb) / prefix
    shared.mkdir(mode=0o700)
    own_end, keeper_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with keeper_end, (folder / "keeper.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.lab.guests.container_keeper", str(keeper_end.fileno()), str(shared), *engine.words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[keeper_end.fileno()],
            start_new_session=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
    record = {"pid": process.pid, "start_ticks": lab_registry.start_ticks(process.pid)}
    (folder / lab_registry.KEEPER).write_text(json.dumps(record))
    return Prepared(own_end, process, prefix, shared)


def _choose_folder(folder: Path, disk_mb: int) -> Path:
    """Memory, where there is room for the shared disk, as in a lab of namespaces; else the lab's own folder."""
    if not MEMORY.is_dir():
        return folder
    memory_status = os.statvfs(MEMORY)
    return MEMORY if memory_status.f_bavail * memory_status.f_frsize > 2 * disk_mb << 20 else folder


def _demand_same_database(image: image_store.Image) -> None:
    """The database on the shared disk is made by this machine's PostgreSQL and served by the image's."""
    own_version, image_versions = server_binaries().parent.name, image.about["postgres"]
    if own_version not in image_versions:
        raise Unusable(
            f"this machine has PostgreSQL {own_version} and the image {image.name} has {', '.join(image_versions) or 'none'}; "
            f"build it again: lkharness lab image remove {image.name} && lkharness lab image build {image.name}"
        )
