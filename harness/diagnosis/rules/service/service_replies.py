"""The service itself: reached by the right way, it refuses, redirects, or answers what it should not. Its own sentence is the cause.

Or a policy rule for the account that it runs as leads its answers elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.config.cluster_config import Node
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen, PathSeen
from harness.diagnosis.required_flows import join_names
from harness.diagnosis.rules.network import links
from harness.diagnosis.rules.network.congestion_marks import is_stopped_by_marks
from harness.diagnosis.rules.network.host_firewall import is_doubted
from harness.diagnosis.rules.network.name_resolution import looked_up_slowly
from harness.diagnosis.rules.network.routes import answers_from, way_of
from harness.hosts.linux.linux_parse import Route

# How servers say that they have no connection left: SQLSTATE 53300 (PGS-01), MySQL, Oracle (ORA-14), SQL Server (SQL-68).
NO_CONNECTION_LEFT = re.compile(r"\b53300\b|error (?:1040|1203|1226)\b|ORA-(?:00018|00020|12516|12519|12520)|\b(?:17809|10928)\b")
OF_WHOM = re.compile(r'\bhost "[^"]{1,64}"')  # in PostgreSQL's words to each origin; all else being the same, it is one cause
CLOSES = re.compile(r"\bclosed (?:the connection|it)\b")  # as the harness says of a server that ends a connection and says nothing
# How servers say that they cannot write: PostgreSQL (53100, or as it opens a session), MySQL, Oracle, SQL Server, the system's words.
CANNOT_WRITE = re.compile(
    r"No space left|disk (?:is )?full|could not (?:write|extend|create|fsync)|\b53100\b|Errcode: 28\b|error (?:1021|1101|1105|9002)\b"
    r"|ORA-(?:00257|01653|01654|19809|27061)",
    re.IGNORECASE,
)


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for node, host in evidence.nodes:
        yield from _accounts_led_elsewhere(evidence, node, host)
    unserved = [p for p in evidence.paths if _is_unserved(evidence, p)]
    full = {p.service.name for p in unserved if NO_CONNECTION_LEFT.search(p.identity)}
    for service in sorted(full):
        yield _full(evidence, [p for p in unserved if p.service.name == service])
    paths_by_answer: dict[tuple[str, str], list[PathSeen]] = {}
    for path in unserved:
        if path.identity and path.service.name not in full:
            words = path.identity.partition(": ")[2] or path.identity
            paths_by_answer.setdefault((path.service.name, OF_WHOM.sub("host", words)), []).append(path)
    at_fault = links.at_fault(evidence)
    waits = [p.name for p in evidence.failed if p.hung and looked_up_slowly(evidence, p)]
    for (service, _), paths in paths_by_answer.items():
        first = paths[0]
        if CANNOT_WRITE.search(first.identity) and (
            disks := [f.says for f in evidence.findings if (f.host, f.what) == (evidence.active, "disk")]
        ):
            yield _no_room(evidence, paths, disks)
            continue
        served = [p for p in evidence.paths if p.service.name == service and p.outcome == "pass" and p.connects]
        if CLOSES.search(first.identity) and served and not {p.origin for p in paths} & {p.origin for p in served}:
            yield _turned_away_by_address(evidence, paths, served)
            continue
        lost_at_nic = all(_is_silence(p) and at_fault & {p.origin, evidence.active} for p in paths)  # a NIC loses what it would say
        where = ", ".join(f"{p.path} ({p.origin})" for p in paths)
        overload = "; ".join(dict.fromkeys(p.overload for p in paths if p.overload))
        words = f"{service} (port {first.service.port}) takes connections and does not serve them, {where}: {first.identity}"
        yield Cause(
            f"{words}; or it is only slow, which cannot be told apart: {overload}" if overload else words,
            evidence.active or first.origin,
            _certainty(paths),
            "ask again when the hosts are less busy; see what keeps them busy (`top`, `cat /proc/pressure/cpu`)"
            if overload
            else _remedy(paths),
            tuple(f"asked on the path {p.path}, from {p.origin}: {p.identity}" for p in paths),
            "its log says whether it hangs or is only slow" if any(p.hung for p in paths) else "",
            explains=tuple(p.name for p in paths),
            general=lost_at_nic
            or all(p.name in waits for p in paths)  # for a name
            or any(p.hung and is_doubted(evidence, evidence.active or "", p) for p in paths)  # by its firewall
            or all(is_stopped_by_marks(evidence, p) for p in paths),
        )


def _is_unserved(evidence: Evidence, path: PathSeen) -> bool:
    judged = path.failed or (path.hung and path.outcome != "pass")
    return (
        judged and path.full is not False and (path.connects or _by_the_active_node_alone(evidence, path))
    )  # else large segments are lost


def _remedy(paths: list[PathSeen]) -> str:
    if any(p.hung for p in paths):
        return (
            "the service says nothing: see there whether it is stopped, overloaded, or waits for something (a lock, a disk, a name): "
            "its own log, and its list of sessions; the way to it is right"
        )
    if any("28P01" in p.identity for p in paths):
        return (
            "its log says which it is: another password than the cluster file's, one that has expired (`rolvaliduntil` of pg_roles), or an "
            "account without one; the way to it is right"
        )
    if any("no pg_hba.conf entry" in p.identity for p in paths):
        tls = any("no encryption" in p.identity for p in paths)
        return (
            "let these addresses, that user and that database in by a line of pg_hba.conf (`select * from pg_hba_file_rules`); reload it"
            + ("; where its lines begin with hostssl, it lets in by TLS only: have the server and its clients speak that" if tls else "")
            + "; the way to it is right"
        )
    return "fix what the service itself says: the way to it is right"


def _is_silence(path: PathSeen) -> bool:
    return path.hung or path.identity.endswith("the connection was silent")


def _full(evidence: Evidence, paths: list[PathSeen]) -> Cause:
    """Which of the paths gets a connection, and what becomes of those that get none, is chance: so they are told together."""
    service = paths[0].service
    refused_paths = [p for p in paths if NO_CONNECTION_LEFT.search(p.identity)]
    words = "; ".join(sorted({p.identity for p in refused_paths}))
    return Cause(
        f"{service.name} (port {service.port}) has no connection left and turns clients away: {words}",
        evidence.active or paths[0].origin,
        Certainty.CERTAIN,
        "see who holds its connections and ends none (a pool that is too large, sessions that are idle), and end those, or raise the limit "
        "that it names; the way to it is right",
        tuple(f"asked on the path {p.path}, from {p.origin}: {p.identity}" for p in refused_paths),
        explains=tuple(p.name for p in paths),
    )


def _turned_away_by_address(evidence: Evidence, paths: list[PathSeen], served: list[PathSeen]) -> Cause:
    """The same question is answered to others at the same time: what makes the difference is who asks."""
    service, active = paths[0].service, evidence.active or paths[0].origin
    return Cause(
        f"{service.name} (port {service.port}) takes the connections of {join_names(p.origin for p in paths)} and closes them "
        "without a word, "
        f"while it serves {join_names(p.origin for p in served)}: it turns away by the address: {paths[0].identity}",
        active,
        Certainty.LIKELY,
        f"look on {active} for a list of who may connect: an Oracle listener's tcp.validnode_checking with tcp.invited_nodes or "
        "tcp.excluded_nodes in sqlnet.ora (its log tells whom it refused), hosts.allow and hosts.deny, the service's own; take "
        f"{join_names(p.origin for p in paths)} in there",
        (
            *(f"asked on the path {p.path}, from {p.origin}: {p.identity}" for p in paths),
            *(f"asked on the path {p.path}, from {p.origin}: {p.identity or 'served'}" for p in served),
        ),
        "it closes some of everybody's connections, and these were met by chance, or it has a limit for each address: a second look, and "
        "its log, decide",
        explains=tuple(p.name for p in paths),
    )


def _no_room(evidence: Evidence, paths: list[PathSeen], disks: list[str]) -> Cause:
    """The disk comes first: what the service says of it follows, and mostly names a file that nobody has to look at."""
    service, active = paths[0].service, str(evidence.active)
    which = "; ".join(says.partition(": ")[0] if " kB " in says else says for says in disks)  # how many are left is another at each look
    return Cause(
        f"{which}: {service.name} (port {service.port}) takes connections and cannot serve them for that: {paths[0].identity}",
        active,
        Certainty.CERTAIN,
        f"make room there (what grew: old logs, dumps, an archive of a log that nobody takes away), then see that {service.name} serves; a "
        "switchover does not help where the disk moves with it",
        (
            *(f"the disks of {active}: {says}" for says in disks),
            *(f"asked on the path {p.path}, from {p.origin}: {p.identity}" for p in paths),
        ),
        explains=(*(p.name for p in paths), f"{active}:disk"),
    )


def _by_the_active_node_alone(evidence: Evidence, path: PathSeen) -> bool:
    """Some attempts were answered and some not: is there one node only that can have said it? A second holder of the VIP, or another node
    that gets connections, explains that by itself."""
    holders = {name for name, host in evidence.hosts.items() if host.nic_of(evidence.cluster.vip)}
    return "answered" in path.outcomes and holders <= {evidence.active} and path.nodes <= {evidence.active}


def _certainty(paths: list[PathSeen]) -> Certainty:
    """Its own words are certain; its silence is likely, and no more than possible where a host is too busy to tell that from slowness."""
    if any(p.overload for p in paths):
        return Certainty.POSSIBLE
    return Certainty.LIKELY if any(p.hung for p in paths) else Certainty.CERTAIN


def _accounts_led_elsewhere(evidence: Evidence, node: Node, host: HostSeen) -> Iterator[Cause]:
    """Policy rules that choose by the account (`uidrange`), which a look-up as root does not meet: the kernel routes what a socket sends,
    its SYN-ACK too, by the account that opened it."""
    cluster = evidence.cluster
    first = host.nic_of(node.address)
    if first is None or not any("uidrange" in rule for rule in host.rules) or evidence.moved or not host.is_up(node.address):
        return
    ports = {cluster.load_balancer.probe.port: "the health-check resource", **{s.port: s.name for s in cluster.services}}
    runs = evidence.hosts.get(evidence.active or "", host)
    lost_routes: dict[tuple[int, str, bool], list[tuple[int, str, Route]]] = {}
    for port in ports:
        for uid, name in _listening_accounts(host, runs, port):
            for to in _answered_addresses(evidence, node, port):
                if (route := _lost_route(evidence, node, host, first, uid, to)) is not None:
                    lost_routes.setdefault((uid, name, port in host.accounts), []).append((port, to, route))
    for account, several in lost_routes.items():
        yield _account_cause(evidence, node, host, first, account, several, ports)


def _listening_accounts(host: HostSeen, runs: HostSeen, port: int) -> list[tuple[int, str]]:
    """The accounts that listen on a port, by their numbers on this host; where nobody does, those that do on the other one: by their
    name, else by their number."""
    if port in host.accounts:
        return [(uid, host.account_names.get(uid, "")) for uid in sorted(host.accounts[port])]
    accounts = []
    for uid in sorted(runs.accounts.get(port, ())):
        name = runs.account_names.get(uid, "root" if uid == 0 else "")
        same = [number for number, other_name in host.account_names.items() if other_name == name]
        if same or not name or host.account_names.get(uid, name) == name:
            accounts.append((same[0] if same else uid, name))
    return accounts


def _answered_addresses(evidence: Evidence, node: Node, port: int) -> list[str]:
    """Whom a listener answers, without those whose connections are seen to be answered."""
    cluster = evidence.cluster
    if port == cluster.load_balancer.probe.port:
        probes = evidence.probes.get(node.name)
        return [] if probes and probes.answered and evidence.active == node.name else [str(cluster.load_balancer.probe.source)]
    service = next(s for s in cluster.services if s.port == port)
    to = {"client": str(cluster.client.address), "standby": str(cluster.peer_of(node.name).address)}
    paths = {origin: evidence.path(origin, service) if node.name == evidence.active else None for origin in to}
    return [address for origin, address in to.items() if not ((path := paths[origin]) and path.connects)]


def _lost_route(evidence: Evidence, node: Node, host: HostSeen, first: str, uid: int, to: str) -> Route | None:
    """The account's route to there, if what it answers is lost by it, and not what others do."""
    source = answers_from(evidence, node, host, to)
    route, plain = host.chosen_routes.get((to, source, _lookup_words(host, uid))), host.routes.get((to, source))
    if route is None or (route.kind == "unicast" and route.interface == first):
        return None
    return None if plain is not None and (plain.kind, plain.interface) == (route.kind, route.interface) else route


