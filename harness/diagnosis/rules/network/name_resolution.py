"""Names: what a host's own name, its peer's and a cluster's resolve to there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from harness.config.cluster_config import Node
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import ANY, Evidence, HostSeen, PathSeen
from harness.diagnosis.firewall import Packet, evaluate
from harness.diagnosis.required_flows import join_names

NAME_PORT = 53
BY = "by:"  # before an address whose name was looked up


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for node, host in evidence.nodes:
        own_addresses = host.names.get(node.name, ())
        loops = [a for a in own_addresses if _is_loopback(a)]
        caught = [
            s for service in evidence.cluster.services for s in host.listening(service.port) if s.address not in ANY and s.address in loops
        ]
        for listener in caught:
            service = next(s for s in evidence.cluster.services if s.port == listener.port)
            yield Cause(
                f"{node.name}'s own name resolves to {listener.address} there, and the listener of {service.name} (port {listener.port}) "
                "binds "
                f"to that: nobody else reaches it",
                node.name,
                Certainty.CERTAIN,
                f"take {listener.address} off the line with the host's name in /etc/hosts, and let it listen on any address",
                (
                    f"`getent hosts {node.name}` on {node.name}: {', '.join(own_addresses)}",
                    f"`ss -tlnp`: {listener.owner} listens on {listener.address}:{listener.port}",
                ),
                explains=(f"*/{service.name}", f"{node.name}:listener of {service.name}"),
            )
        yield from _own_name(evidence, node, host)
        yield from _unknown(evidence, node, host)
    for name, host in evidence.hosts.items():
        yield from _slow(evidence, name, host)
    yield from _looked_up(evidence)
    for name, host in evidence.hosts.items():
        for other in evidence.cluster.nodes:
            if other.name != name:
                yield from _wrong_address_causes(evidence, name, host, other)


def _slow(evidence: Evidence, name: str, host: HostSeen) -> Iterator[Cause]:
    """A name that the peer knows at once, or that is answered late here, is a real one; others may be labels of the cluster file alone."""
    is_node = any(n.name == name for n in evidence.cluster.nodes)
    slow = {n: lookup for n, lookup in host.slow_names.items() if n in {m.name for m in evidence.cluster.nodes}}
    if not slow:
        return
    known_names = [n for n, (_, answered) in slow.items() if (answered and host.names.get(n)) or _is_known_elsewhere(evidence, name, n)]
    servers = [line.split()[1] for line in host.resolver if line.startswith("nameserver") and len(line.split()) > 1]
    order = next((" ".join(line.split()[1:]) for line in host.resolver if line.startswith("hosts:")), "")
    kinds = order.split()
    first = "files" in kinds and "dns" in kinds and kinds.index("dns") < kinds.index("files")
    server = f"the first name server there, {servers[0]} (/etc/resolv.conf)" if servers else "what resolves names there"
    shut_out = _shut_out(evidence, host, servers[0]) if servers else ""
    before = f", which is asked before /etc/hosts (`hosts: {order}` in /etc/nsswitch.conf)," if first else ""
    times = [f"{n}: {seconds:.1f} s" + ("" if answered else ", then given up") for n, (seconds, answered) in slow.items()]
    silent = f"is kept from {name} by its own firewall ({shut_out})" if shut_out else "does not answer, or late"
    yield Cause(
        f"names are resolved slowly on {name} ({'; '.join(times)}): {server}{before} {silent}; whatever goes by names "
        "waits "
        f"so long each time, agents and log-ins too",
        name,
        Certainty.LIKELY if (known_names or shut_out) and is_node else Certainty.POSSIBLE,
        f"{_mend(name, servers, shut_out)}; let /etc/hosts with the cluster's names, be asked first (`hosts: files dns` in "
        "/etc/nsswitch.conf)",
        (
            *(f"`getent ahosts` on {name}: {lookup}" for lookup in times),
            *(f"resolv.conf and nsswitch.conf on {name}: {line}" for line in host.resolver),
            *([f"{name}'s ruleset, evaluated for UDP with {servers[0]}, port 53: {shut_out}"] if shut_out else []),
        ),
    )


def _mend(name: str, servers: Sequence[str], shut_out: str) -> str:
    if shut_out:
        return f"let UDP and TCP port 53 of {servers[0]} pass by a rule before that one"
    return f"see why {servers[0] if servers else 'the resolver'} does not answer {name}, or take it out of /etc/resolv.conf"


def _shut_out(evidence: Evidence, host: HostSeen, server: str) -> str:
    """The rule of the host's own firewall that surely stops its questions to this name server, or the answers; "" where there is none."""
    own_address = next((str(m.address) for m in evidence.cluster.machines if m.name == host.name), "")
    try:
        asks_over_a_nic = ip_address(server).version == 4 and not ip_address(server).is_loopback
    except ValueError:
        return ""
    if host.firewall is None or not own_address or not asks_over_a_nic:
        return ""
    question = Packet(own_address, server, NAME_PORT, protocol="udp", hook="output", out_nic=host.nic_of(own_address))
    question = host.place_packet(evidence.cluster.vip, question)
    decisions = [evaluate(host.firewall, packet) for packet in (question, question.answer())]
    return next((d.rule for d in decisions if d.passes is False), "")


