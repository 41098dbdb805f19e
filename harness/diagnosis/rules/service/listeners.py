"""Listeners: who listens on a port, on which address, whether it can take another connection, and whether its process runs at all."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config.cluster_config import Cluster, Design, Node, Service
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import ANY, Evidence, HostSeen, Socket
from harness.diagnosis.required_flows import join_names
from harness.diagnosis.rules.network.connection_tracking import leads_to

MAX_SHORT_BACKLOG = 16  # connections; fewer than a look makes at once, and by far fewer than any server of today asks for
FEW_LEFT = 0.9  # of its descriptors
WRITE = {"postgres", "oracle", "mssql"}  # kinds of services that write where they work
INIT = 1  # every orphan's parent; it listens itself where sockets start services


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    ports = ports_of(evidence.cluster)
    for node, host in evidence.nodes:
        for port, what in ports.items():
            explains = what_follows(evidence, node.name, port)
            yield from _full(host, port, what, explains)
            yield from _overrun(evidence, host, port, what)
            yield from _stopped_process_causes(host, port, what, explains)
            yield from _no_descriptors(host, port, what, explains)
            yield from _read_only(evidence, host, port, what)
            yield from _shared(evidence, host, port, what, explains)
            if not _is_answered(evidence, node.name, port):
                yield from _version_6_only(node, host, port, what, explains)
            yield from _bound_to_a_nic(node, host, port, what, explains)
        if node.name == evidence.active:
            yield from _two_programs(evidence, node, host)
            for service in evidence.cluster.services:
                yield from _comes_and_goes(evidence, host, service)


def ports_of(cluster: Cluster) -> dict[int, str]:
    """Whose each port of the cluster's is."""
    return {cluster.load_balancer.probe.port: "the health-check resource", **{s.port: s.name for s in cluster.services}}


def what_follows(evidence: Evidence, name: str, port: int) -> tuple[str, ...]:
    """The symptoms of a port that is not served on that node."""
    if name != evidence.active:
        return ()
    if port == evidence.cluster.load_balancer.probe.port:
        return ("client/*", "standby/*", f"{name}:probe port")
    service = next(s.name for s in evidence.cluster.services if s.port == port)
    return (f"*/{service}", f"{name}:listener of {service}")


def _full(host: HostSeen, port: int, what: str, explains: tuple[str, ...]) -> Iterator[Cause]:
    for listener in host.listening(port):
        if listener.waiting <= listener.room:  # the kernel takes one more than it was asked for, so with no room at all one waits
            continue
        established = [s for s in host.sockets if s.port == port and s.state == "ESTAB"]
        peers = sorted({s.peer for s in established})
        by = f"; connections from {', '.join(peers)} are held or wait there" if peers else ""
        yield Cause(
            f"the accept queue of port {port} ({what}) is full: {listener.waiting} connections wait of at most {listener.room}{by}, so "
            f"{listener.owner} "
            "takes no further connection and the kernel lets what comes time out; it serves one at a time, or hangs",
            host.name,
            Certainty.CERTAIN,
            f"see what {listener.owner} does and who holds its connections; let it serve several at once, with a longer backlog",
            (
                f"`ss -tlnp` on {host.name}: port {port}, Recv-Q {listener.waiting}, Send-Q {listener.room}",
                *(f"`ss -tanp`: {s.peer}:{s.peer_port} is connected to port {port}" for s in established[:3]),
            ),
            explains=explains,
        )


def _overrun(evidence: Evidence, host: HostSeen, port: int, what: str) -> Iterator[Cause]:
    """Some of the connections that a look makes at once arrive, and the kernel answers them not: no room in a short accept queue."""
    some = [
        p
        for p in evidence.failed
        if p.service.port == port and p.outcomes == {"answered", "silent"} and (p.nodes == {host.name} or p.origin == host.name)
    ]
    rooms = [s for s in host.listening(port) if s.room <= MAX_SHORT_BACKLOG]
    if host.name != evidence.active or not some or not rooms or any(s.waiting > s.room for s in rooms):
        return
    listener = min(rooms, key=lambda s: s.room)
    yield Cause(
        f"port {port} ({what}) has an accept queue of {listener.room} only: of the connections that came at once {listener.owner} took "
        "some, and the "
        "others got no answer, because it does not accept them fast enough",
        host.name,
        Certainty.LIKELY,
        f"let {listener.owner} listen with a longer backlog (128 and more), and see why it is slow to accept",
        (
            f"`ss -tlnp` on {host.name}: port {port}, Send-Q {listener.room}",
            *(f"the packet captures: {p.path} to port {port} arrived at {host.name}, some answered and some not" for p in some),
        ),
        "a filter that lets only some through would do the same: `nstat -azs` tells (TcpExtListenOverflows)",
        explains=tuple(p.name for p in some),
        general=True,
    )


