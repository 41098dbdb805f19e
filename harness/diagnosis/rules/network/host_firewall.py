"""A host's own kernel: which of the packets that this cluster lives by would its firewall or IPsec drop, and by which rule?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from harness.core.finding import Weight
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, PathSeen
from harness.diagnosis.host_config.ipsec_policy import Policy, deciding
from harness.diagnosis.required_flows import SENT_ELSEWHERE, FlowVerdict, join_names
from harness.diagnosis.rules.network.connection_tracking import exempting_rules
from harness.diagnosis.rules.network.port_forwarding import forwarded_to, is_forwarding_off, kept_from_loopback

SOURCE = re.compile(r"\bsnat\b", re.IGNORECASE)  # a rule that changes the source, in nft's words or in iptables'
# Matches that look into what is sent, or at how much: a handshake passes them, and what follows it may not.
OF_CONTENT = re.compile(
    r"-m (?:string|u32|bpf|length|connbytes|quota|ndpi|layer7)\b|@(?:ih|th|nh),|\b(?:meta length|ip6? length|ct bytes|quota)\b"
)
ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
TO_A_PROXY = re.compile(r"-j TPROXY .*?--on-port ([1-9]\d*)")
COMMUNICATION = "communication path"
BESIDE = (
    "at what comes beside the firewall: `ip rule` and routes by port or mark, `ip xfrm policy`, `tc filter show` and XDP programs "
    "(`ip link`, `bpftool net`), and at the counters of `nstat -azs` (TcpExtListenDrops, IpReversePathFilter)"
)


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    yield from _ipsec(evidence)
    yield from _swallowed(evidence)
    for host, firewall in evidence.firewalls.items():
        for rule, fates in firewall.translated_by_rule.items():
            yield from _translation_causes(evidence, host, rule, fates)
        for why, fates in firewall.unsure.items():
            yield from _unsure(evidence, host, why, fates)
        for (rule, does), fates in firewall.stopped_by_rule.items():
            yield _stop_cause(evidence, host, rule, does, fates)


def _unsure(evidence: Evidence, host: str, why: str, fates: Sequence[FlowVerdict]) -> Iterator[Cause]:
    """What a rule does to these cannot be told by reading it; but they do not pass."""
    elsewhere = SENT_ELSEWHERE.search(why) is not None  # as a container engine's rules do, which its containers need
    if elsewhere and any(n.name == host for n in evidence.cluster.nodes):
        forwards = not is_forwarding_off(evidence, host)
        ports = {f.needed.first.destination_port for f in fates}
        told = {p for p in ports if kept_from_loopback(evidence, host, p) or (not forwards and forwarded_to(evidence, host, p))}
        fates = [f for f in fates if f.needed.first.destination_port not in told]
    lost_flows = [f for f in fates if _is_lost(evidence, host, f)]
    opened = [f for f in fates if OF_CONTENT.search(why) and _is_unanswered(evidence, host, f)] if not lost_flows else []
    if not lost_flows and not opened:
        return
    stops = (
        f"what follows the handshake of {join_names(f.lost for f in opened)}: they open, and nobody answers what is sent"
        if opened
        else f"{join_names(f.lost for f in lost_flows)}, which {'do' if len(lost_flows) > 1 else 'does'} not pass"
    )
    lost_flows = lost_flows or opened
    yield Cause(
        f"its own firewall may well stop {stops}; it depends on {why}",
        host,
        Certainty.LIKELY,
        "see whether what it leads to serves (the container or machine there, `ss -tln` in it), whether this host forwards to it "
        "(net.ipv4.ip_forward) and what its forward chain does; leave a container engine's own rules as they are"
        if elsewhere
        else "see what that rule does to them (its counter: `nft list ruleset`, `iptables -vnL`); let these pass by a rule before it",
        (
            *dict.fromkeys(f"{host}'s ruleset, evaluated for {f.opening.packet}: cannot tell" for f in lost_flows),
            *_felt_lines(evidence, host, lost_flows),
        ),
        ("or the service itself hangs; " if opened else "nothing else that was looked at explains it; ")
        + ("a connection from this host to that address decides" if elsewhere else "with the rule taken away for a moment it is decided"),
        explains=_explained_patterns(evidence, host, lost_flows),
        general=not elsewhere,
    )


def _is_lost(evidence: Evidence, host: str, fate: FlowVerdict) -> bool:
    """Did a path, the probe, or the manager's own communication path that this is part of fail without a connection?"""
    if f"*:{COMMUNICATION}" in fate.needed.explains:
        ends = {fate.needed.first.source, fate.needed.first.destination}
        dead = [f.says for f in evidence.findings if f.what == COMMUNICATION and f.weight is Weight.FAULT]
        return any(not (addresses := set(ADDRESS.findall(says))) or bool(addresses & ends) for says in dead)
    if fate.needed.first.destination_port == evidence.cluster.load_balancer.probe.port:
        probes = evidence.probes.get(host)
        unheeded = probes is not None and bool(probes.syns) and (not probes.answered or evidence.probes_lost_in_part(host))
        return host == evidence.active and (unheeded or evidence.sent_nobody)
    patterns = _explained_patterns(evidence, host, [fate])
    return any(not p.connects and fnmatchcase(p.name, pattern) for p in evidence.failed for pattern in patterns)


