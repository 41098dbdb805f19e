"""Virtual machines: what they are, their power, and what they can be told."""

from __future__ import annotations

import contextlib
import subprocess
import uuid
from functools import partial
from typing import Any

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.lab.azure.resources import vm_run_command
from harness.lab.azure.state import resource_ids
from harness.lab.azure.state.azure_state import AzureState
from harness.lab.azure.state.http_types import Answer, Handler, Problem, Request, lab_cannot, with_etags
from harness.lab.azure.state.long_running_operations import COMPUTE, now
from harness.lab.control import nsenter

KIND = "Microsoft.Compute/virtualMachines"
# By the operation in progress on it, else by the lab's word on its power.
ON_THE_WAY = {"powerOff": "stopping", "deallocate": "deallocating", "start": "starting"}
DISPLAY = {
    "running": "VM running",
    "stopped": "VM stopped",
    "deallocated": "VM deallocated",
    "stopping": "VM stopping",
    "deallocating": "VM deallocating",
    "starting": "VM starting",
}
# For a host without an init of its own, what systemd does on a machine that is told to shut down: the cluster manager's own stop, then
# SIGTERM to everybody, again and again (a session may begin while its sshd ends), with five seconds to end in.
SHUT_DOWN = """
if [ -x /opt/LifeKeeper/bin/lkstop ]; then timeout 60 /opt/LifeKeeper/bin/lkstop -r
elif [ -d /run/crm ]; then p=$(pidof pacemakerd) && kill -TERM $p && timeout 60 tail --pid=$p -f /dev/null; fi
for i in $(seq 50); do
  kill -TERM -1
  n=0; for p in /proc/[0-9]*; do n=$((n + 1)); done
  [ $n -gt 2 ] || break
  sleep 0.1
done
"""
SHUTDOWN_TIMEOUT_S = 70.0
POLL_INTERVAL_S = 0.05
REBOOT_S = {"fast": 2.0, "azure": 20.0}  # how long a machine that restarts is off
REDEPLOY_S = {"fast": 5.0, "azure": 120.0}  # and one that moves to other hardware
INIT_SHUTDOWN_TIMEOUT_S = 180.0  # of a guest with an init of its own: two of systemd's time-outs for a service that does not stop


def power_state(fabric: AzureState, host: str) -> str:
    """The second part of PowerState/…, as Azure has it: what a machine that restarts or froze is in Azure's eyes is running."""
    if host in fabric.deallocated:
        return "deallocated"
    doing = fabric.operations.running(resource_ids.machine_id(host))
    power = fabric.power(host)
    if doing and doing.what in ON_THE_WAY and not (doing.what == "start" and power == "on"):
        return "stopped" if power == "off" and doing.what == "powerOff" else ON_THE_WAY[doing.what]
    if power == "off" and not (doing and doing.what in ("restart", "redeploy")):
        return "stopped"
    return "running"


def instance_view(fabric: AzureState, host: str) -> dict[str, Any]:
    """The instance view of one machine: power state, provisioning state, and the agent's."""
    state = power_state(fabric, host)
    agent = fabric.power(host) == "on"
    return {
        "computerName": host,
        "osName": "debian",
        "hyperVGeneration": "V2",
        "vmAgent": {
            "vmAgentVersion": "2.9.1.1" if agent else "Unknown",
            "statuses": [
                {
                    "code": "ProvisioningState/succeeded" if agent else "ProvisioningState/Unavailable",
                    "level": "Info" if agent else "Warning",
                    "displayStatus": "Ready" if agent else "Not Ready",
                    "message": "Guest Agent is running" if agent else "VM status blob is found but not yet populated.",
                    "time": now(),
                }
            ],
        },
        "disks": [],
        # Which comes first is nobody's promise: a power state is found by its prefix.
        "statuses": [
            {"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded", "time": now()},
            {"code": f"PowerState/{state}", "level": "Info", "displayStatus": DISPLAY[state]},
        ],
    }


