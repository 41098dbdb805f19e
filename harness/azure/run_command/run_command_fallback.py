"""A host that SSH does not reach, read by Azure's run-command instead: for commands that only look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from harness.azure.client import sdk_clients
from harness.azure.client.sdk_clients import Clients
from harness.azure.run_command.run_command_host import RunCommandHost
from harness.config.cluster_config import Azure, Cluster, Machine
from harness.core.errors import HarnessError
from harness.hosts.host import Host, HostUnreachable

NO_WINDOWS = "Azure's run-command is not used for Windows"


@contextmanager
def readable(cluster: Cluster, hosts: Mapping[str, Host], say: Callable[[str], None]) -> Iterator[dict[str, Host]]:
    """The same hosts, with one that can be read in the place of each Linux one that cannot be reached; `say` is told of each.

    What talks to Azure is closed in the end; the hosts that were handed in stay their owner's to close, the replaced ones, too.
    """
    if cluster.azure is None:
        yield dict(hosts)
        return
    with _talking(cluster.azure) as clients:
        yield {machine.name: _best(clients, machine, hosts[machine.name], say) for machine in cluster.machines}


@contextmanager
def read_instead(azure: Azure, unreachable: Sequence[Machine]) -> Iterator[dict[str, Host | HarnessError]]:
    """For every machine that SSH does not reach, what it can be read by, or why it cannot."""
    with _talking(azure) as clients:
        yield {machine.name: _answering_host(clients, machine) for machine in unreachable}


@contextmanager
def _talking(azure: Azure) -> Iterator[Clients]:
    clients = sdk_clients.make_clients(azure)
    try:
        yield clients
    finally:
        clients.close()


def _best(clients: Clients, machine: Machine, host: Host, say: Callable[[str], None]) -> Host:
    try:
        host.run(["true"])
    except HostUnreachable as error:
        fallback = _answering_host(clients, machine)
        if isinstance(fallback, HarnessError):
            say(f"{error}; {fallback}")
            return host
        say(f"{machine.name}: read by Azure's run-command, because SSH does not reach it ({error})")
        return fallback
    except HarnessError:
        pass  # it is reached, and what is wrong with it is for its reader to say
    return host


def _answering_host(clients: Clients, machine: Machine) -> Host | HarnessError:
    """One that its agent ran a script by just now. An answer takes some 20 s on Azure."""
    if machine.platform != "linux":
        return HostUnreachable(NO_WINDOWS)
    fallback = RunCommandHost(clients, clients.azure.machine(machine.name), machine.name)
    try:
        fallback.check(["true"])
    except HarnessError as error:
        return HostUnreachable(f"neither does Azure's run-command get through: {error}")
    return fallback
