"""What a node's kernel does beside its firewall: IPsec, routes by port or mark, a NIC without ARP, a port that two processes share."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from test_diagnosis import (
    BY_ETH0,
    CLUSTER,
    IN,
    LOCAL,
    OUT,
    PROBE,
    SILENT,
    WEB,
    client,
    evidence,
    faults,
    listening,
    node,
    only,
    paths,
    probed,
    state,
    with_host,
)

from harness.config.cluster_config import Design
from harness.core.finding import Finding, Weight
from harness.diagnosis import linux_host_script_parse
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Direct, Evidence, PathSeen, Socket
from harness.diagnosis.firewall import Packet, evaluate, parse
from harness.diagnosis.host_config import ipsec_policy
from harness.hosts.linux.linux_parse import InterfaceAddress, Route

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
SWALLOWED = {**SILENT, "nodes": frozenset({"lknode01"})}


def swallowed(*origins: str) -> list[PathSeen]:
    return [replace(p, **SWALLOWED) if p.service is WEB and p.path in origins else p for p in paths()]


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


def test_what_arrives_and_is_neither_answered_nor_refused_names_the_node_and_where_to_look() -> None:
    only(evidence(paths=swallowed("client", "standby")), "lknode01", "arrives at the NIC", "port 80 (web)", "neither answers nor refuses")


def chosen(words: str, kind: str = "blackhole", rule: str = "400: from all ipproto tcp sport 80 blackhole") -> dict[str, Any]:
    nic = "eth0" if kind == "unicast" else None
    return {"chosen_routes": {("10.20.1.20", "10.20.1.11", words): Route(kind, nic)}, "rules": (rule,)}


def test_a_policy_rule_for_a_port_or_a_mark_is_told_with_what_it_loses() -> None:
    by_port = with_host(node("lknode01", **chosen("sport 80")), paths=swallowed("client"))
    only(by_port, "lknode01", "port 80 (web) answers", "sport 80 blackhole")
    assert faults(diagnose(with_host(node("lknode01", **chosen("sport 80", "unicast"))))) == []
    for rule in (
        "400: from all ipproto tcp sport 22 lookup 100",
        "400: from all ipproto udp lookup 100",
        "400: from all dport 80 lookup 9",
    ):
        other = node("lknode01", **chosen("sport 80", "unreachable", rule))
        assert not [c for c in faults(diagnose(with_host(other))) if "policy rule" in c.says], rule
    ranged = node("lknode01", **chosen("sport 80", rule="400: from all ipproto tcp sport 79-81 blackhole"))
    assert [c for c in faults(diagnose(with_host(ranged))) if "sport 79-81" in c.says]
    away = node("lknode02", **chosen("sport 80"))  # from an address that it does not have
    assert not [c for c in faults(diagnose(with_host(away))) if "policy rule" in c.says]
    marked = node("lknode01", **chosen("mark 0x66", rule="300: from all fwmark 0x66 lookup 66"))
    only(with_host(marked, paths=swallowed("client")), "lknode01", "mark 0x66", "fwmark 0x66 lookup 66")
    assert faults(diagnose(with_host(marked))) == []  # nothing is lost, so nothing that matters has the mark


@pytest.mark.parametrize("rule", ["510: from all fwmark 0x51 lookup 51", ""])
def test_answers_to_the_probe_that_leave_by_another_nic_than_the_routes_say(rule: str) -> None:
    seen = with_host(node("lknode01", rules=(rule,) if rule else ()), paths=paths(client=SILENT, standby=SILENT))
    saw = probed("lknode01", answers_by=frozenset({"eth1"}))
    only(replace(seen, probes={**seen.probes, "lknode01": saw}), "lknode01", "leaves lknode01 by eth1, not by eth0", rule or "its routes")


def test_a_nic_without_arp() -> None:
    only(with_host(node("lknode01", without_arp=frozenset({"eth0"}))), "lknode01", "eth0 in Subnet#1", "NOARP")
    assert faults(diagnose(with_host(node("lknode01", without_arp=frozenset({"wg0"}))))) == []


def test_processes_that_share_a_port_are_told_where_it_is_not_served() -> None:
    ports = [12345, *(s.port for s in CLUSTER.services)]
    two = [*map(listening, ports), listening(80, process="old", pid=9, waiting=2)]
    hung = [replace(p, outcome="inconclusive") if p.service is WEB and p.path == "client" else p for p in paths()]
    only(with_host(node("lknode01", listeners=two), paths=hung), "lknode01", "share port 80", "old (pid 9)", "SO_REUSEPORT")
    mixed = {"outcome": "fail", "outcomes": frozenset({"answered", "silent"})}  # the queue of the one that hangs is full
    some = [replace(p, **mixed) if p.service is WEB and p.path == "client" else p for p in paths()]
    only(with_host(node("lknode01", listeners=two), paths=some), "lknode01", "share port 80", "old (pid 9)", "SO_REUSEPORT")
    assert faults(diagnose(with_host(node("lknode01", listeners=two)))) == []
    before_it = [replace(p, **SILENT) if p.service is WEB and p.path == "client" else p for p in paths()]
    assert not [c for c in faults(diagnose(with_host(node("lknode01", listeners=two), paths=before_it))) if "share port" in c.says]


def test_how_a_host_tells_of_them() -> None:
    link = (
        '[{"ifname": "eth0", "flags": ["UP", "NOARP"], "link_type": "ether"}, {"ifname": "wg0", "flags": ["NOARP"], "link_type": "none"}]'
    )
    plain = (
        "2: eth0@if3: <UP,NOARP> mtu 1500 state UP\n    link/ether 00:11 brd ff:ff\n3: eth1: <UP> mtu 1500\n    link/ether 00:12 brd x\n"
    )
    lost = "# 10.20.1.20 10.20.1.11 sport 80\nRTNETLINK answers: Invalid argument\n"
    lost += "# 10.20.1.200 - dport 80\n10.20.1.200 dev eth0 src 10.20.1.20\n"
    for addresses in (link, plain):
        seen = linux_host_script_parse.host("lknode01", f"@@ addresses\n{addresses}\n@@ chosen routes\n{lost}@@ ipsec\n{BLOCK}")
        assert seen.without_arp == {"eth0"} and len(seen.ipsec) == 1
        assert seen.chosen_routes[("10.20.1.20", "10.20.1.11", "sport 80")] == Route("blackhole")
        assert seen.chosen_routes[("10.20.1.200", "", "dport 80")].interface == "eth0" and seen.routes == {}


def test_a_queue_without_room_is_full_with_the_one_that_waits() -> None:
    ports = [s.port for s in CLUSTER.services]
    full = [*map(listening, ports), listening(12345, waiting=1, room=0)]
    only(with_host(node("lknode01", listeners=full)), "lknode01", "accept queue of port 12345", "1 connections wait of at most 0")
    assert faults(diagnose(with_host(node("lknode01", listeners=[*map(listening, ports), listening(12345, waiting=0, room=0)])))) == []


def test_a_service_that_works_on_a_read_only_file_system_is_told_before_it_fails() -> None:
    mounts = "/dev/sda1 / ext4 rw 0 0\n/dev/sdc /srv/my\\040data xfs ro,relatime 0 0\n/dev/sdd /srv/my\\040data/log xfs rw 0 0\n"
    folders = "= 5 /srv/my data/pg\n= 6 /srv/my data/log\n= 7 /\n= x /srv\n= 8\n"
    seen = linux_host_script_parse.host("lknode01", f"@@ working folders\n{folders}{mounts}")
    assert seen.read_only == {5: "/srv/my data"}
    for by_design in ("/dev/sda1 / ext4 ro 0 0", "/dev/loop3 /snap squashfs ro,nodev 0 0", "/dev/sda2 /usr xfs ro 0 0"):
        place = by_design.split(" ")[1]
        assert linux_host_script_parse.host("a", f"@@ working folders\n= 5 {place}\n{by_design}\n").read_only == {}, by_design
    ports = [12345, *(s.port for s in CLUSTER.services)]
    listeners = [listening(p, pid=5 if p == 5432 else 9) for p in ports]
    only(with_host(node("lknode01", listeners=listeners, read_only=seen.read_only)), "lknode01", "5432", "/srv/my data", "read-only")


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


def test_a_loopback_nic_that_is_down() -> None:
    base = node("lknode01")
    seen = replace(base, addresses=[*(base.addresses or ()), InterfaceAddress("lo", "127.0.0.1", 8, "DOWN")])
    only(with_host(seen), "lknode01", "lo of lknode01 is down")
    up = replace(base, addresses=[*(base.addresses or ()), InterfaceAddress("lo", "127.0.0.1", 8, "UNKNOWN")])
    assert faults(diagnose(with_host(up))) == []


def test_an_ip_resource_that_is_on_the_other_node_is_told_as_that() -> None:
    apart = state({"ip-10.20.1.200": OUT}, {"ip-10.20.1.200": IN})
    base = node("lknode01")
    seen = replace(base, addresses=[a for a in base.addresses or () if a.address != "10.20.1.200"])
    inside = [replace(p, **SILENT) if p.path == "inside" else p for p in paths()]
    [first, *_] = faults(diagnose(with_host(seen, state=apart, paths=inside)))
    assert "in service on lknode02, while the services are on lknode01" in first.says and "put" not in first.do


def test_a_resource_that_is_configured_for_another_address_or_port_is_told_as_that() -> None:
    base = node("lknode01", units={"ip address": "10.20.1.201"})
    seen = replace(base, addresses=[a for a in base.addresses or () if a.address != "10.20.1.200"])
    inside = [replace(p, **SILENT) if p.path == "inside" else p for p in paths()]
    only(with_host(seen, paths=inside), "lknode01", "ip-10.20.1.200 is configured for 10.20.1.201")
    held = diagnose(with_host(base))
    assert [(c.certainty, "holds it all the same" in c.says) for c in faults(held) if "configured for" in c.says] == [
        (Certainty.LIKELY, True)
    ]
    assert faults(diagnose(with_host(node("lknode01", units={"ip address": "10.20.1.200", "port lbhc-12345": "12345"})))) == []
    ports = [s.port for s in CLUSTER.services]
    other = node("lknode01", listeners=[*map(listening, ports), listening(61000)], units={"port lbhc-12345": "61000"})
    only(with_host(other), "lknode01", "nobody listens on port 12345", "configured for port 61000", "give lbhc-12345 the port 12345")


def test_what_is_longer_than_an_ends_own_mtu_is_lost_by_right() -> None:
    lost = {"10.20.1.20": (True, False, 1500)}
    hosts = {"lknode02": node("lknode02", large=lost), "lknode01": node("lknode01"), "lkclient": client(mtus={"eth0": 1400})}
    assert faults(diagnose(evidence(hosts=hosts))) == []
    only(evidence(hosts={**hosts, "lkclient": client(mtus={"eth0": 1500})}), "lkclient", "MTU")


def test_a_rate_limit_on_the_probe_is_the_likely_cause_where_no_probe_is_answered() -> None:
    rate = "table inet r {\nchain in {\ntype filter hook input priority 0;\ntcp dport 12345 limit rate over 1/minute drop\n}\n}\n"
    limited = node("lknode01", firewall=parse(rate))
    unanswered = probed("lknode01", answered=0, answers_by=frozenset())
    probes = {"lknode01": unanswered, "lknode02": probed("lknode02")}
    silent = with_host(limited, probes=probes, paths=paths(client=SILENT, standby=SILENT))
    only(silent, "lknode01", "may well stop", "the probe from", "limit rate over 1/minute")
    assert faults(diagnose(with_host(limited))) == []


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ("lknode01\x02eth1\x0210.20.1.201\x02ffffffff", {"ip nic": "eth1", "ip address": "10.20.1.201"}),
        ("lknode01 eth1 10.20.1.200 and 10.20.1.1", {"ip nic": "eth1"}),  # which of them is the resource's own is not known
        ("nothing of it", {}),
    ],
)
def test_what_lifekeepers_own_database_has_of_the_ip_resource(info: str, told: dict[str, str]) -> None:
    links = '[{"ifname": "eth0", "mtu": 1500}, {"ifname": "eth1", "mtu": 1500}]'
    row = "\x01".join(["lknode01", "comm", "ip", "ip-a", "IP-a", info, "INTELLIGENT", "ISP"])
    text = f"@@ addresses\n{links}\n@@ instances\n{row}\n"
    assert linux_host_script_parse.host("lknode01", text, "ip-a").units == told


@pytest.mark.parametrize(("room", "found"), [(5, True), (128, False)])
def test_a_short_accept_queue_that_is_overrun_is_told_where_some_connections_got_no_answer(room: int, found: bool) -> None:
    ports = [12345, *(s.port for s in CLUSTER.services if s is not WEB)]
    listeners = [*map(listening, ports), listening(WEB.port, process="python3", pid=9, room=room)]
    some = [
        replace(p, outcome="fail", outcomes=frozenset({"answered", "silent"})) if p.service is WEB and p.path == "client" else p
        for p in paths()
    ]
    told = [c for c in faults(diagnose(with_host(node("lknode01", listeners=listeners), paths=some))) if "accept queue" in c.says]
    assert [(c.host, "python3 (pid 9)" in c.says, "queue of 5 only" in c.says) for c in told] == [("lknode01", True, True)] * found


@pytest.mark.parametrize(("answered", "refused", "told"), [(5, 4, True), (8, 1, False), (1, 8, False), (9, 0, False)])
def test_a_probe_port_that_comes_and_goes(answered: int, refused: int, told: bool) -> None:
    probes = {"lknode01": probed("lknode01", answered=answered, refused=refused), "lknode02": probed("lknode02")}
    if told:
        only(evidence(probes=probes), "lknode01", "12345", "comes and goes", f"{answered} were answered", f"{refused} refused")
    else:
        assert faults(diagnose(evidence(probes=probes))) == []
    assert faults(diagnose(evidence(probes=probes, moved=True))) == []


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
    assert (there.placed(vip, owned).own_nic, there.placed(vip, asked).own_nic) == ("eth0", "eth1")
    standby = node("lknode02")
    assert standby.placed(vip, asked).own_nic is None
    assert replace(standby, units={"ip nic": "eth1"}).placed(vip, asked).own_nic == "eth1"
    for other in ({"ip nic": "eth7"}, {"ip nic": "eth1", "ip address": "10.20.1.201"}):
        assert replace(standby, units=other).placed(vip, asked).own_nic is None
    twice = replace(there, addresses=[*(there.addresses or ()), InterfaceAddress("lo", vip, 32, "UP")])
    assert twice.placed(vip, asked).own_nic is None
    assert (there.placed(vip, owned).far_nic, there.placed(vip, asked).far_nic) == ("eth0", None)  # nothing was asked of the VIP's routes
    plain = ("0: from all lookup local", "32766: from all lookup main", "32767: from all lookup default")
    assert replace(there, rules=plain).placed(vip, asked).far_nic == "eth0"
    assert replace(there, rules=(*plain, "99: from 10.20.1.200 lookup 7")).placed(vip, asked).far_nic is None
    assert there.placed(vip, owned).listened == {12345, *(s.port for s in CLUSTER.services)}
    assert faults(diagnose(with_host(node("lknode01", firewall=parse(STRONG))))) == []  # without floating IP it is the first NIC's own
    doubtful = evaluate(parse(STRONG), replace(there, addresses=None).placed(vip, asked))
    assert doubtful.passes is None and evaluate(parse(STRONG), there.placed(vip, asked)).passes is False


def test_a_proxy_that_is_gone_is_the_cause_and_not_the_mark_that_led_to_it() -> None:
    marked = chosen("mark 0x1", "local", "400: from all fwmark 0x1 lookup 133")
    left = node("lknode01", firewall=parse(FORWARDED), **marked)
    only(with_host(left, paths=swallowed("client", "standby")), "lknode01", "TPROXY", "port 80", "15001", "nobody listens")
    silent = [Direct("lkclient", "lknode02", 80, "silent")]
    only(with_host(node("lknode02", firewall=parse(FORWARDED)), direct=silent), "lknode02", "nobody listens", "could not take over")
    serves = replace(left, listeners=[*(left.listeners or ()), listening(15001)])
    assert faults(diagnose(with_host(serves))) == []


def test_only_what_was_seen_failing_is_told_as_not_passing() -> None:
    hours = 'table inet h {\nchain in {\ntype filter hook input priority 0; policy accept;\nmeta hour "00:00"-"23:59" drop\n}\n}\n'
    doubtful = with_host(node("lknode01", firewall=parse(hours)), paths=swallowed("client"))
    cause = only(doubtful, "lknode01", "may well stop", "connections to port 80 (web) from the client")
    assert "communication path" not in cause.says and "from lknode02" not in cause.says and "probe" not in cause.says
    for says, told in (("10.20.1.11/10.20.1.12 is dead", True), ("10.20.9.1/10.20.9.2 is dead", False), ("lknode02 is dead", True)):
        dead = Finding(Weight.FAULT, "lknode01", "communication path", says, "fix it")
        (one, *_) = [c for c in faults(diagnose(replace(doubtful, findings=(dead,)))) if "may well stop" in c.says]
        assert ("communication path" in one.says) is told, says


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


FLOATING = CLUSTER.model_copy(update={"design": Design.FLOATING})
NOWHERE = Route("unreachable")
CLIENT, VIP = str(CLUSTER.client.address), str(CLUSTER.vip)
RULE = "700: from all uidrange 101-101 lookup 777"
HOPS = (Route("unicast", "eth0", gateway="10.20.1.1"), Route("unicast", "eth1", gateway="10.20.2.1"))


def owned(name: str, way: Route = NOWHERE, uid: int = 101, rule: str = RULE, **more: Any) -> Any:
    """A node whose policy rule chooses an account; its web server listens as postgres where it is active."""
    to = (CLIENT, "10.20.1.12" if name == "lknode01" else "10.20.1.11", PROBE)
    lost = {(d, f"10.20.1.1{name[-1]}", f"uid {uid}"): way for d in to}
    runs = {"accounts": {80: frozenset({101}), 12345: frozenset({0})}} if name == "lknode01" else {}
    return node(
        name, **({"rules": ("0: from all lookup local", rule), "chosen_routes": lost, "account_names": {101: "postgres"}} | runs | more)
    )


def with_active(seen: Any, **more: Any) -> Evidence:
    """The standby `seen`, beside an active node whose listener is postgres's."""
    one = node("lknode01", accounts={80: frozenset({101})}, account_names={101: "postgres"})
    base = with_host(one, **more)
    return replace(base, hosts={**base.hosts, seen.name: seen})


