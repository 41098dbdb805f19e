"""What one Linux host printed for a look (`harness.collect.linux_host_script`), as data. Pure; no text makes it raise.

What a tool did not print, or printed so that it cannot be read, is None or left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, timedelta, timezone
from typing import TypeVar

from harness.cluster import linux_disk_space
from harness.diagnosis.evidence import HostSeen, Link, Socket
from harness.diagnosis.firewall import parse
from harness.diagnosis.host_config import (
    account_rights,
    file_systems,
    host_processes,
    ipsec_policy,
    lifekeeper_settings,
    next_boot,
    node_files,
    pacemaker_resources,
    queueing,
)
from harness.diagnosis.host_config.cib_settings import all_settings, pacemaker_orders
from harness.hosts.bounded_parse import json_of
from harness.hosts.host import NotReadable
from harness.hosts.linux import address_lifetimes, linux_parse, postgres_data_folder
from harness.hosts.linux.linux_parse import Route
from harness.managers.parse import corosync_parse, corosync_refusals, lifekeeper_parse

MARK = "@@ "
STATES = {
    "LISTEN", "ESTAB", "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSE-WAIT", "LAST-ACK", "CLOSING", "UNCONN",
}  # fmt: skip
OWNER = re.compile(r'users:\(\("((?:[^"\\]|\\.)*)",(?:pid=)?(\d+)')
END = re.compile(r"(?P<address>.*?)(?:%(?P<device>[^:\]]+))?\]?:(?P<port>\d+|\*)")
NEIGHBOUR = re.compile(r"(?m)^(\S{1,64}) dev \S+ (?:\S+ )*?lladdr (\S{1,64}) (?:\S+ )*?PERMANENT")
STOPPED = re.compile(r"(?m)^(\d{1,10}) (\d{1,10}) (\S{1,64}) ?(\S*)$")
ACCOUNT = re.compile(r"(?m)^= (\d{1,10}) (\S{1,64})(?: (\S{0,256}))?$")
ASKED = re.compile(r"(?m)^\? (?:0|2) (\S.*)$")  # of getent's exits those that tell for each name whether it is known
ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
TIME_WAIT = re.compile(r"(?m)^# time-wait (\S{1,64}):(\d{1,5}) (\d{1,9})$")
NIC = re.compile(r"\d+: ([^:@\s]+)(?:@\S+)?: ")
MISSING = re.compile(r"(?m)^stat: cannot statx? '(/[^'\n]*)': (?:No such file or directory|Not a directory)$")
OLD_WILDCARDS = {"::": "*", "*": "0.0.0.0"}
SLOW_S = 1.0  # for a name to be resolved
TIMED_OUT = "124"  # the exit of `timeout`
T = TypeVar("T")


def host(name: str, text: str, ip_tag: str = "") -> HostSeen:
    """Everything that one host's script printed."""
    parts = sections(text)
    sockets = [*_sockets(parts.get("sockets", ""))]
    listening = parts.get("listening")
    clock, zone = _time(parts.get("time", ""))
    large, jumbo = _large(parts.get("large", ""))
    return HostSeen(
        name,
        addresses=_read(linux_parse.addresses, parts.get("addresses", "")),
        address_lifetimes=address_lifetimes.parse(parts.get("addresses", "")),
        renewing=address_lifetimes.renewing(parts.get("leases", "")),
        mtus=_mtus(parts.get("addresses", "")),
        without_arp=_without_arp(parts.get("addresses", "")),
        hardware=_hardware(parts.get("addresses", "")),
        links=dict(_links(parts.get("links", ""))),
        queues=queueing.parse(parts.get("queues", ""), parts.get("shapers", "")),
        routes={(to, source): route for to, source, words, route in _routes(parts.get("routes", "")) if not words},
        chosen_routes={key[:3]: key[3] for key in _routes(parts.get("chosen routes", ""))},
        ways_back={key[:2]: key[3] for key in _routes(parts.get("ways back", ""))},
        arrivals={(own, caller): route for own, caller, words, route in _routes(parts.get("arrivals", "")) if not words},
        next_hops=_next_hops(parts.get("next hops", "")),
        vip_is_local="local " in parts["local table"] if parts.get("local table", "").strip() else None,
        accounts=_accounts(parts.get("accounts", "")),
        account_names={int(match[1]): match[2] for match in ACCOUNT.finditer(parts.get("accounts", ""))},
        logins=_logins(parts.get("accounts", "")),
        account_rights=account_rights.parse(parts.get("accounts", ""), parts.get("working folders", "")),
        account_limits=account_rights.limits(parts.get("limits of accounts", "")),
        ipsec=ipsec_policy.parse(parts.get("ipsec", "")),
        rules=tuple(" ".join(line.split()) for line in parts.get("rules", "").splitlines() if re.match(r"\d+:", line)),
        listeners=None if not listening or "Usage:" in listening else list(_sockets(listening)),  # ss has a header
        sockets=sockets,
        time_wait={(match[1], int(match[2])): int(match[3]) for match in TIME_WAIT.finditer(parts.get("sockets", ""))},
        sysctls=dict(_sysctls(parts.get("sysctls", ""))),
        firewall=parse(parts["firewall"]) if "firewall" in parts and "not told" not in parts.get("firewall told", "") else None,
        large=large,
        jumbo=jumbo,
        processes=dict(_processes(parts.get("processes", ""))),
        terminals=dict(host_processes.terminals(parts.get("processes", ""))),
        control_groups=host_processes.control_groups(parts.get("working folders", "")),
        executables=host_processes.programs(parts.get("working folders", "")),
        stopped=_stopped_processes(parts.get("stopped processes", "")),
        descriptors=dict(host_processes.descriptors(parts.get("descriptors", ""))),
        process_limits=host_processes.limits(parts.get("descriptors", "")),
        folders=dict(file_systems.folders(parts.get("working folders", ""))),
        data_folders=postgres_data_folder.parse(parts.get("working folders", "")),
        mounts=file_systems.mounted(parts.get("working folders", "")),
        not_to_be_run=file_systems.not_to_be_run(parts.get("working folders", "")),
        at_boot=file_systems.at_boot(parts.get("fstab", "")),
        nearly_full=linux_disk_space.nearly_full(parts.get("disks", "")),
        few_inodes=linux_disk_space.few_inodes(parts.get("disks", "")),
        shared_memory_kb=linux_disk_space.size_kb(parts.get("disks", ""), "/dev/shm"),
        next_boot=next_boot.read(parts.get("next boot", ""), parts.get("rules at boot", "")),
        read_only=dict(file_systems.read_only(parts.get("working folders", ""))),
        neighbours=_neighbours(parts),
        log=tuple(parts.get("log", "").splitlines()),
        clock=clock,
        zone=zone,
        names=_names(parts.get("names", "")),
        slow_names=dict(_slow_names(parts.get("names", ""))),
        resolver=tuple(line.strip() for line in parts.get("resolver", "").splitlines()),
        limits={name.replace("/", "."): " ".join(value.split()) for name, value in _sysctls(parts.get("limits", ""))},
        frozen=_frozen_daemons(parts.get("daemons", "")),
        programs=dict(_programs(parts.get("programs", ""))),
        program_sizes=node_files.program_sizes(parts.get("programs", "")),
        files=node_files.files(parts.get("files", "")),
        identities=node_files.identities(parts.get("identities", "")),
        mandatory_access=node_files.mandatory_access(parts.get("mandatory access", "")),
        keys={match[2]: match[1] for match in re.finditer(r"(?m)^([0-9a-f]{16}|absent) +\*?(/\S+)$", parts.get("keys", ""))},
        corosync=corosync_parse.parse(parts.get("corosync", "")),
        lacking_accounts=frozenset(re.findall(r"(?m)^no (?:account|group) (\w{1,32})$", parts.get("keys", ""))),
        corosync_refusals=corosync_refusals.refusals(parts.get("corosync", "")),
        log_folders_lacking=re.findall(r"(?m)^# no folder (/.{1,200})$", parts.get("corosync", "")),
        key_sizes={match[2]: int(match[1]) for match in re.finditer(r"(?m)^bytes (\d{1,9}) (/\S+)$", parts.get("keys", ""))},
        corosync_runs=corosync_parse.running(parts.get("corosync runs", "")),
        units={
            **lifekeeper_parse.instances(parts.get("instances", ""), ip_tag, _mtus(parts.get("addresses", ""))),
            **lifekeeper_parse.flags(parts.get("flags", "")),
            **pacemaker_resources.parse(parts.get("configuration", ""), ip_tag, name),
            **pacemaker_orders.after_address(parts.get("configuration", ""), ip_tag),
        },
        settings=lifekeeper_settings.of_lifekeeper(parts.get("settings", "")),
        settings_file=lifekeeper_settings.file_state(parts.get("settings", "")),
        doubtful=all_settings.of_pacemaker(parts.get("configuration", ""), clock, zone),
    )


