"""Which node answered, as far as the service's own words tell; the packets tell the rest. Pure judgement, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.services.service_kind import Identity

if TYPE_CHECKING:
    from harness.config.cluster_config import Cluster

MAX_NETBIOS_NAME = 15  # characters
MAX_START_DIFFERENCE_S = 2.0  # two clocks and a rounding apart, a start is still the same start


def node_of(identity: Identity, cluster: Cluster, started_by_node: Mapping[str, float | None]) -> tuple[str | None, str]:
    """The node's name, or None, and the sentence that says how it is known or why it is not.

    By the name that the service gave, by the address that it was reached at, else by its start: within 2 s of the start that exactly
    one node reports (`started_by_node`: seconds since the epoch, None where the service does not run). Name and address that name
    different nodes tell nothing but that the configuration is wrong, and the sentence says that.
    """
    by_name, name_says = _by_name(identity, cluster)
    by_address, address_says = _by_address(identity, cluster)
    if by_name and by_address and by_name != by_address:
        return None, f"{name_says}, but {address_says}: one of them is wrong, most likely a name set in a file on the shared disk"
    if by_name:
        return by_name, name_says
    if by_address:
        return by_address, address_says
    by_start, start_says = _by_start(identity, started_by_node)
    sentences = [name_says, address_says, start_says]
    return by_start, start_says if by_start else "; ".join(sentence for sentence in sentences if sentence)


def _by_name(identity: Identity, cluster: Cluster) -> tuple[str | None, str]:
    if identity.node is None:
        return None, f"the {identity.kind} service gave no name for its node"
    names = [node.name for node in cluster.nodes if _same_host(node.name, identity.node)]
    if len(names) == 1:
        return names[0], f"the {identity.kind} service says that it runs on {names[0]}"
    node_names = " or ".join(node.name for node in cluster.nodes)
    return None, f"the {identity.kind} service says that it runs on {identity.node}, which is not {node_names}"


def _same_host(host: str, other_host: str) -> bool:
    """A service may give a short name or one with its domain, and so may the cluster file (facts SQL-63, ORA-20): a short name fits any
    domain, but two names with different domains are two hosts. A dot at the end is the domain's root. A name of just as many characters
    as a NetBIOS name may have is the beginning of a longer one."""
    name, _, domain = host.casefold().removesuffix(".").partition(".")
    other_name, _, other_domain = other_host.casefold().removesuffix(".").partition(".")
    same_name = name == other_name or (len(other_name) == MAX_NETBIOS_NAME and name.startswith(other_name))
    return same_name and (not domain or not other_domain or domain == other_domain)


def _by_address(identity: Identity, cluster: Cluster) -> tuple[str | None, str]:
    if identity.address is None:
        return None, "it did not tell the address that it was reached at"
    if identity.address in (str(cluster.vip), str(cluster.ip_resource.address)):
        return None, f"it was reached at the VIP {identity.address}, which both nodes may hold, so that tells nothing"
    for node in cluster.nodes:
        if identity.address in (str(node.address), str(node.second_address)):
            return node.name, f"it was reached at {identity.address}, the private address of {node.name}"
    return None, f"it was reached at {identity.address}, which is no address of either node"


def _by_start(identity: Identity, started_by_node: Mapping[str, float | None]) -> tuple[str | None, str]:
    if identity.started is None:
        return None, "it did not tell its start"
    matching = [
        name for name, start in started_by_node.items() if start is not None and abs(start - identity.started) <= MAX_START_DIFFERENCE_S
    ]
    if len(matching) == 1:
        return matching[0], f"the {identity.kind} service started when the one on {matching[0]} did, and no other"
    if matching:
        return None, f"its start is the same within {MAX_START_DIFFERENCE_S:g} s on {' and '.join(sorted(matching))}"
    return None, "no node reports a service with its start"
