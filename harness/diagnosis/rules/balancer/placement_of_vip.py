"""Where the VIP is, and where it would go: NICs' names on the two nodes against the IP resource's (facts DSN-06, HAIR-08)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from harness.config.cluster_config import Design
from harness.config.load_balancer_config import VIP_PREFIX
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.cluster_nics import is_vip_on_first_nics
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.rules.network.routes import way_of


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    cluster = evidence.cluster
    yield from _twice(evidence)
    yield from _anothers(evidence)
    yield from _not_local(evidence)
    yield from _extended_otherwise(evidence)
    yield from _wide_in_the_file(evidence)
    yield from _before_the_address(evidence)
    if is_vip_on_first_nics(cluster, evidence.active, evidence.hosts):
        return  # where the cluster file would have it is a finding of its own
    tag = cluster.ip_resource.tag
    usual = {name: host.nic_of(cluster.node(name).second_address) for name, host in ((n.name, s) for n, s in evidence.nodes)}
    for node, host in evidence.nodes:
        right = usual[node.name]
        configured_nic = host.units.get("ip nic")
        peers = usual.get(cluster.peer_of(node.name).name)
        holder = evidence.hosts.get(evidence.active or "")
        wanted = configured_nic or (holder.nic_of(cluster.vip) if holder and node.name != evidence.active else None) or peers
        if right is None or wanted is None or wanted == right or (node.name == evidence.active and not configured_nic):
            continue
        there = ", ".join(a.address for a in host.addresses or () if a.interface == wanted and ":" not in a.address) or "nothing"
        by = f"the IP resource {tag} names {wanted}" if configured_nic else f"the active node has the IP resource {tag} on {wanted}"
        yield Cause(
            f"{node.name}'s NIC in Subnet#2 ({node.second_address}) is {right}, but {by}, which on {node.name} has {there}: after a "
            f"failover {cluster.vip} would go to the "
            f"wrong NIC{'' if there != 'nothing' else ', or nowhere'}",
            node.name,
            Certainty.CERTAIN if configured_nic else Certainty.LIKELY,
            f"tie the NICs' names to their hardware addresses on {node.name} (udev, netplan), so that {wanted} is the one in Subnet#2 "
            f"again",
            (f"`ip addr` on {node.name}: {node.second_address} on {right}, {wanted} has {there}",),
            explains=(f"{node.name}:route to the VIP", *(("*:communication path",) if node.name == evidence.standby else ())),
        )


def _extended_otherwise(evidence: Evidence) -> Iterator[Cause]:
    """LifeKeeper's IP resource is each node's own, with its address and mask; what the active node has the same is told there."""
    cluster, active = evidence.cluster, evidence.hosts.get(evidence.active or "")
    tag, address, prefix = cluster.ip_resource.tag, str(cluster.ip_resource.address), VIP_PREFIX
    if cluster.manager.kind != "lifekeeper" or evidence.moved:
        return
    for node, host in evidence.nodes:
        configured_address, mask = host.units.get("ip address", address), host.units.get("ip prefix", str(prefix))
        if (
            node.name == evidence.standby
            and configured_address != address
            and not (active and active.units.get("ip address") == configured_address)
        ):
            yield Cause(
                f"the IP resource {tag} is configured for {configured_address} on {node.name}, and the load balancer's frontend is "
                f"{cluster.vip}: after "
                f"a failover {node.name} would not hold {cluster.vip}, and could not reach itself through the frontend",
                node.name,
                Certainty.CERTAIN,
                f"extend {tag} to {node.name} again with the address {cluster.vip} and the prefix /{prefix}",
                (f"`ins_list` on {node.name}: {tag} has the address {configured_address}",),
            )
        held_prefix = next((str(a.prefix) for a in host.addresses or () if a.address == address), None)
        as_active = active is not None and active.units.get("ip prefix") == mask
        if configured_address != address or mask == str(prefix) or mask == held_prefix or (as_active and node.name != evidence.active):
            continue
        if (nic := host.units.get("ip nic")) is not None and nic == host.nic_of(node.address):
            continue  # whose subnet it is: nothing leaves by another NIC
        when = "after a failover" if node.name == evidence.standby else "when it is brought into service the next time,"
        yield Cause(
            f"the IP resource {tag} is configured with the prefix /{mask} on {node.name}, not /{prefix}: {when} {address}/{mask} there "
            "would have a route of its own, and what is sent to its subnet would leave by the wrong NIC",
            node.name,
            Certainty.CERTAIN,
            f"give {tag} on {node.name} the mask of a /{prefix}: extend it to that node again, and see what the dialogue fills in",
            (f"`ins_list` on {node.name}: {tag} has the mask of a /{mask}",),
        )


def _wide_in_the_file(evidence: Evidence) -> Iterator[Cause]:
    """What was written off from the file would be a fault on the nodes; where a node holds the VIP so, that is told of the node, too."""
    cluster, vip = evidence.cluster, evidence.cluster.vip
    prefix = cluster.ip_resource.prefix
    if prefix == VIP_PREFIX or is_vip_on_first_nics(cluster, evidence.active, evidence.hosts):
        return
    holders = [(name, a) for name, host in evidence.hosts.items() for a in host.addresses or () if a.address == str(vip)]
    held = [f"`ip addr` on {name}: {a.address}/{a.prefix} on {a.interface}" for name, a in holders]
    yield Cause(
        f"the cluster file says that the IP resource has the prefix /{prefix} (ip_resource.prefix); {vip} has to be a /{VIP_PREFIX}: a "
        "wider one gives its subnet a route out of the NIC in Subnet#2, and what is sent there would leave by the wrong NIC",
        cluster.name,
        Certainty.LIKELY,
        f"set ip_resource.prefix to {VIP_PREFIX} in the cluster file, or leave it out; a node that holds {vip} as a /{VIP_PREFIX} is right",
        (f"the cluster file: ip_resource.prefix {prefix}", *held),
    )


def _before_the_address(evidence: Evidence) -> Iterator[Cause]:
    """A service that listens on the VIP alone cannot start before the VIP is there, unless the kernel lets it (ip_nonlocal_bind)."""
    cluster, tag = evidence.cluster, evidence.cluster.ip_resource.tag
    active, standby = (evidence.hosts.get(name or "") for name in (evidence.active, evidence.standby))
    if active is None or standby is None or evidence.moved or standby.sysctls.get("ip_nonlocal_bind") != "0":
        return
    for service in cluster.services:
        there = active.listening(service.port)
        if not there or {s.address for s in there} != {str(cluster.vip)} or active.units.get(f"after the address {service.tag}") != "no":
            continue
        yield Cause(
            f"{service.tag} listens on {cluster.vip} only, and nothing in the cluster manager has {tag} started before it: on "
            f"{standby.name} it may start before {cluster.vip} is there, which it could not listen on then (ip_nonlocal_bind is 0), and "
            "its failed start keeps it off that node",
            standby.name,
            Certainty.LIKELY,
            f"add an order ({tag} first, then {service.tag}), or let it listen on any address",
            (
                f"`ss -tlnp` on {active.name}: {there[0].owner} listens on {there[0].address}:{service.port}",
                f"the cluster's configuration: no group and no order has {tag} before {service.tag}",
                f"net.ipv4.ip_nonlocal_bind on {standby.name}: 0",
            ),
        )


def _twice(evidence: Evidence) -> Iterator[Cause]:
    """In its place, and somewhere else on the same node besides: a manager that takes it out of service takes only one away."""
    cluster, host = evidence.cluster, evidence.hosts.get(evidence.active or "")
    if host is None or evidence.moved:
        return
    right = host.nic_of(cluster.node(host.name).second_address)
    places = [a.interface for a in host.addresses or () if a.address == str(cluster.vip)]
    besides = [nic for nic in places if nic != right]
    if right in places and besides:
        yield Cause(
            f"{cluster.vip} is on {', '.join(besides)} of {host.name} besides {right}: after a failover it would stay there, and "
            f"{host.name} would go on answering itself",
            host.name,
            Certainty.LIKELY,
            f"see who put it on {', '.join(besides)}; only the IP resource {cluster.ip_resource.tag} should hold it",
            (f"`ip addr` on {host.name}: {cluster.vip} on {', '.join(places)}",),
            explains=(f"{host.name}:VIP",),
        )


def _anothers(evidence: Evidence) -> Iterator[Cause]:
    """An address of another machine: what is sent there from here never leaves, and answers of the two get mixed up."""
    cluster = evidence.cluster
    addresses_by_machine = {m.name: {str(m.address)} for m in cluster.machines}
    for node in cluster.nodes:
        addresses_by_machine[node.name].add(str(node.second_address))
    for name, host in evidence.hosts.items():
        for at in host.addresses or ():
            whose = next((other for other, addresses in addresses_by_machine.items() if other != name and at.address in addresses), None)
            if whose is None:
                continue
            yield Cause(
                f"{name} holds {at.address} on {at.interface}, which is {whose}'s own address: the address is there twice, and what {name} "
                f"sends to {whose} stays on {name} itself",
                name,
                Certainty.CERTAIN,
                f"take {at.address} off {at.interface} of {name}, and see who put it there",
                (f"`ip addr` on {name}: {at.address}/{at.prefix} on {at.interface}",),
                explains=("*:communication path", *(p.name for p in evidence.failed if p.origin == name)),
            )


def _not_local(evidence: Evidence) -> Iterator[Cause]:
    """The active node has the VIP on a NIC, and yet its kernel does not take for its own what is sent there."""
    cluster, host = evidence.cluster, evidence.hosts.get(evidence.active or "")
    vip = str(cluster.vip)
    route = host.routes.get((vip, "")) if host else None
    at = next((a for a in host.addresses or () if a.address == vip), None) if host else None
    if host is None or route is None or at is None or route.kind == "local" or host.vip_is_local is None:
        return
    if (link := host.links.get(at.interface)) is not None and link.kind == "vrf":  # whose own table has the entry
        return
    route_line = f"`ip route get {vip}` on {host.name}: {route.kind} dev {route.interface}"
    nic, put_back = f"{at.interface}", f"ip route add table local local {vip} dev {at.interface} proto kernel scope host src {vip}"
    if host.vip_is_local:
        before = takewhile(lambda rule: not rule.endswith("from all lookup local"), host.rules)
        rules = [f"`{rule}`" for rule in before]
        by = f"a policy rule that comes before the table local ({', '.join(rules[:3])})" if rules else "a policy rule"
        says = f"{vip} is on {nic}, and {by} routes what {host.name} sends there {way_of(route)}: its own connections to it do not arrive"
        do = f"give that rule a later place than the one with `lookup local`, or let it leave {vip} out (`ip rule`)"
        certainty, table_line = Certainty.LIKELY, f"`ip route show table local {vip}` on {host.name} has the entry"
    else:
        says = f"{vip} is on {nic}, and the routing table `local` has no entry for it: {host.name} does not take it for its own address"
        do = f"delete the address and add it again (`ip addr del {vip}/{at.prefix} dev {nic}`, then `ip addr add` with the same), or put "
        do += f"the route back (`{put_back}`), and see who takes routes away (`ip route flush table local`)"
        certainty = Certainty.CERTAIN
        table_line = f"`ip route show table local {vip}` on {host.name} has no entry; `ip addr`: {vip}/{at.prefix} {nic}"
    # In the other design what clients send arrives as the node's own address.
    outside = ("client/*", "standby/*") if cluster.design is Design.FLOATING and not host.vip_is_local else ()
    inside = [p.name for p in evidence.failed if p.origin == host.name]
    yield Cause(says, host.name, certainty, do, (route_line, table_line), explains=(f"{host.name}:route to the VIP", *inside, *outside))
