"""From a request to a running cluster and its cluster file; what failed is removed or kept, as one word says."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from harness.azure.client import error_mapping
from harness.azure.client.arm import Arm
from harness.azure.client.sdk_clients import Clients
from harness.azure.provision import creation_record, manager_install, sku_availability
from harness.azure.provision.deployment_request import DeploymentRequest, Keep
from harness.azure.provision.teardown import remove, resources_of
from harness.azure.provision.template import template
from harness.azure.provision.template_deployment import Deployment, check_conflicts, group_is_there, make_group
from harness.config import trust
from harness.config.cluster_config import Azure
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, HarnessError, Unusable
from harness.core.files import folder_exists, path_exists, write_atomically

Say = Callable[[str], None]
REMOVAL_TIMEOUT_S = 3600.0  # with the wait for a group that must be seen empty twice


def up(clients: Clients, request: DeploymentRequest, script: str | None, keep: Keep, limit_s: float, say: Say) -> None:
    """Deploy, then install the cluster manager. Raises what failed, after what was made is removed, or with how to remove it."""
    arm = Arm(clients)
    request = sku_availability.check_availability(arm, request, say)
    deadline, deployment, something_made, deployed = Deadline(limit_s), Deployment(arm, request, say), False, False
    group_exists = group_is_there(arm)
    if group_exists:
        check_conflicts(arm, request.ledger(clients.azure, made_group=False))
    creation_record.write_ledger(request.ledger(clients.azure, made_group=not group_exists))  # before the first request that makes anything
    try:
        if not group_exists:
            deployment.made_group = make_group(arm, request, deadline)
            creation_record.write_ledger(request.ledger(clients.azure, made_group=deployment.made_group))
        something_made = True
        say(f"{deadline.elapsed():6.1f} s  resource group {clients.azure.resource_group}: {'was there' if group_exists else 'made'}")
        deployment.run(deadline)
        deployed = True
        if script is not None:
            parameters = template.parameters_of(template.load(), request.parameters)
            manager_install.install(clients, parameters, request.run, script, deadline, say)
    except BaseException as error:  # whatever it was: what was made costs money
        if not something_made and isinstance(error, BadUse | error_mapping.NotAllowed | error_mapping.RefusedByPolicy):
            creation_record.delete_ledger(request.run)
            raise  # Azure refused the very first step: nothing was made
        _clean_up_or_keep(arm, request, deployment, error, say, keep=_is_kept(keep, error, deployed))
        raise


def _is_kept(keep: Keep, error: BaseException, deployed: bool) -> bool:
    """`failed` keeps a deployment that failed, for a look at it; `always` also what is complete, or was interrupted."""
    return keep == "always" or (keep == "failed" and not deployed and isinstance(error, HarnessError))


def _clean_up_or_keep(arm: Arm, request: DeploymentRequest, deployment: Deployment, error: BaseException, say: Say, *, keep: bool) -> None:
    """Nothing more is made, and what was made is removed or kept. Raises Unusable when that fails, or when an interrupted run keeps it."""
    reason = _error_text(error)
    try:
        deployment.stop()
        if not keep:
            _remove(arm, request, reason, say)
    except (HarnessError, KeyboardInterrupt) as other_error:
        raise Unusable(
            f"{reason}; then, cleaning up: {_error_text(other_error)}; what is left costs money: "
            f"try `{how_to_remove(arm.clients.azure, request)}`"
        ) from error
    if keep:
        expiry = f"{datetime.fromtimestamp(request.expires).astimezone():%Y-%m-%d %H:%M %Z}"
        command = how_to_remove(arm.clients.azure, request)
        message = f"what was made is kept, as --keep says; `azure sweep` may remove it after {expiry}; remove it with: {command}"
        if isinstance(error, KeyboardInterrupt):
            raise Unusable(f"interrupted; {message}") from error
        say(message)


def _error_text(error: BaseException) -> str:
    return "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__


def _remove(arm: Arm, request: DeploymentRequest, reason: str, say: Say) -> None:
    """Raises Unusable with what is left of it."""
    say(f"removing what run {request.run} made, because it failed ({reason})")
    if leftovers := remove(arm, resources_of(arm, request.run), Deadline(REMOVAL_TIMEOUT_S), say):
        raise Unusable(f"of what was made this is left: {'; '.join(leftovers)}")


def how_to_remove(azure: Azure, request: DeploymentRequest) -> str:
    """The command that removes what the request has made."""
    return f"lkharness azure down --run {request.run} --subscription {azure.subscription}"


def cluster_file(
    request: DeploymentRequest, azure: dict[str, Any], given_manager: str, known_hosts: str, public: IPv4Address | None = None
) -> dict[str, Any]:
    """What is known of the cluster that was made, as a cluster file's content. The services' tags are the user's to mend.

    `known_hosts` is the file beside it that has the machines' host keys. `public` is where the client is reached from outside; its
    `address`, which the paths start at, is the private one all the same.
    """
    parameters = template.parameters_of(template.load(), request.parameters)
    pacemaker = given_manager == "pacemaker"
    services = [
        {"name": f"service-{port}", "kind": "tcp", "port": port, "tag": f"service-{port}"}
        if not (pacemaker and i == 0)
        else {"name": "web", "kind": "http", "port": port, "tag": "web", "settings": {"node_header": "X-Served-By"}}
        for i, port in enumerate(parameters["ports"])
    ]
    ssh = {"user": parameters["user"], "sudo": True, "known_hosts": known_hosts}
    client_ssh = {**ssh, "host": str(public)} if public else ssh
    return {
        "name": f"run-{request.run}",
        "design": parameters["design"],
        "subnet1": parameters["subnet1"],
        "subnet2": parameters["subnet2"],
        "client": {"name": parameters["client"]["name"], "address": parameters["client"]["address"], "ssh": client_ssh},
        "nodes": [
            {
                "name": n["name"],
                "address": n["address"],
                "second_address": n["second"],
                "ssh": {**ssh, "jump": parameters["client"]["name"]},
            }
            for n in parameters["nodes"]
        ],
        "load_balancer": {
            "frontend": parameters["frontend"],
            "idle_timeout_s": 60.0 * parameters["idleTimeoutMinutes"],
            "tcp_reset": parameters["tcpReset"],
            "distribution": parameters["distribution"],
            "ha_ports": parameters["haPorts"],
            "probe": {
                "protocol": "tcp",
                "port": parameters["probePort"],
                "interval_s": float(parameters["probeIntervalSeconds"]),
                "threshold": parameters["probeThreshold"],
            },
        },
        "ip_resource": {"address": parameters["frontend"], "prefix": 32, "tag": "ip" if pacemaker else f"ip-{parameters['frontend']}"},
        "services": services,
        "manager": {"kind": "pacemaker", "resource": "services", "heartbeat_s": 22.0} if pacemaker else {"resource": services[0]["tag"]},
        "azure": {
            **azure,
            "load_balancer": f"{parameters['prefix']}ilb",
            "virtual_machines": {n["name"]: f"{parameters['prefix']}{n['name']}" for n in [*parameters["nodes"], parameters["client"]]}
            if parameters["prefix"]
            else {},
        },
    }


def demand_writable(file: Path) -> None:
    """Known before anything is made that costs money. Raises BadUse."""
    if path_exists(file):
        raise BadUse(f"{file} is there already; name another file with --cluster-file")
    if not folder_exists(file.parent) or not os.access(file.parent, os.W_OK | os.X_OK):
        raise BadUse(f"{file}: cannot be written: {file.parent} is no folder that you may write to; name another file with --cluster-file")


def write(file: Path, text: str) -> None:
    """Raises Unusable."""
    try:
        write_atomically(file, text, private=True)
    except OSError as error:
        raise Unusable(
            f"{file}: the cluster's file cannot be written ({error.strerror}), but the cluster is there; "
            "remove it, or write a file with `lkharness init --azure`"
        ) from error
    trust.agree_to_own(file)