def sections(text: str) -> dict[str, str]:
    """By their names, in the order that they were printed."""
    lines_by_section: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line.startswith(MARK):
            current = lines_by_section.setdefault(line[len(MARK) :].strip(), [])
        else:
            current.append(line)
    return {name: "\n".join(lines) for name, lines in lines_by_section.items()}


def _read(reader: Callable[[str], T], text: str) -> T | None:
    try:
        return reader(text) if text.strip() else None
    except NotReadable:
        return None


def _mtus(text: str) -> dict[str, int]:
    try:
        links = json_of(text)
        return {link["ifname"]: int(link["mtu"]) for link in links if "mtu" in link}
    except (ValueError, TypeError, KeyError):
        return {match[1]: int(match[2]) for match in re.finditer(r"(?m)^\d+: ([^:@\s]+)(?:@\S+)?: .*\bmtu (\d{1,6})\b", text)}


def _without_arp(text: str) -> frozenset[str]:
    """Ethernet NICs with the flag NOARP; tunnels and the like have it by nature."""
    try:
        links = json_of(text)
        return frozenset(link["ifname"] for link in links if "NOARP" in link.get("flags", ()) and link.get("link_type") == "ether")
    except (ValueError, TypeError, KeyError, AttributeError):
        plain = re.finditer(r"(?m)^\d+: ([^:@\s]+)(?:@\S+)?: <([^>]*)>.*\n\s+link/ether", text)
        return frozenset(match[1] for match in plain if "NOARP" in match[2].split(","))