def _lookup_words(host: HostSeen, uid: int) -> str:
    """The words by which the kernel was asked for that account: of a range that nobody listens from, only its first was."""
    words = f"uid {uid}"
    if any(of == words for _, _, of in host.chosen_routes):
        return words
    return next((f"uid {low}" for rule in host.rules for low in [_range_with(rule, uid)] if low is not None), words)


def _range_with(rule: str, uid: int) -> int | None:
    """Where the range of accounts begins that a policy rule chooses, if this one is in it."""
    match = re.search(r"\buidrange (\d+)-(\d+)", rule)
    return int(match[1]) if match and int(match[1]) <= uid <= int(match[2]) else None


def _account_cause(
    evidence: Evidence,
    node: Node,
    host: HostSeen,
    first: str,
    account: tuple[int, str, bool],
    several: list[tuple[int, str, Route]],
    ports: dict[int, str],
) -> Cause:
    cluster, (uid, name, here) = evidence.cluster, account
    active = node.name == evidence.active
    rules = [r for r in host.rules if _range_with(r, uid) is not None] or [r for r in host.rules if "uidrange" in r]
    who = f"the account {name} (uid {uid})" if name else f"the account with uid {uid}"
    runs = f"{'runs' if here else f'runs on {evidence.active}'} as {who}"
    origins = {str(cluster.client.address): "client", str(cluster.peer_of(node.name).address): "standby"}
    explains = {f"{origins[to]}/{ports[port]}" for port, to, _ in several if to in origins} if active else set()
    if active and any(to not in origins for _, to, _ in several):
        explains |= {"client/*", "standby/*", f"{node.name}:probe port"}
    return Cause(
        f"{join_names(f'{ports[port]} (port {port})' for port, _, _ in several)} {runs}, and what that account sends to "
        f"{join_names(to for _, to, _ in several)} is routed {way_of(several[0][2])} by the policy rule `{rules[0]}`, not by {first}"
        + ("" if active else ": it would answer nobody there after a failover"),
        node.name,
        Certainty.CERTAIN if active else Certainty.LIKELY,
        "take that rule away or leave the account out of it (`ip rule`), and see who made it: a VPN client's split by account does",
        tuple(dict.fromkeys(f"`ip route get {to} {_lookup_words(host, uid)}` on {node.name}: {way_of(route)}" for _, to, route in several)),
        explains=tuple(sorted(explains)),
    )
