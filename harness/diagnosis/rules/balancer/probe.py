"""The health probe, taken apart: does it arrive, is it answered, by which NIC, and with what (facts PRB-03, PRB-22, TRP-07)?"""

from __future__ import annotations

from collections.abc import Iterator

from harness.config.cluster_config import Node
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import ANY, Evidence, ProbesSeen
from harness.diagnosis.rules.balancer.probe_interval import comes_slowly
from harness.diagnosis.rules.cluster.shared_addresses import of_probe_port
from harness.diagnosis.rules.network import links
from harness.diagnosis.rules.network.host_firewall import is_probe_doubted
from harness.expectations.http_probe_answer import is_late, seconds, waits_s, without_time

OUTSIDE = ("client/*", "standby/*")
MIN_CHANGES = 2  # probes of either kind


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    probe = evidence.cluster.load_balancer.probe
    unprobed = [n for n in evidence.cluster.nodes if (p := evidence.probes.get(n.name)) and not p.syns.get(probe.port)]
    at_fault = links.at_fault(evidence)
    for node in unprobed:
        if comes_slowly(evidence):
            break  # it may well be probed, only not yet
        if node.name in at_fault:
            continue  # its own NIC loses them
        if (there := evidence.hosts.get(node.name)) is not None and not there.is_up(node.address):
            continue  # told as what it is
        both = len(unprobed) == len(evidence.cluster.nodes)
        if both and node.name != evidence.active and evidence.active and _asked_ports(evidence, unprobed):
            continue  # told once, of the active node
        yield _no_probe(evidence, node, evidence.probes[node.name], both=both)
    for node, _ in evidence.nodes:
        probes = evidence.probes.get(node.name)
        unanswered = probes and probes.syns.get(probe.port) and not probes.answered and not probes.refused
        if probes and unanswered and not evidence.stealthy(node.name, probe.port):
            yield _unanswered(evidence, node, probes)
    yield from _comes_and_goes(evidence)
    yield from _sent_though_down(evidence)
    yield from _status(evidence)
    yield from _asks_a_shared_port(evidence)
    yield from _answered_on_standby(evidence)


def _comes_and_goes(evidence: Evidence) -> Iterator[Cause]:
    """Within one look some probes were answered and some not; the first and the last may be cut off by the look itself."""
    probe, active = evidence.cluster.load_balancer.probe, evidence.active
    probes = evidence.probes.get(active or "")
    if active is None or probes is None or evidence.moved:
        return
    explains = (*OUTSIDE, f"{active}:probe port")
    if min(probes.answered, probes.refused) >= MIN_CHANGES:
        yield Cause(
            f"port {probe.port} of {active} comes and goes: of the balancer's probes in {probes.seconds:.1f} s {probes.answered} "
            "were answered "
            f"and {probes.refused} refused, so the balancer takes {active} out and in again",
            active,
            Certainty.LIKELY,
            f"see who listens on port {probe.port} and what ends it again and again (`ss -tlnp`, the health-check resource's log)",
            (f"the packet capture on {active}: {probes.answered} SYN-ACKs and {probes.refused} resets to {probe.source}",),
            explains=explains,
        )
    elif evidence.probes_lost_in_part(active) and not evidence.stealthy(active, probe.port):
        syns = probes.syns[probe.port]
        felt = any(p.path != "inside" for p in evidence.failed)
        yield Cause(
            f"{active} answers only some of the balancer's probes to port {probe.port}, and neither answers nor refuses "
            f"the others, so the balancer takes {active} out and in again: a rate limit of a firewall there, or a responder that is slow "
            "to accept and whose queue is full",
            active,
            Certainty.LIKELY if felt else Certainty.POSSIBLE,
            f"look on {active} for a rule with a limit (`nft list ruleset`, `iptables -vnL`), and at the queue of the responder "
            f"(`ss -tln 'sport = :{probe.port}'`; `nstat -az TcpExtListenOverflows`)",
            (
                f"the packet capture on {active}: {syns} SYNs to port {probe.port} in {probes.seconds:.1f} s, {probes.answered} SYN-ACKs, "
                f"{probes.refused} resets",
            ),
            explains=explains,
            general=felt and is_probe_doubted(evidence, active),  # its firewall, by the rule
        )


def _asked_ports(evidence: Evidence, nodes: list[Node]) -> str:
    """The other ports that the probe asks, where it asks the same ones of all these nodes."""
    (ports, *others) = ({*evidence.probes[node.name].syns} for node in nodes)
    return ", ".join(map(str, sorted(ports))) if all(other == ports for other in others) else ""


