"""A port that a node's firewall hands on to another address: a container's, where its kernel forwards nothing, or a loopback address,
where its kernel takes nothing for these from a NIC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

from harness.config.cluster_config import Service
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence

TARGET = re.compile(r"(?:--to-destination|\bdnat(?: ip)? to) (\d{1,3}(?:\.\d{1,3}){3})(?![\d.])")  # iptables' words, and nft's


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for node, host in evidence.nodes:
        for service in evidence.cluster.services:
            yield from _to_loopback(evidence, node.name, service)
            target = forwarded_to(evidence, node.name, service.port)
            if not target or not is_forwarding_off(evidence, node.name) or evidence.moved:
                continue
            standby, first = node.name == evidence.standby, host.nic_of(node.address)
            outside = [p for p in evidence.paths if p.service.name == service.name and p.path != "inside"]
            if not standby and any("answered" in p.outcomes and node.name in p.nodes for p in outside):
                continue
            failed = [p for p in outside if p.silent] if node.name == evidence.active else []
            rule = evidence.firewalls[node.name].sent_elsewhere(service.port)
            yield Cause(
                f"port {service.port} ({service.name}) is handed on to {target} by {rule}, and {node.name} forwards nothing "
                f"(net.ipv4.ip_forward is 0): {'after a failover ' if standby else ''}whoever connects gets no answer",
                node.name,
                Certainty.CERTAIN if failed else Certainty.LIKELY,
                f"set net.ipv4.ip_forward=1 on {node.name}, below /etc/sysctl.d too, and see what sets it to 0 (a hardening script); or "
                f"let {service.name} listen on the node itself",
                (
                    f"{node.name}'s ruleset, evaluated for a connection to port {service.port}: {rule}",
                    f"net.ipv4 on {node.name}: ip_forward 0, conf/{first}/forwarding {host.sysctls.get(f'{first}.forwarding', 'not told')}",
                    *(f"attempts on the path {p.path}: no answer" for p in failed),
                ),
                explains=_symptoms(node.name, service) if node.name == evidence.active else (),
            )


def _to_loopback(evidence: Evidence, name: str, service: Service) -> Iterator[Cause]:
    """The kernel drops what comes by a NIC for 127.0.0.0/8 (a martian), whatever a rule made of its destination."""
    target = kept_from_loopback(evidence, name, service.port)
    if not target or evidence.moved:
        return
    standby = name == evidence.standby
    outside = [p for p in evidence.paths if p.service.name == service.name and p.path != "inside"]
    if not standby and any("answered" in p.outcomes and name in p.nodes for p in outside):
        return
    failed = [p for p in outside if p.silent] if name == evidence.active else []
    rule, nic = evidence.firewalls[name].sent_elsewhere(service.port), evidence.hosts[name].nic_of(evidence.cluster.node(name).address)
    yield Cause(
        f"port {service.port} ({service.name}) is handed on to {target} by {rule}, and {name} takes nothing for a loopback address from "
        f"{nic} (net.ipv4.conf.{nic}.route_localnet is 0): {'after a failover ' if standby else ''}whoever connects gets no answer",
        name,
        Certainty.CERTAIN if failed else Certainty.LIKELY,
        f"let {service.name} listen on the node's own address and take that rule away; or set net.ipv4.conf.{nic}.route_localnet=1 on "
        f"{name}, below /etc/sysctl.d too, with a rule that keeps others away from what listens on 127.0.0.1",
        (
            f"{name}'s ruleset, evaluated for a connection to port {service.port}: {rule}",
            f"net.ipv4.conf on {name}: {nic}/route_localnet 0, all/route_localnet 0",
            *(f"attempts on the path {p.path}: no answer" for p in failed),
        ),
        explains=_symptoms(name, service) if name == evidence.active else (),
    )


def _symptoms(node: str, service: Service) -> tuple[str, ...]:
    return (f"client/{service.name}", f"standby/{service.name}", f"{node}:listener of {service.name}")


def is_forwarding_off(evidence: Evidence, name: str) -> bool:
    """Does the node forward nothing that comes in by its NIC in Subnet#1? The NIC's own setting decides; ip_forward sets all of them."""
    host = evidence.hosts.get(name)
    first = host.nic_of(evidence.cluster.node(name).address) if host is not None else None
    if host is None or first is None:
        return False
    return host.sysctls.get("ip_forward") == "0" and host.sysctls.get(f"{first}.forwarding", "0") == "0"


def forwarded_to(evidence: Evidence, name: str, port: object) -> str:
    """The address on none of the host's NICs that its firewall hands a port on to; "" where there is none, or it is not known."""
    host, target = evidence.hosts.get(name), _target(evidence, name, port)
    if host is None or host.addresses is None or not target:
        return ""
    return "" if ip_address(target).is_loopback or host.nic_of(target) is not None else target


def kept_from_loopback(evidence: Evidence, name: str, port: object) -> str:
    """The loopback address that the node's firewall hands a port on to, and that its kernel keeps from what comes by its NIC in Subnet#1.

    "" where there is none, or it is not known. Either setting, of the NIC or of all, lets it in."""
    host, target = evidence.hosts.get(name), _target(evidence, name, port)
    first = host.nic_of(evidence.cluster.node(name).address) if host is not None and target else None
    if host is None or first is None or not ip_address(target).is_loopback:
        return ""
    return target if all(host.sysctls.get(f"{nic}.route_localnet") == "0" for nic in (first, "all")) else ""


def _target(evidence: Evidence, name: str, port: object) -> str:
    firewall = evidence.firewalls.get(name)
    found = TARGET.search(firewall.sent_elsewhere(port)) if firewall is not None and isinstance(port, int) else None
    try:
        return str(ip_address(found[1])) if found is not None else ""
    except ValueError:
        return ""