def test_a_policy_rule_by_account_is_told_with_whose_listener_it_silences() -> None:
    lost = with_host(owned("lknode01"), paths=swallowed("client", "standby"))
    cause = only(lost, "lknode01", "web (port 80)", "account postgres (uid 101)", CLIENT, "10.20.1.12", "nowhere (unreachable)", RULE)
    assert cause.certainty is Certainty.CERTAIN and cause.explains == ("client/web", "standby/web")
    assert not diagnose(lost).rest
    by_eth1 = with_host(owned("lknode01", Route("unicast", "eth1")), paths=swallowed("client", "standby"))
    only(by_eth1, "lknode01", "out of eth1", RULE, "not by eth0")
    assert faults(diagnose(with_host(owned("lknode01")))) == []  # it answers: something else lets these packets by
    for harmless in (
        owned("lknode01", Route("unicast", "eth0")),
        owned("lknode01", accounts={80: frozenset({0})}),
        owned("lknode01", rules=()),
        owned("lknode01", uid=60000, rule="201: from all uidrange 60000-60010 lookup 909"),
    ):
        told = faults(diagnose(with_host(harmless, paths=swallowed("client", "standby"))))
        assert not [c for c in told if "account" in c.says], harmless


def test_a_responder_whose_account_is_led_elsewhere_answers_no_probe() -> None:
    quiet = probed("lknode01", answered=0, answers_by=frozenset())
    seen = with_host(owned("lknode01", accounts={12345: frozenset({101})}), paths=paths(client=SILENT, standby=SILENT))
    told = faults(diagnose(replace(seen, probes={**seen.probes, "lknode01": quiet})))
    assert "the health-check resource (port 12345) runs as" in told[0].says and PROBE in told[0].says and "client/*" in told[0].explains