def served_meanwhile(evidence: Evidence, name: str, port: int) -> bool:
    """Was a connection to that service's port answered on that node itself, whoever listened there when it was looked?"""
    answered = [p for p in evidence.paths if p.service.port == port and "answered" in p.outcomes]
    here = any(name in p.nodes or (p.origin == name and not p.nodes) for p in answered)
    past = port in {s.port for s in evidence.cluster.services} and any(
        d.outcome == "answered" for d in evidence.direct_attempts(name, port)
    )  # past the balancer
    return (here or past) and not _is_translated(evidence, name, port)


def _is_translated(evidence: Evidence, name: str, port: int) -> bool:
    """Does a rule there hand the port on, to another port or to another address, or may it?"""
    firewall = evidence.firewalls.get(name)
    fates = firewall.fates if firewall is not None else ()
    come = [f.opening for f in fates if f.needed.first.hook == "input" and f.needed.first.destination_port == port]
    return any(o.decision.changed or o.passes is None for o in come) or leads_to(evidence, name, port) is not None


def _comes_and_goes(evidence: Evidence, host: HostSeen, service: Service) -> Iterator[Cause]:
    """A service in a crash loop: within one look it is there and it is not. Each half by itself looks like another fault."""
    if evidence.moved or host.listeners is None or _is_translated(evidence, host.name, service.port):
        return
    there, port = host.listening(service.port), service.port
    here = [p for p in evidence.paths if p.service.port == port and (p.nodes == {host.name} or (p.origin == host.name and not p.nodes))]
    both = [p for p in here if {"answered", "refused"} <= p.outcomes]
    answered, refused = ([p for p in here if p.outcomes == {word}] for word in ("answered", "refused"))
    past = [d for d in evidence.direct_attempts(host.name, port) if d.outcome == "answered"]
    opened = not there and (bool(past) or any("answered" in p.outcomes for p in here))
    closed = any(s.address in ANY for s in there) and not answered and len({p.path for p in refused}) > 1
    if not opened and not closed and not both:
        return
    counted = [
        f"`ss -tlnp` on {host.name}: {f'{there[0].owner} listens' if there else 'nobody listens'} on {port}",
        *(f"connections by the path {p.path}, right after that: {' and '.join(sorted(p.outcomes))}" for p in here),
        *(f"a connection from {d.origin} to {host.name} itself, a moment later: {d.outcome}" for d in past),
    ]
    yield Cause(
        f"port {port} ({service.name}) of {host.name} comes and goes: of the connections of one look some were answered and others "
        "refused, or somebody listened at one moment and nobody at another; its program ends and is started again and again",
        host.name,
        Certainty.LIKELY,
        f"see what ends it (its own log; `while :; do ss -Hltnp 'sport = :{port}'; sleep 0.1; done` shows when), and who starts it again: "
        f"{service.tag} of the cluster manager, or something beside it",
        tuple(counted),
        "a filter that refuses a part of the connections would look the same" if both else "",
        explains=what_follows(evidence, host.name, port),
        general=not opened,
    )


