"""Windows Firewall evaluated: each row is one documented behaviour (facts WNET-*), with the verdict and the rule that decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.diagnosis.firewall import Outcome, Packet
from harness.diagnosis.firewall.windows import Owner, WindowsFirewall, evaluate, opening, read

PROBE, NODE, PEER, CLIENT, FAR = "168.63.129.16", "10.20.1.11", "10.20.1.12", "10.20.1.20", "10.9.9.9"
ACCEPT, DROP, REJECT, UNSURE = Outcome.ACCEPT, Outcome.DROP, Outcome.REJECT, Outcome.CANNOT_TELL
ORACLE = Owner(r"C:\app\oracle\bin\tnslsnr.exe", "OracleTNSListener")
NICS = [
    {"InterfaceAlias": "Ethernet", "NetworkCategory": "DomainAuthenticated", "InterfaceType": "Wired", "Addresses": ["10.20.1.11/24"]},
    {"InterfaceAlias": "Ethernet 2", "NetworkCategory": "Public", "InterfaceType": "Wired", "Addresses": ["10.20.2.11/24"]},
]


def profiles(**changed: Any) -> list[dict[str, Any]]:
    row = {"Enabled": "True", "Inbound": "NotConfigured", "Outbound": "NotConfigured", "AllowInboundRules": "NotConfigured"}
    row |= {"AllowLocalFirewallRules": "NotConfigured", "DisabledInterfaceAliases": ["NotConfigured"]}
    return [{"Name": name, **row, **changed} for name in ("Domain", "Private", "Public")]


def rule(action: str = "Allow", name: str = "", **changed: Any) -> dict[str, Any]:
    """One that is about everything that comes in."""
    row = dict.fromkeys(("LocalPort", "RemotePort", "LocalAddress", "RemoteAddress", "InterfaceAlias", "InterfaceType"), "Any")
    row |= {"Name": name or action.lower(), "Action": action, "Profile": "Any", "Direction": "Inbound", "Enabled": "True"}
    row |= {"Program": "Any", "Service": "Any", "Protocol": "Any", "PolicyStoreSourceType": "Local", "EnforcementStatus": "Full"}
    return row | {"Authentication": "NotRequired"} | changed


def tcp(port: Any, action: str = "Allow", name: str = "", **changed: Any) -> dict[str, Any]:
    return rule(action, name, **({"Protocol": "TCP", "LocalPort": port} | changed))


def out(action: str, **changed: Any) -> dict[str, Any]:
    return rule(action, Direction="Outbound", **changed)


def into(port: int = 1521, source: str = CLIENT, nic: str | None = "Ethernet", to: str = NODE, **more: Any) -> Packet:
    return Packet(source, to, port, in_nic=nic, **more)


def leaving(port: int = 1521, to: str = CLIENT) -> Packet:
    return Packet(NODE, to, port, hook="output", out_nic="Ethernet")


@dataclass
class Case:
    rules: list[dict[str, Any]]
    packet: Packet
    outcome: Outcome
    says: str = ""
    profile: dict[str, Any] = field(default_factory=dict)
    owner: Owner = ORACLE


FAR_PORTS = {"RemotePort": "1024-65535"}
CASES = {
    "WNET-01 no rule: blocked by default": Case([], into(), DROP, "Domain profile's default for inbound"),
    "WNET-01 an allow beats the default": Case([tcp(1521)], into(), ACCEPT, "“allow” (Allow)"),
    "WNET-01 a block beats every allow": Case([tcp(1521), tcp("1500-1600", "Block")], into(), DROP, "“block” (Block)"),
    "WNET-01 whatever the order": Case([tcp(1521, "Block"), rule()], into(), DROP, "“block” (Block)"),
    "WNET-03 default allow": Case([], into(), ACCEPT, "default for inbound", {"Inbound": "Allow"}),
    "WNET-03 what goes out is let out": Case([], leaving(), ACCEPT, "default for outbound"),
    "WNET-03 outbound default block": Case([], leaving(), REJECT, "default for outbound", {"Outbound": "Block"}),
    "WNET-03 every inbound rule is ignored": Case([tcp(1521)], into(), DROP, "AllowInboundRules", {"AllowInboundRules": "False"}),
    "WNET-03 local rules do not count": Case([tcp(1521)], into(), DROP, "default", {"AllowLocalFirewallRules": "False"}),
    "WNET-03 group policy's count": Case(
        [tcp(1521, PolicyStoreSourceType="GroupPolicy")], into(), ACCEPT, "“allow”", {"AllowLocalFirewallRules": "False"}
    ),
    "WNET-03 not told whose rule": Case(
        [tcp(1521, PolicyStoreSourceType=None)], into(), UNSURE, "group policy's", {"AllowLocalFirewallRules": "False"}
    ),
    "WNET-03 a NIC that is left alone": Case([], into(), ACCEPT, "leaves Ethernet alone", {"DisabledInterfaceAliases": ["ethernet"]}),
    "WNET-03 another NIC is left alone": Case([], into(), DROP, "default", {"DisabledInterfaceAliases": ["Ethernet 2"]}),
    "WNET-03 the firewall is off": Case([rule("Block")], into(), ACCEPT, "Domain profile is off", {"Enabled": "False"}),
    "WNET-04 the profile of that NIC": Case([tcp(1521, Profile="Domain, Private")], into(), ACCEPT, "“allow”"),
    "WNET-04 another NIC, another profile": Case([tcp(1521, Profile="Domain, Private")], into(nic="Ethernet 2"), DROP, "Public profile's"),
    "WNET-04 NIC not told": Case([tcp(1521, Profile="Domain")], into(nic=None), UNSURE, "which profile is that of its NIC's network"),
    "WNET-04 NIC not told, and all the same": Case([tcp(1521)], into(nic=None), ACCEPT, "“allow”"),
    "WNET-05 loopback": Case([rule("Block")], into(source=NODE), ACCEPT, "WNET-05"),
    "WNET-05 its other address": Case([rule("Block")], into(source="10.20.2.11"), ACCEPT, "WNET-05"),
    "WNET-07 an address": Case([tcp(1521, RemoteAddress=[PEER, CLIENT])], into(), ACCEPT, "“allow”"),
    "WNET-07 a prefix": Case([tcp(1521, RemoteAddress="10.20.0.0/16")], into(), ACCEPT, "“allow”"),
    "WNET-07 a mask": Case([tcp(1521, RemoteAddress="10.20.1.0/255.255.255.0")], into(source=FAR), DROP, "default"),
    "WNET-07 a range": Case([tcp(1521, RemoteAddress="10.20.1.10-10.20.1.30")], into(), ACCEPT, "“allow”"),
    "WNET-07 LocalSubnet": Case([tcp(1521, RemoteAddress="LocalSubnet")], into(), ACCEPT, "“allow”"),
    "WNET-07 beyond it": Case([tcp(1521, RemoteAddress="LocalSubnet")], into(source=FAR), DROP, "default"),
    "WNET-07 of another NIC": Case([tcp(1521, RemoteAddress="LocalSubnet")], into(source="10.20.2.12"), UNSURE, "another NIC"),
    "WNET-97 the probe is of no subnet": Case([tcp(12345, RemoteAddress="LocalSubnet")], into(12345, PROBE), DROP, "default"),
    "WNET-97 nor by an untold NIC": Case([tcp(12345, RemoteAddress="LocalSubnet")], into(12345, PROBE, None), DROP, "default"),
    "WNET-97 the probe may be the DNS server": Case([tcp(12345, RemoteAddress="DNS")], into(12345, PROBE), UNSURE, "“DNS”"),
    "WNET-07 a keyword that may block": Case([tcp(1521), tcp(1521, "Block", RemoteAddress="Intranet")], into(), UNSURE, "“Intranet”"),
    "WNET-07 IPv6": Case([tcp(1521, RemoteAddress=["fd00::/8", "LocalSubnet6"])], into(), DROP, "default"),
    "WNET-08 any protocol covers every port": Case([rule()], into(12345, PROBE), ACCEPT, "“allow”"),
    "WNET-08 any protocol blocks every port": Case([tcp(1521), rule("Block")], into(), DROP, "“block”"),
    "WNET-08 UDP is not TCP": Case([tcp(1521, Protocol="UDP")], into(), DROP, "default"),
    "WNET-08 protocol as a number": Case([tcp(1521, Protocol="6")], into(), ACCEPT, "“allow”"),
    "WNET-08 several ports and ranges": Case([tcp(["80", "1500-1600"])], into(), ACCEPT, "“allow”"),
    "WNET-08 another port": Case([tcp(["80", "1500-1520"])], into(), DROP, "default"),
    "WNET-08 RPC's ports": Case([tcp("RPC")], into(50000), UNSURE, "“RPC”"),
    "WNET-08 the endpoint mapper": Case([tcp("RPCEPMap")], into(135), ACCEPT, "“allow”"),
    "WNET-08 the sender's port": Case([tcp(1521, RemotePort="50000-50010")], into(), UNSURE, "which port the one who connects chose"),
    "WNET-08 all that it may be": Case([tcp(1521, **FAR_PORTS)], into(), ACCEPT, "“allow”"),
    "WNET-09 a program": Case([tcp(1521, Program=r"C:\App\Oracle\bin\tnslsnr.exe")], into(), ACCEPT, "“allow”"),
    "WNET-09 another program": Case([tcp(1521, Program=r"C:\App\other.exe")], into(), DROP, "default"),
    "WNET-09 a program's place is not told": Case([tcp(1521, Program=r"%ORA%\bin\tnslsnr.exe")], into(), UNSURE, "where %ORA%"),
    "WNET-09 program not told": Case([tcp(1521, Program=r"C:\x.exe")], into(), UNSURE, "which program", owner=Owner()),
    "WNET-09 the kernel's own": Case([tcp(80, Program="System")], into(80), ACCEPT, "“allow”", owner=Owner("System", "")),
    "WNET-09 a service": Case([tcp(1521, Service="oracletnslistener")], into(), ACCEPT, "“allow”"),
    "WNET-09 another service": Case([tcp(1521, Service="W3SVC")], into(), DROP, "default"),
    "WNET-09 any service, and it is none": Case([tcp(1521, Service="*")], into(), DROP, "default", owner=Owner("System", "")),
    "WNET-09 a NIC": Case([tcp(1521, InterfaceAlias=["Ethernet 2"])], into(), DROP, "default"),
    "WNET-09 a kind of NIC": Case([tcp(1521, InterfaceType="Wireless")], into(), DROP, "default"),
    "WNET-09 a local address": Case([tcp(1521, LocalAddress="10.20.1.200")], into(), DROP, "default"),
    "WNET-09 one part surely not": Case([tcp(1521, RemoteAddress="Intranet", Service="W3SVC")], into(), DROP, "default"),
    "WNET-10 stronger than a block": Case([rule("Block"), rule("AllowBypass")], into(), UNSURE, "IPsec"),
    "WNET-10 for another port": Case([rule("Block"), tcp(80, "AllowBypass")], into(), DROP, "“block”"),
    "WNET-10 an allow that demands IPsec": Case([tcp(1521, Authentication="Required")], into(), UNSURE, "IPsec"),
    "WNET-12 automatic block": Case([tcp(1521), rule("Block", "TCP Query User{5F}x.exe", Protocol="TCP")], into(), DROP, "Query User"),
    "WNET-16 the program is told": Case([out("Block", RemoteAddress=CLIENT)], leaving(), REJECT, "outbound rule “block”"),
    "WNET-19 direction is who opened it": Case([out("Block")], into(), DROP, "default"),
    "WNET-34 without effect": Case([rule("Block", EnforcementStatus=["RemoteAddressResolutionEmpty"]), rule()], into(), ACCEPT, "“allow”"),
    "WNET-34 in numbers": Case([rule("Block", EnforcementStatus=[16]), rule()], into(), ACCEPT, "“allow”"),
    "WNET-35 all in numbers": Case([tcp(1521, 4, "four", Profile=1, Direction=1, Enabled=1)], into(), DROP, "“four” (Block)"),
    "WNET-35 disabled, in numbers": Case([tcp(1521, Enabled=2)], into(), DROP, "default"),
    "WNET-35 profile 0 is any": Case([tcp(1521, Profile=0)], into(), ACCEPT, "“allow”"),
}


def of(case: Case) -> WindowsFirewall:
    return read(profiles(**case.profile), case.rules, NICS)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_as_the_facts_say(case: Case) -> None:
    decision = evaluate(of(case), case.packet, case.owner)
    said = decision.why if case.outcome is UNSURE else decision.rule
    assert decision.outcome is case.outcome and case.says in said, decision
    assert decision.passes is {ACCEPT: True, UNSURE: None}.get(case.outcome, False)


# What the one who connects hears: (rules, profile, does anybody listen, packet, heard)
HEARD = [
    ([tcp(1521)], {}, True, into(), "answer"),
    ([tcp(1521)], {}, False, into(), "silence"),  # stealth, although a rule lets it pass: WNET-13
    ([tcp(1521)], {"StealthMode": "False"}, False, into(), "tcp reset"),
    ([], {"Enabled": "False"}, False, into(), "tcp reset"),  # WNET-14
    ([], {}, False, into(source=NODE), "tcp reset"),  # on the node itself, over loopback: WNET-14
    ([], {}, True, into(), "silence"),  # WNET-15
    ([tcp(1521)], {}, None, into(), ""),
    ([out("Block")], {}, True, leaving(), "error 10013 in the program that connects"),  # WNET-16
    ([tcp(1521, RemoteAddress="Intranet")], {}, True, into(), ""),
]


@pytest.mark.parametrize(("rules", "profile", "listens", "packet", "heard"), HEARD)
def test_what_the_one_who_connects_hears(rules: list, profile: dict, listens: bool | None, packet: Packet, heard: str) -> None:
    assert opening(read(profiles(**profile), rules, NICS), packet, listens=listens, owner=ORACLE).heard == heard


def test_what_was_not_collected_is_never_guessed() -> None:
    """Rows of enabled inbound TCP rules with name, action, profile and ports, and of profiles with two settings."""
    told = [{"Name": name, "Enabled": "True", "Inbound": "NotConfigured"} for name in ("Domain", "Private", "Public")]
    short = [{"Name": "Oracle-Listener", "Action": "Allow", "Profile": "Any", "Ports": "1521"}]
    decision = evaluate(read(told, short, NICS), into())
    assert decision.outcome is UNSURE and "“Oracle-Listener”" in decision.rule
    off = [{**row, "Enabled": "False"} for row in told]
    assert evaluate(read(off, short, NICS), into()).outcome is ACCEPT
    for key in ("LocalPort", "RemoteAddress", "Program", "Service", "InterfaceAlias", "Protocol"):
        row = {k: v for k, v in tcp(1521).items() if k != key}
        assert evaluate(read(profiles(), [row], NICS), into(), ORACLE).outcome is UNSURE, key
    for key in ("AllowInboundRules", "AllowLocalFirewallRules"):
        few = [{k: v for k, v in row.items() if k != key} for row in profiles()]
        assert evaluate(read(few, [tcp(1521)], NICS), into(), ORACLE).outcome is UNSURE, key
    assert evaluate(read(profiles(), [tcp(1521)], NICS, not_told="access is denied"), into(), ORACLE).why == "access is denied"
    assert evaluate(read(profiles(), [tcp(1521, "Block")], NICS, not_told="access is denied"), into(), ORACLE).outcome is DROP


def test_a_rule_without_a_name_has_its_id() -> None:
    """Windows demands none: it must not keep everything else from being judged."""
    decision = evaluate(read(profiles(), [tcp(1521, "Block") | {"Name": None, "Id": "{1-2}"}], NICS), into(), ORACLE)
    assert decision.outcome is DROP and "“{1-2}”" in decision.rule
    assert evaluate(read(profiles(), [tcp(1521, "Block") | {"Name": None}], NICS), into()).outcome is DROP


def test_a_rule_of_which_it_is_not_told_what_it_does_makes_nothing_sure_to_pass() -> None:
    untold = tcp(80) | {"Action": None, "Name": "odd"}
    decision = evaluate(read(profiles(), [tcp(1521), untold, untold], NICS), into(), ORACLE)
    assert decision.outcome is UNSURE and decision.why == "whether the rule “odd” allows or blocks was not told and of 1 more"
    assert evaluate(read(profiles(), [tcp(1521), {**untold, "Enabled": "False"}], NICS), into(), ORACLE).outcome is ACCEPT


@pytest.mark.parametrize("told", ["10.20.1.11/", "/24", "x"])
def test_half_an_address_leaves_the_local_subnet_untold(told: str) -> None:
    nics = [{**NICS[0], "Addresses": [told]}, NICS[1]]
    assert evaluate(read(profiles(), [tcp(1521, RemoteAddress="LocalSubnet")], nics), into(), ORACLE).outcome is UNSURE


def test_a_profile_without_a_name_is_none() -> None:
    with pytest.raises(ValueError, match="a row lacks Name"):
        read([{"Enabled": "True"}], [])