def _is_unanswered(evidence: Evidence, host: str, fate: FlowVerdict) -> bool:
    """Was a connection that this is part of taken, and what was sent over it never answered?"""
    patterns = _explained_patterns(evidence, host, [fate])
    return any(p.hung and p.connects and fnmatchcase(p.name, pattern) for p in evidence.failed for pattern in patterns)


def _felt_lines(evidence: Evidence, host: str, fates: Sequence[FlowVerdict]) -> list[str]:
    """What was seen failing of that, one line for each kind."""
    patterns = _explained_patterns(evidence, host, fates)
    paths = [p.name for p in evidence.failed if any(fnmatchcase(p.name, pattern) for pattern in patterns)]
    probes = evidence.probes.get(host)
    felt = [f"attempts on the paths {join_names(paths)}: they fail"] if paths else []
    if probes is None or not any(probes.syns.values()) or (probes.answered and not evidence.probes_lost_in_part(host)):
        return felt
    return [*felt, f"the packet capture on {host}: probes arrive, and {'some are not' if probes.answered else 'none is'} answered"]


def is_doubted(evidence: Evidence, host: str, path: PathSeen) -> bool:
    """Is there a rule of which it cannot be told what it does to this path?"""
    fates = [f for verdicts in evidence.firewalls[host].unsure.values() for f in verdicts] if host in evidence.firewalls else []
    return any(fnmatchcase(path.name, pattern) for pattern in _explained_patterns(evidence, host, fates))


def is_probe_doubted(evidence: Evidence, host: str) -> bool:
    """Is there a rule of which it cannot be told what it does to the balancer's probe there?"""
    fates = [f for those in evidence.firewalls[host].unsure.values() for f in those] if host in evidence.firewalls else []
    return any(f.needed.first.destination_port == evidence.cluster.load_balancer.probe.port for f in fates)


def is_stopped(evidence: Evidence, host: str, path: PathSeen) -> bool:
    """Is there a rule that surely stops this path, or a part of it?"""
    fates = [f for verdicts in evidence.firewalls[host].stopped_by_rule.values() for f in verdicts] if host in evidence.firewalls else []
    return any(fnmatchcase(path.name, pattern) for pattern in _explained_patterns(evidence, host, fates))


def _ipsec(evidence: Evidence) -> Iterator[Cause]:
    """A policy that blocks, or that wants encrypted what comes as it is."""
    for host, firewall in evidence.firewalls.items():
        host_seen = evidence.hosts.get(host)
        stopped: dict[Policy, list[FlowVerdict]] = {}
        for fate in firewall.fates if host_seen is not None else ():
            if host_seen is not None and (policy := deciding(tuple(host_seen.ipsec), fate.needed.first)) is not None:
                stopped.setdefault(policy, []).append(fate)
        for policy, fates in stopped.items():
            does = "blocks" if policy.action == "block" else "wants encrypted"
            explains = _explained_patterns(evidence, host, fates)
            felt = any(fnmatchcase(p.name, pattern) for p in evidence.failed for pattern in explains) or _is_silent_past_the_balancer(
                evidence, host, fates
            )
            if policy.action != "block" and not felt:  # both ends may speak IPsec
                continue
            yield Cause(
                f"an IPsec policy (xfrm) of its own {does} {join_names(f.needed.question for f in fates)}: `{policy}`",
                host,
                Certainty.CERTAIN if policy.action == "block" and felt else Certainty.LIKELY,
                "take the policy away, or let it pass these; see which program made it (strongSwan, Libreswan, a script)",
                (f"`ip xfrm policy` on {host}: {policy}",),
                explains=explains,
            )


def _is_silent_past_the_balancer(evidence: Evidence, host: str, fates: Sequence[FlowVerdict]) -> bool:
    """Was one of these, tried at the host's own address, answered with nothing? A standby is never asked otherwise."""
    addresses = {m.name: str(m.address) for m in evidence.cluster.machines}
    flows = {(f.needed.first.source, f.needed.first.destination_port) for f in fates if f.needed.first.hook == "input"}
    return any(d.node == host and d.outcome == "silent" and (addresses.get(d.origin), d.port) in flows for d in evidence.direct)