def _no_probe(evidence: Evidence, node: Node, probes: ProbesSeen, *, both: bool) -> Cause:
    probe = evidence.cluster.load_balancer.probe
    active = node.name == evidence.active
    lines = [
        f"the packet capture on {node.name}: no SYN from {probe.source} to port {probe.port} in {probes.seconds:.1f} s; one is due every "
        f"{probe.interval_s:g} s"
    ]
    lines += [f"from {d.origin} to {node.address}:{d.port}: {d.outcome}" for d in evidence.direct_attempts(node.name, probe.port)[:2]]
    explains = OUTSIDE if active else ()
    if probes.syns:
        asked_ports = ", ".join(map(str, sorted(probes.syns)))
        host = evidence.hosts.get(evidence.active or node.name)
        answers_asked = host is not None and any(host.listening(port) for port in probes.syns)
        answers_file = host is not None and bool(host.listening(probe.port))
        where = (
            f", where the health-check resource of {host.name} answers" if host and answers_file else ", which is the cluster file's port"
        )
        do = f"make the balancer's probe ask {probe.port}, or let the health-check resource and the cluster file have {asked_ports}"
        if answers_asked and not answers_file:
            do = f"let the cluster file have {asked_ports} (load_balancer.probe.port), where the health-check resource answers"
        return Cause(
            f"the load balancer's probe asks port {asked_ports} of {'both nodes' if both else node.name}, not {probe.port}{where}",
            node.name,
            Certainty.CERTAIN,
            do,
            (*lines, f"the packet capture on {node.name}: SYNs from {probe.source} to port {asked_ports}"),
            explains=(*explains, "*:probe port" if both else f"{node.name}:probe port"),
        )
    if both:
        return Cause(
            f"no probe from {probe.source} arrives at {node.name}, nor at the other node: no load-balancing rule uses a probe on port "
            f"{probe.port}, "
            "or a network security group denies AzureLoadBalancer at both, or neither is in the backend pool",
            node.name,
            Certainty.LIKELY,
            "see in Azure that a rule with this probe exists, that both NICs are in its backend pool, and what their security groups deny",
            tuple(lines),
            "the probe's port may differ from the cluster file's: look at the load balancer's probe",
            explains=explains,
        )
    through = any(p.connects and node.name in p.nodes for p in evidence.paths)
    why = (
        "a network security group (NSG) denies AzureLoadBalancer there, though the node is a member of the backend pool"
        if through
        else f"its NIC is outside the backend pool, or a network security group (NSG) rule denies AzureLoadBalancer at {node.name}"
    )
    later = "" if active else "; it takes no clients after a failover"
    return Cause(
        f"no probe from {probe.source} arrives at {node.name}, while the other node is probed: {why}{later}",
        node.name,
        Certainty.LIKELY,
        f"see in Azure that the NIC of {node.address} is a member of the backend pool, and that no security rule before "
        f"AllowAzureLoadBalancerInBound "
        f"denies port {probe.port}",
        tuple(lines),
        "the one thing that decides: the pool's members, as the portal or `az network lb address-pool show` lists them",
        explains=explains,
    )


def _unanswered(evidence: Evidence, node: Node, probes: ProbesSeen) -> Cause:
    probe = evidence.cluster.load_balancer.probe
    count = probes.syns[probe.port]
    return Cause(
        f"the probe from {probe.source} arrives at port {probe.port} of {node.name} and nothing answers it: a firewall there drops "
        f"it, or the responder "
        "does not accept",
        node.name,
        Certainty.LIKELY,
        f"look at the firewall of {node.name} and at `ss -tlnp 'sport = :{probe.port}'` there",
        (f"the packet capture on {node.name}: {count} SYNs to port {probe.port} in {probes.seconds:.1f} s, no SYN-ACK and no RST",),
        explains=(*OUTSIDE, f"{node.name}:probe port", "-") if node.name == evidence.active else ("-",),
        general=True,
    )