def test_a_rule_by_account_on_the_standby_is_held_against_whose_listener_it_would_be() -> None:
    cause = only(with_active(owned("lknode02")), "lknode02", "web (port 80) runs on lknode01", "postgres (uid 101)", "after a failover")
    assert cause.certainty is Certainty.LIKELY
    renamed = owned("lknode02", uid=555, rule="700: from all uidrange 500-600 lookup 777", account_names={555: "postgres"})
    only(with_active(renamed), "lknode02", "postgres (uid 555)", "uidrange 500-600")  # of another number there
    nameless = owned("lknode02", uid=100, rule="700: from all uidrange 100-200 lookup 777", account_names={})
    only(with_active(nameless), "lknode02", "uid 101", "uidrange 100-200", "ip route get 10.20.1.20 uid 100")  # of a directory's account
    for harmless in (
        owned("lknode02", account_names={101: "backup"}),  # the number is somebody else's there
        owned("lknode02", Route("unicast", "eth0")),
        owned("lknode02", uid=60000, rule="201: from all uidrange 60000-60010 lookup 909"),
    ):
        assert faults(diagnose(with_active(harmless))) == [], harmless
    assert faults(diagnose(replace(with_active(owned("lknode02")), moved=True))) == []


def test_a_vip_that_the_kernel_does_not_take_for_its_own() -> None:
    finding = Finding(Weight.FAULT, "lknode01", "route to the VIP", "unicast dev eth0, not local", "see it")
    inside = {"outcome": "fail", "outcomes": frozenset({"silent"})}
    one = node("lknode01")
    lost = replace(one, routes={**one.routes, (VIP, ""): BY_ETH0}, vip_is_local=False)
    seen = with_host(lost, paths=paths(inside=inside), findings=[finding])
    cause = only(
        seen, "lknode01", VIP, "table `local` has no entry", "ip addr del 10.20.1.200/32 dev eth1", "ip route add table local local"
    )
    assert cause.certainty is Certainty.CERTAIN and not diagnose(seen).rest and "put ip-" not in json.dumps(cause.as_data())
    before = replace(lost, vip_is_local=True, rules=("0: from all to 10.20.1.0/24 lookup 9", "100: from all lookup local"))
    cause = only(replace(seen, hosts={**seen.hosts, "lknode01": before}), "lknode01", "lookup 9", "before the table local")
    assert cause.certainty is Certainty.LIKELY
    floating = replace(seen, cluster=FLOATING)
    assert any("client/*" in c.explains for c in faults(diagnose(floating)) if "no entry" in c.says)
    sound = replace(one, routes={**one.routes, (VIP, ""): LOCAL}, vip_is_local=True)
    assert faults(diagnose(with_host(sound))) == []
    assert faults(diagnose(with_host(replace(sound, vip_is_local=False)))) == []  # some other table has it


