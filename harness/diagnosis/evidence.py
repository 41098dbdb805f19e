"""Evidence: what was seen of a cluster, by whom. Data only; nothing here looks at anything. Pure."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, timezone

from harness.cluster.linux_disk_space import NearlyFull
from harness.config.cluster_config import Cluster, Node, Service
from harness.core.finding import Finding
from harness.diagnosis.firewall import Packet, Ruleset
from harness.diagnosis.host_config.account_rights import AccountRights, Limit
from harness.diagnosis.host_config.ipsec_policy import Policy
from harness.diagnosis.host_config.manager_settings import Setting
from harness.diagnosis.host_config.next_boot import NextBoot
from harness.diagnosis.host_config.node_files import FileSeen, MandatoryAccess
from harness.diagnosis.host_config.queueing import Queue
from harness.diagnosis.required_flows import FirewallVerdict
from harness.expectations.http_probe_answer import turns_away
from harness.hosts.linux.linux_parse import InterfaceAddress, Route
from harness.hosts.linux.postgres_data_folder import DataFolder
from harness.managers.manager import Answer, ClusterState, PeerPort, Question, ResourceState
from harness.managers.manager_registry import manager_class
from harness.managers.parse.corosync_refusals import Refusal
from harness.managers.probe_responder_resources import responders

ANY = {"0.0.0.0", "*", "::"}
ROUTED_BY_DESTINATION = re.compile(r"\d+: from all lookup (local|main|default)")  # as `ip rule` prints what every kernel begins with
DOWN = {"DOWN", "LOWERLAYERDOWN", "NOTPRESENT"}  # states of a link


@dataclass(frozen=True)
class Socket:
    """One TCP socket of a host, as `ss` shows it. A listener's `waiting` connections wait to be accepted, of at most `room`.

    `device` is the NIC that it is bound to; `timer` what ss names in `timer:(…)`; `idle_s` since when nothing was sent or
    received, `unheard_s` since when nothing at all came from the other end.
    """

    state: str
    address: str
    port: int
    peer: str
    peer_port: int
    waiting: int = 0
    room: int = 0
    process: str | None = None
    pid: int | None = None
    device: str | None = None
    timer: str = ""
    idle_s: float | None = None
    unheard_s: float | None = None

    @property
    def owner(self) -> str:
        """The program that holds the socket, with its process id where the host told it."""
        return f"{self.process} (pid {self.pid})" if self.process else "a process that was not told"


@dataclass(frozen=True)
class Link:
    """What of a NIC is unusual: the device whose `master` it has (a bridge, a bond, a VRF: `kind`, where that was told), and the hardware
    address that it was born with (`permanent`), where it was given another one."""

    master: str = ""
    kind: str = ""
    hardware: str = ""
    permanent: str = ""


@dataclass(frozen=True)
class HostSeen:
    """What one host told; a None was not told. Of a Windows host most of it is None, and rules pass that over."""

    name: str
    addresses: Sequence[InterfaceAddress] | None = None
    # Of IPv4 addresses that end: for how many seconds each is valid, and is preferred; and the programs that may renew them.
    address_lifetimes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    renewing: frozenset[str] | None = None
    mtus: Mapping[str, int] = field(default_factory=dict)
    routes: Mapping[tuple[str, str], Route] = field(default_factory=dict)  # by destination and source ("" where the kernel chooses it)
    # What policy rules make of one port's packets, of marked ones or of an account's: by destination, source, the words for `ip route get`.
    chosen_routes: Mapping[tuple[str, str, str], Route] = field(default_factory=dict)
    # Of handshakes whose answer was sent again and again: where that goes, by who asked and the address that was asked.
    ways_back: Mapping[tuple[str, str], Route] = field(default_factory=dict)
    # Where policy rules look at the NIC by which packets come in: what becomes of them, by own address and who sends.
    arrivals: Mapping[tuple[str, str], Route] = field(default_factory=dict)
    # The next hops of a route that has several, by destination and source.
    next_hops: Mapping[tuple[str, str], Sequence[Route]] = field(default_factory=dict)
    vip_is_local: bool | None = None  # whether the table `local` has an entry for the VIP
    accounts: Mapping[int, frozenset[int]] = field(default_factory=dict)  # by port of the cluster's: the accounts that listen there
    account_names: Mapping[int, str] = field(default_factory=dict)  # of these, and of those that a policy rule chooses by number
    # Of the usual accounts of databases: the shell of each, None of one that the host does not know; nothing where it could not be asked.
    logins: Mapping[str, str | None] = field(default_factory=dict)
    account_rights: Mapping[str, AccountRights] = field(default_factory=dict)  # of those of them that the host knows
    account_limits: Sequence[Limit] | None = None  # what pam_limits gives them
    ipsec: Sequence[Policy] = ()
    without_arp: frozenset[str] = frozenset()  # NICs that were set to use no ARP
    links: Mapping[str, Link] = field(default_factory=dict)  # by NIC, those that have a master or another hardware address
    hardware: Mapping[str, str] = field(default_factory=dict)  # by NIC
    queues: Sequence[Queue] = ()  # what holds packets back at a NIC
    rules: Sequence[str] = ()
    listeners: Sequence[Socket] | None = None
    sockets: Sequence[Socket] = ()
    time_wait: Mapping[tuple[str, int], int] = field(default_factory=dict)  # a client's sockets in TIME-WAIT, by the other end
    sysctls: Mapping[str, str] = field(default_factory=dict)
    firewall: Ruleset | None = None
    large: Mapping[str, tuple[bool, bool, int]] = field(default_factory=dict)  # by address: small came back, full-sized did, its bytes
    jumbo: Mapping[str, tuple[bool, bool, int]] = field(default_factory=dict)  # the same of what is as long as its own MTU, beyond 1500
    processes: Mapping[int, str] = field(default_factory=dict)  # a listening process's state letter: T is stopped
    terminals: Mapping[int, str] = field(default_factory=dict)  # the controlling terminal of a listening process that has one
    control_groups: Mapping[int, str] = field(default_factory=dict)  # of listening processes
    executables: Mapping[int, str] = field(default_factory=dict)  # the files that listening processes run
    # Each process in state T, twice and without a terminal: its parent, its name, and the file that it runs if that is a cluster manager's.
    stopped: Mapping[int, tuple[int, str, str]] = field(default_factory=dict)
    descriptors: Mapping[int, tuple[int, int]] = field(default_factory=dict)  # how many a listening process has, and may have
    # What else is limited of a listening process, as /proc/PID/limits calls it: bytes, or processes of its account, where they are few.
    process_limits: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    folders: Mapping[int, str] = field(default_factory=dict)  # where a listening process works
    data_folders: Mapping[int, DataFolder] = field(default_factory=dict)  # of listening processes that are PostgreSQL's
    mounts: Mapping[str, str] = field(default_factory=dict)  # the kind of the file system that was mounted last, by place
    not_to_be_run: frozenset[str] = frozenset()  # the places of those that have the option noexec
    at_boot: Mapping[str, str] = field(default_factory=dict)  # the kind of what /etc/fstab has mounted at boot, by place
    nearly_full: Sequence[NearlyFull] = ()
    few_inodes: Mapping[str, int] = field(default_factory=dict)  # how many are left, by mount, where they are next to none
    shared_memory_kb: int | None = None  # the size of /dev/shm, where something is mounted there
    next_boot: NextBoot = field(default_factory=NextBoot)  # what starts, and is mounted, then
    read_only: Mapping[int, str] = field(default_factory=dict)  # where a listening process works, if on a file system that takes no writes
    neighbours: Mapping[str, str] = field(default_factory=dict)  # hardware addresses that somebody wrote down, by address
    log: Sequence[str] = ()
    clock: float | None = None
    zone: timezone = UTC
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # what names resolve to there
    slow_names: Mapping[str, tuple[float, bool]] = field(default_factory=dict)  # seconds that a name took, and whether that was an answer
    resolver: Sequence[str] = ()  # lines of /etc/resolv.conf and /etc/nsswitch.conf
    limits: Mapping[str, str] = field(default_factory=dict)  # the kernel's, by the names of sysctl
    frozen: Mapping[int, tuple[str, str]] = field(default_factory=dict)  # the manager's daemons that do not run on: state letter, name
    programs: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # by file: what keeps it from being run, where it is mounted
    program_sizes: Mapping[str, int] = field(default_factory=dict)  # bytes, of those that are regular files
    files: Mapping[str, FileSeen] | None = None  # those that everybody needs, and the servers that packages bring
    identities: Mapping[str, str] = field(default_factory=dict)  # what it is known by to others, as digits of a SHA-256, by file
    mandatory_access: MandatoryAccess | None = None
    keys: Mapping[str, str] = field(default_factory=dict)  # by file: the first digits of its SHA-256
    corosync: Mapping[str, str] = field(default_factory=dict)  # settings of corosync.conf, `totem.transport`
    lacking_accounts: frozenset[str] = frozenset()  # of those as which Pacemaker's daemons work: account, group
    corosync_refusals: Sequence[Refusal] = ()  # why Corosync would not take that file
    log_folders_lacking: Sequence[str] = ()  # where Corosync is to write its log
    key_sizes: Mapping[str, int] = field(default_factory=dict)  # bytes of Corosync's key, by file
    corosync_runs: Mapping[str, str] = field(default_factory=dict)  # what it runs with now, `totem.token`, `totem.consensus`
    units: Mapping[str, str] = field(default_factory=dict)  # what the manager there has in its own database, by what it is
    settings: Mapping[str, str] = field(default_factory=dict)  # LifeKeeper's, of /etc/default/LifeKeeper
    settings_file: str = ""  # that file: `read` or `absent`; empty where neither is known
    doubtful: Sequence[Setting] = ()  # Pacemaker's settings that may not be meant

    def nic_of(self, address: object) -> str | None:
        """The NIC that has this address on the host; None where it is on none, or where that was not told."""
        return next((a.interface for a in self.addresses or () if a.address == str(address)), None)

    def place_packet(self, vip: object, packet: Packet) -> Packet:
        """The packet with the NICs that this host's addresses and routes give it; the VIP on the one that it would be put on there."""
        own_address, far_address = (packet.destination, packet.source) if packet.hook == "input" else (packet.source, packet.destination)
        holders = {a.interface for a in self.addresses or () if a.address == own_address}
        if (
            not holders
            and own_address == str(vip)
            and self.units.get("ip address", own_address) == own_address
            and self.addresses is not None
        ):
            holders = {a.interface for a in self.addresses if a.interface == self.units.get("ip nic")}
        listened = frozenset(s.port for s in self.listeners) if self.listeners is not None else None
        own_nic = next(iter(holders)) if len(holders) == 1 else None
        return replace(packet, own_nic=own_nic, far_nic=self._nic_to(far_address, own_address), listened=listened)

    def route_from(self, own_address: str, far_address: str) -> Route | None:
        """The route by which it answers there as this address of its own; where that was not asked and no policy rule looks at sources, the
        one for any. None where it is not known."""
        route = self.routes.get((far_address, own_address))
        if route is None and self.rules and all(ROUTED_BY_DESTINATION.fullmatch(rule) for rule in self.rules):
            route = self.routes.get((far_address, ""))
        return route

    def _nic_to(self, far_address: str, own_address: str) -> str | None:
        route = self.route_from(own_address, far_address)
        return route.interface if route is not None and route.kind == "unicast" else None

    def port_between(self, cluster: Cluster, ends: Collection[str]) -> PeerPort | None:
        """By which port the cluster manager's nodes talk between these addresses; None where that was not told."""
        return manager_class(cluster).port_between(ends, self.corosync, self.names)

    def is_up(self, address: object) -> bool:
        """Whether the NIC that has this address is up; True where that was not told."""
        entry = next((a for a in self.addresses or () if a.address == str(address)), None)
        return self.addresses is None or (entry is not None and entry.state not in DOWN)

    def listening(self, port: int) -> list[Socket]:
        """The sockets that listen on that port."""
        return [s for s in self.listeners or () if s.port == port]


