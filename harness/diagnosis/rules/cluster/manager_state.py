"""What the cluster manager says against what runs: out of service, apart, or at odds with the host."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.config.load_balancer_config import VIP_PREFIX
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen, Socket
from harness.diagnosis.manager_log_excerpts import about, last_word, recoveries
from harness.diagnosis.rules.network.connection_tracking import leads_to
from harness.diagnosis.rules.service.listeners import ports_of, served_meanwhile
from harness.managers.manager import ResourceState
from harness.managers.manager_registry import manager_class

# Seconds in which a recovery was logged, of REPEATED_RECOVERY_WINDOW_S: something takes it away as often as it is put back.
MIN_REPEATED_RECOVERIES = 4
MAX_ELSEWHERE = 3  # ports
REPEATED_RECOVERY_WINDOW_S = 120.0
CHECK_FAILS = re.compile(r"quickCheck|_monitor_", re.IGNORECASE)
GONE = re.compile(r"\bnot (on|there|running|found|present|configured)\b|missing|\bgone\b|rc=7|no address", re.IGNORECASE)


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    if evidence.moved:
        return
    yield from _frozen(evidence)
    yield from _stopped_manager_causes(evidence)
    yield from _both_or_none(evidence)
    yield from _disagrees(evidence)
    yield from _apart(evidence)
    yield from _ip_resource(evidence)
    yield from _incomplete(evidence)
    yield from _again_and_again(evidence)


def explained_symptoms(evidence: Evidence, node: str, tag: str) -> tuple[str, ...]:
    """What follows from a resource's not being there on a node, as `Cause.explains`."""
    cluster = evidence.cluster
    here = node == evidence.active
    if tag in evidence.responders:
        return (("client/*", "standby/*") if here else ()) + (f"{node}:probe port", f"{node}:resource")
    if tag == cluster.ip_resource.tag:
        paths = "*/*" if cluster.design == "floating" else "inside/*"
        return ((paths,) if here else ()) + (f"{node}:VIP", f"{node}:route to the VIP")
    service = next((s.name for s in cluster.services if s.tag == tag), None)
    return ((f"*/{service}",) if here else ()) + (f"{node}:listener of {service}",) if service else (f"{node}:resource",)


def _frozen(evidence: Evidence) -> Iterator[Cause]:
    """A daemon of the manager's that is there and does nothing: the rest of the manager may well go on saying that all is well."""
    manager = manager_class(evidence.cluster).name
    for node, host in evidence.nodes:
        for letter, word in (("T", "stopped, as by SIGSTOP or a debugger"), ("D", "in uninterruptible sleep, as on a disk that hangs")):
            if not (daemons := _daemons_in_state(evidence, node.name, letter)):
                continue
            names = ", ".join(f"{name} (pid {pid})" for pid, name in daemons.items())
            pids = " ".join(map(str, daemons))
            yield Cause(
                f"{names} of {manager} {'is' if len(daemons) == 1 else 'are'} {word} (state {letter}) on {node.name}: {manager} cannot act "
                "there, so nothing would be started, stopped or watched by it",
                node.name,
                Certainty.CERTAIN if letter == "T" and set(daemons) <= set(host.frozen) else Certainty.LIKELY,
                f"see who stopped it (`grep TracerPid /proc/{next(iter(daemons))}/status`); `kill -CONT {pids}` lets it go on, and so "
                "does a "
                f"restart of {manager} there"
                if letter == "T"
                else f"see what it waits for (`cat /proc/{next(iter(daemons))}/stack`, `dmesg`): a disk or a file system that hangs",
                tuple(
                    f"`ps` on {node.name}, twice within a second: {pid} {host.frozen[pid][0]} {name}"
                    if pid in host.frozen
                    else f"`ps` on {node.name}, twice within a second: {pid} T {name}"
                    for pid, name in daemons.items()
                ),
                explains=("*:communication path", "*:roles"),
            )


