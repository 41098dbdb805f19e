"""The diagnosis of a node's NICs: what holds packets back there, a NIC in a bridge with its address, and a foreign hardware address."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, PROBE, SILENT, WEB, client, evidence, faults, node, only, paths, probed, state, with_host

from harness.check import captured_evidence
from harness.collect.linux_host_script import script
from harness.diagnosis import bundle_observations
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Direct, Evidence, HostSeen, Link
from harness.diagnosis.host_config import queueing
from harness.diagnosis.linux_host_script_parse import host
from harness.managers.manager import ClusterState, CommPath
from harness.managers.manager_registry import manager_of
from harness.remote.recording.packets import Packet

COUNTS = "\n Sent {} bytes {} pkt (dropped {}, overlimits 9 requeues 0) \n backlog {}b {}p requeues 0\n"
SLOW = "qdisc tbf 801e: dev eth0 root refcnt 3 rate 4Kbit burst 1600b lat 50ms "
FAST = "qdisc tbf 8001: dev eth0 root refcnt 9 rate 10Gbit burst 5Mb lat 50ms "
LOSSY = "qdisc netem 8002: dev eth0 root refcnt 9 limit 1000 delay 100ms loss 30% "
CODEL = "qdisc fq_codel 0: dev eth0 parent :1 limit 10240p flows 1024 quantum 1514 target 5ms interval 100ms memory_limit 32Mb ecn "
HTB = "qdisc htb 1: dev eth0 root refcnt 9 r2q 10 default 0x1 direct_packets_stat 0 direct_qlen 1000"
OUTSIDE = {"client": SILENT, "standby": SILENT}
DEAD = (CommPath("other", "10.20.1.11/10.20.1.12", False), CommPath("other", "10.20.2.11/10.20.2.12", True))
MAC, BORN = "02:00:00:aa:bb:cc", "00:0d:3a:11:22:33"


def shaped(line: str, dropped: int = 0, waiting: int = 0, sent: int = 50) -> tuple[queueing.Queue, ...]:
    return queueing.parse(line + COUNTS.format(sent * 90, sent, dropped, waiting * 90, waiting))


def cut_off(**more: Any) -> Evidence:
    """The standby, whose first NIC loses all that comes: no probe arrives, nobody is answered, its own connections are not."""
    ports = [12345, *(s.port for s in CLUSTER.services)]
    dead = ClusterState({name: replace(one, comm_paths=DEAD) for name, one in state().nodes.items()})
    silent = [Direct(origin, "lknode02", port, "silent") for origin in ("lkclient", "lknode01") for port in ports]
    lost = {**SILENT, "nodes": frozenset({"lknode01"}), "answers_left": True}
    told = {"state": dead, "direct": silent, "paths": paths(standby=lost)} | more
    base = evidence(**told)
    return replace(base, probes={**base.probes, "lknode02": probed("lknode02", syns={}, refused=0)})


def on(base: Evidence, seen: HostSeen) -> Evidence:
    return replace(base, hosts={**base.hosts, seen.name: seen})


def test_a_shaper_that_strangles_the_active_node_is_the_one_cause_of_what_is_lost() -> None:
    tried = [Direct("lkclient", "lknode01", s.port, "silent") for s in CLUSTER.services]
    dead = ClusterState({name: replace(one, comm_paths=DEAD) for name, one in state().nodes.items()})
    seen = with_host(node("lknode01", queues=shaped(SLOW, dropped=400)), paths=paths(**OUTSIDE), direct=tried, state=dead)
    cause = only(seen, "lknode01", "eth0 in Subnet#1", "4 kbit/s", "tbf", "400 were dropped")
    assert cause.certainty is Certainty.CERTAIN
    without = [c.says for c in faults(diagnose(on(seen, node("lknode01"))))]
    assert any("NSG" in says for says in without)  # which is what would be guessed


def test_a_shaper_loses_full_segments_too_and_no_mtu_is_guessed() -> None:
    large = {"outcome": "fail", "full": False, "full_says": "3000 bytes are not answered"}
    echoes = {"10.20.1.12": (True, False, 1500)}
    seen = with_host(node("lknode01", queues=shaped(SLOW, dropped=40), large=echoes), paths=paths(client=large))
    only(seen, "lknode01", "4 kbit/s")
    assert any("MTU" in c.says for c in faults(diagnose(on(seen, node("lknode01", large=echoes)))))


def test_a_shaper_whose_bucket_is_less_than_a_packet_drops_what_is_long() -> None:
    """Quick enough for everything, and no long packet ever passes it."""
    bucket = "qdisc tbf 8001: dev eth0 root refcnt 2 rate 10Mbit burst {} lat 50ms "
    large = {"outcome": "fail", "full": False, "full_says": "3000 bytes are not answered"}
    echoes = {"10.20.1.12": (True, False, 1500)}
    short = shaped(bucket.format("700b"))
    cause = only(with_host(node("lknode01", queues=short, large=echoes), paths=paths(client=large)), "lknode01", "700 bytes", "burst")
    assert cause.certainty is Certainty.CERTAIN
    assert only(with_host(node("lknode02", queues=short)), "lknode02", "700 bytes").certainty is Certainty.LIKELY
    for enough in ("1540b", "2Kb", "1Mb"):
        assert faults(diagnose(with_host(node("lknode01", queues=shaped(bucket.format(enough)))))) == [], enough
    only(with_host(node("lknode02", queues=shaped(bucket.format("1490b")))), "lknode02", "1490 bytes")


@pytest.mark.parametrize("silence", [{"identity": "the connection was silent"}, {"identity": "nothing came in 5 s", "hung": True}])
def test_what_a_service_could_not_say_through_a_shaper_is_not_the_services_fault(silence: dict[str, Any]) -> None:
    mixed = {"outcome": "fail", "outcomes": frozenset({"answered", "silent"})} | silence
    lost = [replace(p, **mixed) if p.path == "standby" and p.service is WEB else p for p in paths()]
    only(with_host(node("lknode02", queues=shaped(SLOW, dropped=40)), paths=lost), "lknode02", "4 kbit/s")
    assert [c for c in faults(diagnose(evidence(paths=lost))) if "does not serve them" in c.says]
    said = [replace(p, identity="503 Service Unavailable", hung=False) if p.identity else p for p in lost]
    told = faults(diagnose(with_host(node("lknode02", queues=shaped(SLOW, dropped=40)), paths=said)))
    assert [c.host for c in told if "503" in c.says] == ["lknode01"]


def test_a_shaper_on_the_standby_is_told_before_the_failover_that_would_feel_it() -> None:
    cause = only(with_host(node("lknode02", queues=shaped(SLOW))), "lknode02", "4 kbit/s", "does not come through in time")
    assert cause.certainty is Certainty.LIKELY
    only(with_host(node("lknode02", queues=shaped(LOSSY))), "lknode02", "loses 30 %", "netem")
    by_its_vf = {"links": {"enP1": Link("eth0")}, "queues": shaped(SLOW.replace("eth0", "enP1"))}
    only(with_host(node("lknode02", **by_its_vf)), "lknode02", "4 kbit/s", "(at enP1, which sends for it)")


@pytest.mark.parametrize(
    "queues",
    [
        shaped(FAST, dropped=2, sent=100_000),
        shaped(CODEL, dropped=500),
        shaped("qdisc mq 0: dev eth0 root ", dropped=500),
        shaped("qdisc clsact ffff: dev eth0 parent ffff:fff1 ", dropped=500),
        shaped(SLOW.replace("eth0", "veth9"), dropped=500),
        shaped(HTB, dropped=3, sent=100_000),
        shaped(LOSSY.replace("100ms loss 30%", "1ms")),
    ],
)
def test_ordinary_queues_and_quick_shapers_explain_nothing(queues: tuple[queueing.Queue, ...]) -> None:
    assert faults(diagnose(with_host(node("lknode01", queues=queues)))) == []
    lost = with_host(node("lknode01", queues=queues), paths=paths(**OUTSIDE))
    assert not [c for c in faults(diagnose(lost)) if "queueing discipline" in c.says]


def test_a_client_may_be_slow_on_purpose() -> None:
    assert faults(diagnose(with_host(client(queues=shaped(SLOW))))) == []
    felt = with_host(client(queues=shaped(SLOW, dropped=40)), paths=paths(client=SILENT))
    assert [c.host for c in faults(diagnose(felt)) if "4 kbit/s" in c.says] == ["lkclient"]


CLASSES = """= eth0
class htb 1:1 root prio 0 rate 100Kbit ceil 2Mbit burst 1600b cburst 1600b
 Sent 900 bytes 10 pkt (dropped 7, overlimits 0 requeues 0)
 backlog 180b 2p requeues 0