def _hardware(text: str) -> dict[str, str]:
    try:
        links = json_of(text)
        return {link["ifname"]: str(link["address"]) for link in links if link.get("link_type") == "ether" and "address" in link}
    except (ValueError, TypeError, KeyError, AttributeError):
        matches = re.finditer(r"(?m)^\d+: ([^:@\s]+)(?:@\S+)?: .*\n\s+link/ether (\S{17})\b", text)
        return {match[1]: match[2] for match in matches}


def _links(text: str) -> Iterator[tuple[str, Link]]:
    """Lines of `ip -d -o link`; of the details a port's own kind is read (`bridge_slave`). What it has a permanent address of by nature, a
    VLAN for one, is passed over."""
    for line in text.splitlines():
        nic, hardware = NIC.match(line), re.search(r"\blink/ether (\S{17})\b", line)
        master, kind = re.search(r" master (\S+)", line), re.search(r"\\ +(\w+)_slave\b", line)
        born = re.search(r" permaddr (\S{17})\b", line)
        stacked = re.search(r"\\ +(?:vlan|bond|team|bridge|macvlan|macvtap|ipvlan|dummy) ", line)
        if nic and (master or born):
            permanent = born[1] if born and not stacked else ""
            yield nic[1], Link(master[1] if master else "", kind[1] if kind else "", hardware[1] if hardware else "", permanent)


def _routes(text: str) -> Iterator[tuple[str, str, str, Route]]:
    """Lines `# DESTINATION SOURCE WORDS`, `-` for a source that the kernel chooses, each with what `ip route get` printed behind it."""
    for block in re.split(r"(?m)^# ", text)[1:]:
        head, _, output = block.partition("\n")
        words = head.split()
        route = linux_parse.route_refusal(output) or _read(linux_parse.route, output)
        if words and route is not None:
            yield words[0], words[1].replace("-", "") if len(words) > 1 else "", " ".join(words[2:]), route


