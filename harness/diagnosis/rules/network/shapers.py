"""What holds back a NIC's packets: shapers, policers and queueing disciplines of `tc`."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.cluster_nics import ClusterNic, cluster_nics, explained_patterns, is_felt, lost_paths, lost_ports
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.host_config.queueing import DIVERTING, Queue
from harness.diagnosis.required_flows import join_names

STRANGLING_BITS_S = 1e6  # nothing that a cluster serves is meant to be slower than that
MIN_DROP_SHARE = 0.05  # of what a shaper got: less is how it tells a sender to slow down
MIN_DELAY_S = 1.0
TEST_DELAY_S = 0.1  # of a discipline that is for tests alone: a node that has it is slower than it is meant to be, and nothing fails of it
USUAL_MTU = 1500  # of Azure's NICs, where it was not told
ETHERNET_HEADER = 14  # bytes, which a queueing discipline counts


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for nic in cluster_nics(evidence):
        yield from held_back(evidence, nic)
        yield from _left_from_tests(evidence, nic)


def held_back(evidence: Evidence, nic: ClusterNic) -> Iterator[Cause]:
    """A shaper at the NIC itself or at its slave: with accelerated networking the VF sends for it."""
    felt, lost = is_felt(evidence, nic), lost_ports(evidence, nic)
    on_node = any(n.name == nic.host for n in evidence.cluster.nodes)
    there = _queues_of(nic)
    if (short := next((q for q in there if _cuts(q, nic)), None)) is not None and not _is_slow(short):
        yield _too_short(evidence, nic, short)
        return
    shapers = [(queue, sure) for queue in there if (sure := _certainty(queue, felt, on_node, lost)) is not None]
    for queue, certainty in sorted(shapers, key=lambda each: each[1].rank)[:1]:
        where = _where(queue, nic)
        way = f"`tc filter show dev {queue.nic} ingress` and `egress`" if queue.incoming else f"`tc qdisc del dev {queue.nic} root`"
        yield Cause(
            f"{nic} {_describe_shaper(queue)}{where}",
            nic.host,
            certainty,
            f"take it away, if nobody meant it: {way} on {nic.host}, and see what set it",
            (
                f"`tc -s {'filter' if queue.incoming else 'qdisc'}` on {nic.host}: {queue.tc_line}",
                f"of its packets {queue.dropped} were dropped, {queue.sent} sent, {queue.waiting} wait",
            ),
            explains=_explained(evidence, nic, queue, lost) if (felt or lost) and certainty is not Certainty.POSSIBLE else (),
        )


def _queues_of(nic: ClusterNic) -> list[Queue]:
    nics = {nic.nic, *(slave for slave, link in nic.seen.links.items() if link.master == nic.nic)}
    return [queue for queue in nic.seen.queues if queue.nic in nics]


def _where(queue: Queue, nic: ClusterNic) -> str:
    return "" if queue.nic == nic.nic else f" (at {queue.nic}, which sends for it)"


def _explained(evidence: Evidence, nic: ClusterNic, queue: Queue, lost: frozenset[int]) -> tuple[str, ...]:
    """Of a filter that looks for ports, what is lost at these."""
    if not queue.ports:
        return explained_patterns(evidence, nic)
    if evidence.cluster.load_balancer.probe.port in queue.ports & lost:
        return ("client/*", "standby/*", f"{nic.host}:probe port")
    lost_names = lost_paths(evidence, nic)
    return tuple(p.name for p in evidence.failed if p.name in lost_names and p.service.port in queue.ports)


def _left_from_tests(evidence: Evidence, nic: ClusterNic) -> Iterator[Cause]:
    """netem is there for tests alone: what it does too mildly for anything to fail of it."""
    on_node = any(n.name == nic.host for n in evidence.cluster.nodes)
    for queue in _queues_of(nic):
        if queue.kind != "netem" or _certainty(queue, is_felt(evidence, nic), on_node, lost_ports(evidence, nic)) is not None:
            continue
        does = bool(queue.loss or queue.disorder or queue.room is not None or queue.delay_s >= TEST_DELAY_S)
        yield Cause(
            f"{nic} {_describe_shaper(queue)}{_where(queue, nic)}",
            nic.host,
            Certainty.LIKELY if does and on_node and queue.carries_all else Certainty.POSSIBLE,
            f"take it away, if nobody meant it: `tc qdisc del dev {queue.nic} root` on {nic.host}, and see what set it",
            (f"`tc -s qdisc` on {nic.host}: {queue.tc_line}",),
        )
        return


def _cuts(queue: Queue, nic: ClusterNic) -> bool:
    """Does it let through no frame as long as the NIC's MTU makes them?"""
    return queue.carries_all and queue.largest is not None and queue.largest < nic.seen.mtus.get(nic.nic, USUAL_MTU) + ETHERNET_HEADER