def _swallowed(evidence: Evidence) -> Iterator[Cause]:
    """What arrives at the node's NIC and is neither answered nor refused, where nothing else explains it."""
    swallowed: dict[str, list[PathSeen]] = {}
    for path in evidence.paths:
        listens = [node for node in path.nodes if (host := evidence.hosts.get(node)) and host.listening(path.service.port)]
        if path.silent and not path.answers_left and len(path.nodes) == 1 and listens and not is_doubted(evidence, listens[0], path):
            swallowed.setdefault(listens[0], []).append(path)
    for node, paths in swallowed.items():
        ports = join_names(f"port {p.service.port} ({p.service.name})" for p in paths)
        origins = join_names(p.origin for p in paths)
        yield Cause(
            f"what {origins} send{'s' if len({p.origin for p in paths}) == 1 else ''} to {ports} arrives at the NIC of {node}, where "
            "somebody listens, and its kernel neither answers nor refuses it; its firewall lets it pass, as far as that can be told",
            node,
            Certainty.LIKELY,
            f"look on {node} {BESIDE}",
            tuple(
                f"the packet captures: {p.path} to port {p.service.port} arrived at {node}, and no SYN-ACK or RST left it" for p in paths
            ),
            explains=tuple(p.name for p in paths),
            general=True,
        )


def _translation_causes(evidence: Evidence, host: str, rule: str, fates: Sequence[FlowVerdict]) -> Iterator[Cause]:
    """Translated on the way: to another destination, or, of what leaves by a NIC, to have another source (facts FAB-08)."""
    of_source = SOURCE.search(rule) is not None
    translated = [f for f in fates if not of_source or (f.needed.first.hook == "output" and f.needed.first.out_nic != "lo")]
    if not translated:
        return
    what = "another source address" if of_source else "another destination"
    drops = ": Azure drops what leaves a NIC with an address that is not the NIC's own" if of_source else ""
    yield Cause(
        f"its own firewall gives {join_names(f.needed.question for f in translated)} {what}: `{rule}`{drops}",
        host,
        Certainty.LIKELY,
        "see who put that translation there and whether what it leads to serves; else take it away",
        (f"{host}'s ruleset, evaluated for {translated[0].needed.first}", *_felt_lines(evidence, host, translated)),
        explains=_explained_patterns(evidence, host, translated),
        general=not (of_source and any(_is_lost(evidence, host, f) for f in translated)),
    )


def _stop_cause(evidence: Evidence, host: str, rule: str, does: str, fates: Sequence[FlowVerdict]) -> Cause:
    """One cause for each rule that decides, with everything that it stops."""
    serves = any(not f.needed.as_standby for f in fates)
    later = f", so {host} could not take over" if serves and host == evidence.standby else ""
    if later and all(f"*:{COMMUNICATION}" in f.needed.explains for f in fates if not f.needed.as_standby) and _another_path(evidence):
        later = "; the manager has another path, and when that is lost too each node thinks that the other one is gone"
    peers_alone = host == evidence.standby and all(f.is_peers for f in fates)
    if peers_alone:
        later = f"; after a failover {evidence.active} could not use these as a client"
    untracked = exempting_rules(evidence, host, fates)
    exempt = f"; with connection tracking it would pass, and it is exempt from that by {untracked}" if untracked else ""
    return Cause(
        f"its own firewall {does} {join_names(f.lost for f in fates)}: no rule lets it pass before {rule}{_to_nobody(rule)}{exempt}{later}",
        host,
        Certainty.POSSIBLE if peers_alone else Certainty.CERTAIN,
        ("where the other node is to use them: " if peers_alone else "")
        + "let these pass by a rule before it, or take the rule away, and make that permanent where the firewall is configured"
        + ("; or take the exemption from tracking away, or exempt both directions and let both pass" if untracked else ""),
        tuple(dict.fromkeys(f"{host}'s ruleset, evaluated: {f.opening.decision.why}" for f in fates)),
        explains=(*_explained_patterns(evidence, host, fates), f"{host}:firewall"),
    )


def _to_nobody(rule: str) -> str:
    """Of a rule that hands packets to a proxy of the host: one is lost by it only where nobody listens there."""
    port = TO_A_PROXY.search(rule)
    return f", which hands them to a transparent proxy on port {port[1]} of the host itself, and nobody listens on it" if port else ""


def _explained_patterns(evidence: Evidence, host: str, fates: Sequence[FlowVerdict]) -> tuple[str, ...]:
    """Paths do not go to the standby, and begin there only as it is a client."""
    standby = host == evidence.standby
    patterns = [p for f in fates for p in f.needed.explains if ":" in p or f.needed.as_standby is standby]
    return tuple(p for p in dict.fromkeys(patterns) if p != "*/*" or not _another_path(evidence))


def _another_path(evidence: Evidence) -> bool:
    """Do the managers still hear each other? Then a communication path that is stopped takes nothing out of service."""
    return any(p.alive for s in evidence.state.nodes.values() for p in s.comm_paths)
