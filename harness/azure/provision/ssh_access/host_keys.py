"""The host keys of machines that were made, known before anybody logs in there: read by run-command, over Azure's own log-in.

Nothing is taken from whoever answers on port 22. A machine without a way out returns nothing by run-command (facts ILB-23), so it is not
asked, and its keys stay unknown: SSH then refuses it until a person has written them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address
from typing import Any

from harness.azure.client.concurrent_requests import run_concurrently
from harness.azure.client.sdk_clients import Clients
from harness.azure.run_command import run_command_call
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Unusable
from harness.hosts.ssh import known_hosts

READ_TIMEOUT_S = 600.0
SCRIPT_TIMEOUT_S = 420.0
KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
# The first boot makes the keys, and Azure's agent may make them anew in it.
SCRIPT = """\
if command -v cloud-init >/dev/null; then timeout 300 cloud-init status --wait >/dev/null 2>&1; fi
cat /etc/ssh/ssh_host_*_key.pub
"""


@dataclass(frozen=True)
class HostKeys:
    """`lines` of a known_hosts file; `unknown`: the hosts whose keys are not in them, and why; `failed`: what was tried in vain."""

    lines: tuple[str, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)
    failed: tuple[str, ...] = ()


def read(clients: Clients, parameters: Mapping[str, Any], public: IPv4Address | None, say: Callable[[str], None]) -> HostKeys:
    """Of every machine at once. `parameters` are the template's; `public` is the client's address for those outside."""
    client, nodes = parameters["client"], parameters["nodes"]
    names = {client["name"]: [*([str(public)] if public else []), client["address"]], **{n["name"]: [n["address"]] for n in nodes}}
    readable = [name for name in names if parameters["outbound"] or (name == client["name"] and public)]
    unknown = {name: "it has no way out, which run-command returns a script's results by" for name in names if name not in readable}
    deadline = Deadline(READ_TIMEOUT_S)
    answers = run_concurrently(
        deadline, {name: partial(_read_host, clients, f"{parameters['prefix']}{name}", deadline) for name in readable}
    )
    lines: list[str] = []
    failed = {name: str(answer) for name, answer in answers.items() if isinstance(answer, HarnessError)}
    for name, answer in answers.items():
        for kind, key in () if isinstance(answer, HarnessError) else answer.items():
            say(f"{name}: its host key is {kind} {known_hosts.fingerprint(key)}")
            lines.append(f"{','.join(names[name])} {kind} {base64.b64encode(key).decode()}")
    return HostKeys(tuple(lines), unknown | failed, tuple(failed.values()))


def _read_host(clients: Clients, machine: str, deadline: Deadline) -> dict[str, bytes]:
    output = run_command_call.run(clients, machine, SCRIPT, deadline, ends_after_s=SCRIPT_TIMEOUT_S)
    if keys := parse_keys(output.out):
        return keys
    raise Unusable(f"{machine}: it told no host key (exit {output.exit}); see /etc/ssh there")


def parse_keys(text: str) -> dict[str, bytes]:
    """The public keys in what a host printed, by their type: only those whose own bytes say the same type."""
    keys = {}
    for line in text.splitlines():
        kind, _, encoded = line.strip().partition(" ")
        try:
            key = base64.b64decode(encoded.split(" ")[0], validate=True)
        except (binascii.Error, ValueError):
            continue
        if kind in KEY_TYPES and _is_whole(kind, key):
            keys[kind] = key
    return keys


def _is_whole(kind: str, key: bytes) -> bool:
    """Its bytes are strings, each behind its length (RFC 4253, 6.6): the type, and what the type has, to the end."""
    fields: list[bytes] = []
    while key:
        length = int.from_bytes(key[:4], "big")
        field, key = key[4 : 4 + length], key[4 + length :]
        if not length or len(field) != length:
            return False
        fields.append(field)
    return len(fields) > 1 and fields[0] == kind.encode()


def content(keys: HostKeys, run: str) -> str:
    """The known_hosts file of a cluster that was made."""
    missing = "".join(f"# {name}: not known: {' '.join(reason.split())}\n" for name, reason in keys.unknown.items())
    return "".join(
        [
            f"# The host keys of run {run}, as its machines told them through Azure's run-command.\n",
            missing,
            *(f"{line}\n" for line in keys.lines),
        ]
    )