def _sent_though_down(evidence: Evidence) -> Iterator[Cause]:
    """Clients arrive at a node whose answers to the probe are none."""
    standby = evidence.standby
    probes = evidence.probes.get(standby or "")
    sent = [p for p in evidence.paths if p.path in ("client", "standby") and standby in p.nodes]
    if standby is None or evidence.moved or probes is None or probes.answered or not sent:
        return
    active = evidence.probes.get(str(evidence.active))
    port = evidence.cluster.load_balancer.probe.port
    none_up = active is not None and not active.answered
    why = (
        "no member answers the probe, and the rule says that all count as up then (noHealthyBackendsBehavior AllProbedUp)"
        if none_up
        else "its administrative state (adminState) in the backend pool is Up, whatever the probe says"
    )
    yield Cause(
        f"the load balancer sends clients to {standby}, which does not answer the probe on port {port}: {why}",
        standby,
        Certainty.LIKELY,
        "see what the pool member's admin state and the rule's behaviour without healthy members are, and set them back to None and "
        "AllProbedDown",
        (
            f"the packet capture on {standby}: {probes.syns.get(port, 0)} probes, {probes.refused} refused and none answered",
            *(f"the packet captures: {p.path} to port {p.service.port} arrived at {', '.join(sorted(p.nodes))}" for p in sent[:3]),
        ),
        explains=OUTSIDE,
        general=none_up,
    )


def _status(evidence: Evidence) -> Iterator[Cause]:
    probe = evidence.cluster.load_balancer.probe
    for node in evidence.cluster.nodes if probe.protocol == "http" else ():
        answer = evidence.asked_by_probe.get(node.name, "")
        if answer.startswith("200") and node.name == evidence.active and seconds(answer):
            yield _late(evidence, node, answer)
        elif answer and node.name == evidence.active and not answer.startswith("200") and _is_sent_clients(evidence, node):
            yield _asked_otherwise(evidence, node, answer)
        elif answer and node.name == evidence.active and not answer.startswith("200"):
            yield Cause(
                f"the probe's GET {probe.path} on {node.address}:{probe.port} is answered {answer}; only 200 counts, so {node.name} is "
                f"out of rotation",
                node.name,
                Certainty.CERTAIN,
                f"let the responder answer GET {probe.path} with 200 while the node is active, or give the probe the path that it serves",
                (f"asked as the balancer asks, GET {probe.path} of {node.name}: {answer}",),
                explains=OUTSIDE,
            )
        elif answer.startswith("200") and evidence.active and node.name != evidence.active and not is_late(answer, probe):
            yield Cause(
                f"the probe's GET {probe.path} on {node.address}:{probe.port} is answered {without_time(answer)}, though "
                f"{node.name} is not "
                f"active: clients are sent there too",
                node.name,
                Certainty.CERTAIN,
                "let the path answer 200 on the active node only",
                (f"GET {probe.path} of {node.name}: {answer}",),
                explains=(*OUTSIDE, f"{node.name}:probe port"),
            )


def _is_sent_clients(evidence: Evidence, node: Node) -> bool:
    return any(p.outcome == "pass" or (p.connects and node.name in p.nodes) for p in evidence.paths if p.path in ("client", "standby"))


def _asked_otherwise(evidence: Evidence, node: Node, answer: str) -> Cause:
    """A node that is in rotation, though its answer to what the file says would take it out."""
    probe = evidence.cluster.load_balancer.probe
    return Cause(
        f"the cluster file says that the probe is GET {probe.path} of port {probe.port} (protocol http), which {node.name} answers "
        f"{answer}, and yet the load balancer sends it clients: its probe asks otherwise, by TCP alone or for another path",
        node.name,
        Certainty.LIKELY,
        "see the probe's protocol and path in Azure, and let the cluster file have the same (load_balancer.probe.protocol and path)",
        (
            f"asked as the cluster file says, GET {probe.path} of {node.name}: {answer}",
            f"attempts: clients are served by {node.name}",
        ),
        f"the page has turned {node.name} away only just now, or its administrative state (adminState) in the pool is Up: look again once "
        f"{probe.threshold} probes more are due",
    )


def _late(evidence: Evidence, node: Node, answer: str) -> Cause:
    probe = evidence.cluster.load_balancer.probe
    late, waits = is_late(answer, probe), waits_s(probe)
    sent = _is_sent_clients(evidence, node)
    if late and sent:  # then the balancer's own interval may be longer, or it was slow this once
        follows = f"later than the balancer waits by the cluster file, {waits:g} s, though {node.name} is sent clients now"
    elif late:
        follows = f"later than the balancer waits, {waits:g} s, so {node.name} is out of rotation"
    else:
        follows = f"after half of what the balancer waits, {waits:g} s, or more: under load it may be late, and {node.name} out of rotation"
    late = late and not sent
    return Cause(
        f"the probe's GET {probe.path} on {node.address}:{probe.port} is answered {follows}",
        node.name,
        Certainty.CERTAIN if late else Certainty.POSSIBLE,
        "let the page answer at once, from what was found out before, or give the probe a longer interval (facts PRB-11)",
        (
            f"asked as the balancer asks, GET {probe.path} of {node.name}: {answer}",
            f"the cluster file: the probe's interval is {probe.interval_s:g} s",
        ),
        explains=OUTSIDE if late else (),
    )


