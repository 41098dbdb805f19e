"""What holds packets back on a node: IPsec, rules that cannot be evaluated or look into what is sent, connection tracking."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from diagnosis_sample import (
    CLUSTER,
    SILENT,
    SWALLOWED,
    WEB,
    chosen,
    client,
    evidence,
    faults,
    listening,
    nft,
    node,
    only,
    paths,
    probed,
    swallowed,
    with_host,
)

from harness.diagnosis import linux_host_script_parse
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Direct, Socket
from harness.diagnosis.firewall import Packet, evaluate, parse
from harness.diagnosis.host_config import ipsec_policy
from harness.hosts.linux.linux_parse import InterfaceAddress

BLOCK = """src 10.20.1.0/24 dst 10.20.1.11/32 proto tcp dport 80 
\tdir in action block priority 0 ptype main 
src 0.0.0.0/0 dst 0.0.0.0/0 
\tsocket in priority 0 ptype main 
"""


SEALED = """src 10.20.1.20/32 dst 10.20.1.11/32 
\tdir in priority 371327 ptype main 
\ttmpl src 10.20.1.20 dst 10.20.1.11
\t\tproto esp reqid 1 mode transport
"""


ALLOW = "src 10.20.1.20/32 dst 10.20.1.11/32 \n\tdir in priority {} ptype main \n"


BLOCK_LATER = BLOCK.replace("priority 0", "priority 5000", 1)  # listed first, as what was made last is


SYN = Packet("10.20.1.20", "10.20.1.11", 80, in_nic="eth0")


@pytest.mark.parametrize(
    ("text", "packet", "stops"),
    [
        (BLOCK, SYN, True),
        (BLOCK, replace(SYN, destination_port=81), False),
        (BLOCK, replace(SYN, source="10.99.0.1"), False),
        (BLOCK, replace(SYN, protocol="udp"), False),
        (SEALED, SYN, True),
        (SEALED + "\t\tlevel use\n", SYN, False),
        (BLOCK_LATER + ALLOW.format(100), SYN, False),
        (ALLOW.format(6000) + BLOCK_LATER, SYN, True),
        (BLOCK_LATER + ALLOW.format(5000), SYN, False),  # as old as its rank
        (BLOCK.replace("dir in", "dir out"), SYN, False),
        ("src 10.20.1.11/32 dst 10.20.1.20/32 proto tcp sport 80\n\tdir out action block priority 0\n", SYN, True),  # its answer
        ("src nowhere dst x\n\tdir in action block\nsrc\n\x00", SYN, False),
        ("", SYN, False),
    ],
)
def test_which_policy_stops_a_packet(text: str, packet: Packet, stops: bool) -> None:
    assert (ipsec_policy.deciding(ipsec_policy.parse(text), packet) is not None) is stops


def test_a_policy_that_blocks_is_told_with_what_it_stops_and_one_that_seals_only_where_it_is_felt() -> None:
    blocked = with_host(node("lknode01", ipsec=ipsec_policy.parse(BLOCK)), paths=swallowed("client", "standby"))
    only(blocked, "lknode01", "IPsec policy", "blocks", "port 80", "dport 80")
    assert [c.certainty for c in faults(diagnose(blocked))] == [Certainty.CERTAIN]
    unfelt = with_host(node("lknode01", ipsec=ipsec_policy.parse(BLOCK)))
    assert [c.certainty for c in faults(diagnose(unfelt))] == [Certainty.LIKELY]
    sealed = node("lknode01", ipsec=ipsec_policy.parse(SEALED))
    only(with_host(sealed, paths=swallowed("client")), "lknode01", "IPsec policy", "wants encrypted")
    assert faults(diagnose(with_host(sealed))) == []


def test_a_rule_that_cannot_be_evaluated_is_the_likely_cause_where_what_it_is_for_does_not_pass() -> None:
    hours = (
        'table inet h {\nchain in {\ntype filter hook input priority 0; policy accept;\nmeta hour "00:00"-"23:59" tcp dport 80 drop\n}\n}\n'
    )
    doubtful = node("lknode01", firewall=parse(hours))
    only(with_host(doubtful, paths=swallowed("client", "standby")), "lknode01", "may well stop", "port 80", "hour")
    assert faults(diagnose(with_host(doubtful))) == []


IPTABLES_STRING = """*filter
:INPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 80 -m string --string "GET" --algo bm -j DROP
COMMIT
"""


NFT_PAYLOAD = "table ip c {\nchain in {\ntype filter hook input priority 0;\ntcp dport 80 @ih,0,24 0x474554 drop\n}\n}\n"


@pytest.mark.parametrize("rules", [IPTABLES_STRING, NFT_PAYLOAD])
def test_a_rule_that_looks_into_what_is_sent_is_the_likely_cause_where_connections_open_and_nobody_answers(rules: str) -> None:
    hung = {"outcome": "fail", "hung": True, "identity": "10.20.1.200:80 accepted the connection, but did not answer within 10 s"}
    unanswered = [replace(p, **hung) if p.service is WEB and p.path in ("client", "standby") else p for p in paths()]
    filtered = with_host(node("lknode01", firewall=parse(rules)), paths=unanswered)
    only(filtered, "lknode01", "may well stop", "handshake", "port 80")
    (cause,) = faults(diagnose(filtered))
    assert cause.otherwise.startswith("or the service itself hangs")
    assert "does not serve them" in faults(diagnose(evidence(paths=unanswered)))[0].says


def test_a_rate_limit_on_the_probe_is_the_likely_cause_where_no_probe_is_answered() -> None:
    rate = "table inet r {\nchain in {\ntype filter hook input priority 0;\ntcp dport 12345 limit rate over 1/minute drop\n}\n}\n"
    limited = node("lknode01", firewall=parse(rate))
    unanswered = probed("lknode01", answered=0, answers_by=frozenset())
    probes = {"lknode01": unanswered, "lknode02": probed("lknode02")}
    silent = with_host(limited, probes=probes, paths=paths(client=SILENT, standby=SILENT))
    only(silent, "lknode01", "may well stop", "the probe from", "limit rate over 1/minute")
    assert faults(diagnose(with_host(limited))) == []
    some = {"lknode01": probed("lknode01", syns={12345: 9}, answered=1), "lknode02": probed("lknode02")}
    only(
        with_host(limited, probes=some, paths=paths(client=SILENT, standby=SILENT)), "lknode01", "may well stop", "limit rate over 1/minute"
    )
    one = {"lknode01": probed("lknode01", syns={12345: 1}, answered=1), "lknode02": probed("lknode02")}  # a look ends with the first
    only(
        with_host(limited, probes=one, paths=paths(client=SILENT, standby=SILENT)), "lknode01", "may well stop", "limit rate over 1/minute"
    )


STRONG = (
    "table inet h {\nchain pre {\ntype filter hook prerouting priority mangle; policy accept;\n"
    'iifname "eth0" fib daddr . iif type != { local, broadcast, multicast } tcp dport 80 counter drop\n}\n}\n'
)


FORWARDED = (
    "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i eth0 -p tcp -m tcp --dport 80 -j TPROXY --on-port 15001 --on-ip 0.0.0.0\nCOMMIT\n"
)


STATEFUL = (
    "table inet s {\nchain in {\ntype filter hook input priority 0; policy drop;\niif lo accept\nct state established,related accept\n"
    "tcp dport %s ct state new tcp flags & (syn|ack) == syn accept\nip protocol != tcp accept\ntcp dport { 22, 7365, 12345 } accept\n}\n}\n"
)


SERVED = "{{ {} }}".format(", ".join(str(s.port) for s in CLUSTER.services))


def test_where_the_vip_is_or_would_be_decides_a_rule_about_the_nic_of_an_address() -> None:
    """With floating IP what clients send is for the VIP, on the second NIC; on a standby the IP resource names it."""
    vip, owned = "10.20.1.200", Packet("10.20.1.20", "10.20.1.11", 80, in_nic="eth0")
    there, asked = node("lknode01"), replace(owned, destination="10.20.1.200")
    assert (there.place_packet(vip, owned).own_nic, there.place_packet(vip, asked).own_nic) == ("eth0", "eth1")
    standby = node("lknode02")
    assert standby.place_packet(vip, asked).own_nic is None
    assert replace(standby, units={"ip nic": "eth1"}).place_packet(vip, asked).own_nic == "eth1"
    for other in ({"ip nic": "eth7"}, {"ip nic": "eth1", "ip address": "10.20.1.201"}):
        assert replace(standby, units=other).place_packet(vip, asked).own_nic is None
    twice = replace(there, addresses=[*(there.addresses or ()), InterfaceAddress("lo", vip, 32, "UP")])
    assert twice.place_packet(vip, asked).own_nic is None
    assert (there.place_packet(vip, owned).far_nic, there.place_packet(vip, asked).far_nic) == (
        "eth0",
        None,
    )  # nothing was asked of the VIP's routes
    plain = ("0: from all lookup local", "32766: from all lookup main", "32767: from all lookup default")
    assert replace(there, rules=plain).place_packet(vip, asked).far_nic == "eth0"
    assert replace(there, rules=(*plain, "99: from 10.20.1.200 lookup 7")).place_packet(vip, asked).far_nic is None
    assert there.place_packet(vip, owned).listened == {12345, *(s.port for s in CLUSTER.services)}
    assert faults(diagnose(with_host(node("lknode01", firewall=parse(STRONG))))) == []  # without floating IP it is the first NIC's own
    doubtful = evaluate(parse(STRONG), replace(there, addresses=None).place_packet(vip, asked))
    assert doubtful.passes is None and evaluate(parse(STRONG), there.place_packet(vip, asked)).passes is False


def test_a_proxy_that_is_gone_is_the_cause_and_not_the_mark_that_led_to_it() -> None:
    marked = chosen("mark 0x1", "local", "400: from all fwmark 0x1 lookup 133")
    left = node("lknode01", firewall=parse(FORWARDED), **marked)
    only(with_host(left, paths=swallowed("client", "standby")), "lknode01", "TPROXY", "port 80", "15001", "nobody listens")
    silent = [Direct("lkclient", "lknode02", 80, "silent")]
    only(with_host(node("lknode02", firewall=parse(FORWARDED)), direct=silent), "lknode02", "nobody listens", "could not take over")
    serves = replace(left, listeners=[*(left.listeners or ()), listening(15001)])
    assert faults(diagnose(with_host(serves))) == []


@pytest.mark.parametrize(
    ("settings", "idle", "certainty"),
    [
        ({}, None, Certainty.POSSIBLE),
        ({}, {"idle_s": 9.0, "unheard_s": 9.0}, Certainty.LIKELY),
        ({}, {"idle_s": 9.0, "unheard_s": 1.0, "timer": "keepalive,1sec,0"}, Certainty.POSSIBLE),
        ({}, {"idle_s": 9.0, "unheard_s": 9.0, "timer": "keepalive,110sec,0"}, Certainty.LIKELY),
        ({}, {"idle_s": 1.0, "unheard_s": 1.0}, Certainty.POSSIBLE),
        ({"nf_conntrack_tcp_timeout_established": "432000"}, {"idle_s": 9.0, "unheard_s": 9.0}, None),
        ({"nf_conntrack_tcp_timeout_established": ""}, {"idle_s": 9.0, "unheard_s": 9.0}, None),
    ],
)
def test_connections_that_a_stateful_firewall_forgets_early(settings: dict, idle: dict | None, certainty: Certainty | None) -> None:
    sysctls = {"nf_conntrack_tcp_timeout_established": "3"} | settings
    seen = with_host(node("lknode01", firewall=parse(STATEFUL % SERVED), sysctls=sysctls))
    held = [Socket("ESTAB", "10.20.1.20", 40000, "10.20.1.200", 80, **idle)] if idle else []
    told = diagnose(replace(seen, hosts={**seen.hosts, "lkclient": client(sockets=held)})).causes
    assert [(c.host, c.certainty) for c in told if "forgets a connection" in c.says] == ([("lknode01", certainty)] if certainty else [])


@pytest.mark.parametrize(("state_of_it", "loose", "found"), [("new", "1", False), ("new", "0", True), ("new,invalid", "0", False)])
def test_a_firewall_that_takes_the_middle_of_a_connection_for_a_new_one_loses_nothing(state_of_it: str, loose: str, found: bool) -> None:
    head = "table inet s {\nchain in {\ntype filter hook input priority 0; policy drop;\n"
    rules = f"{head}ct state established,{state_of_it} accept\n}}\n}}\n"
    sysctls = {"nf_conntrack_tcp_timeout_established": "3", "nf_conntrack_tcp_loose": loose}
    told = diagnose(with_host(node("lknode01", firewall=parse(rules), sysctls=sysctls))).causes
    assert bool([c for c in told if "forgets a connection" in c.says]) is found


def test_since_when_a_connection_is_quiet_and_what_connection_tracking_is_set_to() -> None:
    line = "ESTAB 0 0 10.20.1.20:4000 10.20.1.200:80 timer:(keepalive,9sec,0)\n\t cubic lastsnd:5000 lastrcv:6000 lastack:2000\n"
    settings = "nf_conntrack_count:7\nnf_conntrack_tcp_timeout_established:600\nnf_conntrack_tcp_loose:1\n"
    seen = linux_host_script_parse.host("lkclient", f"@@ sockets\n{line}@@ sysctls\n{settings}")
    assert [(s.idle_s, s.unheard_s) for s in seen.sockets] == [(5.0, 2.0)]
    assert (seen.sysctls["nf_conntrack_tcp_timeout_established"], seen.sysctls["nf_conntrack_tcp_loose"]) == ("600", "1")


TRACKS_NOT = (
    "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport {0} -j CT --notrack\nCOMMIT\n"
    "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT {1} [0:0]\n-A OUTPUT -o lo -j ACCEPT\n"
    "-A OUTPUT -m conntrack --ctstate NEW,RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n"
)


def test_answers_that_are_dropped_because_they_are_not_tracked_say_so_and_no_security_group_is_guessed() -> None:
    closed = parse(TRACKS_NOT.format(1521, "DROP"))
    attempts = [Direct(origin, "lknode02", 1521, "silent") for origin in ("lkclient", "lknode01")]
    there = with_host(node("lknode02", firewall=closed), direct=attempts)
    cause = only(
        there,
        "lknode02",
        "the answers of port 1521",
        "policy drop",
        "with connection tracking it would pass",
        "CT --notrack",
        "could not take over",
    )
    assert "take the exemption from tracking away" in cause.do
    assert faults(diagnose(with_host(node("lknode02", firewall=parse(TRACKS_NOT.format(1521, "ACCEPT")))))) == []
    dropped = parse(
        TRACKS_NOT.format(9, "DROP").replace("-A OUTPUT -o lo", "-A OUTPUT -p tcp -m tcp --sport 1521 -j DROP\n-A OUTPUT -o lo")
    )
    (other,) = faults(diagnose(with_host(node("lknode02", firewall=dropped), direct=attempts)))
    assert "tracking" not in other.says + other.do, "it would be dropped all the same"


REDIRECTS = (
    "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 1521 -j REDIRECT --to-ports 1599\nCOMMIT\n"
)


@pytest.mark.parametrize("listens", [1599, 7])
def test_a_redirect_that_is_not_asked_about_what_is_not_tracked(listens: int) -> None:
    listener = next(s for s in CLUSTER.services if s.port == 1521)
    listeners = [listening(p) for p in (12345, listens, *(s.port for s in CLUSTER.services if s.port != 1521))]
    refused = {"outcome": "fail", "outcomes": frozenset({"refused"})}
    seen = [replace(p, **refused) if p.service == listener else p for p in paths()]
    text = REDIRECTS + TRACKS_NOT.format(1521, "ACCEPT")
    told = with_host(node("lknode01", listeners=listeners, firewall=parse(text)), paths=seen)
    (cause, *more) = faults(diagnose(told))
    if listens == 1599:
        assert (
            "redirected to port 1599" in cause.says
            and "CT --notrack" in cause.says
            and "nobody listens on port" not in cause.says
            and not more
        )
    else:
        assert "nobody listens on port 1521" in cause.says, "then it is no redirect that is missing"
    both = [*listeners, listening(1521)]
    assert faults(diagnose(with_host(node("lknode01", listeners=both, firewall=parse(text))))) == [], "it is served where it arrives"
    sound = with_host(node("lknode01", listeners=listeners, firewall=parse(REDIRECTS)))
    assert (faults(diagnose(sound)) == []) is (listens == 1599), "served by another port, and redirected to it"


def test_a_port_that_the_clients_own_firewall_lets_nothing_out_to_is_not_the_standbys_security_group() -> None:
    out = parse("*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp -m tcp --dport 5432 -j DROP\nCOMMIT\n")
    attempts = [Direct("lkclient", "lknode02", 5432, "silent")]
    told = faults(diagnose(with_host(client(firewall=out), direct=attempts)))
    assert [c.host for c in told] == ["lkclient"], told
    (group,) = faults(diagnose(with_host(client(), direct=attempts)))
    assert "network security group (NSG) at lknode02" in group.says


def test_a_rule_against_connections_that_ask_for_ecn() -> None:
    """Only the client asks for it; the other node's connections pass."""
    marks = json.dumps([{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["ecn", "cwr"]]},
                                   "right": ["ecn", "cwr"]}}, {"drop": None}])  # fmt: skip
    closed = node("lknode01", firewall=parse(nft(marks)))
    lost = [replace(p, **SWALLOWED) if p.path == "client" else p for p in paths()]
    cause = only(with_host(closed, paths=lost), "lknode01", "ask for ECN", "drop", "lkclient", "tcp_ecn=2")
    assert {p.name for p in lost if p.path == "client"} == set(cause.explains) and cause.certainty is Certainty.LIKELY
    (general,) = faults(diagnose(evidence(paths=lost)))
    assert "ECN" not in general.says and "neither answers nor refuses" in general.says
    assert faults(diagnose(with_host(closed))) == [], "nobody is known to ask for it, and nothing is lost"
    # Known to ask: by the second SYN some are answered, or all of them late.
    asks, late = client(sysctls={"tcp_ecn": "1"}), {"outcome": "fail", "outcomes": frozenset({"answered", "silent"})}
    for changes, certainty in (({**late, "hung": True, "identity": "it said nothing in time"}, Certainty.CERTAIN), ({}, Certainty.LIKELY)):
        some = with_host(closed, paths=[replace(p, **changes) if p.path == "client" else p for p in paths()])
        told = only(replace(some, hosts={**some.hosts, "lkclient": asks}), "lknode01", "ask for ECN", "a second later")
        assert told.certainty is certainty and bool(told.explains) is bool(changes)
    refuses = with_host(closed, paths=lost)
    unasked = replace(refuses, hosts={n: h for n, h in refuses.hosts.items() if n != "lkclient"})
    assert "ask for ECN" in faults(diagnose(unasked))[0].says, "of a client that told nothing it may be so"
    without = replace(refuses, hosts={**refuses.hosts, "lkclient": client(sysctls={"tcp_ecn": "2"})})
    assert "ECN" not in faults(diagnose(without))[0].says, "it asks for nothing by itself"


INVALID = "table inet c {\nchain o {\ntype filter hook output priority 0;\nct state invalid drop\n}\n}\n"
ANSWERS = "table inet c {\nchain i {\ntype filter hook input priority 0; policy drop;\nct state established accept\n}\n}\n"


@pytest.mark.parametrize(
    ("rules", "loose", "found"), [(INVALID, "0", True), (INVALID, "1", False), (ANSWERS, "0", True), (ANSWERS, "1", False)]
)
def test_the_clients_own_stateful_firewall_forgets_early(rules: str, loose: str, found: bool) -> None:
    sysctls = {"nf_conntrack_tcp_timeout_established": "2", "nf_conntrack_tcp_loose": loose}
    held = [Socket("ESTAB", "10.20.1.20", 40000, "10.20.1.200", 80, idle_s=9.0, unheard_s=9.0)]
    told = diagnose(with_host(client(firewall=parse(rules), sysctls=sysctls, sockets=held))).causes
    forgets = [(c.host, c.certainty) for c in told if "forgets a connection" in c.says]
    assert forgets == ([("lkclient", Certainty.LIKELY)] if found else [])
