"""The cluster file of a lab: the one that the harness attaches to it with, as it would to any cluster."""

from __future__ import annotations

import secrets
import socket
import sys
from pathlib import Path
from typing import Any

import tomli_w

from harness.core.files import write_atomically
from harness.lab import lab_config
from harness.lab.guests.host_provisioning import MSSQL_FILES
from harness.lab.guests.images.image_store import cache_folder


def cluster_file_text(data: dict[str, Any], name: str, listeners: dict[str, socket.socket], note: str, at_fabric: list[str] | None) -> str:
    """The file's text: `data` with how each host is reached, the power commands, the databases' password, and the command that captures at
    the fabric for the hosts in `at_fabric` (None: none is named)."""

    def reachable(machine: dict[str, Any]) -> dict[str, Any]:
        ssh = {
            "host": "127.0.0.1",
            "port": listeners[machine["name"]].getsockname()[1],
            "user": "root",
            "key": "keys/login",
            "known_hosts": "known_hosts",
        }
        if machine.get("platform", "linux") == "linux":
            ssh["python"] = "/opt/lab/bin/python3"
        return {**machine, "ssh": {**ssh, **machine.get("ssh", {})}}

    power = [sys.executable, "-m", "harness.cli", "lab", "power", "--name", name]
    capture = [sys.executable, "-m", "harness.cli", "lab", "capture", "--name", name]
    table = {
        **{key: value for key, value in data.items() if key != "network_capture"},  # another network's
        "name": name,
        "client": reachable(data["client"]),
        "nodes": [reachable(node) for node in data["nodes"]],
        "services": [_with_password(service) for service in data["services"]],
        "power": {
            **{to: [*power, to, "{node}", "--for", "{seconds}"] for to in ("off", "freeze")},
            **{to: [*power, to, "{node}"] for to in ("on", "reboot", "thaw")},
        },
        **({} if at_fabric is None else {"network_capture": {"command": capture, "hosts": at_fabric}}),
    }
    return f"# Written by `lkharness lab up`. {note}\n" + tomli_w.dumps(table)


def _with_password(service: dict[str, Any]) -> dict[str, Any]:
    if service["kind"] not in lab_config.DATABASES:
        return service
    settings = service.get("settings", {})
    trusts = {"ca_file": f"{MSSQL_FILES}/ca.pem"} if service["kind"] == "mssql" and "trust_certificate" not in settings else {}
    return {**service, "settings": {"password_file": str(database_password_file()), **trusts, **settings}}


def database_password_file() -> Path:
    """The labs' database password, made once on this machine so that the template can be kept."""
    file = cache_folder() / "database-password"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, secrets.token_urlsafe(18), private=True)
    return file
