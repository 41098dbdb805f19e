"""A failover cluster of Windows: the lab's own cluster beneath, told and driven in the words of that one.

It is not Windows' cluster. A role or resource is moved, started and stopped by the node that is asked; Windows' would do it from any.
"""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
from collections.abc import Iterable
from typing import Any

from harness.lab.guests.windows import underlying_node
from harness.lab.guests.windows.script_answers import Missing, Row, ScriptError, stands_for
from harness.lab.guests.windows.stand_ins import wsfc_rows
from harness.lab.guests.windows.stand_ins.lifekeeper_scripts import RUNS, program_of
from harness.lab.lifekeeper.commands import command_client

SERVICE = "ClusSvc"
VIEW = "standin_view"  # harness.lab.lifekeeper.commands.daemon_view, whose module needs the whole daemon


def view() -> dict[str, Any] | None:
    """What the daemon beneath knows; None where it does not answer."""
    try:
        code, out, _ = command_client.ask(str(RUNS / "control.sock"), [VIEW])
    except (OSError, ValueError):
        return None
    found: dict[str, Any] | None = json.loads(out) if code == 0 else None
    return found


def service_state() -> str:
    """Of the cluster's service."""
    return wsfc_rows.service_state(view())


@stands_for("wsfc-state")
def wsfc_state(group: str = "", resource: str = "") -> Iterable[Row]:
    """What this node says of its cluster."""
    if not underlying_node.is_failover_cluster():
        raise Missing("there is no cluster service (ClusSvc)")
    seen = view()
    state = wsfc_rows.service_state(seen)
    yield {"K": "service", "Name": SERVICE, "State": state, "Node": socket.gethostname()}
    if seen is None or state != "Running":
        return
    yield from wsfc_rows.node_rows(seen)
    yield from wsfc_rows.group_rows(seen)
    yield from wsfc_rows.resource_rows(seen)
    if not group and not resource:
        usable = [one["local"] for link in underlying_node.links() if "UP" in link["flags"] for one in link["addr_info"]]
        yield from wsfc_rows.network_rows(seen, usable)
    if group:
        if group.lower() == wsfc_rows.role(seen).lower():
            yield from wsfc_rows.owner_rows(seen)
        yield wsfc_rows.quorum_row(seen)
    if resource:
        yield from wsfc_rows.dependency_rows(seen)
        yield from wsfc_rows.address_rows(seen, resource)


@stands_for("wsfc-change")
def wsfc_change(action: str, name: str, node: str = "") -> Iterable[Row]:
    """Begun, and not waited for, as with -Wait 0; what becomes of it the cluster's state shows, and the log."""
    seen = view() if underlying_node.is_failover_cluster() else None
    if seen is None or wsfc_rows.service_state(seen) != "Running":
        raise ScriptError("ClusterEndpointNotRegistered", "the cluster service does not run on this node")  # WCLU-60
    if action in ("move", "start") and seen["paused"]:  # the product's error id is not known
        raise ScriptError("StandInPaused", f"{seen['node']} is paused: it takes no role, and brings nothing online (WCLU-66)")
    if action == "move":
        _demand_movable(seen, name, node)
        _begin([f"-t {shlex.quote(wsfc_rows.role(seen))} -a restore"])
    else:
        tag = _named(name, [one["tag"] for one in wsfc_rows.resources(seen)], "resource")
        if wsfc_rows.owner(seen) != seen["node"]:
            raise ScriptError("StandInElsewhere", f"the stand-in drives {tag} only where it is, on {wsfc_rows.owner(seen)}")
        if action == "stop":
            _begin([f"-s -t {shlex.quote(one)} -a remove" for one in wsfc_rows.to_stop(seen, tag)])
        else:
            _begin([f"-s -t {shlex.quote(one)} -a restore" for one in wsfc_rows.to_start(seen, tag)])
    return [{"Action": action, "Name": name, "Node": node}]


def _demand_movable(seen: dict[str, Any], name: str, node: str) -> None:
    if not node:
        raise ScriptError("RuntimeException", "a move needs the node to move to")
    _named(name, [wsfc_rows.role(seen), wsfc_rows.CORE], "role")
    if name.lower() != wsfc_rows.role(seen).lower():
        raise ScriptError("NoStandIn", f"the stand-in moves the role {wsfc_rows.role(seen)} only")
    _named(node, [seen["node"], seen["peer"]], "node")
    if node.lower() != seen["node"].lower():
        raise ScriptError("StandInElsewhere", f"the stand-in moves a role only to the node that is asked, which is {seen['node']}")


def _named(name: str, among: list[str], what: str) -> str:
    """The one of that name, whatever its case. Raises Missing."""
    found = [one for one in among if one.lower() == name.lower()]
    if len(found) != 1:
        raise Missing(f"there is no {what} {name}")
    return found[0]


def _begin(actions: list[str]) -> None:
    """One after the other, in a process of no session, each only where the one before it went well."""
    program = shlex.quote(program_of("perform_action"))
    subprocess.run(
        ["setsid", "--fork", "sh", "-c", " && ".join(f"{program} {words}" for words in actions)],
        check=True,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=underlying_node.LOG.open("ab"),
    )
