"""What Windows Firewall does with a packet: a block beats every allow that also matches, an allow beats the default (WNET-01). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.diagnosis.firewall.packet import Decision, Outcome, Packet
from harness.diagnosis.firewall.tcp_handshake import Opening
from harness.diagnosis.firewall.windows.windows_matches import LocalPacket, matches
from harness.diagnosis.firewall.windows.windows_rules import Owner, Profile, WindowsFirewall

NOBODY = Owner()
LOOPBACK = "no rule of the firewall's own tools is about loopback (WNET-05)"
TOLD_OUT = "error 10013 in the program that connects"  # WNET-16


@dataclass(frozen=True)
class _Way:
    """One thing that may befall it, under one profile; `why` is what would have to be known for another. `final`: whatever other rules
    there were."""

    passes: bool
    rule: str
    why: str = ""
    final: bool = False


def evaluate(firewall: WindowsFirewall, packet: Packet, owner: Owner = NOBODY) -> Decision:
    """Of the packet that opens a connection; what follows it passes as it did (WNET-17). `owner` has the socket at this host.

    Raises ValueError when the packet itself makes no sense.
    """
    if _inside(firewall, packet):
        return Decision(Outcome.ACCEPT, LOOPBACK, f"{packet}: let through", True)
    local_packet = LocalPacket(packet, firewall, firewall.nic(packet.in_nic if packet.hook == "input" else packet.out_nic), owner)
    profiles = _profiles(local_packet)
    ways: list[_Way] = []
    for profile in profiles:
        profile_ways = list(_ways(local_packet, profile))
        ways += profile_ways
        if firewall.not_told and not any(way.final for way in profile_ways):
            ways += [_Way(passes, "", firewall.not_told) for passes in (True, False)]
    return _decide(local_packet, ways, len(profiles))


def opening(firewall: WindowsFirewall, syn: Packet, *, listens: bool | None = True, owner: Owner = NOBODY) -> Opening:
    """What becomes of a connection; `listens`: does anybody listen there? Answers pass where the question did (WNET-17).

    Nobody who asks from elsewhere hears that nobody listens, with stealth mode, which is on by default (WNET-13, WNET-14).
    """
    decision = evaluate(firewall, syn, owner)
    port = syn.destination_port if isinstance(syn.destination_port, int) else None
    if decision.passes is not True:
        reply = "" if decision.passes is None else decision.reply or "silence"
        return Opening(syn, decision, reply, port)
    if syn.hook == "output" or listens:
        return Opening(syn, decision, "answer" if listens else "", port, "the answer")
    return Opening(syn, decision, "" if listens is None else _unheard(firewall, syn), port, "the answer")


def _inside(firewall: WindowsFirewall, packet: Packet) -> bool:
    """From one of the host's own addresses to another, or to itself."""
    own_addresses = {address.partition("/")[0] for nic in firewall.nics for address in nic.addresses or ()}
    return packet.source == packet.destination or {packet.source, packet.destination} <= own_addresses


def _unheard(firewall: WindowsFirewall, syn: Packet) -> str:
    """What is heard of a port without a listener that a rule lets pass."""
    if _inside(firewall, syn):
        return "tcp reset"
    profiles = _profiles(LocalPacket(syn, firewall, firewall.nic(syn.in_nic), NOBODY))
    refuses = {None if p.enabled is None else not (p.enabled and p.stealth is not False) for p in profiles}
    if len(refuses) != 1 or None in refuses:
        return ""
    return "tcp reset" if refuses.pop() else "silence"


def _profiles(local_packet: LocalPacket) -> list[Profile]:
    """The one of the NIC's network (WNET-04); all, where that is not told."""
    name = local_packet.nic.profile if local_packet.nic else None
    return [p for p in local_packet.firewall.profiles if name is None or p.name.lower() == name.lower()]