def _next_hops(text: str) -> dict[tuple[str, str], tuple[Route, ...]]:
    """Lines `# DESTINATION SOURCE`, each with what `ip route get fibmatch` printed behind it; those with several next hops."""
    hops_by_route: dict[tuple[str, str], tuple[Route, ...]] = {}
    for block in re.split(r"(?m)^# ", text)[1:]:
        head, _, output = block.partition("\n")
        words, hops = head.split(), linux_parse.next_hops(output)
        if len(words) == 2 and len(hops) > 1:
            hops_by_route[(words[0], words[1])] = hops
    return hops_by_route


def _accounts(text: str) -> dict[int, frozenset[int]]:
    """`ss -tlne`: the owner of each listening socket by its number, which ss leaves out where it is root; IPv6 ones count, too."""
    uids_by_port: dict[int, frozenset[int]] = {}
    for line in text.splitlines():
        words = line.split()
        end = END.fullmatch(words[3]) if len(words) > 4 and words[0] == "LISTEN" else None
        if end is not None and end["port"].isdigit():
            uid, port = re.search(r"\buid:(\d{1,10})\b", line), int(end["port"])
            uids_by_port[port] = uids_by_port.get(port, frozenset()) | {int(uid[1]) if uid else 0}
    return uids_by_port


def _logins(text: str) -> dict[str, str | None]:
    """Lines `= UID NAME SHELL`, and `? EXIT NAME …` with the names that were asked for."""
    query, shells = ASKED.search(text), {match[2]: match[3] for match in ACCOUNT.finditer(text) if match[3] is not None}
    return {name: shells.get(name) for name in query[1].split()} if query else {}


def _sockets(text: str) -> Iterator[Socket]:
    """`ss -tanopi`, with or without its header; a line that begins with a blank goes on about the socket before it."""
    joined: list[str] = []
    for line in text.splitlines():
        if line[:1].isspace() and joined:
            joined[-1] += " " + line.strip()
        elif line.split()[:1] and line.split()[0] in STATES:
            joined.append(line)
    # iproute2 before 4.13 writes IPv6 without brackets, ":::80" for one that may take IPv4 as well, and "*:80" for IPv4 alone.
    old = any(len(words := line.split()) > 3 and words[3].startswith("::") for line in joined)
    for line in joined:
        words = line.split()
        if len(words) < 5 or not (words[1].isdigit() and words[2].isdigit()):
            continue
        here, there = END.fullmatch(words[3]), END.fullmatch(words[4])
        if here is None or there is None or not here["port"].isdigit():
            continue
        owner, timer = OWNER.search(line), re.search(r"timer:\(([^)]*)\)", line)
        idle = [int(milliseconds) for milliseconds in re.findall(r"\blast(?:snd|rcv):(\d+)", line)]
        unheard = [int(milliseconds) for milliseconds in re.findall(r"\blast(?:rcv|ack):(\d+)", line)]
        yield Socket(
            words[0],
            OLD_WILDCARDS.get(here["address"], _strip_address(here["address"])) if old else _strip_address(here["address"]),
            int(here["port"]),
            _strip_address(there["address"]),
            int(there["port"]) if there["port"].isdigit() else 0,
            waiting=int(words[1]),
            room=int(words[2]),
            process=owner[1] if owner else None,
            pid=int(owner[2]) if owner else None,
            device=here["device"],
            timer=timer[1] if timer else "",
            idle_s=min(idle) / 1000 if idle else None,
            unheard_s=min(unheard) / 1000 if unheard else None,
        )


def _strip_address(address: str) -> str:
    address = address.strip("[]")
    return address.removeprefix("::ffff:") if "." in address else address


def _sysctls(text: str) -> Iterator[tuple[str, str]]:
    """`conf/eth0/rp_filter:1` as eth0.rp_filter."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if value:
            yield name.removeprefix("conf/").replace("/", "."), value.strip()


def _large(text: str) -> tuple[dict[str, tuple[bool, bool, int]], dict[str, tuple[bool, bool, int]]]:
    """Lines `ADDRESS SMALL LARGE SIZE`, 1 for what came back; the second has what is longer than Azure's usual packets."""
    usual: dict[str, tuple[bool, bool, int]] = {}
    jumbo: dict[str, tuple[bool, bool, int]] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 4 and all(w.isdigit() for w in words[1:]):
            (jumbo if words[0] in usual else usual)[words[0]] = (words[1] == "1", words[2] == "1", int(words[3]))
    return usual, jumbo


