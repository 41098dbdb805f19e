"""What holds back a NIC's packets: shapers, policers and queueing disciplines of `tc`."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.cluster_nics import ClusterNic, cluster_nics, explained_patterns, is_felt
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.host_config.queueing import Queue

STRANGLING_BITS_S = 1e6  # nothing that a cluster serves is meant to be slower than that
MIN_DROP_SHARE = 0.05  # of what a shaper got: less is how it tells a sender to slow down
MIN_DELAY_S = 1.0
USUAL_MTU = 1500  # of Azure's NICs, where it was not told
ETHERNET_HEADER = 14  # bytes, which a queueing discipline counts


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for nic in cluster_nics(evidence):
        yield from held_back(evidence, nic)


def held_back(evidence: Evidence, nic: ClusterNic) -> Iterator[Cause]:
    """A shaper at the NIC itself or at its slave: with accelerated networking the VF sends for it."""
    nics = {nic.nic, *(slave for slave, link in nic.seen.links.items() if link.master == nic.nic)}
    felt = is_felt(evidence, nic)
    on_node = any(n.name == nic.host for n in evidence.cluster.nodes)
    there = [queue for queue in nic.seen.queues if queue.nic in nics]
    if (short := next((q for q in there if _cuts(q, nic)), None)) is not None and not _is_slow(short):
        yield _too_short(evidence, nic, short)
        return
    shapers = [(queue, sure) for queue in there if (sure := _certainty(queue, felt, on_node)) is not None]
    for queue, certainty in sorted(shapers, key=lambda each: each[1].rank)[:1]:
        where = "" if queue.nic == nic.nic else f" (at {queue.nic}, which sends for it)"
        way = f"`tc filter show dev {queue.nic} ingress` and `egress`" if queue.incoming else f"`tc qdisc del dev {queue.nic} root`"
        yield Cause(
            f"{nic} {_describe_shaper(queue)}{where}",
            nic.host,
            certainty,
            f"take it away, if nobody meant it: {way} on {nic.host}, and see what set it",
            (
                f"`tc -s qdisc` on {nic.host}: {queue.tc_line}",
                f"of its packets {queue.dropped} were dropped, {queue.sent} sent, {queue.waiting} wait",
            ),
            explains=explained_patterns(evidence, nic) if felt and certainty is not Certainty.POSSIBLE else (),
        )


def _cuts(queue: Queue, nic: ClusterNic) -> bool:
    """Does it let through no frame as long as the NIC's MTU makes them?"""
    return queue.carries_all and queue.largest is not None and queue.largest < nic.seen.mtus.get(nic.nic, USUAL_MTU) + ETHERNET_HEADER


def _too_short(evidence: Evidence, nic: ClusterNic, queue: Queue) -> Cause:
    """Small packets pass it, so that everything seems to work until somebody sends more."""
    lost_paths = tuple(p.name for p in evidence.failed if p.full is False and nic.host in (p.origin, evidence.active))
    return Cause(
        f"{nic} drops every packet longer than {queue.largest:g} bytes that it sends, by a queueing discipline (`tc` {queue.kind}) whose "
        f"burst is less than the MTU: short exchanges work, long answers hang",
        nic.host,
        Certainty.CERTAIN if lost_paths else Certainty.LIKELY,
        f"give it a burst of several MTUs, or take it away, if nobody meant it: `tc qdisc del dev {queue.nic} root` on {nic.host}; "
        "see what set it",
        (f"`tc -s qdisc` on {nic.host}: {queue.tc_line}", f"of its packets {queue.dropped} were dropped, {queue.sent} sent"),
        explains=(*lost_paths, *explained_patterns(evidence, nic)),
    )


def _describe_shaper(queue: Queue) -> str:
    """In words that do not change from look to look."""
    by_tc = f"`tc` {queue.kind}"
    if queue.kind == "drop":
        return "drops what a filter of tc at it takes (action drop)"
    sends = "all that it sends" if queue.carries_all else "some of what it sends"
    if queue.kind == "netem":
        words = [f"loses {queue.loss:g} %"] if queue.loss else []
        words += [f"delays by {queue.delay_s:g} s"] if queue.delay_s else []
        words += [f"limits to {_rate(queue.rate)}"] if queue.rate else []
        return f"has a queueing discipline for tests on {sends} ({by_tc}), which {' and '.join(words) or 'holds packets back'}"
    slow = "; what is larger than a handshake does not come through in time" if _is_slow(queue) else ""
    most = f" to {_rate(queue.rate)}" if queue.rate else ""
    what = "what it receives" if queue.incoming else sends
    return f"limits {what}{most}, by a {'policer' if queue.incoming else 'queueing discipline that shapes'} ({by_tc}){slow}"


def _rate(bits: float | None) -> str:
    for size, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if bits is not None and bits >= size:
            return f"{bits / size:g} {unit}"
    return f"{bits or 0:g} bit/s"


def _is_slow(queue: Queue) -> bool:
    return queue.rate is not None and queue.rate < STRANGLING_BITS_S


def _certainty(queue: Queue, felt: bool, on_node: bool) -> Certainty | None:
    """None for a shaper that is nobody's trouble. Where nothing fails yet, one that everything has to go through is the cluster's trouble
    at its next failover, if it is on a node; a client may be slow on purpose."""
    slow = _is_slow(queue)
    bad = slow or queue.loss >= 1 or queue.delay_s >= MIN_DELAY_S
    loses = queue.dropped > MIN_DROP_SHARE * (queue.sent + queue.dropped) or (slow and queue.waiting > 0)
    if felt and loses:
        likely = queue.carries_all or queue.kind == "netem"  # else who knows whether it is the cluster's packets
        return Certainty.CERTAIN if queue.carries_all and bad else Certainty.LIKELY if likely else Certainty.POSSIBLE
    if queue.carries_all and bad and not queue.incoming:
        return Certainty.LIKELY if felt or on_node else Certainty.POSSIBLE
    return None
