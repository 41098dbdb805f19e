"""A host that SSH does not reach, read by Azure's run-command instead: for commands that only look."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.azure import clients
from harness.azure.run_command import RunCommandHost
from harness.errors import HarnessError
from harness.hosts.base import Host, HostUnreachable
from harness.model import Cluster


def readable(cluster: Cluster, hosts: Mapping[str, Host], say: Callable[[str], None]) -> dict[str, Host]:
    """The same hosts, with one that can be read in the place of each Linux one that cannot be reached; `say` is told of each."""
    if cluster.azure is None:
        return dict(hosts)
    talk = clients.of(cluster.azure)
    found: dict[str, Host] = {}
    for machine in cluster.machines:
        found[machine.name] = hosts[machine.name]
        try:
            hosts[machine.name].run(["true"])
        except HostUnreachable as error:
            if machine.platform != "linux":
                say(f"{error}; Azure's run-command is not used for Windows")
                continue
            instead = RunCommandHost(talk, cluster.azure.machine(machine.name), machine.name)
            if not instead.alive():
                say(f"{error}; neither does Azure's run-command get through")
                continue
            found[machine.name] = instead
            say(f"{machine.name}: read by Azure's run-command, because SSH does not reach it ({error})")
        except HarnessError:
            continue  # it is reached, and what is wrong with it is for its reader to say
    return found