def resource(fabric: AzureState, host: str, *, view: bool = False) -> dict[str, Any]:
    """The virtual machine as the resource manager shows it; with its instance view where that was asked for."""
    id = resource_ids.machine_id(host)
    nics = [
        {"id": resource_ids.nic_id(nic), "properties": {"primary": nic.name == "eth0", "deleteOption": "Detach"}}
        for nic in fabric.topology.of(host)
    ]
    doing = fabric.operations.running(id)
    nodes = [node.name for node in fabric.cluster.nodes]
    zone = nodes.index(host) + 1 if host in nodes else 1
    return with_etags(
        {
            **fabric.common(id, host, KIND),
            "zones": [str(zone)],
            "properties": {
                "vmId": str(uuid.uuid5(uuid.NAMESPACE_URL, id)),
                "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
                "storageProfile": {
                    "imageReference": {"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2", "version": "latest"},
                    "osDisk": {
                        "osType": "Linux",
                        "name": f"{host}-os",
                        "createOption": "FromImage",
                        "caching": "ReadWrite",
                        "managedDisk": {"storageAccountType": "Premium_LRS"},
                        "diskSizeGB": 30,
                        **({"diffDiskSettings": {"option": "Local"}} if host in fabric.conditions.ephemeral else {}),
                    },
                    "dataDisks": [],
                },
                "osProfile": {
                    "computerName": host,
                    "adminUsername": "azureuser",
                    "linuxConfiguration": {"disablePasswordAuthentication": True, "provisionVMAgent": True},
                    "secrets": [],
                },
                "networkProfile": {"networkInterfaces": nics},
                "provisioningState": "Updating" if doing else "Succeeded",
                **({"instanceView": instance_view(fabric, host)} if view else {}),
            },
        }
    )


def get(fabric: AzureState, request: Request, group: str, machine: str) -> Answer:
    """GET of one machine, with `$expand=instanceView` its view as well."""
    with_view = request.query.get("$expand", "").lower() == "instanceview"
    return Answer(200, resource(fabric, fabric.host(machine, group), view=with_view))


def list_all(fabric: AzureState, request: Request, group: str = resource_ids.GROUP) -> Answer:
    """GET of the resource group's machines."""
    with_view = request.query.get("$expand", "").lower() == "instanceview"
    return Answer(200, {"value": [resource(fabric, m.name, view=with_view) for m in fabric.cluster.machines]})


def get_view(fabric: AzureState, request: Request, group: str, machine: str) -> Answer:
    """GET of one machine's instance view."""
    return Answer(200, instance_view(fabric, fabric.host(machine, group)))


def patch(fabric: AzureState, request: Request, group: str, machine: str) -> Answer:
    """Tags, and nothing else of a machine."""
    host = fabric.host(machine, group)
    content = request.body if isinstance(request.body, dict) else {}
    tags = content.get("tags")
    if not isinstance(tags, dict) or set(content) - {"tags", "properties"} or content.get("properties"):
        raise lab_cannot("changing anything of a virtual machine but its tags")
    id = resource_ids.machine_id(host)
    check_tags(tags)

    def work() -> None:
        fabric.tags[id.lower()] = tags

    operation = fabric.operations.begin(request, COMPUTE, f"{id}/tags", "update", work, at_once=True)
    return fabric.operations.put(operation, request, resource(fabric, host), new=False)


def tags_of_put(body: dict[str, Any]) -> dict[str, str]:
    """The tags that a resource is to have after a PUT, which replaces them: none where they are left out. Raises Problem."""
    tags = body.get("tags") or {}
    check_tags(tags)
    return tags


def check_tags(tags: dict[str, Any]) -> None:
    """Azure's own limits. Raises Problem."""
    if len(tags) > 50:
        raise Problem(400, "TooManyTags", "A resource can have at most 50 tags.")
    for name, value in tags.items():
        if not isinstance(value, str) or len(name) > 512 or len(value) > 256 or any(c in "<>%&\\?/" for c in name):
            message = f"The tag '{name[:80]}' is invalid: a name has at most 512 characters and none of <>%&\\?/, a value at most 256."
            raise Problem(400, "InvalidTagNameOrValue", message)


def power_action(action: str) -> Handler:
    """What answers `POST …/{what}`: powerOff, deallocate, start, restart, redeploy."""

    def answer(fabric: AzureState, request: Request, group: str, machine: str) -> Answer:
        return _begin_power_action(fabric, request, group, machine, action)

    return answer


