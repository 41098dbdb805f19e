"""What a lab looks like from outside: power, roles, the VIP, and what the balancer believes and why."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from harness.config import cluster_config
from harness.core.errors import Unusable
from harness.lab.control import lab_registry, nsenter
from harness.lab.guests.host_provisioning import stand_in_note
from harness.managers.kinds import pacemaker
from harness.managers.kinds.lifekeeper import parse
from harness.managers.manager import NodeState, ResourceState
from harness.managers.parse import pacemaker_parse

SSH_FAILED = 255  # ssh's own exit code, for a host that is reached by it


def read_status(name: str | None) -> dict[str, Any]:
    """The state of a lab, for `lab status --json`. Raises BadUse for an unknown lab, Unusable for one that is not running."""
    lab = lab_registry.find(name)
    lab_status = lab.ask("status")
    cluster = cluster_config.load(lab.cluster_file)
    hosts = {h["name"]: h for h in lab_status["hosts"]}
    return {
        "name": lab.name,
        "pid": lab.pid,
        "design": lab_status["design"],
        "profile": lab_status["profile"],
        "vip": lab_status["vip"],
        "client": _client(cluster, hosts),
        "nodes": [_node(lab, cluster, node, hosts[node.name]) for node in cluster.nodes],
        "balancer": lab_status["balancer"],
        "shared_disk": lab_status["shared_disk"],
        "cluster_file": str(lab.cluster_file),
        "note": stand_in_note(cluster),
        "timings": {k: v for k, v in lab_status["timings"].items() if not isinstance(v, list)},
    }


def _client(cluster: cluster_config.Cluster, hosts: dict[str, Any]) -> dict[str, Any]:
    host = hosts[cluster.client.name]
    return {"name": host["name"], "address": str(cluster.client.address), "power": host["power"], "ssh_port": host["ssh_port"]}


def _node(lab: lab_registry.LabRecord, cluster: cluster_config.Cluster, node: cluster_config.Node, host: dict[str, Any]) -> dict[str, Any]:
    node_status = {"name": node.name, "address": str(node.address), "power": host["power"], "ssh_port": host["ssh_port"]}
    if host["power"] != "on":
        return {**node_status, "role": host["power"], "holds_vip_on": [], "manager": f"the node is {host['power']}"}
    if host["booting"]:
        return {**node_status, "role": "booting", "holds_vip_on": [], "manager": "the node has power and has not booted yet"}
    try:
        state, vip_holders = _node_state(lab, cluster, node), _nics_with_vip(lab, cluster, node)
    except Unusable as error:
        return {**node_status, "role": "not answering", "holds_vip_on": [], "manager": str(error)}
    role = (
        "active"
        if state.has_everything
        else "standby"
        if state.stands_by
        else "partly in service"
        if state.has_something
        else "not in service"
    )
    resources = {tag: str(s) for tag, s in state.resources.items()}
    return {
        **node_status,
        "role": role,
        "holds_vip_on": vip_holders,
        "manager": state.why or "running",
        "resources": resources,
    }


def _node_state(lab: lab_registry.LabRecord, cluster: cluster_config.Cluster, node: cluster_config.Node) -> NodeState:
    if cluster.manager.kind == "pacemaker":
        monitor, _, links = _output_of(lab, node, ["sh", "-c", pacemaker.SBIN + pacemaker.LOOK]).partition(pacemaker.CUT)
        return pacemaker_parse.node_state(node.name, monitor, links, cluster.peer_of(node.name).name, {})
    return parse(node.name, _output_of(lab, node, [str(cluster.manager.root / "bin" / "lcdstatus"), "-q"]))


def _output_of(lab: lab_registry.LabRecord, node: cluster_config.Node, command_line: list[str]) -> str:
    """What a command says on the node. Raises Unusable when it does not end in time, or the way there does not lead to it."""
    try:
        completed = nsenter.run(lab, node.name, command_line)
    except subprocess.TimeoutExpired as error:
        raise Unusable(f"{node.name} has not answered within {error.timeout:g} s") from None
    if completed.returncode == SSH_FAILED and not completed.stdout:
        raise Unusable(f"{node.name} cannot be logged in to: {completed.stderr.strip() or 'ssh gives no reason'}")
    return completed.stdout


def _nics_with_vip(lab: lab_registry.LabRecord, cluster: cluster_config.Cluster, node: cluster_config.Node) -> list[str]:
    output = _output_of(lab, node, ["ip", "-json", "-4", "addr"])
    try:
        links = json.loads(output)
    except ValueError:
        raise Unusable(f"{node.name} does not tell its addresses") from None
    return [link["ifname"] for link in links for a in link["addr_info"] if a.get("local") == str(cluster.vip)]


def text(lab_status: dict[str, Any]) -> str:
    """The same for a person."""
    lines = [
        f"lab {lab_status['name']} · design {lab_status['design']} · profile {lab_status['profile']} · first process {lab_status['pid']}"
    ]
    for node in lab_status["nodes"]:
        vip = f", holds {lab_status['vip']} on {', '.join(node['holds_vip_on'])}" if node["holds_vip_on"] else ""
        lines.append(f"  {node['name']}  {node['role']}{vip} ({node['manager']})")
        if node["role"] in ("not in service", "partly in service"):
            lines += [f"      {tag}: {state}" for tag, state in node.get("resources", {}).items() if state != ResourceState.IN_SERVICE]
    lines.append(f"  {lab_status['client']['name']}  client, power {lab_status['client']['power']}")
    for member in lab_status["balancer"]:
        lines.append(f"  balancer: {member['node']} is {'healthy' if member['healthy'] else 'not healthy'}, {member['reason']}")
    lines.append(f"  shared disk: {lab_status['shared_disk'] or 'reserved by nobody'}")
    lines.append(f"  cluster file: {lab_status['cluster_file']}")
    lines.append(f"  {lab_status['note']}")
    return "\n".join(lines)