def _too_short(evidence: Evidence, nic: ClusterNic, queue: Queue) -> Cause:
    """Small packets pass it, so that everything seems to work until somebody sends more."""
    cut_paths = tuple(p.name for p in evidence.failed if p.full is False and nic.host in (p.origin, evidence.active))
    size = "burst" if queue.kind == "tbf" else "limit"
    return Cause(
        f"{nic} drops every packet longer than {queue.largest:g} bytes that it sends, by a queueing discipline (`tc` {queue.kind}) whose "
        f"{size} is less than the MTU: short exchanges work, long answers hang",
        nic.host,
        Certainty.CERTAIN if cut_paths else Certainty.LIKELY,
        f"give it a {size} of several MTUs, or take it away, if nobody meant it: `tc qdisc del dev {queue.nic} root` on {nic.host}; "
        "see what set it",
        (f"`tc -s qdisc` on {nic.host}: {queue.tc_line}", f"of its packets {queue.dropped} were dropped, {queue.sent} sent"),
        explains=(*cut_paths, *explained_patterns(evidence, nic)),
    )


def _describe_shaper(queue: Queue) -> str:
    """In words that do not change from look to look."""
    by_tc = f"`tc` {queue.kind}"
    if queue.kind == "drop":
        return f"drops what a filter of tc at it takes{_of_ports(queue)} (action drop)"
    sends = "all that it sends" if queue.carries_all else "some of what it sends"
    if queue.kind in DIVERTING:
        how = "sends what a filter of tc at it takes elsewhere" if queue.kind == "redirect" else "rewrites what a filter of tc at it takes"
        return f"{how}{_of_ports(queue)}: `{_action(queue)}`"
    if queue.kind == "blackhole":
        return f"drops {sends}, by the queueing discipline blackhole (`tc`)"
    if queue.kind == "netem":
        words = [f"loses {queue.loss:g} %"] if queue.loss else []
        words += [f"delays by {queue.delay_s:g} s"] if queue.delay_s else []
        words += [f"limits to {_rate(queue.rate)}"] if queue.rate else []
        words += [f"duplicates or reorders {queue.disorder:g} %"] if queue.disorder else []
        words += [f"lets {queue.room} wait"] if queue.room is not None else []
        return f"has a queueing discipline for tests on {sends} ({by_tc}), which {' and '.join(words) or 'holds packets back'}"
    if queue.room is not None or queue.kind == "bfifo":
        packets = "1 packet" if queue.room == 1 else f"{queue.room} packets"
        many = f"{queue.largest:g} bytes" if queue.room is None else packets
        return f"lets no more than {many} wait, by a queueing discipline ({by_tc}), and drops the rest of {sends}"
    slow = "; what is larger than a handshake does not come through in time" if _is_slow(queue) else ""
    most = f" to {_rate(queue.rate)}" if queue.rate else ""
    what = "what it receives" if queue.incoming else sends
    return f"limits {what}{most}, by a {'policer' if queue.incoming else 'queueing discipline that shapes'} ({by_tc}){slow}"


def _of_ports(queue: Queue) -> str:
    return f" (port {join_names(map(str, sorted(queue.ports)))})" if queue.ports else ""


def _action(queue: Queue) -> str:
    """tc's words for it, without the numbers before them."""
    return queue.tc_line.partition(": ")[2].strip() or queue.tc_line


def _rate(bits: float | None) -> str:
    for size, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if bits is not None and bits >= size:
            return f"{bits / size:g} {unit}"
    return f"{bits or 0:g} bit/s"


def _is_slow(queue: Queue) -> bool:
    return queue.rate is not None and queue.rate < STRANGLING_BITS_S


def _certainty(queue: Queue, felt: bool, on_node: bool, lost: frozenset[int]) -> Certainty | None:
    """None for a shaper that is nobody's trouble. Where nothing fails yet, one that everything has to go through is the cluster's trouble
    at its next failover, if it is on a node; a client may be slow on purpose. Of a filter for ports it counts what is `lost` there: nobody
    may have connected to a standby before, so its own counts say nothing."""
    if queue.ports & lost and queue.kind in ("drop", *DIVERTING):
        return Certainty.LIKELY
    if queue.kind in DIVERTING:
        taken = felt and queue.sent > 0 and not queue.ports
        return None if not taken else Certainty.LIKELY if queue.carries_all else Certainty.POSSIBLE
    slow = _is_slow(queue)
    bad = slow or queue.loss >= 1 or queue.delay_s >= MIN_DELAY_S
    loses = queue.dropped > MIN_DROP_SHARE * (queue.sent + queue.dropped) or (slow and queue.waiting > 0)
    if felt and loses:
        likely = queue.carries_all or queue.kind == "netem"  # else who knows whether it is the cluster's packets
        return Certainty.CERTAIN if queue.carries_all and bad else Certainty.LIKELY if likely else Certainty.POSSIBLE
    if queue.carries_all and bad and not queue.incoming:
        return Certainty.LIKELY if felt or on_node else Certainty.POSSIBLE
    return None