@pytest.mark.parametrize("met", ["eth0", "eth1"])  # by chance
def test_a_route_with_next_hops_by_both_nics(met: str) -> None:
    one = node("lknode01")
    by = {(PROBE, ""): Route("unicast", met), (PROBE, "10.20.1.11"): Route("unicast", met)}
    seen = replace(one, routes={**one.routes, **by}, next_hops={(PROBE, "10.20.1.11"): HOPS}, sysctls={"eth0.rp_filter": "1"})
    finding = Finding(Weight.FAULT, "lknode01", "route to the probe", f"unicast dev {met}, not by eth0", "send it by eth0")
    told = with_host(seen, findings=[finding], paths=paths(client=SILENT, standby=SILENT))
    cause = only(told, "lknode01", "several next hops", "eth0 and eth1", PROBE, "via 10.20.2.1 dev eth1")
    assert cause.certainty is Certainty.LIKELY and not diagnose(told).rest
    both = probed("lknode01", answers_by=frozenset({"eth0", "eth1"}))
    cause = only(replace(told, probes={**told.probes, "lknode01": both}), "lknode01", "packet capture", "answers leave by eth0, eth1")
    assert cause.certainty is Certainty.CERTAIN
    other = probed("lknode01", answers_by=frozenset({"eth1"}))
    only(replace(told, probes={**told.probes, "lknode01": other}), "lknode01", "several next hops")