@dataclass(frozen=True)
class PathSeen:
    """How one path was: `outcomes` and `ways` of its attempts, `nodes` where their SYNs arrived, `arrived_as` the addresses there.

    `other_ports`: where their SYNs arrived for another port than the service's, `lknode01 8080`."""

    path: str
    origin: str
    service: Service
    outcome: str  # pass, fail, inconclusive
    reason: str
    outcomes: frozenset[str] = frozenset()
    ways: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()
    arrived_as: frozenset[str] = frozenset()
    answers_left: bool = False  # a node was seen sending a SYN-ACK
    answers_came: bool = False  # and the origin's NIC was seen receiving one
    identity: str = ""
    full: bool | None = None  # do full-sized segments pass? None: the service was not asked, or it cannot be told
    full_says: str = ""
    hung: bool = False  # the service took the connection, and did not say who it is in time
    overload: str = ""  # in words, why that may be a slow host's doing
    answered_s: float | None = None  # how long the service took to say who it is; None where it did not
    other_ports: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """`path/service`."""
        return f"{self.path}/{self.service.name}"

    @property
    def failed(self) -> bool:
        """Whether the path's check failed."""
        return self.outcome == "fail"

    @property
    def connects(self) -> bool:
        """Whether every attempt was answered."""
        return self.outcomes == {"answered"}

    @property
    def silent(self) -> bool:
        """Whether no attempt got any answer."""
        return self.outcomes == {"silent"}

    @property
    def lost(self) -> bool:
        """Whether no attempt got any answer, and none arrived at a node, for whatever port."""
        return self.silent and not self.nodes and not self.other_ports


