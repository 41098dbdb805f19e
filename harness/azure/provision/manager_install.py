"""A cluster manager on the nodes that were made: the repo's own script for Pacemaker, or one that the user brings.

A script runs on both nodes, as root, by Azure's run-command and by the interpreter that its first line names (else sh), with LKH_…
variables that say what it is there for. LifeKeeper's media and licence are the user's: such a script fetches them from where the user keeps
them (docs/azure/provisioning.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from harness.azure.client.concurrent_requests import run_concurrently
from harness.azure.client.sdk_clients import Clients
from harness.azure.run_command import run_command_call
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, Unusable
from harness.core.text.host_text import one_line

PACEMAKER = Path(__file__).with_name("install_pacemaker.sh")
TIMEOUT_MARGIN_S = 5.0
MAX_REMARKS = 5  # lines of a script's standard error that are told although it went well


def script_of(manager: str) -> str | None:
    """`none`, `pacemaker`, or a file. Raises BadUse."""
    if manager == "none":
        return None
    file = PACEMAKER if manager == "pacemaker" else Path(manager)
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "no text")
        raise BadUse(f"--manager {manager}: cannot be read ({reason}); write none, pacemaker, or the path of a script") from error


def variables(parameters: Mapping[str, Any], index: int, run: str) -> dict[str, str]:
    """What a script is told, on the node with this index."""
    nodes = parameters["nodes"]
    node, peer = nodes[index], nodes[1 - index]
    return {
        "LKH_RUN": run,
        "LKH_FIRST": "yes" if index == 0 else "no",
        "LKH_NODE": node["name"],
        "LKH_NODE_ADDRESS": node["address"],
        "LKH_NODE_SECOND": node["second"],
        "LKH_PEER": peer["name"],
        "LKH_PEER_ADDRESS": peer["address"],
        "LKH_PEER_SECOND": peer["second"],
        "LKH_CLIENT": parameters["client"]["name"],
        "LKH_VIP": parameters["frontend"],
        "LKH_DESIGN": parameters["design"],
        "LKH_PROBE_PORT": str(parameters["probePort"]),
        "LKH_PORTS": " ".join(map(str, parameters["ports"])),
    }


def install(clients: Clients, parameters: Mapping[str, Any], run: str, script: str, deadline: Deadline, say: Callable[[str], None]) -> None:
    """On both nodes at once. Raises Unusable with the last words of the script that failed."""

    def install_on(index: int) -> str | None:
        machine = f"{parameters['prefix']}{parameters['nodes'][index]['name']}"
        output = run_command_call.run(clients, machine, script, deadline, variables(parameters, index, run))
        if output.exit == 0:
            for line in output.err.strip().splitlines()[-MAX_REMARKS:]:
                say(f"{machine}: the cluster manager's script says: {one_line(line)}")
            say(f"{deadline.elapsed():6.1f} s  {machine}: the cluster manager's script is done")
            return None
        last_line = (output.err.strip() or output.out.strip() or "nothing").splitlines()[-1]
        return f"{machine}: the cluster manager's script exited {output.exit} and said: {one_line(last_line)}"

    # Not in a pool, which would hold up Ctrl-C until both scripts have ended. The margin is for the deadline's own words.
    results = run_concurrently(Deadline(deadline.remaining() + TIMEOUT_MARGIN_S), {index: partial(install_on, index) for index in (0, 1)})
    if faults := [str(fault) for fault in results.values() if fault]:
        raise Unusable("; ".join(faults))
