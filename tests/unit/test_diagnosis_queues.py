"""The diagnosis of what loses packets at a NIC and is no shaper: queues that hold next to nothing, netem's leavings, actions of filters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, SILENT, WEB, client, evidence, faults, node, only, paths, probed, swallowed, with_host

from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Direct
from harness.diagnosis.host_config import queueing
from harness.diagnosis.rules.network import links

COUNTS = "\n Sent {} bytes {} pkt (dropped {}, overlimits 0 requeues 0) \n backlog 0b 0p requeues 0\n"
BLACKHOLE = "qdisc blackhole 8024: dev eth0 root refcnt 3 "
PFIFO = "qdisc pfifo 8025: dev eth0 root refcnt 3 limit 1p"
BFIFO = "qdisc bfifo 8026: dev eth0 root refcnt 3 limit 100b"
FQ = "qdisc fq 8027: dev eth0 root refcnt 2 limit 10000p flow_limit 100p buckets 1024 low_rate_threshold 550Kbit refill_delay 40ms "
CODEL = "qdisc fq_codel 0: dev eth0 root refcnt 2 limit 10240p flows 1024 quantum 1514 target 5ms interval 100ms memory_limit 32Mb ecn "
NETEM = "qdisc netem 8002: dev eth0 root refcnt 9 limit 1000 {} "
OUTSIDE = {"client": SILENT, "standby": SILENT}
SHUT = [Direct("lkclient", "lknode02", s.port, "silent") for s in CLUSTER.services]


def queued(line: str, dropped: int = 0, sent: int = 50) -> tuple[queueing.Queue, ...]:
    return queueing.parse(line + COUNTS.format(sent * 90, sent, dropped))


def test_a_queue_that_drops_everything_on_either_node() -> None:
    seen = with_host(node("lknode01", queues=queued(BLACKHOLE, 90, 0)), paths=paths(**OUTSIDE))
    assert only(seen, "lknode01", "eth0 in Subnet#1", "drops all that it sends", "blackhole").certainty is Certainty.CERTAIN
    later = only(with_host(node("lknode02", queues=queued(BLACKHOLE, 4, 0)), direct=SHUT), "lknode02", "drops all that it sends")
    assert "NSG" not in later.says and any("NSG" in c.says for c in faults(diagnose(evidence(direct=SHUT))))


def test_a_queue_that_holds_less_than_a_packet() -> None:
    large = {"outcome": "fail", "full": False, "full_says": "3000 bytes are not answered"}
    cause = only(with_host(node("lknode01", queues=queued(BFIFO, 9)), paths=paths(client=large)), "lknode01", "100 bytes", "limit is less")
    assert cause.certainty is Certainty.CERTAIN
    only(with_host(node("lknode02", queues=queued(BFIFO.replace("100b", "1Kb")))), "lknode02", "1024 bytes")


def test_a_queue_with_room_for_a_packet_counts_where_it_loses_what_is_lost() -> None:
    lost = {"paths": paths(**OUTSIDE)}
    assert only(with_host(node("lknode01", queues=queued(PFIFO, 40)), **lost), "lknode01", "1 packet wait").certainty is Certainty.LIKELY
    assert faults(diagnose(with_host(node("lknode01", queues=queued(PFIFO, 40))))) == []
    only(with_host(node("lknode01", queues=queued(FQ + "maxrate 8Kbit", 40)), **lost), "lknode01", "8 kbit/s")


@pytest.mark.parametrize("line", [FQ, CODEL, PFIFO.replace("1p", "1000p"), BFIFO.replace("100b", "15140Kb"), FQ + "maxrate 5Gbit"])
def test_ordinary_queues_are_quiet_even_where_they_drop(line: str) -> None:
    lost = with_host(node("lknode01", queues=queued(line, 2, 100)), paths=paths(**OUTSIDE))
    assert not [c for c in diagnose(lost).causes if "queueing" in c.says], line
    if "fq 8027" not in line:
        assert queueing.parse(line) == ()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("delay 600ms", "delays by 0.6 s"),
        ("loss 0.5%", "loses 0.5 %"),
        ("loss gemodel p 20% r 80% 1-h 100% 1-k 0%", "loses 20 %"),
        ("loss state p13 5% p31 95% p32 0% p23 100% p14 0%", "loses 5 %"),
        ("duplicate 50%", "duplicates or reorders 50 %"),
        ("delay 10ms reorder 50% gap 1", "duplicates or reorders 50 %"),
    ],
)
def test_what_a_test_left_at_a_nodes_nic(words: str, says: str) -> None:
    seen = with_host(node("lknode01", queues=queued(NETEM.format(words))))
    assert only(seen, "lknode01", says, "for tests").certainty is Certainty.LIKELY
    of_client = diagnose(with_host(client(queues=queued(NETEM.format(words)))))
    assert faults(of_client) == [] and (says in of_client.causes[0].says) is True


def test_mild_netem_explains_no_silence() -> None:
    mild = node("lknode02", queues=queued(NETEM.format("delay 200ms")))
    assert links.at_fault(with_host(mild)) == frozenset()
    assert [c for c in faults(diagnose(with_host(mild, direct=SHUT))) if "NSG" in c.says]
    short = diagnose(with_host(node("lknode01", queues=queued(NETEM.format("delay 1ms")))))
    assert [c.certainty for c in short.causes] == [Certainty.POSSIBLE]


FILTER = """= eth0
filter protocol ip pref 49152 u32 chain 0
filter protocol ip pref 49152 u32 chain 0 fh 800: ht divisor 1
filter protocol ip pref 49152 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 terminal flowid not_in_hw
  match {}/0000ffff at 20