def looked_up_slowly(evidence: Evidence, path: PathSeen) -> list[str]:
    """The addresses as which the active node sees the path's connections, whose names are looked up slowly there."""
    cluster, host = evidence.cluster, evidence.hosts.get(evidence.active or "")
    origin_address = next((m.address for m in cluster.machines if m.name == path.origin), None)
    addresses = (origin_address, cluster.vip) if path.origin == evidence.active else (origin_address,)
    return [str(a) for a in addresses if host is not None and f"{BY}{a}" in host.slow_names]


def _looked_up(evidence: Evidence) -> Iterator[Cause]:
    """A service that looks up each client's name (log_hostname, UseDNS) waits before it says a word."""
    host = evidence.hosts.get(evidence.active or "")
    slow = {n.removeprefix(BY): lookup for n, lookup in host.slow_names.items() if n.startswith(BY)} if host is not None else {}
    if host is None or not slow or evidence.moved:
        return
    hung = [p for p in evidence.failed if p.hung and looked_up_slowly(evidence, p)]
    servers = [line.split()[1] for line in host.resolver if line.startswith("nameserver") and len(line.split()) > 1]
    server = f"the name server {servers[0]} (/etc/resolv.conf)" if servers else "what resolves names there"
    shut_out = _shut_out(evidence, host, servers[0]) if servers else ""
    silent = f"is kept from it by its own firewall ({shut_out})" if shut_out else "does not answer, or late"
    times = [f"{a}: {seconds:.1f} s" + ("" if answered else ", then given up") for a, (seconds, answered) in slow.items()]
    services = join_names(f"{p.service.name} (port {p.service.port})" for p in hung) if hung else "a service that does so"
    waits = f"{services} {'takes connections and says nothing in time' if hung else 'keeps each client waiting so long'}"
    yield Cause(
        f"the names of clients are looked up slowly on {host.name} ({', '.join(slow)}): {server} {silent}, and {waits}"
        + (", as what looks up each client's name does" if hung else ""),
        host.name,
        Certainty.LIKELY if hung else Certainty.POSSIBLE,
        f"{_mend(host.name, servers, shut_out)}; give the clients lines in /etc/hosts there, or switch the look-up off where it is not "
        "needed (log_hostname of PostgreSQL, UseDNS of sshd)",
        (
            *(f"`getent hosts` on {host.name}: {lookup}" for lookup in times),
            *(f"resolv.conf and nsswitch.conf on {host.name}: {line}" for line in host.resolver),
            *(f"asked on the path {p.path}, from {p.origin}: {p.identity}" for p in hung),
        ),
        "the service itself hangs: its own log says it" if hung else "",
        explains=tuple(p.name for p in hung),
        general=bool(hung),  # a process that is stopped, for one, hangs by itself
    )


def _is_known_elsewhere(evidence: Evidence, here: str, name: str) -> bool:
    return any(host.names.get(name) and name not in host.slow_names for other, host in evidence.hosts.items() if other not in (here, name))