def test_next_hops_by_one_nic_or_for_another_source_are_nobodys_business() -> None:
    gateways = (HOPS[0], replace(HOPS[0], gateway="10.20.1.2"))
    assert faults(diagnose(with_host(node("lknode01", next_hops={(PROBE, "10.20.1.11"): gateways})))) == []
    assert faults(diagnose(with_host(node("lknode01", next_hops={(PROBE, "10.20.2.11"): HOPS})))) == []
    seen = with_host(node("lknode01", next_hops={(CLIENT, "10.20.1.11"): HOPS}))
    told = faults(diagnose(replace(seen, cluster=FLOATING)))
    assert not [c for c in told if "next hops" in c.says]  # answers come from the VIP there


def test_a_route_that_leaves_its_packets_few_hops() -> None:
    def short(name: str, to: str, hops: int) -> Any:
        one = client(routes={(to, ""): BY_ETH0}) if name == "lkclient" else node(name)
        return replace(one, routes={**one.routes, (to, ""): replace(BY_ETH0, hops=hops)})

    lost = paths(client=SILENT)
    cause = only(with_host(short("lknode01", CLIENT, 1), paths=lost), "lknode01", "route to the client lkclient (10.20.1.20)", "hoplimit")
    assert cause.certainty is Certainty.CERTAIN and "client/*" in cause.explains
    assert only(with_host(short("lknode01", CLIENT, 9), paths=lost), "lknode01", "time to live of 9").certainty is Certainty.LIKELY
    assert only(with_host(short("lkclient", VIP, 1), paths=lost), "lkclient", "the VIP (10.20.1.200)").certainty is Certainty.CERTAIN
    assert only(with_host(short("lknode02", PROBE, 1)), "lknode02", "the probe's source").certainty is Certainty.LIKELY
    for harmless in (short("lknode01", CLIENT, 64), short("lknode01", CLIENT, 3), short("lkclient", "10.20.1.11", 1)):
        assert faults(diagnose(with_host(harmless))) == []  # much, or it is enough: everything is answered


