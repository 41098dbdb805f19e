"""The conditions of an iptables rule, as iptables-save writes them, as functions of a packet. Pure.

A condition that is not known, or that depends on other packets, says so when it is asked; it is never taken for true or false.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network

from harness.diagnosis.firewall.chain_evaluation import Step
from harness.diagnosis.firewall.packet_state import FLAGS, PROTOCOLS, STATES, STATUSES, Flow
from harness.diagnosis.firewall.partial_values import Missing, Span, Truth, Value, both, either, exactly, no, within

Test = Callable[[Flow], Truth]
TARGETS = ("-j", "-g", "--jump", "--goto")
# How many words follow an option. What is not here takes all words up to the next option.
NONE_FOLLOWS = ("--syn", "--rsource", "--rdest", "--set", "--update", "--rcheck", "--remove", "--rttl", "--reap", "-f", "--fragment")
BEFORE = {  # what depends on packets that came before, or on the time
    "limit": "whether its rate limit is used up",
    "hashlimit": "whether its rate limit is used up",
    "recent": "which addresses came recently",
    "connlimit": "how many connections there are",
    "connbytes": "how much a connection has carried",
    "quota": "whether its quota is used up",
    "quota2": "whether its quota is used up",
    "statistic": "what it draws by lot",
    "time": "what the time is",
    "rateest": "what the rate is",
    "nfacct": "whether its quota is used up",
}
ADDRTYPES = {"UNICAST": 1, "LOCAL": 2, "BROADCAST": 3, "ANYCAST": 4, "MULTICAST": 5, "BLACKHOLE": 6, "UNREACHABLE": 7, "PROHIBIT": 8}
PKTTYPES = {"unicast": 0, "host": 0, "broadcast": 1, "multicast": 2}


def matches(words: list[str]) -> tuple[list[Step], list[str]]:
    """The conditions of a rule's words, and what is left: its target with that target's options."""
    tests: list[Test] = []
    modules: list[str] = []
    at = 0
    while at < len(words) and words[at] not in TARGETS:
        inverted = words[at] == "!"
        at += inverted
        option = words[at] if at < len(words) else ""
        end = at + 1
        while option not in NONE_FOLLOWS and end < len(words) and words[end] not in (*TARGETS, "!") and not _option(words[end]):
            end += 1
        arguments = words[at + 1 : end]
        if arguments[:1] == ["!"]:
            arguments, inverted = arguments[1:], True
        at = end
        if option in ("-m", "--match"):
            modules.append(arguments[0] if arguments else "")
            if modules[-1] in BEFORE:
                tests.append(_unknown_test(f"{BEFORE[modules[-1]]} (-m {modules[-1]})"))
        elif modules and modules[-1] in BEFORE and option not in ("-p", "-s", "-d", "-i", "-o"):
            continue  # already said
        else:
            test = _test(option, arguments, modules[-1] if modules else "")
            tests.append(_not(test) if inverted else test)
    return [lambda flow: both(test(flow) for test in tests)] if tests else [], words[at:]


def _option(word: str) -> bool:
    return len(word) > 1 and word[0] == "-" and not word[1].isdigit()


def _not(test: Test) -> Test:
    return lambda flow: no(test(flow))


def _unknown_test(why: str) -> Test:
    return lambda flow: why


def _test(option: str, arguments: list[str], module: str) -> Test:
    """One option with its words. Options that no known module has are a doubt, with their own text."""
    word = arguments[0] if arguments else ""
    text = " ".join([f"-m {module}" if module else "", option, *arguments]).strip()
    try:
        test = _match_test(option, word, arguments, module)
    except (ValueError, KeyError, IndexError):
        test = None
    return test or _unknown_test(f"what `{text}` makes of it")


def _match_test(option: str, word: str, arguments: list[str], module: str) -> Test | None:
    if option in ("-p", "--protocol"):
        wanted = PROTOCOLS[word] if word in PROTOCOLS else int(word)
        return (lambda flow: True) if wanted == 0 else lambda flow: within(flow.get("l4proto"), wanted, wanted)
    if option in ("-s", "--source", "-d", "--destination"):
        return _address("saddr" if option in ("-s", "--source") else "daddr", word)
    if option in ("-i", "--in-interface", "-o", "--out-interface"):
        return _nic("iifname" if option in ("-i", "--in-interface") else "oifname", word)
    if option in ("-f", "--fragment"):
        return lambda flow: False
    if option in ("--comment",):
        return lambda flow: True
    if module in ("tcp", "udp", "multiport", "sctp", "dccp", "udplite"):
        return _ports(option, word, arguments, module)
    if module == "icmp" and option == "--icmp-type":
        return lambda flow: False if flow.known_number("l4proto") != 1 else f"what ICMP it is (--icmp-type {word})"
    if module in ("state", "conntrack"):
        return _match_state(option, word)
    if module in ("mark", "connmark") and option == "--mark":
        return _match_mark("mark" if module == "mark" else "ct mark", word)
    if module == "addrtype" and option in ("--src-type", "--dst-type"):
        name = "saddr type" if option == "--src-type" else "daddr type"
        kinds = [ADDRTYPES[kind] for kind in word.split(",")]
        return lambda flow: either(within(flow.get(name), kind, kind) for kind in kinds)
    if module == "iprange" and option in ("--src-range", "--dst-range"):
        low, high = (int(ip_address(end)) for end in word.split("-"))
        return lambda flow: within(flow.get("saddr" if option == "--src-range" else "daddr"), low, high)
    if module == "owner" and option == "--uid-owner":
        first, _, last = word.partition("-")
        return lambda flow: _match_owner(flow, int(first), int(last or first))
    if module == "pkttype":
        return lambda flow: within(exactly(0), PKTTYPES[word], PKTTYPES[word])
    return None


def _match_owner(flow: Flow, low: int, high: int) -> Truth:
    owner = flow.get("uid")
    return False if isinstance(owner, Missing) else within(owner, low, high)


def _address(field: str, word: str) -> Test:
    base, _, mask = word.partition("/")
    if mask.count(".") == 3 and "." in base:
        bits, wanted = int(ip_address(mask)), int(ip_address(base))
        if f"{bits:b}".rstrip("0").count("0"):  # a mask with holes

            def with_holes(flow: Flow) -> Truth:
                actual = flow.get(field)
                if not isinstance(actual, Span):
                    return False
                return actual.low & bits == wanted & bits if actual.exact else actual.why

            return with_holes
    network = ip_network(word, strict=False)
    family = 2 if network.version == 4 else 10
    low, high = int(network.network_address), int(network.broadcast_address)
    return lambda flow: flow.known_number("family") == family and within(flow.get(field), low, high)


def _nic(field: str, pattern: str) -> Test:
    def test(flow: Flow) -> Truth:
        actual: Value = flow.values.get(field, "")
        if isinstance(actual, Span):
            return actual.why
        return isinstance(actual, str) and (actual.startswith(pattern[:-1]) if pattern.endswith("+") else actual == pattern)

    return test


def _ports(option: str, word: str, arguments: list[str], module: str) -> Test | None:
    protocol = {"tcp": 6, "udp": 17, "sctp": 132, "dccp": 33, "udplite": 136}.get(module)

    def right(test: Test) -> Test:
        return test if protocol is None else lambda flow: flow.known_number("l4proto") == protocol and test(flow)

    fields_by_option: dict[str, tuple[str, ...]] = {
        "--dport": ("dport",),
        "--dports": ("dport",),
        "--sport": ("sport",),
        "--sports": ("sport",),
    }
    fields_by_option |= {
        "--destination-port": ("dport",),
        "--source-port": ("sport",),
        "--ports": ("sport", "dport"),
        "--port": ("sport", "dport"),
    }
    if option in fields_by_option:
        ends = [part.partition(":") for part in word.split(",")]
        bounds = [(int(low or 0), int(high or 65535) if colon else int(low)) for low, colon, high in ends]
        return right(lambda flow: either(within(flow.get(field), low, high) for field in fields_by_option[option] for low, high in bounds))
    if option == "--syn":
        return right(lambda flow: _match_flags(flow, 2 | 4 | 16 | 1, 2))
    if option == "--tcp-flags":
        mask, wanted = (_flags(part) for part in arguments)
        return right(lambda flow: _match_flags(flow, mask, wanted))
    return None


def _flags(words: str) -> int:
    if words == "NONE":
        return 0
    return 63 if words == "ALL" else sum(FLAGS[word.lower()] for word in words.split(","))


def _match_flags(flow: Flow, mask: int, wanted: int) -> Truth:
    flags = flow.known_number("flags")
    return "its TCP flags" if flags is None else flags & mask == wanted


def _match_state(option: str, word: str) -> Test | None:
    names = {"--state": ("ct state", STATES), "--ctstate": ("ct state", STATES | {"snat": 0, "dnat": 0})}
    names |= {"--ctstatus": ("ct status", STATUSES | {"seen_reply": 2, "none": 0})}
    if option in names:
        field, bits = names[option]
        wanted = [part.lower() for part in word.split(",")]
        mask = 0
        for part in wanted:
            mask |= bits[part]
        nat = any(part in ("snat", "dnat") for part in wanted) and field == "ct state"

        def test(flow: Flow) -> Truth:
            actual = flow.get(field)
            if isinstance(actual, Missing):
                return False
            if not isinstance(actual, Span) or not actual.exact:
                return actual.why if isinstance(actual, Span) else False
            if actual.low & mask or (field == "ct status" and mask == 0 and actual.low == 0):
                return True
            return "whether its connection was translated" if nat and (flow.changed or flow.known_number("ct state") == 2) else False

        return test
    if option == "--ctdir":
        way = {"ORIGINAL": 0, "REPLY": 1}[word]
        return lambda flow: within(flow.get("ct direction"), way, way)
    return None


def _match_mark(field: str, word: str) -> Test:
    value, _, mask = word.partition("/")
    wanted, bits = int(value, 0), int(mask, 0) if mask else 0xFFFFFFFF

    def test(flow: Flow) -> Truth:
        actual = flow.get(field)
        if isinstance(actual, Missing):
            return False
        if not isinstance(actual, Span) or not actual.exact:
            return actual.why if isinstance(actual, Span) else False
        return actual.low & bits == wanted

    return test
