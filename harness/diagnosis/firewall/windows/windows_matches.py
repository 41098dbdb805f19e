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


def matches(rule: Rule, local_packet: LocalPacket, profile: Profile) -> Match:
    """All parts must match (WNET-09): one that surely does not settles it."""
    if not rule.enforced:
        return NO
    whys: list[str] = []
    for part in _parts(rule, local_packet, profile):
        if part.yes is False:
            return NO
        if part.yes is None:
            whys.append(part.why)
    return Match(None, "; ".join(dict.fromkeys(whys))) if whys else YES


def _parts(rule: Rule, local_packet: LocalPacket, profile: Profile) -> Iterator[Match]:
    packet = local_packet.packet
    local, remote = (packet.destination_port, packet.source_port) if local_packet.inbound else (packet.source_port, packet.destination_port)
    if rule.inbound is None:
        yield Match(None, f"for which direction {rule} is")
    yield Match(rule.inbound is None or rule.inbound is local_packet.inbound)
    yield _of(rule, "profiles", rule.profiles, lambda word: Match(word.lower() == profile.name.lower()))
    if rule.local is not False and profile.local_rules is not True:  # then only group policy's count (WNET-03)
        sure = rule.local and profile.local_rules is False
        yield NO if sure else Match(None, f"whether {rule} is group policy's, or the {profile.name} profile lets local rules count")
    yield _of(rule, "protocol", None if rule.protocol is None else (rule.protocol,), lambda word: _protocol(word, packet.protocol))
    yield _of(rule, "local ports", rule.local_ports, lambda word: _port(word, local))
    yield _of(rule, "remote ports", rule.remote_ports, lambda word: _port(word, remote))
    yield _of(rule, "local addresses", rule.local_addresses, lambda word: _address(word, local_packet.local, local_packet))
    yield _of(rule, "remote addresses", rule.remote_addresses, lambda word: _address(word, local_packet.remote, local_packet))
    nic = packet.in_nic if local_packet.inbound else packet.out_nic
    yield _of(rule, "NICs", rule.nics, lambda word: _word(word, nic, "which NIC it passes"))
    yield _of(
        rule,
        "kinds of NIC",
        rule.nic_kinds,
        lambda word: _word(word, local_packet.nic.kind if local_packet.nic else None, "what kind of NIC that is"),
    )
    yield _of(rule, "program", None if rule.program is None else (rule.program,), lambda word: _program(word, local_packet.owner.program))
    yield _of(rule, "service", None if rule.service is None else (rule.service,), lambda word: _service(word, local_packet.owner.service))
    if rule.authenticated or rule.bypasses:
        yield Match(None, f"whether it is authenticated by IPsec, which {rule} demands")


def _of(rule: Rule, what: str, words: Words | None, about: Callable[[str], Match]) -> Match:
    """One of the words has to match; Any always does."""
    if words is None:
        return Match(None, f"which {what} {rule} is for")
    if any(word.lower() == "any" for word in words):
        return YES
    return _any_match(about(word) for word in words)


def _any_match(parts: Iterable[Match]) -> Match:
    best = NO
    for part in parts:
        if part.yes:
            return part
        if part.yes is None:
            best = part
    return best


def _word(word: str, actual: str | None, what: str) -> Match:
    return Match(None, what) if actual is None else Match(word.lower() == actual.lower())


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


def _address(word: str, address: str, local_packet: LocalPacket) -> Match:
    ip = ip_address(address)
    low = word.lower()
    if low in ("localsubnet", "localsubnet4", "localsubnet6"):
        return NO if low[-1:] in "46" and low[-1:] != str(ip.version) else _local_subnet(ip, local_packet)
    try:
        if "-" in word:
            begin, end = (ip_address(part.strip()) for part in word.split("-", 1))
            return Match(begin.version == ip.version and int(begin) <= int(ip) <= int(end))
        network = ip_network(word, strict=False)  # a mask may be written as 255.255.255.0
    except ValueError:
        return Match(None, f"whether {address} is one of “{word}”")
    return Match(ip.version == network.version and ip in network)


def _local_subnet(ip: Address, local_packet: LocalPacket) -> Match:
    if ip == PLATFORM:
        return NO
    if local_packet.nic is None or local_packet.nic.addresses is None:
        return Match(None, f"whether {ip} is in the local subnet")
    if _is_in_subnet_of(ip, local_packet.nic):
        return YES
    elsewhere = any(_is_in_subnet_of(ip, nic) for nic in local_packet.firewall.nics)
    return Match(None, f"whether the subnet of another NIC, which {ip} is in, counts as local") if elsewhere else NO


def _is_in_subnet_of(ip: Address, nic: Nic) -> bool:
    return any(ip in ip_interface(address).network for address in nic.addresses or ())


def _program(word: str, actual: str | None) -> Match:
    """Paths are alike in any case; one that begins with a variable is compared by what follows it."""
    if actual is None:
        return Match(None, "which program has the socket")
    here, there = word.lower().replace("/", "\\"), actual.lower().replace("/", "\\")
    if here == there:
        return YES
    if not here.startswith("%"):
        return NO
    tail = here[1:].partition("%")[2]
    return Match(None, f"where {word} is") if tail and there.endswith(tail) else NO


def _service(word: str, actual: str | None) -> Match:
    if actual is None:
        return Match(None, "which service has the socket")
    return Match(bool(actual)) if word == "*" else Match(word.lower() == actual.lower())
