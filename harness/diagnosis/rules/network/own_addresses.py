"""An address that is on a host's NIC, and that its kernel does not take for its own: what comes there is dropped or sent on, unseen."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.cluster_nics import ClusterNic, cluster_nics, explained_patterns, has_answers, is_felt, lost_ports
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.rules.network.routes import way_of
from harness.hosts.linux.linux_parse import Route

TO_LOCAL = "from all lookup local"


def causes(evidence: Evidence) -> Iterator[Cause]:
    """Of the addresses of the cluster file; the VIP's is told with its placement."""
    for nic in cluster_nics(evidence):
        yield from disowned(evidence, nic)


def disowned(evidence: Evidence, nic: ClusterNic) -> Iterator[Cause]:
    """What its kernel makes of what is sent to this NIC's address."""
    route = nic.seen.routes.get((nic.address, ""))
    if route is not None and route.kind != "local":
        yield from _not_local(evidence, nic, route)
    else:
        yield from _routed_by_nic(evidence, nic)


def _not_local(evidence: Evidence, nic: ClusterNic, route: Route) -> Iterator[Cause]:
    """By the kernel's own look-up. In a VRF another table has the entry."""
    link = nic.seen.links.get(nic.nic)
    master = nic.seen.links.get(link.master) if link is not None and link.master else None
    if any(each is not None and each.kind == "vrf" for each in (link, master)) or has_answers(evidence, nic):
        return
    before = [*takewhile(lambda rule: not rule.endswith(TO_LOCAL), nic.seen.rules)]
    told = bool(nic.seen.rules) and len(before) < len(nic.seen.rules)
    if told and not before:
        why = f"the routing table `local` has no entry for {nic.address}"
        entry = f"local {nic.address} dev {nic.nic} proto kernel scope host src {nic.address}"
        do = f"put the entry back (`ip route add table local {entry}` on {nic.host}, from its console where SSH goes by that address), and "
        do += "see who takes routes away (`ip route flush table local`)"
    elif told:
        why = f"a policy rule comes before the table `local` ({', '.join(f'`{rule}`' for rule in before[:3])})"
        do = f"give that rule a later place than the one with `lookup local`, or let it leave {nic.address} out (`ip rule`)"
    else:
        why = "no policy rule leads to the table `local`"
        do = f"put it back: `ip rule add pref 0 lookup local` on {nic.host}, and see who took it away"
    yield _cause(evidence, nic, why, do, f"`ip route get {nic.address}` on {nic.host}: {route.kind} {way_of(route)}".rstrip())


def _routed_by_nic(evidence: Evidence, nic: ClusterNic) -> Iterator[Cause]:
    """What the host sends finds the address; what comes in by the NIC does not, by a rule that looks at that."""
    rules = [f"`{rule}`" for rule in nic.seen.rules if f" iif {nic.nic} " in f"{rule} "]
    arrivals = [(caller, route) for (own, caller), route in nic.seen.arrivals.items() if own == nic.address and route.kind != "local"]
    if not rules or not arrivals:
        return
    caller, route = arrivals[0]
    why = f"what comes in by {nic.nic} is routed otherwise, by the policy rule {', '.join(rules[:3])}"
    do = f"take that rule away, or give it a later place than the one with `lookup local` (`ip rule` on {nic.host}), and see what set it"
    seen = f"`ip route get {nic.address} from {caller} iif {nic.nic}` on {nic.host}: {route.kind} {way_of(route)}".rstrip()
    yield _cause(evidence, nic, why, do, seen)


def _cause(evidence: Evidence, nic: ClusterNic, why: str, do: str, seen: str) -> Cause:
    lost = lost_ports(evidence, nic)
    probe = evidence.cluster.load_balancer.probe.port
    outside = ("client/*", "standby/*", f"{nic.host}:probe port") if probe in lost and nic.host == evidence.active else ()
    return Cause(
        f"{nic} has its address, and its kernel does not take it for its own: {why}; what is sent there is lost",
        nic.host,
        Certainty.CERTAIN if lost or is_felt(evidence, nic) else Certainty.LIKELY,
        do,
        (seen, *(f"`ip rule` on {nic.host}: {rule}" for rule in nic.seen.rules[:3])),
        explains=(*explained_patterns(evidence, nic), *outside),
    )
