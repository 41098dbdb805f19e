"""The names by which clients call services: they have to lead to the frontend, not to a node (facts DES-09)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from harness.config import service_settings
from harness.config.cluster_config import Service
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.required_flows import join_names


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports. A name that is not known, or that has the frontend too, is none."""
    cluster = evidence.cluster
    client, labels = evidence.hosts.get(cluster.client.name), {m.name.partition(".")[0].lower() for m in cluster.machines}
    for service in cluster.services if client is not None else ():
        for name, key in service_settings.names_asked_for(service.settings).items():
            answers = [a for a in client.names.get(name, ()) if _is_remote(a)] if client is not None else []
            if answers and str(cluster.vip) not in answers and name.partition(".")[0].lower() not in labels:
                yield _cause(evidence, service, name, key, answers)


def _cause(evidence: Evidence, service: Service, name: str, key: str, answers: list[str]) -> Cause:
    cluster, client = evidence.cluster, evidence.cluster.client.name
    of_nodes = {a: n.name for n in cluster.nodes for a in _addresses_of(evidence, n.name)}
    node = next((of_nodes[a] for a in answers if a in of_nodes), None)
    if node is not None:
        goes = f", {node}'s own address, not to the frontend {cluster.vip}: clients go past the load balancer, and a failover "
        goes += "leaves them behind"
    else:
        goes = f", not to the frontend {cluster.vip}: clients go there, unless what has that address sends them on (a proxy, a gateway)"
    return Cause(
        f"{name}, which clients of {service.name} ask for ({key}), resolves to {join_names(answers)} on {client}{goes}",
        client,
        # A certificate may have a node's name without anybody connecting to that.
        Certainty.LIKELY if node is not None and key == "host_header" else Certainty.POSSIBLE,
        f"give {name} the address {cluster.vip} in the name service, and in /etc/hosts of {client} if it stands there",
        (f"`getent ahosts {name}` on {client}: {', '.join(answers)}", f"the cluster file: {key} of {service.name}: {name}"),
    )


def _addresses_of(evidence: Evidence, name: str) -> set[str]:
    """The node's in the cluster file, and on its NICs, but for the VIP and for what another host has as well, as a bridge."""
    node, told = evidence.cluster.node(name), {n: {a.address for a in seen.addresses or ()} for n, seen in evidence.hosts.items()}
    elsewhere = {address for n, addresses in told.items() if n != name for address in addresses}
    own = {a for a in told.get(name, set()) if _is_remote(a)} - elsewhere
    return ({str(node.address), str(node.second_address)} | own) - {str(evidence.cluster.vip)}


def _is_remote(address: str) -> bool:
    try:
        return (parsed := ip_address(address)).version == 4 and not parsed.is_loopback
    except ValueError:
        return False