def _wrong_address_causes(evidence: Evidence, name: str, host: HostSeen, other: Node) -> Iterator[Cause]:
    """What a node's name resolves to elsewhere; to a client the cluster's own name matters, and nodes' names only by a listener's word."""
    addresses = host.names.get(other.name, ())
    known = {str(other.address), str(other.second_address)}  # the cluster file's; a third NIC, for backups, has others
    right = known | _told_addresses(evidence, other)
    wrong = [a for a in addresses if a not in right and not _is_loopback(a) and ":" not in a]
    if not wrong and addresses and all(":" in a and not _is_loopback(a) for a in addresses):
        yield _version_6_alone(evidence, name, other, addresses)
    if wrong and set(addresses) & right:
        yield from _old_line(evidence, name, other, addresses)
    if not wrong or set(addresses) & right:
        return
    of_a_node = name != evidence.cluster.client.name
    seen = evidence.hosts.get(other.name)
    told = seen is not None and seen.addresses is not None
    yield Cause(
        f"{other.name} resolves to {', '.join(wrong)} on {name}, which is none of its addresses ({', '.join(sorted(known))})",
        name,
        Certainty.LIKELY if of_a_node and told else Certainty.POSSIBLE,
        "correct it in /etc/hosts or in the name service"
        + (
            "; the cluster manager's nodes must find each other"
            if of_a_node
            else "; whoever connects to the node by its name goes elsewhere"
        ),
        (f"`getent hosts {other.name}` on {name}: {', '.join(addresses)}",),
    )


def _told_addresses(evidence: Evidence, machine: Node) -> set[str]:
    """All that its NICs have, but for the VIP, and for what any other host has as well, as the bridge of a container engine."""
    told = {n: {a.address for a in host.addresses or ()} for n, host in evidence.hosts.items()}
    elsewhere = {address for n, addresses in told.items() if n != machine.name for address in addresses}
    return told.get(machine.name, set()) - elsewhere - {str(evidence.cluster.vip)}


def _version_6_alone(evidence: Evidence, name: str, other: Node, addresses: Sequence[str]) -> Cause:
    """Azure's internal load balancers and clusters behind them speak IPv4."""
    return Cause(
        f"{other.name} resolves to IPv6 alone on {name} ({', '.join(addresses)}), and not to {other.address}: whatever goes by the name "
        "does not reach it by IPv4",
        name,
        Certainty.LIKELY if name != evidence.cluster.client.name else Certainty.POSSIBLE,
        f"give {name} a line for {other.name} with {other.address} in /etc/hosts, or correct the name service",
        (f"`getent ahosts {other.name}` on {name}: {', '.join(addresses)}",),
    )


def _old_line(evidence: Evidence, name: str, other: Node, addresses: Sequence[str]) -> Iterator[Cause]:
    """Two lines for one name, one of them of an address that the machine has no more. Which of them a program takes first hangs on how it
    asks: getaddrinfo sorts by nearness, gethostbyname takes the file's order."""
    host = evidence.hosts.get(other.name)
    its_own = {str(other.address), str(other.second_address), str(evidence.cluster.vip), *_told_addresses(evidence, other)}
    wrong = [a for a in addresses if a not in its_own and not _is_loopback(a) and ":" not in a]
    if not wrong:
        return
    told = host is not None and host.addresses is not None
    first = " (the first of them)" if addresses[0] in wrong else ""
    yield Cause(
        f"{other.name} resolves to {' and '.join(a for a in addresses if ':' not in a)} on {name}: {join_names(wrong)}{first} is none of "
        f"its addresses ({', '.join(sorted({str(other.address), str(other.second_address)}))}), and what takes that one goes nowhere",
        name,
        Certainty.LIKELY if told and name != evidence.cluster.client.name else Certainty.POSSIBLE,
        f"take the line with {join_names(wrong)} out of /etc/hosts on {name}, or the record out of the name service",
        (f"`getent ahosts {other.name}` on {name}: {', '.join(addresses)}",),
    )


