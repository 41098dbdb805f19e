"""Routes: answers must leave by the NIC that the question came by; Azure drops what leaves by another (facts PRB-03, FAB-12, TRP-07)."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.hosts.linux_parse import Route
from harness.model import Node


def causes(evidence: Evidence) -> Iterator[Cause]:
    for node, seen in evidence.nodes:
        first = seen.nic_of(node.address)
        if first is None:
            continue
        probe = str(evidence.cluster.load_balancer.probe.source)
        wrong = {d: r for d in _asked_from(evidence, node) if (r := _wrong(seen, d, str(node.address), first)) is not None}
        if wrong:
            yield _answers(evidence, node, seen, first, wrong, probe)
    yield from _strict(evidence)


def _asked_from(evidence: Evidence, node: Node) -> list[str]:
    peer = evidence.cluster.peer_of(node.name)
    return [str(evidence.cluster.load_balancer.probe.source), str(evidence.cluster.client.address), str(peer.address)]


def _wrong(seen: HostSeen, destination: str, source: str, first: str) -> Route | None:
    route = seen.routes.get((destination, source))
    return route if route is not None and (route.interface != first or route.kind != "unicast") else None


def _answers(evidence: Evidence, node: Node, seen: HostSeen, first: str, wrong: dict[str, Route], probe: str) -> Cause:
    route = next(iter(wrong.values()))
    way = f"out of {route.interface}" if route.kind == "unicast" else f"nowhere ({route.kind})"
    plain = seen.routes.get((next(iter(wrong)), ""))
    by_source = plain is not None and plain.interface == first
    rules = [r for r in seen.rules if str(node.address) in r or (by_source and "from all lookup" not in r)]
    by = (
        f"the policy rule `{rules[0]}`" if rules and by_source else "a route or a policy rule" if not rules else f"a route, or `{rules[0]}`"
    )
    to = " and ".join(f"the probe's source {d}" if d == probe else d for d in wrong)
    saw = evidence.probes.get(node.name)
    evident = [f"`ip route get {d} from {node.address}` on {node.name}: {r.kind} dev {r.interface}" for d, r in wrong.items()]
    if saw and saw.answers_by and first not in saw.answers_by:
        evident.append(
            f"the witness on {node.name}: probes come in by {', '.join(saw.came_by)}, answers leave by {', '.join(saw.answers_by)}"
        )
    active = node.name == evidence.active
    explains = [f"{node.name}:route to the probe", f"{node.name}:route to the VIP"]
    explains += ["client/*", "standby/*"] if active else []
    if str(evidence.cluster.peer_of(node.name).address) in wrong:
        explains.append("*:communication path")
    return Cause(
        f"what its address {node.address} answers to {to} is routed {way} by {by}, not by {first} where the question came in",
        node.name,
        Certainty.CERTAIN,
        f"let what comes from {node.address} leave by {first}: look at `ip rule` and `ip route show table all` there, and mend it "
        f"where it is configured",
        tuple(evident),
        explains=tuple(explains),
    )


def _strict(evidence: Evidence) -> Iterator[Cause]:
    """A SYN that a strict reverse-path filter drops: it came by a NIC that the route back does not use."""
    for node, seen in evidence.nodes:
        first = seen.nic_of(node.address)
        values = [seen.sysctls.get(f"{first}.rp_filter", ""), seen.sysctls.get("all.rp_filter", "")]
        if first is None or "1" not in values or "2" in values:
            continue
        for address, name in (
            (str(evidence.cluster.client.address), "the client"),
            (str(evidence.cluster.load_balancer.probe.source), "the probe"),
        ):
            back = seen.routes.get((address, ""))
            if back is not None and back.interface != first:
                yield Cause(
                    f"{first} has rp_filter strict (1), and the route back to {name} ({address}) is by {back.interface}: the kernel "
                    f"drops what {name} sends",
                    node.name,
                    Certainty.CERTAIN,
                    f"set net.ipv4.conf.{first}.rp_filter=2, or mend the route",
                    (f"`ip route get {address}` on {node.name}: {back.kind} dev {back.interface}",),
                    explains=(f"{node.name}:rp_filter", "client/*", "standby/*"),
                )
