"""Whether Azure would make what is wished: what the template's own types do not see, by the options' names, before anything is asked.

Sources: the API reference's OSProfile.adminUsername (names, length) and LoadBalancingRule.frontendPort (1 to 65534); Azure's naming rules
(virtualMachines: 64 characters, letters, digits and hyphens); useradd's 32 characters; a tag's value holds 256.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from harness.azure.provision.deployment_request import DeploymentRequest
from harness.azure.provision.template import template
from harness.core.errors import BadUse

RULES_LAST_PORT, LAST_PORT = 65534, 65535
MAX_TAG_LENGTH = 256
USER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,31}")
PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}")
SIZE = re.compile(r"[A-Za-z0-9_-]{1,64}")
REGION = re.compile(r"[A-Za-z0-9]+( [A-Za-z0-9]+)*")
NO_USER = {"admin", "admin1", "admin2", "user", "user1", "user2", "user3", "user4", "user5", "test", "test1", "test2", "test3"}
NO_USER |= {"1", "123", "a", "actuser", "adm", "administrator", "aspnet", "backup", "console", "david", "guest", "john", "owner", "root"}
NO_USER |= {"server", "sql", "support", "support_388945a0", "sys"}


def check(request: DeploymentRequest) -> None:
    """Raises BadUse with every fault."""
    if faults := list(_faults(request)):
        raise BadUse("; ".join(faults))


def _faults(request: DeploymentRequest) -> Iterator[str]:
    p = template.parameters_of(template.load(), request.parameters)
    yield from _port_faults(p["ports"])
    if not 1 <= p["probePort"] <= LAST_PORT:
        yield f"--probe-port {p['probePort']}: is no port; write one from 1 to {LAST_PORT}"
    if not USER.fullmatch(p["user"]):
        yield (f"--user {_printable(p['user'])}: is no user's name; write at most 32 letters, digits, - and _, no digit or - first")
    elif p["user"].lower() in NO_USER:
        yield f"--user {p['user']}: Azure takes no user of that name; write another, such as azureuser"
    if p["prefix"] and not PREFIX.fullmatch(p["prefix"]):
        yield (
            f"--prefix {_printable(p['prefix'])}: cannot begin the names of virtual machines; write at most 40 letters, digits and "
            "hyphens, no hyphen first"
        )
    if not SIZE.fullmatch(p["vmSize"]):
        yield f"--size {_printable(p['vmSize'])}: is no machine's size; write one such as Standard_D2s_v5"
    if not REGION.fullmatch(request.location):
        yield f"--location {_printable(request.location)}: is no region's name; write one such as westeurope"
    if len(request.owner) > MAX_TAG_LENGTH:
        yield f"--owner: is {len(request.owner)} characters long, and a tag holds {MAX_TAG_LENGTH}; write a shorter one"


def _port_faults(ports: list[int]) -> Iterator[str]:
    for port, times in Counter(ports).items():
        if not 1 <= port <= RULES_LAST_PORT:
            yield f"--port {port}: is no port for a rule; write one from 1 to {RULES_LAST_PORT}"
        elif times > 1:
            yield f"--port {port}: is given {times} times; every service needs a port of its own"


def _printable(text: str) -> str:
    return text if text and text.isprintable() else repr(text)
