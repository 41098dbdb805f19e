"""The stand-in's process: serves until the lab's first process ends."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
from pathlib import Path

from harness.core.errors import Unusable
from harness.lab.azure import relayed_socket
from harness.lab.azure.metadata_service import MetadataServer
from harness.lab.azure.server import Server
from harness.lab.azure.state.azure_state import AzureState
from harness.lab.control import lab_registry
from harness.lab.network.platform_endpoints import METADATA_SOCKET, RESOURCE_MANAGER_SOCKET


def main() -> None:
    """`FOLDER LISTENER_FD READY_FD`: the lab's folder, the listening socket, and where to say that it serves."""
    folder, listener, ready = Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])), int(sys.argv[3])
    lab = lab_registry.read(folder)
    if lab.pid is None:
        raise Unusable(f"the lab in {folder} has not said who its first process is")
    end = os.pidfd_open(lab.pid)
    if not lab.alive:  # asked only now, so that the number cannot have become another process's in between
        return
    azure_folder = folder / "azure"
    state = AzureState.of(folder, (azure_folder / "client-secret").read_text().strip())
    servers = [
        Server(listener, azure_folder, state),
        Server(relayed_socket.listen(lab.pid, RESOURCE_MANAGER_SOCKET), azure_folder, state),
        MetadataServer(relayed_socket.listen(lab.pid, METADATA_SOCKET), state),
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    os.write(ready, b"ready\n")
    os.close(ready)
    select.select([end], [], [])
    os._exit(0)


if __name__ == "__main__":
    main()