def _daemons_in_state(evidence: Evidence, node: str, letter: str) -> dict[int, str]:
    """The manager's daemons in that state, by their process ids; stopped ones also by the program that they run."""
    host = evidence.hosts.get(node)
    if host is None:
        return {}
    run = {pid: program for pid, (_, _, program) in host.stopped.items() if letter == "T" and program}
    return run | {pid: name for pid, (state, name) in host.frozen.items() if state.upper() == letter}


def _stopped_manager_causes(evidence: Evidence) -> Iterator[Cause]:
    """It was asked and does not run, or is no member: what runs there is watched by nobody, and nothing moves there."""
    name = manager_class(evidence.cluster).name
    for node in evidence.state.nodes.values():
        if node.running or not node.stopped or node.quorum is False or _daemons_in_state(evidence, node.node, "T"):
            continue
        host = evidence.hosts.get(node.node)
        if host is not None and host.lacking_accounts:  # without which its commands cannot ask it (manager_folders)
            continue
        services = [s.name for s in evidence.cluster.services if host is not None and host.listening(s.port)]
        runs = f"{', '.join(services)} run there, and nobody watches them" if services else "it takes nothing over"
        word = last_word(host.log) if host is not None else ""
        runs += f"; its log ends with: {word}" if word else ""
        yield Cause(
            f"the cluster manager ({name}) is stopped or stands aside on {node.node}: {node.why}; {runs}",
            node.node,
            Certainty.CERTAIN,
            f"{'put right what it says there' if word else 'see who stopped it and why'}, then start {name} on {node.node}, or let it take "
            "part again",
            (f"{name}'s own commands on {node.node}: {node.why}", *([f"{name}'s log on {node.node}: {word}"] if word else [])),
            explains=("*:communication path", "*:roles"),
        )


def _both_or_none(evidence: Evidence) -> Iterator[Cause]:
    cluster, nodes = evidence.cluster, evidence.state.nodes
    if len(nodes) < 2 or not all(n.running for n in nodes.values()):
        return
    tags = {cluster.ip_resource.tag, *evidence.responders, *(s.tag for s in cluster.services)}
    both = sorted(t for t in tags if all((s := evidence.resource(n, t)) is not None and s.active for n in nodes))
    paths = [p for n in nodes.values() for p in n.comm_paths]
    names = " and ".join(nodes)
    if both:
        dead = "; every communication path between them is dead" if paths and not any(p.alive for p in paths) else ""
        yield Cause(
            f"{names} both have {', '.join(both)} in service: each thinks that the other is dead (split brain){dead}",
            cluster.nodes[-1].name,
            Certainty.LIKELY,
            "see which node's data is right before anything is stopped; fix the way between the nodes first",
            tuple(f"the cluster manager on {n}: {', '.join(both)} in service" for n in nodes),
            explains=("*/*", "*:communication path", "*:roles"),
            general=bool(dead),
        )
    if all(n.resources for n in nodes.values()) and not any(n.has_something for n in nodes.values()):
        failed = [f"{t} failed on {n.node}" for n in nodes.values() for t, s in n.resources.items() if s is ResourceState.FAILED]
        by_rule = [why for a in evidence.may_move.values() if a.no for why in a.because if "in service on either" not in why]
        explanation = "; ".join([*failed, *dict.fromkeys(by_rule)])
        yield Cause(
            f"nothing is in service on {names}"
            + (f": {explanation}" if explanation else ", and nothing says why: it was taken out, or not started"),
            cluster.nodes[0].name,
            Certainty.CERTAIN,
            "fix what failed, then let the cluster manager bring everything into service on one node",
            tuple(f"the cluster manager on {n.node}: {', '.join(f'{t} {s}' for t, s in n.resources.items())}" for n in nodes.values()),
            explains=("*/*", "*:roles"),
        )


