"""The target of an iptables rule: its verdict, its jump, or what it changes in a packet. Pure."""

from __future__ import annotations

import re
from ipaddress import ip_address

from harness.diagnosis.firewall.chain_evaluation import Step, Verdict
from harness.diagnosis.firewall.packet_state import Flow, handed_to_proxy, redirect
from harness.diagnosis.firewall.partial_values import Missing, Span, Value, exactly, unknown

VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "RETURN": "return", "MASQUERADE": "accept"}
# Targets that change nothing about where a packet goes, or whether.
NOTHING = {
    "LOG", "NFLOG", "ULOG", "TRACE", "AUDIT", "TCPMSS", "TOS", "DSCP", "HL", "CLASSIFY", "CHECKSUM", "ECN", "SECMARK",
    "CONNSECMARK", "RATEEST", "IDLETIMER", "LED", "TCPOPTSTRIP", "TEE", "HMARK",
}  # fmt: skip
ELSEWHERE = {"NFQUEUE", "QUEUE", "SYNPROXY", "DNAT", "NETMAP", "TARPIT", "DELUDE", "STEAL", "CHAOS", "BPF"}
REPLIES = {
    "icmp-net-unreachable": "net-unreachable", "net-unreach": "net-unreachable", "icmp-host-unreachable": "host-unreachable",
    "host-unreach": "host-unreachable", "icmp-port-unreachable": "port-unreachable", "port-unreach": "port-unreachable",
    "icmp-proto-unreachable": "prot-unreachable", "proto-unreach": "prot-unreachable", "icmp-net-prohibited": "net-prohibited",
    "net-prohib": "net-prohibited", "icmp-host-prohibited": "host-prohibited", "host-prohib": "host-prohibited",
    "icmp-admin-prohibited": "admin-prohibited", "admin-prohib": "admin-prohibited", "icmp6-adm-prohibited": "admin-prohibited",
    "icmp6-port-unreachable": "port-unreachable", "icmp6-addr-unreachable": "addr-unreachable", "icmp6-no-route": "no-route",
}  # fmt: skip


def target(words: list[str], table: str, text: str) -> list[Step]:
    """The steps of `-j TARGET …`; none where a rule only counts."""
    if len(words) < 2:
        return []
    name, options = words[1], words[2:]
    if words[0] in ("-g", "--goto"):
        return [lambda flow: Verdict("goto", f"{table} {name}")]
    if name in VERDICTS:
        return [lambda flow: Verdict(VERDICTS[name])]
    if name == "REJECT":
        how = options[options.index("--reject-with") + 1] if "--reject-with" in options[:-1] else "icmp-port-unreachable"
        reply = "tcp reset" if how in ("tcp-reset", "tcp-rst") else f"icmp {REPLIES.get(how, how)}"
        return [lambda flow: Verdict("reject", reply)]
    if name == "NOTRACK" or (name == "CT" and "--notrack" in options):
        return [lambda flow: flow.having(notrack=exactly(1))]
    if name == "TTL" and options[:1] == ["--ttl-set"] and options[1:2] and options[1].isdigit():
        return [lambda flow: flow.having(ttl=exactly(int(options[1])))]
    if name in NOTHING or name in ("CT", "TTL"):
        return []
    if name in ("MARK", "CONNMARK"):
        return _mark(name, options)
    if name == "REDIRECT":
        return _redirect(options, text)
    if name == "SNAT":
        return _from_elsewhere(options, text)
    if name == "SET":
        changed = [options[at + 1] for at, option in enumerate(options[:-1]) if option in ("--add-set", "--del-set", "--map-set")]
        return [lambda flow, set_name=set_name: flow.touching(set_name) for set_name in changed]  # type: ignore[misc]
    if name == "TPROXY":
        return [_tproxy_step(options)]
    if name in ELSEWHERE:
        return [lambda flow: Verdict("unsure", f"where the target {name} sends it")]
    return [lambda flow: Verdict("jump", f"{table} {name}")]


def _number(word: str) -> tuple[int, int]:
    value, _, mask = word.partition("/")
    return int(value, 0), int(mask, 0) if mask else 0xFFFFFFFF


def _mark(name: str, options: list[str]) -> list[Step]:
    field = "mark" if name == "MARK" else "ct mark"
    doubt: list[Step] = [lambda flow: flow.having(**{field: unknown(f"what {name} {' '.join(options)} makes of its mark")})]
    option, word = options[0] if options else "", options[1] if len(options) > 1 else ""
    if option in ("--save-mark", "--restore-mark"):
        if len(options) > 1 and set(re.findall(r"0x\w+", " ".join(options))) != {"0xffffffff"}:
            return [lambda flow: flow.having(**{"mark" if "restore" in option else "ct mark": unknown("parts of its connection's mark")})]
        into, out_of = ("ct mark", "mark") if option == "--save-mark" else ("mark", "ct mark")
        return [lambda flow: flow if isinstance(flow.get("ct mark"), Missing) else flow.having(**{into: flow.get(out_of)})]
    try:
        value, mask = _number(word)
    except ValueError:
        return doubt
    operation = {
        "--set-xmark": lambda old: (old & ~mask & 0xFFFFFFFF) ^ value,
        "--set-mark": lambda old: (old & ~mask & 0xFFFFFFFF) | value,
        "--and-mark": lambda old: old & value,
        "--or-mark": lambda old: old | value,
        "--xor-mark": lambda old: old ^ value,
    }.get(option)
    if operation is None:
        return doubt
    sets_whole_mark = option in ("--set-xmark", "--set-mark") and mask == 0xFFFFFFFF

    def change(flow: Flow) -> Flow:
        old: Value = flow.get(field)
        if isinstance(old, Missing):
            return flow
        is_known = isinstance(old, Span) and old.exact
        start = old.low if isinstance(old, Span) and is_known else 0
        return flow.having(**{field: exactly(operation(start)) if is_known or sets_whole_mark else unknown("what mark it had before")})

    return [change]


def _redirect(options: list[str], text: str) -> list[Step]:
    port = options[options.index("--to-ports") + 1] if "--to-ports" in options[:-1] else ""

    def change(flow: Flow) -> Flow:
        changes: dict[str, Value] = {"daddr": unknown("which address of the NIC it is redirected to")}
        if port:
            changes["dport"] = exactly(int(port)) if port.isdigit() else unknown(f"which port of {port} it is redirected to")
        return redirect(flow, changes, text)

    return [change, lambda flow: Verdict("accept")]


def _tproxy_step(options: list[str]) -> Step:
    """Where nobody listens on the proxy's port it drops the packet (xt_TPROXY)."""
    word = options[options.index("--on-port") + 1] if "--on-port" in options[:-1] else "0"
    port = int(word) if word.isdigit() else None
    unsure = Verdict("unsure", f"what the proxy on port {word} does with it (TPROXY)")
    return lambda flow: Verdict("drop") if port is not None and handed_to_proxy(flow, port) is False else unsure


def _from_elsewhere(options: list[str], text: str) -> list[Step]:
    """Another source address than it has."""
    to = options[options.index("--to-source") + 1] if "--to-source" in options[:-1] else ""
    try:
        source = int(ip_address(to.partition(":")[0] if "." in to else to))
    except ValueError:  # a range, or a port alone
        return [lambda flow: Verdict("accept")]

    def change(flow: Flow) -> Flow:
        return flow if source == flow.known_number("saddr") else redirect(flow, {"saddr": exactly(source)}, text)

    return [change, lambda flow: Verdict("accept")]