def _split(evidence: Evidence) -> bool:
    """Do both nodes' managers have the responder in service? Then it answers on both by right, and why that is so is another rule's."""
    responder_states = [
        r for n in evidence.state.nodes for tag in evidence.responders if (r := evidence.resource(n, tag)) is not None and r.active
    ]
    return len(responder_states) > 1


def _asks_a_shared_port(evidence: Evidence) -> Iterator[Cause]:
    """Something that every node runs, or another program on the standby, answers the probe."""
    port = evidence.cluster.load_balancer.probe.port
    listeners = {node.name: [s for s in host.listening(port) if s.address in {*ANY, str(node.address)}] for node, host in evidence.nodes}
    if evidence.active is None or evidence.moved or _split(evidence) or evidence.turns_away(evidence.standby):
        return
    if any(of_probe_port(evidence)):
        return  # by the manager's own configuration
    if len(listeners) == 2 and all(listeners.values()):
        who = {s.process or "a process" for sockets in listeners.values() for s in sockets}
        both = {s.process for s in listeners[evidence.active]} & {s.process for s in listeners[str(evidence.standby)]}
        if both and both != {None}:
            yield Cause(
                f"the probe port {port} is answered by {', '.join(sorted(map(str, both)))} on every node, whatever the node's role: "
                f"the balancer sends clients "
                "to the standby as well",
                str(evidence.standby),
                Certainty.CERTAIN,
                "give the probe a port of its own, which only the health-check resource answers, on the active node",
                tuple(
                    f"`ss -tlnp` on {name}: {s.owner} listens on {s.address}:{port}" for name, sockets in listeners.items() for s in sockets
                ),
                explains=(*OUTSIDE, "*:probe port"),
            )
        else:
            socket = listeners[str(evidence.standby)][0]
            yield Cause(
                f"{socket.owner} listens on the probe port {port} of {evidence.standby}, which is not active: the balancer sends "
                f"clients there too",
                str(evidence.standby),
                Certainty.CERTAIN,
                f"see what {', '.join(sorted(who))} is and give it another port; only the health-check resource may answer there",
                tuple(
                    f"`ss -tlnp` on {name}: {s.owner} listens on {s.address}:{port}" for name, sockets in listeners.items() for s in sockets
                ),
                explains=(*OUTSIDE, f"{evidence.standby}:probe port"),
            )


def _answered_on_standby(evidence: Evidence) -> Iterator[Cause]:
    """Nobody listened there when it was looked, and yet probes were answered: something opens the port now and then."""
    probe, standby = evidence.cluster.load_balancer.probe, evidence.standby
    probes, there = evidence.probes.get(standby or ""), evidence.hosts.get(standby or "")
    if standby is None or probes is None or there is None or not probes.answered or evidence.moved or _split(evidence):
        return
    if there.listening(probe.port) or probe.protocol == "http":  # told by who it is; a page may answer another status
        return
    sent = any(standby in p.nodes for p in evidence.paths if p.path != "inside")
    yield Cause(
        f"something on {standby}, which is not active, opens the probe port {probe.port} now and then and answers the balancer's "
        "probes, so clients are sent there in between" + (", as some were now" if sent else ""),
        standby,
        Certainty.CERTAIN if sent else Certainty.LIKELY,
        f"find what opens it (`while :; do ss -Hltnp 'sport = :{probe.port}'; sleep 0.1; done`; cron, a watchdog, a unit that is restarted "
        "again and again, a health-check resource that the manager starts in vain), and end that; only the active node may answer",
        (
            f"the packet capture on {standby}: {probes.answered} SYN-ACKs and {probes.refused} resets to {probe.source} in "
            f"{probes.seconds:.1f} s",
            f"`ss -tlnp` on {standby}: nobody listened on {probe.port} when it was looked",
        ),
        explains=(*OUTSIDE, f"{standby}:probe port"),
    )