def _ways(local_packet: LocalPacket, profile: Profile) -> Iterator[_Way]:
    nic = local_packet.packet.in_nic if local_packet.inbound else local_packet.packet.out_nic
    if profile.enabled is False:
        yield _Way(True, f"the {profile.name} profile is off", final=True)
        return
    if profile.enabled is None:
        yield _Way(True, "", f"whether the {profile.name} profile is on")
    if profile.left_alone is None:
        yield _Way(True, "", f"which NICs the {profile.name} profile leaves alone")
    elif profile.left_alone:
        if nic is not None and nic.lower() in {a.lower() for a in profile.left_alone}:
            yield _Way(True, f"the {profile.name} profile leaves {nic} alone", final=True)
            return
        if nic is None:
            yield _Way(True, "", f"which NIC it passes; the {profile.name} profile leaves {', '.join(profile.left_alone)} alone")
    yield from _by_rules(local_packet, profile)


def _by_rules(local_packet: LocalPacket, profile: Profile) -> Iterator[_Way]:
    counts = not (local_packet.inbound and profile.inbound_rules is False)
    rule_matches = [(rule, matches(rule, local_packet, profile)) for rule in local_packet.firewall.rules] if counts else []
    bypass = [(rule, match.why) for rule, match in rule_matches if rule.bypasses and match.yes is not False]
    yield from (_Way(True, str(rule), why) for rule, why in bypass)
    if local_packet.inbound and profile.inbound_rules is None:
        yield from _default(local_packet, profile, f"whether the {profile.name} profile ignores its inbound rules")
    blocks = [(rule, match) for rule, match in rule_matches if rule.blocks and match.yes is not False]
    for rule, match in blocks:
        yield _Way(False, str(rule), match.why, final=match.yes is True)
    if any(match.yes for _, match in blocks):
        return
    allows = [(rule, match) for rule, match in rule_matches if rule.action == "Allow" and match.yes is not False]
    for rule in [rule for rule, match in allows if match.yes]:
        yield _Way(True, str(rule))
        return
    for rule, match in allows:
        yield _Way(True, str(rule), match.why)
    yield from _default(local_packet, profile)


def _default(local_packet: LocalPacket, profile: Profile, why: str = "") -> Iterator[_Way]:
    way = "inbound" if local_packet.inbound else "outbound"
    default_name = f"the {profile.name} profile's default for {way} connections, which no rule is about"
    ignores = local_packet.inbound and profile.inbound_rules is False
    if ignores:
        default_name = f"the {profile.name} profile's default for inbound connections; it ignores every inbound rule (AllowInboundRules)"
    lets = profile.default_action(local_packet.inbound)
    for passes in (True, False) if lets is None else (lets,):
        yield _Way(passes, default_name, why if lets is not None else f"what {default_name} is", final=ignores and lets is not None)


def _decide(local_packet: LocalPacket, ways: list[_Way], profiles: int) -> Decision:
    packet = local_packet.packet
    if not ways:
        return Decision(Outcome.CANNOT_TELL, "", "which profile is that of its NIC's network", None)
    passing, stopping = [w for w in ways if w.passes], [w for w in ways if not w.passes]
    rules = " or ".join(dict.fromkeys(w.rule for w in ways if w.rule))
    if passing and stopping:
        whys = [w.why for w in ways if w.why]
        if profiles > 1:
            whys.insert(0, "which profile is that of its NIC's network")
        return Decision(Outcome.CANNOT_TELL, rules, "; ".join(list(dict.fromkeys(whys))[:3]), None)
    decides = " or ".join(dict.fromkeys(w.rule for w in ways if not w.why)) or rules
    if passing:
        return Decision(Outcome.ACCEPT, decides, f"{packet}: let through", True)
    if local_packet.inbound:
        return Decision(Outcome.DROP, decides, f"{packet}: dropped, in silence (WNET-15)", False)
    return Decision(Outcome.REJECT, decides, f"{packet}: refused, {TOLD_OUT}", False, TOLD_OUT)