def is_served(paths: Sequence[PathSeen], node: str, port: int) -> bool:
    """Did every path from outside to that port of a service's end well, at this node?"""
    outside = [p for p in paths if p.path != "inside" and p.service.port == port]
    return bool(outside) and all(p.outcome == "pass" and p.nodes == {node} for p in outside)


@dataclass(frozen=True)
class ProbesSeen:
    """The balancer's probes as one node's NICs saw them, for `seconds`: by port, and by which NICs answers left.

    `every_s`: how far apart those to the cluster file's port came, in seconds, as a median; None where fewer than two were seen."""

    node: str
    seconds: float
    syns: Mapping[int, int] = field(default_factory=dict)
    came_by: frozenset[str] = frozenset()
    answered: int = 0
    refused: int = 0
    answers_by: frozenset[str] = frozenset()
    # Packets for the node's own addresses, whoever sent them, that came in a frame for another hardware address; where none came rightly.
    misdelivered: Mapping[str, int] = field(default_factory=dict)
    every_s: float | None = None
    # SYNs of the other node's manager, by the own address that they came to, where none of them was answered or refused.
    swallowed: Mapping[str, int] = field(default_factory=dict)

    def unheeded(self, port: int) -> int:
        """How many SYNs to that port were neither answered nor refused; one that came as the capture ended counts too."""
        return max(0, self.syns.get(port, 0) - self.answered - self.refused)


