"""The kernel's table of tracked connections: when it is full, what is new is dropped without a word to either end."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence

NEARLY = 0.95  # of the table: a burst of connections fills the rest


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for name, seen in evidence.hosts.items():
        number, most = (seen.sysctls.get(f"nf_conntrack_{what}", "").strip() for what in ("count", "max"))
        if not number.isdigit() or not most.isdigit() or not int(most) or int(number) < NEARLY * int(most):
            continue
        full = int(number) >= int(most)
        here = ("*/*",) if full and name == evidence.active else tuple(p.name for p in evidence.failed if full and p.origin == name)
        yield Cause(
            f"the connection-tracking table of {name} is {'full' if full else 'nearly full'}, {number} of {most} entries: its kernel drops "
            f"{'what' if full else 'soon what'} is new, probes and clients alike",
            name,
            Certainty.CERTAIN if full else Certainty.LIKELY,
            f"raise net.netfilter.nf_conntrack_max on {name}, and see what fills it (`conntrack -S`, `ss -s`)",
            (f"net.netfilter on {name}: nf_conntrack_count {number}, nf_conntrack_max {most}",),
            explains=here,
        )
