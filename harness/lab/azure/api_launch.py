"""Starting the stand-in beside a lab, and what the lab's cluster file says of it."""

from __future__ import annotations

import json
import os
import secrets
import select
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.deadline import Deadline
from harness.core.errors import BadUse, Unusable
from harness.lab.azure.state import resource_ids
from harness.lab.control import lab_registry
from harness.lab.guests.host_provisioning import AZURE_FILES, REPOSITORY
from harness.lab.network.platform_endpoints import RESOURCE_MANAGER, RESOURCE_MANAGER_NAME

POLL_S = {"fast": 0.1, "azure": 5.0}
HEALTH_S = {"fast": 1.0, "azure": 10.0}


@dataclass
class Prepared:
    """A stand-in that has its place, its certificate and its secret, and does not run yet."""

    listener: socket.socket
    table: dict[str, Any]

    def start(self, folder: Path, deadline: Deadline) -> None:
        """Start its process for the lab in `folder`, which runs; it ends with the lab. Raises Unusable."""
        read_end, write_end = os.pipe()
        try:
            with (folder / "azure.log").open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "harness.lab.azure", str(folder), str(self.listener.fileno()), str(write_end)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[self.listener.fileno(), write_end],
                    start_new_session=True,
                    cwd="/",
                    env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                )
            os.close(write_end)
            write_end = -1
            serves = select.select([read_end], [], [], deadline.remaining())[0] and os.read(read_end, 64)
        finally:
            for fd in (read_end, write_end):
                if fd >= 0:
                    os.close(fd)
        if not serves:
            process.kill()
            process.wait()
            lines = (folder / "azure.log").read_text(errors="replace").strip().splitlines()
            raise Unusable(f"the lab's Azure stand-in did not start: {lines[-1] if lines else 'it said nothing in time'}")
        (folder / AZURE_FILES / "process.json").write_text(
            json.dumps({"pid": process.pid, "start_ticks": lab_registry.start_ticks(process.pid)})
        )


def prepare(folder: Path, data: dict[str, Any]) -> Prepared:
    """Make the certificate and the secret in the lab's folder, and bind the port. Raises BadUse when the file has an [azure] already."""
    from harness.lab import certificate_authority  # cryptography, which a lab without Azure needs not

    if "azure" in data:
        raise BadUse("the file has an [azure] table already, and --azure would write another; leave one of them out")
    azure_folder = folder / AZURE_FILES
    azure_folder.mkdir(mode=0o700)
    certificate_authority.make(azure_folder, ("127.0.0.1", RESOURCE_MANAGER), names=(RESOURCE_MANAGER_NAME,))
    secret = azure_folder / "client-secret"
    secret.touch(mode=0o600)
    secret.write_text(secrets.token_urlsafe(24) + "\n")
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    base = f"https://127.0.0.1:{listener.getsockname()[1]}"
    profile = data.get("lab", {}).get("profile", "fast")
    table = {
        "subscription": resource_ids.SUBSCRIPTION,
        "resource_group": resource_ids.GROUP,
        "load_balancer": resource_ids.BALANCER,
        "tenant": resource_ids.TENANT,
        "credential": "client-secret",
        "client_id": resource_ids.CLIENT_ID,
        "client_secret_file": f"{AZURE_FILES}/client-secret",
        "authority": base,
        "resource_manager": base,
        "audience": resource_ids.AUDIENCE,
        "ca_file": f"{AZURE_FILES}/ca.pem",
        "instance_discovery": False,
        "power": True,
        "poll_s": POLL_S[profile],
        "health_period_s": HEALTH_S[profile],
    }
    return Prepared(listener, table)
