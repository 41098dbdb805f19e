"""What a node's kernel does beside its firewall and routes: a NIC without ARP, a port that two processes share."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosis_sample import (
    CLUSTER,
    IN,
    OUT,
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
    swallowed,
    with_host,
)
from test_diagnosis_packet_filters import BLOCK

from harness.core.finding import Finding, Weight
from harness.diagnosis import linux_host_script_parse
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.firewall import parse
from harness.hosts.linux.linux_parse import InterfaceAddress, Route


def test_what_arrives_and_is_neither_answered_nor_refused_names_the_node_and_where_to_look() -> None:
    only(evidence(paths=swallowed("client", "standby")), "lknode01", "arrives at the NIC", "port 80 (web)", "neither answers nor refuses")


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
    # What only reads may be mounted so on purpose.
    told = diagnose(with_host(node("lknode01", listeners=[listening(p, pid=p) for p in ports], read_only={WEB.port: "/srv/www"}))).causes
    assert [(c.certainty, "if it writes there" in c.says) for c in told if "/srv/www" in c.says] == [(Certainty.POSSIBLE, True)]


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


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ("lknode01\x02eth1\x0210.20.1.201\x02ffffffff", {"ip nic": "eth1", "ip address": "10.20.1.201", "ip prefix": "32"}),
        ("lknode01 eth1 10.20.1.200 0xffffff00", {"ip nic": "eth1", "ip address": "10.20.1.200", "ip prefix": "24"}),
        ("lknode01 eth1 10.20.1.200 00ffffff", {"ip nic": "eth1", "ip address": "10.20.1.200"}),  # no mask
        ("lknode01 eth1 10.20.1.200 and 10.20.1.1", {"ip nic": "eth1"}),  # which of them is the resource's own is not known
        ("nothing of it", {}),
    ],
)
def test_what_lifekeepers_own_database_has_of_the_ip_resource(info: str, told: dict[str, str]) -> None:
    links = '[{"ifname": "eth0", "mtu": 1500}, {"ifname": "eth1", "mtu": 1500}]'
    row = "\x01".join(["lknode01", "comm", "ip", "ip-a", "IP-a", info, "INTELLIGENT", "ISP"])
    text = f"@@ addresses\n{links}\n@@ instances\n{row}\n"
    assert linux_host_script_parse.host("lknode01", text, "ip-a").units == told


OF_OLD = {"ip address": "10.20.1.200", "ip prefix": "32"}


@pytest.mark.parametrize(
    ("standby", "active", "words"),
    [
        ({"ip prefix": "24"}, {}, ("lknode02", "ip-10.20.1.200 is configured with the prefix /24", "10.20.1.200/24", "after a failover")),
        ({"ip address": "10.20.1.201"}, {}, ("lknode02", "configured for 10.20.1.201", "after a failover")),
        ({}, {"ip prefix": "24"}, ("lknode01", "prefix /24", "the next time")),  # somebody corrected the address alone
        ({}, {}, ()),
        ({"ip address": "10.20.1.200"}, {"ip address": "10.20.1.200"}, ()),  # nothing was told of the masks
    ],
)
def test_an_ip_resource_that_lifekeeper_was_given_otherwise_on_one_node(
    standby: dict[str, str], active: dict[str, str], words: tuple[str, ...]
) -> None:
    hosts = {"lknode01": node("lknode01", units=OF_OLD | active), "lknode02": node("lknode02", units=OF_OLD | standby)}
    if words:
        cause = only(evidence(hosts=hosts), *words)
        assert cause.certainty is Certainty.CERTAIN
    else:
        assert faults(diagnose(evidence(hosts=hosts))) == []
    pacemaker = CLUSTER.model_copy(update={"manager": CLUSTER.manager.model_copy(update={"kind": "pacemaker"})})
    assert faults(diagnose(evidence(hosts=hosts, cluster=pacemaker))) == []  # one configuration for both


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


def test_a_probe_port_that_the_standby_opens_now_and_then() -> None:
    probes = {"lknode01": probed("lknode01"), "lknode02": probed("lknode02", answered=2, refused=7)}
    cause = only(evidence(probes=probes), "lknode02", "now and then", "2 SYN-ACKs", "7 resets")
    assert cause.certainty is Certainty.LIKELY
    there = {"outcome": "fail", "nodes": frozenset({"lknode01", "lknode02"})}
    assert only(evidence(probes=probes, paths=paths(client=there)), "lknode02", "as some were now").certainty is Certainty.CERTAIN
    assert faults(diagnose(evidence(probes=probes, moved=True))) == []
    listens = with_host(node("lknode02", listeners=[listening(12345, process="nc")]), probes=probes)
    only(listens, "lknode02", "nc (pid 5) listens on the probe port")  # who it is, is told better


@pytest.mark.parametrize(("syns", "answered", "told"), [(9, 3, True), (9, 8, False), (20, 17, False), (2, 1, False)])
def test_probes_that_are_answered_in_part(syns: int, answered: int, told: bool) -> None:
    """What a busy capture misses, and a packet that came as it ended, are not taken for it."""
    probes = {"lknode01": probed("lknode01", syns={12345: syns}, answered=answered), "lknode02": probed("lknode02")}
    all_pass = diagnose(evidence(probes=probes))
    assert faults(all_pass) == [] and ["answers only some" in c.says for c in all_pass.causes] == [True] * told
    words = ("answers only some", f"{syns} SYNs", f"{answered} SYN-ACKs") if told else ("adminState",)
    only(evidence(probes=probes, paths=paths(client=SILENT, standby=SILENT)), "lknode01", *words)


def test_only_what_was_seen_failing_is_told_as_not_passing() -> None:
    hours = 'table inet h {\nchain in {\ntype filter hook input priority 0; policy accept;\nmeta hour "00:00"-"23:59" drop\n}\n}\n'
    doubtful = with_host(node("lknode01", firewall=parse(hours)), paths=swallowed("client"))
    cause = only(doubtful, "lknode01", "may well stop", "connections to port 80 (web) from the client")
    assert "communication path" not in cause.says and "from lknode02" not in cause.says and "probe" not in cause.says
    for says, told in (("10.20.1.11/10.20.1.12 is dead", True), ("10.20.9.1/10.20.9.2 is dead", False), ("lknode02 is dead", True)):
        dead = Finding(Weight.FAULT, "lknode01", "communication path", says, "fix it")
        (one, *_) = [c for c in faults(diagnose(replace(doubtful, findings=(dead,)))) if "may well stop" in c.says]
        assert ("communication path" in one.says) is told, says


ASKS_NOBODY = {"neigh.eth0.mcast_solicit": "0", "neigh.eth0.app_solicit": "0"}


def test_a_nic_that_asks_nobody_for_a_hardware_address() -> None:
    cause = only(with_host(node("lknode01", sysctls=ASKS_NOBODY)), "lknode01", "eth0 in Subnet#1", "mcast_solicit is 0")
    assert cause.certainty is Certainty.LIKELY
    lost = paths(client=SILENT, standby=SILENT)
    assert only(with_host(node("lknode01", sysctls=ASKS_NOBODY), paths=lost), "lknode01", "mcast_solicit").certainty is Certainty.CERTAIN


@pytest.mark.parametrize(
    "sysctls",
    [
        {},
        {"neigh.eth0.mcast_solicit": "3", "neigh.eth0.app_solicit": "0"},
        {"neigh.eth0.mcast_solicit": "0", "neigh.eth0.app_solicit": "1"},  # a program asks instead
        {"neigh.wg0.mcast_solicit": "0", "neigh.default.mcast_solicit": "0"},
    ],
)
def test_nics_that_ask(sysctls: dict[str, str]) -> None:
    assert faults(diagnose(with_host(node("lknode01", sysctls=sysctls)))) == []


@pytest.mark.parametrize(("retries", "told"), [("1", 1), ("2", 1), ("3", 0), ("8", 0), ("15", 0), ("", 0)])
def test_a_kernel_that_gives_connections_up_at_once(retries: str, told: int) -> None:
    causes = [c for c in diagnose(with_host(client(sysctls={"tcp_retries2": retries}))).causes if "tcp_retries2" in c.says]
    assert [(c.host, c.certainty) for c in causes] == [("lkclient", Certainty.POSSIBLE)] * told