def _shared(evidence: Evidence, host: HostSeen, port: int, what: str, explains: tuple[str, ...]) -> Iterator[Cause]:
    """Several processes with a socket of their own on one address and port (SO_REUSEPORT): the kernel deals connections out among them, so
    that one which hangs has its share of them. As good servers do, too: told where the port is not served."""
    at: dict[str, list[Socket]] = {}
    for listener in host.listening(port):
        at.setdefault(listener.address, []).append(listener)
    for address, sockets in at.items():
        service = next((s for s in evidence.cluster.services if s.port == port), None)
        # Some are silent where the one that hangs has a full queue.
        unserved = [
            p
            for p in evidence.paths
            if service
            and p.service.name == service.name
            and p.outcome != "pass"
            and (p.hung or p.connects or p.outcomes == {"answered", "silent"})
        ]
        if len({s.pid for s in sockets}) < 2 or host.name != evidence.active or not unserved:
            continue
        waiting = max(sockets, key=lambda s: s.waiting)
        yield Cause(
            f"{len(sockets)} processes share port {port} ({what}) on {address} (SO_REUSEPORT): {join_names(s.owner for s in sockets)}; the "
            "kernel deals connections out among them, and what one of them does not serve hangs",
            host.name,
            Certainty.LIKELY,
            f"see whether each of them serves (`ss -tlnp`, their logs), {waiting.owner} first: one may be of a start that was forgotten",
            (
                *(f"`ss -tlnp` on {host.name}: {s.owner} on {s.address}:{port}, {s.waiting} wait to be accepted" for s in sockets),
                f"attempts on the paths {', '.join(p.path for p in unserved)}: not all of them were served",
            ),
            explains=explains,
        )


def _two_programs(evidence: Evidence, node: Node, host: HostSeen) -> Iterator[Cause]:
    """One program on the address where the balancer delivers, and another on any, or on the VIP or the node's own: clients reach the one,
    and whoever comes by the other address, or looks at the service on the node, the other."""
    cluster = evidence.cluster
    delivered = str(node.address if cluster.design is Design.NAT else cluster.vip)
    for service in cluster.services:
        there = host.listening(service.port)
        first = next((s for s in there if s.address == delivered), None)
        second = next((s for s in there if s.address in {str(cluster.vip), str(node.address), *ANY} - {delivered}), None)
        if first is None or second is None or not _are_two_programs(evidence, host, service, first, second):
            continue
        # With floating IP a proxy may well have the VIP, and hand on to the node's own address.
        proxied = second.address == str(node.address)
        yield Cause(
            f"two programs have port {service.port} ({service.name}) on {node.name}: {first.owner} on {first.address}, where the load "
            "balancer "
            f"delivers, and {second.owner} on {second.address}; clients reach the first, and only one of them can be the service",
            node.name,
            Certainty.POSSIBLE if proxied else Certainty.LIKELY,
            f"see which of them {service.tag} is (`ss -tlnp`), let that one listen on any address or on {delivered}, and give the other "
            "another port",
            tuple(f"`ss -tlnp` on {node.name}: {s.owner} listens on {s.address}:{service.port}" for s in (first, second)),
            explains=() if proxied else what_follows(evidence, node.name, service.port),
        )


def _are_two_programs(evidence: Evidence, host: HostSeen, service: Service, first: Socket, second: Socket) -> bool:
    """Are they two programs, and not one with a process for each address? By name and folder; else by what a path shows."""
    if first.pid is None or second.pid is None or first.pid == second.pid:
        return False
    folders = [host.folders.get(s.pid) for s in (first, second) if s.pid]
    return (
        first.process != second.process
        or (None not in folders and folders[0] != folders[1])
        or any(p.service.name == service.name for p in evidence.failed)
    )


def _stopped_process_causes(host: HostSeen, port: int, what: str, explains: tuple[str, ...]) -> Iterator[Cause]:
    for listener in host.listening(port):
        letter = host.processes.get(listener.pid or 0, "")
        if letter in ("T", "t"):
            yield Cause(
                f"{listener.owner}, which listens on port {port} ({what}), is stopped (state {letter}): the kernel completes connections "
                f"for it, and nobody answers",
                host.name,
                Certainty.CERTAIN,
                f"see who stopped it; `kill -CONT {listener.pid}` lets it go on",
                (f"/proc/{listener.pid}/stat on {host.name}: state {letter}",),
                explains=explains,
            )
    listens = {listener.pid: listener for listener in host.listening(port) if listener.pid}
    for pid, (parent, title, _) in host.stopped.items():
        if parent in listens and pid not in listens and parent != INIT:
            yield Cause(
                f"a process of {listens[parent].owner}, which listens on port {port} ({what}), is stopped (state T): {title} (pid {pid}): "
                "what it does for the others never comes, and an orderly stop waits for it",
                host.name,
                Certainty.CERTAIN,
                f"see who stopped it; `kill -CONT {pid}` lets it go on",
                (f"`ps` on {host.name}, twice within a second: pid {pid}, parent {parent}, state T, {title}",),
                explains=explains,
            )


