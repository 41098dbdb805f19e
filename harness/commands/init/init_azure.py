"""`lkharness init --azure`: the answers that Azure gives; a person is asked, or told, what Azure cannot know."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import BadUse

if TYPE_CHECKING:
    from harness.azure.inventory.discovery import DiscoveredCluster
    from harness.config.cluster_file_writer import Answers, HostAnswer, ServiceAnswer

ASKS = "the tags in the cluster manager, its timers, and how to log in"


def add_options(init: argparse.ArgumentParser) -> None:
    """What `init` takes for Azure."""
    azure = init.add_argument_group("from Azure", "reads what is configured there and changes nothing; the log-in is the one of `az login`")
    azure.add_argument("--azure", action="store_true", help="fill the file with what Azure has configured; the options above still win")
    azure.add_argument("--subscription", metavar="ID", help="the subscription's id")
    azure.add_argument("--resource-group", metavar="NAME", help="the resource group of the load balancer and the virtual machines")
    azure.add_argument("--load-balancer", metavar="NAME", help="which one, when the group has several")
    azure.add_argument("--azure-from", metavar="FILE", help="take the [azure] table of this file instead: another cloud, another log-in")


def answers(arguments: argparse.Namespace, ask: Callable[[str], str] | None) -> tuple[Answers, list[str]]:
    """The file's content, and sentences on what is guessed or missing. Raises HarnessError."""
    from harness.azure.client import sdk_clients
    from harness.azure.inventory import resource_reader
    from harness.azure.inventory.discovery import discover
    from harness.config.cluster_config import Azure
    from harness.config.cluster_file_writer import Answers, host_of, service_of

    table = _table(arguments)
    nodes = tuple(host_of(n, addresses=2) for n in arguments.node)
    if len(nodes) not in (0, 2):
        raise BadUse(f"--node is given {len(nodes)} times; give both nodes, or none and let Azure tell")
    azure = Azure.model_validate(table)
    clients = sdk_clients.make_clients(azure)
    try:
        inventory = resource_reader.group(clients)
    finally:
        clients.close()
    discovered = discover(inventory, arguments.frontend, nodes)
    services = tuple(service_of(s) for s in arguments.service) or _ask_tags(discovered.services, ask)
    if not services:
        raise BadUse("the rule carries all ports, so Azure cannot tell the services; give --service NAME=KIND:PORT:TAG")
    windows = "lifekeeper-windows" if discovered.windows else "lifekeeper"
    client = (
        host_of(arguments.client, addresses=1)
        if arguments.client and "=" in arguments.client
        else _client(discovered, arguments.client, ask)
    )
    assert inventory.balancer is not None
    azure_table = {**table, "load_balancer": inventory.balancer.name}
    host_names = {client.name, *(n.name for n in discovered.nodes)}
    if renamed := {name: vm for name, vm in discovered.machines.items() if name in host_names}:
        azure_table["virtual_machines"] = renamed
    unsure = list(discovered.unsure)
    if not arguments.service and ask is None:
        tags = ", ".join(f"{s.port}: {s.tag} ({s.kind})" for s in services)
        unsure.append(f"Azure cannot tell {ASKS}; guessed for the services: {tags}")
    return (
        Answers(
            name=arguments.name,
            design=discovered.design,
            client=client,
            nodes=(discovered.nodes[0], discovered.nodes[1]),
            frontend=discovered.frontend,
            probe_port=discovered.probe_port,
            ip_tag=arguments.ip_tag or f"ip-{discovered.frontend}",
            services=services,
            manager=arguments.manager or windows,
            resource=arguments.resource or services[0].tag,
            user=arguments.user,
            key=arguments.key,
            known_hosts=arguments.known_hosts,
            jump=arguments.jump,
            sudo=arguments.sudo,
            balancer=discovered.balancer,
            subnets=discovered.subnets,
            azure=azure_table,
        ),
        unsure,
    )


def _table(arguments: argparse.Namespace) -> dict[str, Any]:
    """The [azure] table that the file will hold, as plain values. Raises BadUse."""
    from pydantic import ValidationError

    from harness.config import cluster_config
    from harness.config.azure_table_reader import table_of

    table: dict[str, Any] = {}
    if arguments.azure_from:
        table = table_of(Path(arguments.azure_from))
    options = {"subscription": arguments.subscription, "resource_group": arguments.resource_group, "load_balancer": arguments.load_balancer}
    table |= {key: value for key, value in options.items() if value is not None}
    table.pop("virtual_machines", None)
    missing = [f"--{key.replace('_', '-')}" for key in ("subscription", "resource_group") if key not in table]
    if missing:
        raise BadUse(f"--azure needs {' and '.join(missing)}; give them, or --azure-from FILE with an [azure] table")
    try:
        cluster_config.Azure.model_validate(table)
    except ValidationError as error:
        raise BadUse("[azure]: " + "; ".join(cluster_config.faults_of(error))) from None
    return table


def _client(discovered: DiscoveredCluster, name: str | None, ask: Callable[[str], str] | None) -> HostAnswer:
    """The one machine in the frontend's subnet that is no node, or the one that was named."""
    candidates = [c for c in discovered.clients if name is None or c.name == name]
    if len(candidates) == 1:
        return candidates[0]
    choices = ", ".join(f"{c.name}={c.addresses[0]}" for c in discovered.clients) or "none that is no node"
    if ask is not None:
        from harness.config.cluster_file_writer import host_of

        return host_of(ask(f"the client, NAME=ADDRESS (in the frontend's subnet: {choices})"), addresses=1)
    raise BadUse(f"which machine is the client? In the frontend's subnet there is {choices}; give --client NAME=ADDRESS")


def _ask_tags(services: tuple[ServiceAnswer, ...], ask: Callable[[str], str] | None) -> tuple[ServiceAnswer, ...]:
    """With the tags that only the cluster manager knows, when there is a person to ask; an empty answer keeps the guess."""
    if ask is None:
        return services
    from dataclasses import replace

    return tuple(replace(s, tag=ask(f"port {s.port} ({s.kind}): its resource in the cluster manager [{s.tag}]") or s.tag) for s in services)
