"""Who the host is, its services and its processes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Iterable

from harness.lab.guests.windows import underlying_node
from harness.lab.guests.windows.script_answers import Missing, Row, ScriptError, stands_for
from harness.lab.guests.windows.stand_ins import wsfc_scripts
from harness.lab.guests.windows.stand_ins.lease_scripts import demand_lease
from harness.lab.guests.windows.stand_ins.lifekeeper_scripts import daemon, program_of, service_state

ALWAYS = ("BFE", "mpssvc", "Schedule", "sshd", "W32Time")  # that run on every Windows host, and have nothing beneath that could be stopped


@stands_for("host")
def host(boot: bool = False) -> Iterable[Row]:
    """A PowerShell of version 0: none."""
    now = time.time()
    yield {
        "Name": socket.gethostname(),
        "Version": "0",
        "LanguageMode": "FullLanguage",
        "UICulture": "en-US",
        "CodePage": 437,
        "Policy": "RemoteSigned",
        "Elevated": os.geteuid() == 0,
        "TempFree": shutil.disk_usage("/tmp").free,
        "BootId": f"boot {underlying_node.boot_number()}" if boot else None,
        "BootedAt": underlying_node.moment(now - underlying_node.ticks()) if boot else None,
    }


def _services() -> list[tuple[str, str, int | None]]:
    if underlying_node.is_failover_cluster():
        managers = (wsfc_scripts.SERVICE, wsfc_scripts.service_state(), daemon())
    else:
        managers = ("LifeKeeper", service_state(), daemon())
    return [*((name, "Running", None) for name in ALWAYS), managers]


@stands_for("service")
def service(name: str, prefix: bool = False, detail: bool = False) -> Iterable[Row]:
    """The cluster manager's stand-in as a service, and those of Windows that harness and lab rest on."""
    for own, state, process in _services():
        if own.lower() == name.lower() or (prefix and own.lower().startswith(name.lower())):
            yield {
                "Name": own,
                "Status": state,
                "StartType": "Automatic",
                "Process": process if detail else None,
                "Account": "LocalSystem" if detail else None,
                "Dependents": [],
            }


@stands_for("service-change")
def service_change(name: str, action: str, along: Iterable[str] = ()) -> Iterable[Row]:
    """The cluster manager's stand-in is started and stopped; what else there is has nothing beneath."""
    if name.lower() not in {own.lower() for own, *_ in _services()}:
        raise Missing(f"there is no service {name}")
    if name.lower() in {own.lower() for own in ALWAYS}:
        raise ScriptError("CouldNotStopService", f"the stand-in for Windows has no {name} that could be started or stopped")
    # The failover cluster moves its roles away when its service is stopped; LifeKeeper's stop is no failover.
    stop = ["lkstop", "-r"] if underlying_node.is_failover_cluster() else ["lkstop"]
    program, *words = ["lkstart"] if action == "start" else stop
    done = underlying_node.run([program_of(program), *words])
    if done.returncode != 0:
        raise ScriptError("CouldNotStartService", done.stderr.strip() or f"exit {done.returncode}")
    return [{"Name": name, "Action": action}]


@stands_for("process")
def process(id: int) -> Iterable[Row]:
    """One process by its number."""
    name, at = underlying_node.processes().get(id), underlying_node.started_at(id)
    return [] if name is None or at is None else [{"Id": id, "Name": name, "StartedAt": at}]


@stands_for("process-owner")
def process_owner(id: int) -> Iterable[Row]:
    """The process, and the service where it is one's."""
    for row in process(id):
        yield {**row, "Services": [own for own, _, pid in _services() if pid == id], "Restarts": False}


@stands_for("process-kill")
def process_kill(id: int, startedat: str, lease: str = "") -> Iterable[Row]:
    """SIGKILL, if it is still the one that was meant."""
    if underlying_node.started_at(id) != startedat:
        raise ScriptError("OtherProcess", f"process {id} is not the one that was meant, so nothing was done")
    demand_lease(lease)
    before = time.time()
    os.kill(id, signal.SIGKILL)
    return [{"Before": before, "After": time.time()}]