def _no_descriptors(host: HostSeen, port: int, what: str, explains: tuple[str, ...]) -> Iterator[Cause]:
    """A process at its limit of open files can accept nobody: the kernel goes on completing handshakes for it."""
    for listener in host.listening(port):
        number, most = host.descriptors.get(listener.pid or 0, (0, 0))
        if most and number >= most:
            yield Cause(
                f"{listener.owner}, which listens on port {port} ({what}), has all the file descriptors open that it may ({number} of "
                f"{most}): "
                f"it can accept nobody",
                host.name,
                Certainty.CERTAIN,
                f"see what holds them (`ls -l /proc/{listener.pid}/fd`), raise its limit of open files (LimitNOFILE, ulimit -n), and "
                "restart it",
                (f"/proc/{listener.pid} on {host.name}: {number} descriptors, Max open files {most}",),
                explains=explains,
            )
        elif most and number >= FEW_LEFT * most:
            yield Cause(
                f"{listener.owner}, which listens on port {port} ({what}), has {number} of the {most} file descriptors open that it may: "
                "soon it may accept nobody",
                host.name,
                Certainty.POSSIBLE,
                f"see what holds them and whether they grow (`ls -l /proc/{listener.pid}/fd`), or raise its limit of open files "
                "(LimitNOFILE, ulimit -n)",
                (f"/proc/{listener.pid} on {host.name}: {number} descriptors, Max open files {most}",),
            )


def _read_only(evidence: Evidence, host: HostSeen, port: int, what: str) -> Iterator[Cause]:
    """A file system goes read-only after an error: what works there serves what it has, and fails at its next write. What only reads may be
    mounted so on purpose, as the pages of a web server."""
    writes = any(s.port == port and s.kind in WRITE for s in evidence.cluster.services)
    for listener in host.listening(port):
        if mounted := host.read_only.get(listener.pid or 0):
            yield Cause(
                f"{listener.owner}, which listens on port {port} ({what}), works in {mounted}, which is mounted read-only: "
                f"{'its next write fails' if writes else 'if it writes there, that fails'}",
                host.name,
                Certainty.LIKELY if writes else Certainty.POSSIBLE,
                f"see why {mounted} went read-only (`dmesg`, `journalctl -k`); check the file system, and mount it for writing again",
                (f"/proc/mounts on {host.name}: {mounted} has the option ro", f"/proc/{listener.pid}/cwd on {host.name}: below {mounted}"),
            )


def _is_answered(evidence: Evidence, name: str, port: int) -> bool:
    """Was an IPv4 connection to that port taken at this node, the probe's or one on a path?"""
    probes = evidence.probes.get(name) if port == evidence.cluster.load_balancer.probe.port else None
    here = [p for p in evidence.paths if p.service.port == port and (name in p.nodes or p.origin == name == evidence.active)]
    return (probes is not None and probes.answered > 0) or any("answered" in p.outcomes for p in here)


def _version_6_only(node: Node, host: HostSeen, port: int, what: str, explains: tuple[str, ...]) -> Iterator[Cause]:
    there = host.listening(port)
    if there and all(":" in s.address for s in there) and not any(s.address in ("*",) for s in there):
        addresses = ", ".join(sorted({f"[{s.address}]" for s in there}))
        yield Cause(
            f"port {port} ({what}) is listened to by IPv6 only, on {addresses}: nothing that comes by IPv4 is taken up",
            host.name,
            Certainty.CERTAIN,
            f"let it listen on 0.0.0.0 as well, or without IPV6_V6ONLY; IPv4 connections to {node.address} are refused",
            tuple(f"`ss -tlnp` on {host.name}: {s.owner} on [{s.address}]:{port}" for s in there),
            explains=explains,
        )


def _bound_to_a_nic(node: Node, host: HostSeen, port: int, what: str, explains: tuple[str, ...]) -> Iterator[Cause]:
    there, first = host.listening(port), host.nic_of(node.address)
    if there and all(s.device and s.device not in (first,) for s in there):
        listener = there[0]
        yield Cause(
            f"{listener.owner} listens on port {port} ({what}) by {listener.device} only, not by {first}, where the balancer's packets "
            "come in",
            host.name,
            Certainty.CERTAIN,
            f"let it listen without binding it to {listener.device}",
            (f"`ss -tlnp` on {host.name}: {listener.address}%{listener.device}:{port}",),
            explains=explains,
        )