def _disagrees(evidence: Evidence) -> Iterator[Cause]:
    cluster, active = evidence.cluster, evidence.active
    host = evidence.hosts.get(active or "")
    if active is None or host is None or host.listeners is None:
        return
    port = cluster.load_balancer.probe.port
    probes = evidence.probes.get(active)
    asked_elsewhere = probes is not None and any(p != port and host.listening(p) for p in probes.syns)  # then that is what is wrong
    wanted = [(tag, port, "the probe port") for tag in evidence.responders if not asked_elsewhere] + [
        (s.tag, s.port, s.name) for s in cluster.services
    ]
    for tag, number, what in wanted:
        state = evidence.resource(active, tag)
        if (
            state is ResourceState.STANDBY
            and host.listening(number)
            and not any(_is_in_service(evidence, n, tag) for n in evidence.state.nodes)
        ):
            yield _runs_out_of_service(evidence, active, tag, number, what)
        if state is None or host.listening(number) or leads_to(evidence, active, number) is not None:
            continue
        if evidence.served_elsewhere(active, number):
            continue  # by a container, to which its firewall hands the port on
        if served_meanwhile(evidence, active, number):  # then somebody listens there now and then
            continue
        if state.active:
            monitor = host.units.get(f"monitor {tag}")
            why = ", because the resource has no monitor operation" if monitor == "none" else ""
            configured_port = host.units.get(f"port {tag}", "")
            if configured_port.isdigit() and int(configured_port) != number:
                why = f", because the resource is configured for port {configured_port}"
            elsewhere = _listens_elsewhere(evidence, host) if not why else []
            where = f"; {elsewhere[0].owner} listens on {elsewhere[0].port}, which nobody does on {evidence.standby}" if elsewhere else ""
            yield Cause(
                f"the cluster manager says that {tag} is in service (started) on {active}, but nobody listens on port {number} "
                f"({what}): the two disagree{why}{where}",
                active,
                Certainty.CERTAIN,
                f"give {tag} the port {number}"
                if configured_port.isdigit() and int(configured_port) != number
                else f"give {tag} a monitor, and let the manager look at it again or restart it"
                if why
                else f"see whether {elsewhere[0].owner} is {tag}, and by which settings it has that port; then let the manager check it"
                if elsewhere
                else f"let the manager check {tag}, or restart it there",
                (
                    *(f"`ss -tlnp` on {active}: {s.owner} listens on {s.address}:{s.port}" for s in elsewhere),
                    f"the cluster manager on {active}: {tag} is {state}",
                    f"`ss -tlnp` on {active}: nothing listens on {number}",
                    *((f"the cluster's configuration: {tag} has no recurring monitor",) if monitor == "none" else ()),
                ),
                explains=explained_symptoms(evidence, active, tag),
            )
        elif state is ResourceState.STANDBY and not any(_is_in_service(evidence, n, tag) for n in evidence.state.nodes if n != active):
            yield Cause(
                f"{tag} is out of service on {active}, where everything else is in service, so nobody listens on port {number} ({what})",
                active,
                Certainty.CERTAIN,
                f"put {tag} in service there, by the cluster manager",
                (f"the cluster manager on {active}: {tag} is {state}",),
                explains=explained_symptoms(evidence, active, tag),
            )


def _listens_elsewhere(evidence: Evidence, host: HostSeen) -> list[Socket]:
    """Who listens on the active node, reached from outside, on a port that is none of the cluster's, and that nobody has on the standby: it
    may be a service that was given another port. A few at most; where there are more, nothing can be told from that."""
    standby = evidence.hosts.get(evidence.standby or "")
    if standby is None or standby.listeners is None or host.listeners is None:
        return []
    others = {s.port for s in standby.listeners} | set(ports_of(evidence.cluster))
    configured = {value for key, value in host.units.items() if key.startswith("port ")}
    sockets = [s for s in host.listeners if s.port not in others and str(s.port) not in configured and not s.address.startswith("127.")]
    by_port = {s.port: s for s in sockets if s.address != "::1"}
    return list(by_port.values()) if len(by_port) <= MAX_ELSEWHERE else []