def test_how_a_host_tells_of_its_accounts_next_hops_and_local_table() -> None:
    text = """@@ local table
local 10.20.1.200 dev eth1 proto kernel scope host src 10.20.1.200
# asked
@@ next hops
# 168.63.129.16 10.20.1.11
default
	nexthop via 10.20.1.1 dev eth0 weight 1
	nexthop via 10.20.2.1 dev eth1 weight 1
# 10.20.1.20 10.20.1.11
10.20.1.0/24 dev eth0 proto kernel scope link src 10.20.1.11
# 10.20.1.12 10.20.1.11
RTNETLINK answers: Invalid argument
@@ accounts
State  Recv-Q Send-Q Local Address:Port Peer Address:Port
LISTEN 0 208 0.0.0.0:5432 0.0.0.0:* uid:101 ino:33848485 sk:4fc4a cgroup:unreachable:1 <->
LISTEN 0 208 [::]:5432 [::]:* uid:101 ino:33848486 sk:4fc4b v6only:1 <->
LISTEN 0 1024 *:80 *:* ino:33848523 sk:4fc4c <->
= 101 postgres
= nobody knows
@@ chosen routes
# 10.20.1.20 10.20.1.11 uid 101
RTNETLINK answers: Permission denied
"""
    seen = linux_host_script_parse.host("lknode01", text)
    assert seen.vip_is_local is True and dict(seen.next_hops) == {(PROBE, "10.20.1.11"): HOPS}
    assert seen.accounts == {5432: frozenset({101}), 80: frozenset({0})} and seen.account_names == {101: "postgres"}
    assert seen.chosen_routes[(CLIENT, "10.20.1.11", "uid 101")].kind == "prohibit"
    assert linux_host_script_parse.host("lknode01", "@@ local table\n# asked\n").vip_is_local is False
    untold = linux_host_script_parse.host("lknode01", "@@ local table\n@@ accounts\n")
    assert untold.vip_is_local is None and untold.accounts == {}
