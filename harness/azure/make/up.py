"""From a wish to a running cluster and its cluster file; what failed is removed or kept, as one word says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.azure.arm import Arm
from harness.azure.clients import Clients
from harness.azure.make import manager, template
from harness.azure.make.deploy import deploy, group_for, name_of
from harness.azure.make.remove import made_by, remove
from harness.azure.make.wish import Keep, Wish
from harness.deadline import Deadline
from harness.errors import BadUse, HarnessError, Unusable

Say = Callable[[str], None]
REMOVE_S = 1800.0


def up(clients: Clients, wish: Wish, script: str | None, keep: Keep, limit_s: float, say: Say) -> None:
    """Deploy, then install the cluster manager. Raises what failed, after it was removed (`keep` never) or with how to remove it."""
    arm = Arm(clients)
    deadline = Deadline(limit_s)
    started = False
    try:
        made_group = group_for(arm, wish)
        started = made_group
        say(f"{deadline.elapsed():6.1f} s  resource group {clients.azure.resource_group}: {'made' if made_group else 'was there'}")
        deploy(arm, wish, deadline, lambda text: say(text))
        started = True
        if script is not None:
            parameters = template.parameters_of(template.load(), wish.parameters)
            manager.install(clients, parameters, wish.run, script, deadline, say)
    except BadUse as error:
        if started:
            _clean(arm, wish, keep, error, say)
        raise
    except (HarnessError, KeyboardInterrupt) as error:
        _clean(arm, wish, keep, error, say)
        raise


def _clean(arm: Arm, wish: Wish, keep: Keep, error: BaseException, say: Say) -> None:
    if keep != "never":
        say(f"kept, because --keep {keep} says so; remove it with: lkharness azure down --run {wish.run}")
        return
    say(f"removing what run {wish.run} made, because it failed ({str(error) or 'interrupted'})")
    try:
        made = made_by(arm, wish.run)
    except BadUse:
        say(f"nothing bears the tag of run {wish.run}; only the record of the deployment {name_of(wish.run)} may be there")
        return
    if left := remove(arm, made, Deadline(REMOVE_S), say):
        raise Unusable(f"{error}; and of what was made this is left: {'; '.join(left)}; try `lkharness azure down --run {wish.run}`")


def cluster_file(wish: Wish, azure: dict[str, Any], given_manager: str) -> dict[str, Any]:
    """What is known of the cluster that was made, as a cluster file's content. The services' tags are the user's to mend."""
    p = template.parameters_of(template.load(), wish.parameters)
    pacemaker = given_manager == "pacemaker"
    services = [
        {"name": f"service-{port}", "kind": "tcp", "port": port, "tag": f"service-{port}"}
        if not (pacemaker and i == 0)
        else {"name": "web", "kind": "http", "port": port, "tag": "web", "settings": {"node_header": "X-Served-By"}}
        for i, port in enumerate(p["ports"])
    ]
    ssh = {"user": p["user"], "sudo": True}
    return {
        "name": f"run-{wish.run}",
        "design": p["design"],
        "subnet1": p["subnet1"],
        "subnet2": p["subnet2"],
        "client": {"name": p["client"]["name"], "address": p["client"]["address"], "ssh": ssh},
        "nodes": [
            {"name": n["name"], "address": n["address"], "second_address": n["second"], "ssh": {**ssh, "jump": p["client"]["name"]}}
            for n in p["nodes"]
        ],
        "load_balancer": {
            "frontend": p["frontend"],
            "idle_timeout_s": 60.0 * p["idleTimeoutMinutes"],
            "tcp_reset": p["tcpReset"],
            "distribution": p["distribution"],
            "ha_ports": p["haPorts"],
            "probe": {
                "protocol": "tcp",
                "port": p["probePort"],
                "interval_s": float(p["probeIntervalSeconds"]),
                "threshold": p["probeThreshold"],
            },
        },
        "ip_resource": {"address": p["frontend"], "prefix": 32, "tag": "ip" if pacemaker else f"ip-{p['frontend']}"},
        "services": services,
        "manager": {"kind": "pacemaker", "resource": "services", "heartbeat_s": 22.0} if pacemaker else {"resource": services[0]["tag"]},
        "azure": {
            **azure,
            "load_balancer": f"{p['prefix']}ilb",
            "virtual_machines": {n["name"]: f"{p['prefix']}{n['name']}" for n in [*p["nodes"], p["client"]]} if p["prefix"] else {},
        },
    }


def write(file: Path, data: dict[str, Any], plain: Callable[[dict[str, Any]], str]) -> None:
    """Raises BadUse where the file is there already."""
    if file.exists():
        raise BadUse(f"{file} is there already; name another file with --cluster-file")
    file.write_text(plain(data), encoding="utf-8")