def _processes(text: str) -> Iterator[tuple[int, str]]:
    for line in text.splitlines():
        match = re.match(r"(\d+) \(.*\) (\S)", line)
        if match:
            yield int(match[1]), match[2]


def _time(text: str) -> tuple[float | None, timezone]:
    words = text.split()
    if len(words) != 2 or not re.fullmatch(r"\d+(\.\d+)?", words[0]) or not re.fullmatch(r"[+-]\d{4}", words[1]):
        return None, UTC
    sign = -1 if words[1][0] == "-" else 1
    return float(words[0]), timezone(sign * min(timedelta(hours=int(words[1][1:3]), minutes=int(words[1][3:])), timedelta(hours=23)))


def _names(text: str) -> dict[str, tuple[str, ...]]:
    """Lines `NAME ADDRESS …`; a name that was waited for too long has none."""
    return {words[0]: tuple(dict.fromkeys(words[1:])) for line in text.splitlines() if (words := line.split()) and words[0] != "#"}


def _slow_names(text: str) -> Iterator[tuple[str, tuple[float, bool]]]:
    """Lines `# NAME MILLISECONDS EXIT`: the names that took longer than SLOW_S, and far longer than what needs no resolver."""
    lines = re.findall(r"(?m)^# (\S{1,255}) (\d{1,7}) (\d{1,3})$", text)
    busy = max((int(ms) for name, ms, _ in lines if _is_numeric(name)), default=0)
    for name, ms, gave in lines:
        if not _is_numeric(name) and int(ms) > 1000 * SLOW_S + 3 * busy:
            yield name, (int(ms) / 1000, gave != TIMED_OUT)


def _is_numeric(name: str) -> bool:
    return ADDRESS.fullmatch(name) is not None


def _stopped_processes(text: str) -> dict[int, tuple[int, str, str]]:
    """Lines `PID PARENT NAME PROGRAM`, of those that were there both times."""
    matches = [*STOPPED.finditer(text)]
    times = Counter(match[1] for match in matches)
    return {int(match[1]): (int(match[2]), match[3], match[4]) for match in matches if times[match[1]] > 1}


def _frozen_daemons(text: str) -> dict[int, tuple[str, str]]:
    """Lines `PID STATE NAME`, of those that were there both times."""
    rows = [line.split() for line in text.splitlines()]
    times = Counter(words[0] for words in rows if len(words) == 3 and words[0].isdigit())
    return {int(words[0]): (words[1][:1], words[2]) for words in rows if words and times[words[0]] > 1}


def _programs(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Lines `= FILE`, each with `MODE SIZE PLACE KIND` behind it, or with the error that stat gave, and such errors by themselves; of what
    the account may not look at, nothing."""
    for file in MISSING.findall(text):
        yield file, ("is not there", "")
    for block in re.split(r"(?m)^= ", text)[1:]:
        file, _, more = block.partition("\n")
        stat_output = more.partition("\n")[0]
        words = stat_output.split(maxsplit=3)
        if "No such file" in stat_output or "Not a directory" in stat_output:
            yield file, ("is not there", "")
        elif len(words) == 4 and re.fullmatch(r"[0-7]{1,4}", words[0]) and words[1].isdigit():
            may = any(int(digit) & 1 for digit in words[0][-3:].zfill(3))
            regular = words[3].strip().startswith("regular")
            why = f"is no program but a {words[3].strip()}" if not regular else "is empty" if words[1] == "0" else ""
            yield file, (why or ("" if may else f"may be run by nobody (mode {words[0]})"), words[2])


def _neighbours(parts: dict[str, str]) -> dict[str, str]:
    """`ip neigh`, of which the entries count that nobody learns; a bundle of before has the VIP's only."""
    text = "\n".join(parts.get(name, "") for name in ("neighbours written down", "neighbour of the VIP"))
    return {match[1]: match[2] for match in NEIGHBOUR.finditer(text)}