def _begin_power_action(fabric: AzureState, request: Request, group: str, machine: str, action: str) -> Answer:
    host = fabric.host(machine, group)
    if action in ("powerOff", "restart") and host in fabric.deallocated:
        message = f"Operation '{action}' is not allowed on VM '{host}' since the VM is deallocated."
        raise Problem(409, "OperationNotAllowed", message)
    works = {
        "powerOff": lambda: _power_off(fabric, host, orderly=request.query.get("skipShutdown", "false").lower() != "true"),
        "deallocate": lambda: _deallocate(fabric, host),
        "start": lambda: _start(fabric, host),
        "restart": lambda: _restart(fabric, host),
        "redeploy": lambda: _redeploy(fabric, host),
    }
    work = works[action]
    if fabric.conditions.events_s and action in (
        "restart",
        "redeploy",
    ):  # accepted, and said to be done soon; obeyed when its notice is over
        work = partial(fabric.conditions.schedule, host, action, works[action])
    operation = fabric.operations.begin(request, COMPUTE, resource_ids.machine_id(host), action, work, preempts=True)
    return fabric.operations.accepted_answer(operation, request)


def _power_off(fabric: AzureState, host: str, *, orderly: bool) -> None:
    if orderly and fabric.power(host) == "on":
        _shut_down(fabric, host)
    fabric.set_power(host, "off")


def _shut_down(fabric: AzureState, host: str) -> None:
    """By its own init, where it has one, as the platform presses a machine's power button. Who does not shut down in time is cut off."""
    if "shutdown" in fabric.host_status(host)["cannot"]:
        with contextlib.suppress(subprocess.TimeoutExpired):
            nsenter.run(fabric.lab, host, ["sh", "-c", SHUT_DOWN], limit=SHUTDOWN_TIMEOUT_S)
        return
    fabric.set_power(host, "shutdown")
    with contextlib.suppress(DeadlineExceeded):
        deadline = Deadline(INIT_SHUTDOWN_TIMEOUT_S)
        deadline.wait_for(lambda: fabric.power(host) == "off", what=f"the shutdown of {host}", every=POLL_INTERVAL_S)


def _deallocate(fabric: AzureState, host: str) -> None:
    _power_off(fabric, host, orderly=True)
    fabric.deallocated.add(host)


def _start(fabric: AzureState, host: str) -> None:
    if fabric.power(host) != "frozen":
        fabric.set_power(host, "on")
    fabric.deallocated.discard(host)


def _restart(fabric: AzureState, host: str) -> None:
    _power_off(fabric, host, orderly=True)
    _off_and_on(fabric, host, REBOOT_S[fabric.settings.profile])


def _redeploy(fabric: AzureState, host: str) -> None:
    """Redeployment shuts down, moves and powers on."""
    _power_off(fabric, host, orderly=True)
    _off_and_on(fabric, host, REDEPLOY_S[fabric.settings.profile])
    fabric.deallocated.discard(host)


def _off_and_on(fabric: AzureState, host: str, seconds: float) -> None:
    fabric.set_power(host, "reboot", seconds=seconds)
    deadline = Deadline(seconds + fabric.host_status(host)["boot_timeout_s"])
    deadline.wait_for(lambda: _is_up(fabric, host), what=f"{host} being on again", every=POLL_INTERVAL_S)


def _is_up(fabric: AzureState, host: str) -> bool:
    status = fabric.host_status(host)
    return status["power"] == "on" and not status["booting"]


def run(fabric: AzureState, request: Request, group: str, machine: str) -> Answer:
    """POST runCommand: runs the script inside the lab's host as a long-running operation; raises Problem 409 when the machine is off or
    busy with another.
    """
    host = fabric.host(machine, group)
    script = vm_run_command.script_of(request.body)
    if fabric.power(host) != "on":
        message = f"The operation requires the VM '{host}' to be running (or set to run)."
        raise Problem(409, "OperationNotAllowed", message)
    if fabric.conditions.one_script and fabric.operations.running(f"{resource_ids.machine_id(host)}/runCommand"):
        message = "Run command extension execution is in progress. Please wait for completion before invoking a run command."
        raise Problem(409, "Conflict", message)
    operation = fabric.operations.begin(
        request, COMPUTE, f"{resource_ids.machine_id(host)}/runCommand", "runCommand", lambda: vm_run_command.run(fabric, host, script)
    )
    return fabric.operations.accepted_answer(operation, request)
