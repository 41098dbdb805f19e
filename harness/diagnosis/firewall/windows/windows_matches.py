"""Whether a rule of Windows Firewall is about a packet: yes, no, or what would have to be known. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network

from harness.diagnosis.firewall.packet import Packet
from harness.diagnosis.firewall.windows.windows_rules import Nic, Owner, Profile, Rule, WindowsFirewall, Words

PLATFORM = ip_address("168.63.129.16")  # of no local subnet, whatever mask the NIC has (WNET-97)
NUMBERS = {"icmpv4": "1", "tcp": "6", "udp": "17", "icmpv6": "58"}
Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Match:
    """`yes` is None where it cannot be told, `why` then says what would have to be known."""

    yes: bool | None
    why: str = ""


YES, NO = Match(True), Match(False)


@dataclass(frozen=True)
class LocalPacket:
    """A packet as this host's firewall sees it: local and remote end, by which NIC, under which profile, whose socket."""

    packet: Packet
    firewall: WindowsFirewall
    nic: Nic | None
    owner: Owner

    @property
    def inbound(self) -> bool:
        """Whether the packet comes to the host."""
        return self.packet.hook == "input"

    @property
    def local(self) -> str:
        """The host's own address in the packet."""
        return self.packet.destination if self.inbound else self.packet.source

    @property
    def remote(self) -> str:
        """The other host's address in the packet."""
        return self.packet.source if self.inbound else self.packet.destination


def matches(rule: Rule, seen: LocalPacket, profile: Profile) -> Match:
    """All parts must match (WNET-09): one that surely does not settles it."""
    if not rule.enforced:
        return NO
    whys: list[str] = []
    for part in _parts(rule, seen, profile):
        if part.yes is False:
            return NO
        if part.yes is None:
            whys.append(part.why)
    return Match(None, "; ".join(dict.fromkeys(whys))) if whys else YES


def _parts(rule: Rule, seen: LocalPacket, profile: Profile) -> Iterator[Match]:
    packet = seen.packet
    local, remote = (packet.destination_port, packet.source_port) if seen.inbound else (packet.source_port, packet.destination_port)
    if rule.inbound is None:
        yield Match(None, f"for which direction {rule} is")
    yield Match(rule.inbound is None or rule.inbound is seen.inbound)
    yield _of(rule, "profiles", rule.profiles, lambda word: Match(word.lower() == profile.name.lower()))
    if rule.local is not False and profile.local_rules is not True:  # then only group policy's count (WNET-03)
        sure = rule.local and profile.local_rules is False
        yield NO if sure else Match(None, f"whether {rule} is group policy's, or the {profile.name} profile lets local rules count")
    yield _of(rule, "protocol", None if rule.protocol is None else (rule.protocol,), lambda word: _protocol(word, packet.protocol))
    yield _of(rule, "local ports", rule.local_ports, lambda word: _port(word, local))
    yield _of(rule, "remote ports", rule.remote_ports, lambda word: _port(word, remote))
    yield _of(rule, "local addresses", rule.local_addresses, lambda word: _address(word, seen.local, seen))
    yield _of(rule, "remote addresses", rule.remote_addresses, lambda word: _address(word, seen.remote, seen))
    nic = packet.in_nic if seen.inbound else packet.out_nic
    yield _of(rule, "NICs", rule.nics, lambda word: _word(word, nic, "which NIC it passes"))
    yield _of(
        rule, "kinds of NIC", rule.nic_kinds, lambda word: _word(word, seen.nic.kind if seen.nic else None, "what kind of NIC that is")
    )
    yield _of(rule, "program", None if rule.program is None else (rule.program,), lambda word: _program(word, seen.owner.program))
    yield _of(rule, "service", None if rule.service is None else (rule.service,), lambda word: _service(word, seen.owner.service))
    if rule.authenticated or rule.bypasses:
        yield Match(None, f"whether it is authenticated by IPsec, which {rule} demands")


def _of(rule: Rule, what: str, words: Words | None, about: Callable[[str], Match]) -> Match:
    """One of the words has to match; Any always does."""
    if words is None:
        return Match(None, f"which {what} {rule} is for")
    if any(word.lower() == "any" for word in words):
        return YES
    return _one(about(word) for word in words)


def _one(parts: Iterable[Match]) -> Match:
    best = NO
    for part in parts:
        if part.yes:
            return part
        if part.yes is None:
            best = part
    return best


def _word(word: str, told: str | None, what: str) -> Match:
    return Match(None, what) if told is None else Match(word.lower() == told.lower())


def _protocol(word: str, protocol: str) -> Match:
    number = NUMBERS.get(word.lower(), word)
    return Match(number == NUMBERS["icmpv4" if protocol == "icmp" else protocol])


def _port(word: str, port: int | tuple[int, int]) -> Match:
    first, last = port if isinstance(port, tuple) else (port, port)
    if word.lower() == "rpcepmap":
        word = "135"
    low, _, high = word.partition("-")
    if not low.isdigit() or (high and not high.isdigit()):
        return Match(None, f"which ports “{word}” stands for")
    begin, end = int(low), int(high or low)
    if begin <= first and last <= end:
        return YES
    return NO if last < begin or end < first else Match(None, "which port the one who connects chose")


def _address(word: str, address: str, seen: LocalPacket) -> Match:
    one = ip_address(address)
    low = word.lower()
    if low in ("localsubnet", "localsubnet4", "localsubnet6"):
        return NO if low[-1:] in "46" and low[-1:] != str(one.version) else _local_subnet(one, seen)
    try:
        if "-" in word:
            begin, end = (ip_address(part.strip()) for part in word.split("-", 1))
            return Match(begin.version == one.version and int(begin) <= int(one) <= int(end))
        network = ip_network(word, strict=False)  # a mask may be written as 255.255.255.0
    except ValueError:
        return Match(None, f"whether {address} is one of “{word}”")
    return Match(one.version == network.version and one in network)


def _local_subnet(one: Address, seen: LocalPacket) -> Match:
    if one == PLATFORM:
        return NO
    if seen.nic is None or seen.nic.addresses is None:
        return Match(None, f"whether {one} is in the local subnet")
    if _in_one_of(one, seen.nic):
        return YES
    elsewhere = any(_in_one_of(one, nic) for nic in seen.firewall.nics)
    return Match(None, f"whether the subnet of another NIC, which {one} is in, counts as local") if elsewhere else NO


def _in_one_of(one: Address, nic: Nic) -> bool:
    return any(one in ip_interface(address).network for address in nic.addresses or ())


def _program(word: str, told: str | None) -> Match:
    """Paths are alike in any case; one that begins with a variable is compared by what follows it."""
    if told is None:
        return Match(None, "which program has the socket")
    here, there = word.lower().replace("/", "\\"), told.lower().replace("/", "\\")
    if here == there:
        return YES
    if not here.startswith("%"):
        return NO
    tail = here[1:].partition("%")[2]
    return Match(None, f"where {word} is") if tail and there.endswith(tail) else NO


def _service(word: str, told: str | None) -> Match:
    if told is None:
        return Match(None, "which service has the socket")
    return Match(bool(told)) if word == "*" else Match(word.lower() == told.lower())