class hfsc 1:2 parent 1: sc m1 0bit d 0us m2 50Mbit ul m1 0bit d 0us m2 200Kbit
class fq_codel 8001:1 parent 8001:
filter parent ffff: protocol all pref 1 u32 chain 0
filter parent ffff: protocol all pref 1 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 terminal flowid ??? not_in_hw
  match 00000000/00000000 at 0
\taction order 1:  police 0x1 rate 8Kbit burst 2Kb mtu 2Kb action drop overhead 0b
\tref 1 bind 1
\tAction statistics:
\tSent 9000 bytes 90 pkt (dropped 80, overlimits 80 requeues 0)
\tbacklog 0b 0p requeues 0
filter parent ffff: protocol ip pref 2 flower chain 0
\taction order 1: gact action drop
"""


def test_how_tc_tells_of_them() -> None:
    text = f"@@ queues\n{CODEL}\n{SLOW}{COUNTS.format(90, 1, 2, 90, 3)}@@ shapers\n{CLASSES}@@ rules\n"
    slow, htb, hfsc, police, drop = host("lknode01", text).queues
    assert slow == queueing.Queue("eth0", "tbf", SLOW.strip(), True, rate=4e3, largest=1600.0, sent=1, dropped=2, waiting=3)
    assert (htb.rate, htb.carries_all, htb.dropped, htb.waiting, hfsc.rate) == (2e6, False, 7, 2, 2e5)
    assert (police.kind, police.rate, police.carries_all, police.dropped, police.nic) == ("police", 8e3, True, 80, "eth0")
    assert (drop.kind, drop.carries_all, drop.incoming) == ("drop", False, True)
    (lossy,) = queueing.parse(LOSSY)
    assert (lossy.loss, lossy.delay_s) == (30, 0.1)
    for broken in ("qdisc", "qdisc tbf", "class", "= ", "qdisc tbf 1: dev", "police 0x1 rate", "\x00", " Sent x"):
        assert queueing.parse(broken, broken) == ()


def test_a_policer_of_all_that_comes_in_is_likely_where_it_drops_what_is_lost() -> None:
    queues = queueing.parse("", CLASSES[CLASSES.index("filter") :].replace("filter", "= eth0\nfilter", 1))
    seen = with_host(node("lknode01", queues=queues), paths=paths(**OUTSIDE))
    assert [c for c in faults(diagnose(seen)) if "limits what it receives to 8 kbit/s" in c.says]
    assert faults(diagnose(with_host(node("lknode01", queues=queues)))) == []


def test_a_slow_class_is_the_cause_only_where_what_no_filter_takes_goes_through_it() -> None:
    def lost(root: str) -> list[str]:
        queues = queueing.parse(root + COUNTS.format(90, 1, 0, 0, 0), CLASSES[: CLASSES.index("class hfsc")].replace("2Mbit", "64Kbit"))
        seen = with_host(node("lknode01", queues=queues), paths=paths(**OUTSIDE))
        return [f"{c.certainty}" for c in diagnose(seen).causes if "to 64 kbit/s" in c.says]

    assert lost(HTB) == ["certain"]
    assert lost(HTB.replace("0x1", "0x10")) == lost(HTB.replace("0x1", "0")) == ["possible"]
    chaos = shaped(LOSSY.replace("root", "parent 1:3"), dropped=40)
    assert [c for c in faults(diagnose(with_host(node("lknode01", queues=chaos), paths=paths(**OUTSIDE)))) if "loses 30 %" in c.says]
    assert faults(diagnose(with_host(node("lknode01", queues=chaos)))) == []


def test_a_peer_that_is_away_says_nothing_of_a_nic() -> None:
    second = [CommPath("other", "10.20.2.11/10.20.2.12", False)]
    both = {name: replace(one, comm_paths=tuple(second)) for name, one in state().nodes.items()}
    seen = with_host(node("lknode01", links={"eth1": BRIDGED}), state=ClusterState(both))
    assert only(seen, "lknode01", "eth1 in Subnet#2", "br0").certainty is Certainty.LIKELY
    off = ClusterState(both | {"lknode02": replace(both["lknode02"], running=False)})
    assert not [c for c in faults(diagnose(replace(seen, state=off))) if "br0" in c.says]


BRIDGED = Link("br0", "bridge")


def test_a_nic_in_a_bridge_whose_address_stayed_on_it_explains_the_silence_and_no_group_is_guessed() -> None:
    assert any("NSG" in c.says for c in faults(diagnose(cut_off())))
    cause = only(on(cut_off(), node("lknode02", links={"eth0": BRIDGED})), "lknode02", "eth0", "the bridge br0", "nomaster")
    assert cause.certainty is Certainty.CERTAIN


@pytest.mark.parametrize("link", [BRIDGED, Link("bond0", "bond"), Link("vrf-blue", "vrf"), Link("other0")])
def test_what_works_in_a_bridge_or_a_vrf_is_no_fault(link: Link) -> None:
    assert faults(diagnose(with_host(node("lknode02", links={"eth0": link})))) == []
    answered = [Direct("lkclient", "lknode02", s.port, "refused") for s in CLUSTER.services]
    lost = [replace(p, **SILENT) if p.path == "standby" and p.service is WEB else p for p in paths()]
    some = with_host(node("lknode02", links={"eth0": replace(link, hardware=MAC, permanent=BORN)}), paths=lost, direct=answered)
    assert not [c for c in faults(diagnose(some)) if link.master in c.says]
    cloned = with_host(node("lknode02", links={"eth0": Link(hardware=MAC, permanent=BORN)}), paths=lost, direct=answered)
    assert not [c for c in faults(diagnose(cloned)) if MAC in c.says]


def test_a_virtual_function_is_azures_own_slave_of_the_nic() -> None:
    assert not [c for c in diagnose(with_host(node("lknode02", links={"enP1": Link("eth0")}))).causes if "enP1" in c.says]


def test_a_hardware_address_that_is_not_the_nics_own() -> None:
    cloned = node("lknode02", links={"eth0": Link(hardware=MAC, permanent=BORN)})
    assert only(on(cut_off(), cloned), "lknode02", "eth0", MAC, BORN).certainty is Certainty.LIKELY
    assert faults(diagnose(with_host(cloned))) == []  # the network takes it
    assert faults(diagnose(with_host(node("lknode02", links={"eth0": Link("bond0", "bond", MAC, BORN)})))) == []


def test_frames_for_another_hardware_address_prove_it_where_the_nic_does_not_tell() -> None:
    seen = on(cut_off(), node("lknode02", hardware={"eth0": MAC}))
    astray = replace(seen.probes["lknode02"], misdelivered={"10.20.1.12": 8})
    cause = only(replace(seen, probes={**seen.probes, "lknode02": astray}), "lknode02", "eth0", MAC, "packet capture")
    assert cause.certainty is Certainty.CERTAIN
    alone = evidence(probes={"lknode01": probed("lknode01"), "lknode02": probed("lknode02", misdelivered={"10.20.1.12": 8})})
    assert faults(diagnose(alone)) == []


def test_which_frames_came_for_another_hardware_address() -> None:
    two = CLUSTER.nodes[1]

    def came(kind: str, to: str = "10.20.1.12", nic: str = "eth0") -> Packet:
        return Packet(1.0, nic, kind, "tcp", PROBE, 5, to, 12345, "S", 1, 0)

    def of(*packets: Packet) -> dict[str, int]:
        return dict(captured_evidence.probes(two, packets, CLUSTER, 1.0).misdelivered)

    assert of(came("otherhost"), came("otherhost"), came("otherhost", "10.20.1.77")) == {"10.20.1.12": 2}
    assert of(came("otherhost"), came("host", nic="macvlan0")) == {}  # the device below sees a macvlan's frames too
    whole = evidence(probes={"lknode02": probed("lknode02", misdelivered={"10.20.1.12": 2})})
    assert bundle_observations.parse(bundle_observations.as_data(whole, ()), CLUSTER).probes == whole.probes
    before = bundle_observations.as_data(whole, ())
    del before["probes"][0]["misdelivered"]
    assert bundle_observations.parse(before, CLUSTER).probes["lknode02"].misdelivered == {}


LINKS = r"""2: eth0@if5: <BROADCAST,UP,LOWER_UP> mtu 1500 qdisc noqueue master br0 state UP mode DEFAULT group default qlen 1000\    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff link-netnsid 0 promiscuity 1 \    veth \    bridge_slave state forwarding priority 32
3: enP1s1: <BROADCAST,SLAVE,UP> mtu 1500 qdisc mq master eth0 state UP\    link/ether 00:0d:3a:11:22:33 brd ff:ff:ff:ff:ff:ff promiscuity 0
4: eth1: <BROADCAST,UP> mtu 1500 qdisc mq state UP\    link/ether 02:00:00:aa:bb:cc brd ff:ff:ff:ff:ff:ff permaddr 00:0d:3a:11:22:33 promiscuity 0
5: eth1.7@eth1: <BROADCAST,UP> mtu 1500 state UP\    link/ether 02:00:00:aa:bb:cc brd ff:ff:ff:ff:ff:ff permaddr 00:0d:3a:11:22:33 promiscuity 0 \    vlan protocol 802.1Q id 7
"""  # noqa: E501


def test_how_ip_tells_of_masters_and_hardware_addresses() -> None:
    links = host("lknode01", f"@@ links\n{LINKS}junk master\n@@ rules\n").links
    assert links["eth0"] == Link("br0", "bridge", "02:00:00:00:00:01") and links["enP1s1"] == Link("eth0", "", BORN)
    assert links["eth1"] == Link("", "", MAC, BORN) and links["eth1.7"].permanent == ""
    addresses = '[{"ifname":"eth0","link_type":"ether","address":"02:00:00:00:00:01"},{"ifname":"lo","link_type":"loopback"}]'
    plain = "2: eth0@if5: <UP> mtu 1500 state UP\n    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff\n"
    for text in (addresses, plain):
        assert host("lknode01", f"@@ addresses\n{text}\n").hardware == {"eth0": "02:00:00:00:00:01"}


def test_the_script_asks_for_them_as_the_account() -> None:
    asked = script(CLUSTER, CLUSTER.nodes[0], manager_of(CLUSTER, {}))
    assert all(f"@@ {name}" in asked for name in ("links", "queues", "shapers"))


IN_VRF = {"eth0": Link("vrf-blue", "vrf")}


def test_a_vrf_that_cuts_the_services_off_explains_the_silence_and_no_group_is_guessed() -> None:
    cause = only(
        on(cut_off(), node("lknode02", links=IN_VRF, sysctls={"tcp_l3mdev_accept": "0"})), "lknode02", "vrf-blue", "tcp_l3mdev_accept 0"
    )
    assert cause.certainty is Certainty.LIKELY
    accepts = on(cut_off(), node("lknode02", links=IN_VRF, sysctls={"tcp_l3mdev_accept": "1"}))
    assert not [c for c in faults(diagnose(accepts)) if "VRF" in c.says], "who listens outside is reached then"
