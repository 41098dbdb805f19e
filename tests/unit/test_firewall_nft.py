"""The firewall evaluator on nft's JSON: rules decide by what they say, at the hook where the packet passes, and are named."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.diagnosis.firewall import Decision, Outcome, Packet, evaluate, parse
from harness.hosts.linux.linux_host import FIREWALL, TOOLS
from harness.hosts.root_rights import ROOT

PROBE = Packet("168.63.129.16", "10.20.1.11", 12345, in_nic="eth0")
ANSWER = PROBE.answer()
CLIENT = Packet("10.20.1.20", "10.20.1.11", 1521, in_nic="eth0")
TCP, UDP = ({"payload": {"protocol": p, "field": "dport"}} for p in ("tcp", "udp"))


def match(left, right, op="=="):
    return {"match": {"op": op, "left": left, "right": right}}


def listing(*rules, hook="input", policy="accept", prio=0, table="own", chain="in", kind="filter", extra=()) -> str:
    at = {"family": "inet", "table": table, "chain": chain}
    base = {"family": "inet", "table": table, "name": chain, "handle": 1, "type": kind, "hook": hook, "prio": prio, "policy": policy}
    listed = [{"rule": {**at, "handle": 5 + n, "expr": list(expr)}} for n, expr in enumerate(rules)]
    return json.dumps({"nftables": [{"table": {"family": "inet", "name": table}}, {"chain": base}, *extra, *listed]})


def decide(packet: Packet, *rules, **about) -> Decision:
    return evaluate(parse(listing(*rules, **about)), packet)


def test_no_rules_let_everything_through():
    assert evaluate(parse(""), PROBE).passes is True
    assert evaluate(parse('{"nftables": []}'), PROBE).passes is True


def test_what_cannot_be_read_is_never_said_to_pass():
    for text in ("gibberish", '{"nftables": [{"rule"', '{"nftables": 7}', '{"nftables": [{"chain": 3, "rule": []}]}'):
        decision = evaluate(parse(text), PROBE)
        assert decision.passes is not False
        assert decision.passes is None or text.endswith("[]}]}"), decision


def test_the_rule_that_decides_is_named_with_its_table_chain_and_handle():
    decision = decide(PROBE, [match(TCP, 12345), {"counter": {"packets": 3, "bytes": 9}}, {"drop": None}])
    assert decision.outcome is Outcome.DROP and decision.passes is False
    assert decision.rule == "`tcp dport 12345 counter drop` (table inet own, chain in, handle 5)"


def test_udp_is_not_tcp():
    decision = decide(PROBE, [match(UDP, 12345), {"accept": None}], policy="drop")
    assert decision.outcome is Outcome.DROP and "policy drop" in decision.rule


def test_the_forward_chain_is_not_this_packets_way():
    assert decide(CLIENT, [match(TCP, 1521), {"drop": None}], hook="forward").passes is True


def test_a_word_in_quotes_is_no_verdict():
    decision = decide(CLIENT, [{"log": {"prefix": "to drop: "}}, {"accept": None}], policy="drop")
    assert decision.outcome is Outcome.ACCEPT and "to drop" in decision.rule


def test_a_bare_reject_at_the_end_rejects_what_no_rule_let_in():
    ssh = [match(TCP, 22), {"accept": None}]
    last = [{"reject": {"type": "icmpx", "expr": "admin-prohibited"}}]
    decision = decide(PROBE, ssh, last)
    assert decision.outcome is Outcome.REJECT and decision.reply == "icmp admin-prohibited"
    assert decision.rule.startswith("`reject with icmpx admin-prohibited`")


def test_the_answers_way_out_is_the_output_chain():
    rule = [match({"payload": {"protocol": "ip", "field": "daddr"}}, "168.63.129.16"), {"drop": None}]
    assert decide(ANSWER, rule, hook="output", prio=50).outcome is Outcome.DROP
    assert decide(PROBE, rule, hook="output", prio=50).passes is True


def test_a_named_set_is_looked_into():
    closed = {"set": {"family": "inet", "table": "own", "name": "closed", "type": "inet_service", "elem": [1521, {"range": [3380, 3390]}]}}
    rule = [match({"meta": {"key": "iifname"}}, "eth0"), match(TCP, "@closed"), {"drop": None}]
    assert decide(CLIENT, rule, extra=[closed]).outcome is Outcome.DROP
    assert decide(PROBE, rule, extra=[closed]).passes is True
    assert decide(CLIENT, rule).outcome is Outcome.CANNOT_TELL, "a set that was not listed"


@pytest.mark.parametrize("op, passes", [("in", True), ("!", False)])
def test_one_bit_of_the_connections_state_is_enough(op: str, passes: bool):
    state = match({"ct": {"key": "state"}}, ["established", "related"], op)
    assert decide(ANSWER, [state, {"accept": None}], hook="output", policy="drop").passes is passes


def test_what_depends_on_other_packets_cannot_be_told_and_says_why():
    limit = {"limit": {"rate": 5, "burst": 3, "per": "second"}}
    decision = decide(PROBE, [limit, {"accept": None}], policy="drop")
    assert decision.outcome is Outcome.CANNOT_TELL and "limit rate 5/second" in str(decision)
    assert decide(PROBE, [limit, {"log": None}]).passes is True, "whatever the limit says, nothing is dropped"
    assert decide(PROBE, [limit, {"drop": None}], [{"drop": None}]).outcome is Outcome.DROP, "both ways end in it"
    either = decide(PROBE, [limit, {"drop": None}], [{"reject": None}])
    assert either.outcome is Outcome.CANNOT_TELL and either.passes is False, "blocked either way"


EGRESS = {"family": "netdev", "table": "out", "name": "o", "type": "filter", "hook": "egress", "prio": 0, "policy": "accept"}
DROPS = {"family": "netdev", "table": "out", "chain": "o", "handle": 2, "expr": [{"drop": None}]}


@pytest.mark.parametrize(("device", "out", "passes"), [({"dev": "eth0"}, "eth0", False), ({"dev": "eth0"}, "lo", True), ({}, "eth0", None)])
def test_a_chain_whose_nic_is_not_told_may_be_on_another(device: dict[str, str], out: str, passes: bool | None) -> None:
    """nft 1.0.6 leaves the device out of its JSON."""
    items = [{"metainfo": {}}, {"table": {"family": "netdev", "name": "out"}}, {"chain": {**EGRESS, **device}}, {"rule": DROPS}]
    packet = Packet("10.20.1.11", "10.20.1.20", 50000, 5432, hook="output", out_nic=out, state="established")
    assert evaluate(parse(json.dumps({"nftables": items})), packet).passes is passes


@pytest.mark.parametrize(
    ("printed", "text"), [('{"hook": "egress"}', True), ('{"hook": "egress", "dev": "eth0"}', False), ('{"hook": "input"}', False)]
)
def test_a_host_whose_nft_does_not_tell_the_nic_is_asked_for_its_text(printed: str, text: bool, tmp_path: Path) -> None:
    (tmp_path / "nft").write_text(f"#!/bin/sh\n[ \"$1\" = -j ] && {{ echo '{printed}'; exit; }}\necho as text\n")
    (tmp_path / "nft").chmod(0o755)
    line = FIREWALL.replace(TOOLS.strip(), f"PATH={tmp_path}:/bin:/usr/bin").replace(ROOT, "")
    said = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
    assert ("as text" in said) is text and (printed in said) is not text


VISITOR = Packet("10.20.1.20", "10.20.1.200", 80, in_nic="eth0", own_nic="eth1", far_nic="eth0", listened=frozenset({80}))
STRONG = "fib daddr . iif type != { local, broadcast, multicast } drop"
WAY_BACK = "fib saddr . iif oif missing drop"
PREROUTING = "table inet own {{\n chain pre {{\n type filter hook prerouting priority mangle; policy accept;\n {}\n }}\n}}\n"


@pytest.mark.parametrize(
    ("rule", "packet", "passes"),
    [
        (STRONG, VISITOR, False),
        (STRONG, replace(VISITOR, own_nic="eth0"), True),
        (STRONG, replace(VISITOR, own_nic=None), None),
        (STRONG, replace(VISITOR, in_nic=None), None),
        (STRONG, replace(VISITOR, source="10.20.1.200", in_nic="lo"), False),  # to itself: the VIP is not lo's
        ("fib daddr type != local drop", VISITOR, True),
        ("fib daddr . iif type unicast drop", VISITOR, False),
        ("fib saddr . iif type local drop", VISITOR, True),
        ("tcp dport 81 fib daddr . iif type unicast drop", VISITOR, True),
        (WAY_BACK, VISITOR, True),
        (WAY_BACK, replace(VISITOR, far_nic="eth1"), None),  # the route may have several ways
        (WAY_BACK, replace(VISITOR, far_nic=None), None),
        ("fib saddr . mark . iif oif missing drop", VISITOR, True),
        ("meta mark set 0x7 fib saddr . mark . iif oif missing drop", VISITOR, None),
        ("fib saddr . iif oif 0 drop", VISITOR, True),
        ("fib saddr . iif oif exists drop", VISITOR, False),
        ('fib saddr . iif oifname "eth0" drop', VISITOR, False),
        ("fib saddr oif lo drop", VISITOR, None),
        ("tcp dport 80 tproxy ip to :15001 meta mark set 0x1 accept", VISITOR, True),
        ("tcp dport 80 tproxy to 127.0.0.1:15001", replace(VISITOR, listened=frozenset({15001})), None),
        ("tcp dport 80 tproxy to :15001", replace(VISITOR, listened=None), None),
        ("tproxy to :15001", replace(VISITOR, protocol="udp"), None),  # of UDP nobody was asked who listens
        ("tproxy ip to 127.0.0.1 drop", replace(VISITOR, listened=frozenset()), True),
    ],
)
def test_what_depends_on_the_hosts_own_addresses_routes_and_listeners(rule: str, packet: Packet, passes: bool | None) -> None:
    assert evaluate(parse(PREROUTING.format(rule)), packet).passes is passes


def test_an_address_that_a_rule_gave_is_on_a_nic_that_is_not_known() -> None:
    nat = "table ip n {\n chain pre {\n type nat hook prerouting priority dstnat;\n tcp dport 80 redirect to :8080\n }\n}\n"
    filtered = PREROUTING.format(STRONG).replace("prerouting priority mangle", "input priority 0")
    assert evaluate(parse(nat + filtered), replace(VISITOR, own_nic="eth0")).passes is None


@pytest.mark.parametrize(("mode", "words"), [("random", "what it draws by lot (`numgen`)"), ("inc", "whose turn it is (`numgen`)")])
def test_a_rule_that_takes_some_packets_of_many_says_so(mode: str, words: str) -> None:
    decision = decide(CLIENT, [match({"numgen": {"mode": mode, "mod": 5, "offset": 0}}, 2, "<"), {"drop": None}])
    assert decision.outcome is Outcome.CANNOT_TELL and decision.why.startswith(words)