def _runs_out_of_service(evidence: Evidence, active: str, tag: str, port: int, what: str) -> Cause:
    owner = next(s.owner for s in evidence.hosts[active].listening(port))
    return Cause(
        f"the cluster manager has {tag} out of service on {active}, where everything else is in service, but {owner} listens on port "
        f"{port} ({what}): it runs without the manager, which neither watches it nor moves it",
        active,
        Certainty.CERTAIN,
        f"see who started it beside the manager, or set the state by hand; then put {tag} in service there by the cluster manager",
        (
            f"the cluster manager on {active}: {tag} is {evidence.resource(active, tag)}",
            f"`ss -tlnp` on {active}: {owner} listens on {port}",
        ),
        explains=("*:roles", f"{active}:resource"),
    )


def _is_in_service(evidence: Evidence, node: str, tag: str) -> bool:
    state = evidence.resource(node, tag)
    return state is not None and state.active


def _apart(evidence: Evidence) -> Iterator[Cause]:
    """Two applications behind one probe: the balancer sends everything to the node whose responder answers."""
    cluster = evidence.cluster
    tags = evidence.responders
    favoured = [n for n in evidence.state.nodes if any((s := evidence.resource(n, t)) and s.active for t in tags)]
    if len(favoured) != 1:
        return
    there = favoured[0]
    for service in cluster.services:
        on = [n for n in evidence.state.nodes if (s := evidence.resource(n, service.tag)) and s.active]
        if on and there not in on:
            yield Cause(
                f"{service.name} ({service.tag}) is in service on {on[0]}, but the probe is answered on {there} ({', '.join(tags)}): "
                f"the balancer sends clients of port "
                f"{service.port} to {there}, where it does not run",
                on[0],
                Certainty.CERTAIN,
                f"bring {service.tag} to {there}, or all to one node; what shares a frontend and a probe must be tied together in the "
                f"cluster manager",
                tuple(f"the cluster manager: {t} is in service on {n}" for t, n in ((service.tag, on[0]), (tags[0], there))),
                explains=(f"*/{service.name}", f"*:listener of {service.name}", "*:roles"),
            )


def _ip_resource(evidence: Evidence) -> Iterator[Cause]:
    cluster, active = evidence.cluster, evidence.active
    tag = cluster.ip_resource.tag
    state = evidence.resource(active or "", tag)
    host = evidence.hosts.get(active or "")
    carried = host.units.get("ip address") if host is not None else None
    if active is not None and state is not None and carried not in (None, str(cluster.ip_resource.address)):
        holds = host is not None and host.nic_of(cluster.vip) is not None
        meaning = (
            f"{active} holds it all the same, put there by something else, which no failover moves along"
            if holds
            else f"{active} does not hold it, and cannot reach itself through the frontend"
        )
        yield Cause(
            f"the IP resource {tag} is configured for {carried}, and the load balancer's frontend is {cluster.vip}: {meaning}",
            active,
            Certainty.LIKELY if holds else Certainty.CERTAIN,
            f"give {tag} the address {cluster.vip} in the cluster manager, with the prefix /{VIP_PREFIX}",
            (f"the cluster manager's configuration on {active}: {tag} has the address {carried}",),
            explains=explained_symptoms(evidence, active, tag),
        )
        return
    if active is None or state is None or (host is not None and host.nic_of(cluster.vip) is not None):
        return
    if state.active and host is not None and host.addresses is not None:
        yield Cause(
            f"the cluster manager says that {tag} is in service on {active}, but {cluster.vip} is on no NIC there: the two disagree",
            active,
            Certainty.CERTAIN,
            f"see what took {cluster.vip} away, and let the manager check {tag} or restart it",
            (f"the cluster manager on {active}: {tag} is {state}", f"`ip addr` on {active}: {cluster.vip} is not there"),
            explains=explained_symptoms(evidence, active, tag),
        )
    if state is not ResourceState.STANDBY:
        return
    if away := [n for n in evidence.state.nodes if n != active and _is_in_service(evidence, n, tag)]:
        yield Cause(
            f"the IP resource {tag} is in service on {away[0]}, while the services are on {active}: {cluster.vip} is not there: {active} "
            "cannot reach itself through the frontend, because the balancer has no loopback",
            active,
            Certainty.CERTAIN,
            f"tie {tag} to the services in the cluster manager, so that it is where they are (a group, a colocation, a dependency)",
            tuple(f"the cluster manager on {n}: {tag} is {evidence.resource(n, tag)}" for n in (active, away[0])),
            explains=(*explained_symptoms(evidence, active, tag), "*:roles"),
        )
        return
    failed = [t for t, s in evidence.state.nodes[active].resources.items() if s is ResourceState.FAILED]
    yield Cause(
        f"the IP resource {tag} is out of service (stopped) on {active}: {cluster.vip} is on no NIC, so {active} cannot reach itself "
        f"through the frontend, "
        "because the balancer has no loopback" + ("; and with floating IP on nobody is served" if cluster.design == "floating" else ""),
        active,
        Certainty.CERTAIN,
        f"fix {', '.join(failed)} first, which it may wait for; then put {tag} in service there, by the cluster manager"
        if failed
        else f"put {tag} in service there, by the cluster manager",
        (f"the cluster manager on {active}: {tag} is {state}", f"`ip addr` on {active}: {cluster.vip} is not there"),
        explains=explained_symptoms(evidence, active, tag),
        general=bool(failed),
    )