\taction order 1: {}
\tindex 1 ref 1 bind 1
\tAction statistics:
\tSent 0 bytes 0 pkt (dropped 0, overlimits 0 requeues 0)
\tbacklog 0b 0p requeues 0
"""
REDIRECT, NAT = "mirred (Egress Redirect to device lo) stolen", "nat ingress 10.20.1.11/32 10.20.1.99 pass"
PEDIT, DROP = "pedit action pass keys 1", "gact action drop"
FLOWER = FILTER.replace("  match {}/0000ffff at 20\n", "  eth_type ipv4\n  ip_proto tcp\n  dst_port {}\n  not_in_hw\n")


def filtered(action: str, port: int = WEB.port, text: str = FILTER) -> tuple[queueing.Queue, ...]:
    return queueing.parse("", text.format(f"{port:08x}" if text is FILTER else port, action))


@pytest.mark.parametrize("text", [FILTER, FLOWER])
@pytest.mark.parametrize(("action", "kind"), [(REDIRECT, "redirect"), (NAT, "nat"), (PEDIT, "pedit"), (DROP, "drop")])
def test_what_a_filter_does_with_a_port(action: str, kind: str, text: str) -> None:
    (queue,) = filtered(action, text=text)
    assert (queue.kind, queue.ports, queue.nic) == (kind, {WEB.port}, "eth0")
    seen = with_host(node("lknode01", queues=(queue,)), paths=swallowed("client"))
    cause = only(seen, "lknode01", "filter of tc", f"port {WEB.port}")
    assert cause.certainty is Certainty.LIKELY and not diagnose(seen).rest
    assert faults(diagnose(with_host(node("lknode01", queues=(queue,))))) == []


def test_a_filter_for_another_port_or_of_copies_is_not_what_loses_it() -> None:
    def told(*queues: queueing.Queue) -> list[Any]:
        return [c for c in faults(diagnose(with_host(node("lknode01", queues=queues), paths=swallowed("client")))) if "of tc" in c.says]

    assert told(*filtered(REDIRECT)) and not told(*filtered(REDIRECT, 9999)) and not told(*filtered(DROP, 9999))
    assert filtered("mirred (Egress Mirror to device lo) pipe") == () == filtered("mirred (Egress Redirect to device ifb0) stolen")
    assert filtered("bpf cil.o:[from-netdev] direct-action") == ()


def test_a_filter_on_a_standby_is_told_where_it_is_silent_at_that_port() -> None:
    one = [replace(d, outcome="silent" if d.port == WEB.port else "refused") for d in SHUT]
    seen = with_host(node("lknode02", queues=filtered(REDIRECT)), direct=one)
    assert "NSG" not in only(seen, "lknode02", "filter of tc", f"port {WEB.port}", "Redirect to device lo").says


def test_a_filter_that_takes_the_probe() -> None:
    probes = {"lknode01": probed("lknode01", answered=0), "lknode02": probed("lknode02")}
    seen = with_host(node("lknode01", queues=filtered(REDIRECT, 12345)), paths=paths(**OUTSIDE), probes=probes)
    cause = next(c for c in faults(diagnose(seen)) if "port 12345" in c.says and "filter of tc" in c.says)
    assert (cause.certainty, "client/*" in cause.explains) == (Certainty.LIKELY, True)