def _own_name(evidence: Evidence, node: Node, host: HostSeen) -> Iterator[Cause]:
    """A program that binds to, or registers, what its host's own name resolves to."""
    addresses = host.names.get(node.name, ())
    links = [
        key.split()[-1] for key, value in host.corosync.items() if key.startswith("node ") and key.endswith("_addr") and value == node.name
    ]
    if links and addresses and _is_loopback(addresses[0]):
        yield Cause(
            f"corosync.conf on {node.name} has its name for {join_names(links)}, which resolves to {addresses[0]} there"
            f"{' first' if len(addresses) > 1 else ''}: from its next start on Corosync would listen on the loopback, or not start",
            node.name,
            Certainty.LIKELY,
            f"take {addresses[0]} off the line with {node.name} in /etc/hosts there, or write the node's address into "
            "corosync.conf on both "
            "nodes",
            (
                f"`getent ahosts {node.name}` on {node.name}: {', '.join(addresses)}",
                f"corosync.conf on {node.name}: {join_names(links)}: {node.name}",
            ),
        )
    elif addresses and all(map(_is_loopback, addresses)):
        yield Cause(
            f"{node.name}'s own name resolves to {', '.join(addresses)} there, a loopback address, as installers write it: a program that "
            "binds to its own name is reached by nobody else",
            node.name,
            Certainty.POSSIBLE,
            f"give {node.name} its own address {node.address} in /etc/hosts there, if a service or the cluster manager goes by the name",
            (f"`getent hosts {node.name}` on {node.name}: {', '.join(addresses)}",),
        )
    nic_addresses = {a.address for a in host.addresses or ()}
    wrong = [a for a in addresses if a not in nic_addresses and not _is_loopback(a) and ":" not in a]
    if host.addresses is None or not wrong:
        return
    if len(wrong) < len([a for a in addresses if ":" not in a]):
        if old := [a for a in wrong if a != str(evidence.cluster.vip)]:
            yield _own_old_line(node, addresses, old)
        return
    owner = next((m.name for m in evidence.cluster.machines if str(m.address) in wrong and m.name != node.name), None)
    yield Cause(
        f"{node.name}'s own name resolves to {', '.join(wrong)} there, which is on none of its NICs"
        + (f" but {owner}'s address" if owner else "")
        + ": what binds to its own name does not start, and what it tells others of itself leads elsewhere",
        node.name,
        Certainty.LIKELY,
        f"correct {node.name}'s line in /etc/hosts there, or in the name service",
        (f"`getent hosts {node.name}` on {node.name}: {', '.join(addresses)}",),
    )


def _own_old_line(node: Node, addresses: Sequence[str], old: Sequence[str]) -> Cause:
    first = addresses[0] in old
    return Cause(
        f"{node.name}'s own name resolves to {' and '.join(a for a in addresses if ':' not in a)} there: {join_names(old)} is on none of "
        "its NICs" + (", and comes first: what binds to its own name does not start" if first else ""),
        node.name,
        Certainty.LIKELY if first else Certainty.POSSIBLE,
        f"take the line with {join_names(old)} out of /etc/hosts there, or the record out of the name service",
        (f"`getent ahosts {node.name}` on {node.name}: {', '.join(addresses)}",),
    )


def _unknown(evidence: Evidence, node: Node, host: HostSeen) -> Iterator[Cause]:
    """Where the nodes know each other by name at all, that is: one does, and the other does not."""
    peer = evidence.cluster.peer_of(node.name)
    peer_host = evidence.hosts.get(peer.name)
    if peer_host is None or node.name not in host.names or peer.name not in host.names or host.names[peer.name]:
        return
    used = _goes_by_name(evidence, peer.name)
    if not host.names[node.name] and peer_host.names.get(node.name) and peer_host.names.get(peer.name):
        itself = used or host.limits.get("kernel.hostname", node.name).partition(".")[0] == node.name.partition(".")[0]
        yield Cause(
            f"{node.name} cannot resolve any name of the cluster, neither its own nor {peer.name}, while {peer.name} resolves both: its "
            "file of hosts is not read, or has neither",
            node.name,
            Certainty.LIKELY if itself else Certainty.POSSIBLE,
            f"see the line `hosts:` in /etc/nsswitch.conf of {node.name} (`files dns`), and give /etc/hosts there the lines that "
            f"{peer.name} has",
            (f"`getent hosts` on {node.name}: nothing for {node.name} and {peer.name}",),
        )
    elif host.names[node.name] and peer_host.names.get(node.name):
        yield Cause(
            f"{node.name} cannot resolve the name {peer.name}, its peer's, while {peer.name} resolves {node.name}",
            node.name,
            Certainty.LIKELY if used else Certainty.POSSIBLE,
            f"give {node.name} a line for {peer.name} in /etc/hosts, as {peer.name} has one for it",
            (f"`getent hosts {peer.name}` on {node.name}: nothing",),
        )


def _goes_by_name(evidence: Evidence, name: str) -> bool:
    """Has the cluster manager that node's name where it could have its address, in a communication path or in corosync.conf? Else names may
    be labels of the cluster file, of which a node happens to know some."""
    paths = {word for state in evidence.state.nodes.values() for path in state.comm_paths for word in path.addresses.split("/")}
    rings = {value for _, host in evidence.nodes for key, value in host.corosync.items() if key.endswith("_addr")}
    return name in {known.strip().partition(".")[0] for known in paths | rings} | paths | rings


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