def _incomplete(evidence: Evidence) -> Iterator[Cause]:
    """What is out of service on the active node besides the services, the responder and the VIP, which are told with what they do."""
    cluster, active = evidence.cluster, evidence.active
    covered_tags = {cluster.ip_resource.tag, *evidence.responders, *(s.tag for s in cluster.services)}
    there = evidence.state.nodes[active].resources if active in evidence.state.nodes else {}
    elsewhere = [n for n in evidence.state.nodes if n != active]
    out = [
        t
        for t, s in there.items()
        if t not in covered_tags and s is ResourceState.STANDBY and not any(_is_in_service(evidence, n, t) for n in elsewhere)
    ]
    if out and active is not None:
        yield Cause(
            f"{', '.join(out)} {'is' if len(out) == 1 else 'are'} out of service on {active}, while other resources are in service "
            f"there: the hierarchy is not complete",
            active,
            Certainty.CERTAIN,
            f"put {out[0]} in service there, by the cluster manager",
            tuple(f"the cluster manager on {active}: {t} is {there[t]}" for t in out),
        )


def _again_and_again(evidence: Evidence) -> Iterator[Cause]:
    cluster = evidence.cluster
    tags = {cluster.ip_resource.tag, *evidence.responders, *(s.tag for s in cluster.services)}
    for name, host in evidence.hosts.items():
        for tag in sorted(tags):
            times = recoveries(host.log, tag, host.clock, host.zone, REPEATED_RECOVERY_WINDOW_S)
            if len(times) < MIN_REPEATED_RECOVERIES:
                continue
            words = about(host.log, tag)
            # A check of the IP resource that fails for another reason says so: then nobody takes the address away.
            vip = tag == cluster.ip_resource.tag and not any(CHECK_FAILS.search(line) and not GONE.search(line) for line in words)
            last = f"; its last words: {words[-1]}" if words and not vip else ""
            what = f"{cluster.vip} is taken away again and again: something removes it" if vip else f"{tag} fails again and again"
            window = f"the last {REPEATED_RECOVERY_WINDOW_S:g} s"
            yield Cause(
                f"{what}, and the cluster manager has recovered {tag} {len(times)} times in {window}{last}",
                name,
                Certainty.CERTAIN,
                f"find what takes {cluster.vip} away: a network manager, a DHCP client or a script on {name} (`ip monitor address` "
                f"shows when)"
                if vip
                else f"find out why {tag} does not stay: its own log says it",
                (f"the manager's log on {name}: {times[-1]}",),
                explains=explained_symptoms(evidence, name, tag) + (("inside/*", f"{name}:VIP") if vip else ()),
            )
