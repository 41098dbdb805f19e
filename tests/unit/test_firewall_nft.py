"""The firewall evaluator on nft's JSON: rules decide by what they say, at the hook where the packet passes, and are named."""

from __future__ import annotations

import json

import pytest

from harness.diagnosis.firewall import Decision, Outcome, Packet, evaluate, parse

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
    assert decision.outcome is Outcome.REJECT and decision.told == "icmp admin-prohibited"
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