@dataclass(frozen=True)
class Direct:
    """One attempt past the balancer: from a host, whose end had `local_port`, to a node's own address. Of one that was silent: whether it
    was seen to arrive at the node's NIC, and whether something that answers or refuses it was seen to leave there."""

    origin: str
    node: str
    port: int
    outcome: str
    detail: str = ""
    local_port: int | None = None
    arrived: bool = False
    answer_left: bool = False


@dataclass(frozen=True)
class Evidence:
    """Everything that was seen at one time. `active` is the node that the paths were held against."""

    cluster: Cluster
    state: ClusterState
    active: str | None
    hosts: Mapping[str, HostSeen] = field(default_factory=dict)
    paths: Sequence[PathSeen] = ()
    probes: Mapping[str, ProbesSeen] = field(default_factory=dict)
    direct: Sequence[Direct] = ()
    # By node: what an HTTP probe's own question was answered; of a TCP probe's node that nobody is sent to, what GET / was, if by a status.
    asked_by_probe: Mapping[str, str] = field(default_factory=dict)
    may_move: Mapping[Question, Answer] = field(default_factory=dict)
    fencing: Answer | None = None
    left_behind: Sequence[str] = ()  # what a move of the file's resource would leave where it is; sentences
    unrelated_resources: frozenset[str] = frozenset()  # resources that nothing ties to what the file names; `state` is without them
    firewalls: Mapping[str, FirewallVerdict] = field(default_factory=dict)  # by host: what becomes there of what has to pass
    findings: Sequence[Finding] = ()
    moved: bool = False  # a role moved meanwhile: nothing is advised that depends on it

    @property
    def standby(self) -> str | None:
        """The node that is not active; None when none is."""
        return self.cluster.peer_of(self.active).name if self.active else None

    @property
    def nodes(self) -> Iterator[tuple[Node, HostSeen]]:
        """The nodes that told something of themselves."""
        for node in self.cluster.nodes:
            if node.name in self.hosts:
                yield node, self.hosts[node.name]

    @property
    def failed(self) -> list[PathSeen]:
        """The paths that did not pass."""
        return [p for p in self.paths if p.outcome != "pass"]

    def path(self, path: str, service: Service) -> PathSeen | None:
        """What was seen of one path and service; None where that was not tried."""
        return next((p for p in self.paths if p.path == path and p.service.name == service.name), None)

    def direct_attempts(self, node: str, port: int) -> list[Direct]:
        """The connections that were tried to a node's own address at that port."""
        return [d for d in self.direct if d.node == node and d.port == port]

    @property
    def sent_nobody(self) -> bool:
        """Did nothing that anybody sent to the frontend arrive at a node?"""
        outside = [p for p in self.paths if p.path != "inside"]
        return bool(outside) and all(p.lost for p in outside)

    def probes_lost_in_part(self, node: str) -> bool:
        """Were probes answered there, and a good part of them neither answered nor refused? What a busy capture misses is less."""
        port, probes = self.cluster.load_balancer.probe.port, self.probes.get(node)
        return probes is not None and probes.answered > 0 and probes.unheeded(port) >= max(2, 0.25 * probes.syns.get(port, 0))

    def turns_away(self, node: str | None) -> bool:
        """Does it answer the HTTP probe's own question with another status than 200, so that the balancer sends it nobody?"""
        return self.cluster.load_balancer.probe.protocol == "http" and turns_away(self.asked_by_probe.get(node or "", ""))

    def served_elsewhere(self, node: str, port: int) -> str:
        """The rule by which that node hands a service's port on to another address, a container's, where every path from outside is served
        so; "" otherwise."""
        firewall = self.firewalls.get(node)
        return firewall.sent_elsewhere(port) if firewall is not None and is_served(self.paths, node, port) else ""

    def stealthy(self, node: str, port: int) -> bool:
        """Is it a Windows node where nobody listens on that port, as far as is known? It is silent to other hosts then (facts WNET-13)."""
        host = self.hosts.get(node)
        return self.cluster.node(node).platform == "windows" and not (host and host.listening(port))

    def resource(self, node: str, tag: str) -> ResourceState | None:
        """A resource's state on a node; None where the manager did not tell it."""
        there = self.state.nodes.get(node)
        return there.resources.get(tag) if there else None

    @property
    def responders(self) -> list[str]:
        """The resources that may be the health-check resource: the cluster file names the services' and the VIP's; of the rest those that
        the manager's configuration gives the probe's port, or that have it in their name, or a usual word for it."""
        return responders(self.cluster, self.state, ChainMap(*(dict(host.units) for _, host in self.nodes)))
