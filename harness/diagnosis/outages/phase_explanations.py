"""What each phase of an outage waits for, and what makes it shorter. Pure.

The words come from the budget's own sum where it has them: what a manager must notice, and by what, the disruption has said there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.diagnosis.outages.budget_terms import Term
from harness.diagnosis.outages.path_phases import ANSWER, LASTED, STILL_OUT, Piece
from harness.measure.measurement_result import Measured, SeriesResult


@dataclass(frozen=True)
class Wait:
    """`until` completes “most of it waited …”; `host` is where it was waited. `node` below is the one that served afterwards."""

    until: str
    host: str
    do: str


def of(piece: Piece, node: str, measured: Measured, series: SeriesResult, terms: Mapping[str, Term]) -> Wait:
    """What one phase waited for, and what makes it shorter."""
    return WAITS.get(piece.name, _answer)(piece, node, measured, series, terms)


def _noticed(piece: Piece, node: str, measured: Measured, series: SeriesResult, terms: Mapping[str, Term]) -> Wait:
    host = piece.end.source if piece.end and piece.end.source else node
    notices = [notice for name, say in NOTICES.items() if (term := terms.get(name)) and (notice := say(term))]
    if notices:
        until = f"until the cluster manager on {host} had noticed: {'; '.join(words for words, _ in notices)}"
        return Wait(until, host, "; ".join(dict.fromkeys(do for _, do in notices)))
    do = "look in the manager's log on both nodes for what it did between the command and its first line about it"
    return Wait(f"until the cluster manager on {host} had begun what it was told to do", host, do)


NOTICES: Mapping[str, Callable[[Term], tuple[str, str]]] = {
    "heartbeats missed": lambda t: (
        f"{t.times} heartbeats, one every {t.each:g} s, had to be missed on every communication path ({t.seconds:g} s)",
        "shorten the heartbeat's interval or its count (LifeKeeper: LCMHBEATTIME and LCMNUMHBEATS; Pacemaker: corosync's token), but not "
        "below the longest pause that the network or the hosts make by themselves",
    ),
    "check interval": lambda t: (
        f"it looks at its resources every {t.each:g} s",
        "shorten the interval of the manager's checks (LifeKeeper: LKCHECKINTERVAL; Pacemaker: the monitor's interval)",
    ),
    "check and end of what hangs": lambda t: (
        f"a check of what hangs, and the attempt to end it, run into their limits of {t.each:g} s",
        "shorten the limit of the check and of the stop of this resource",
    ),
    "HC_TIMEOUT": lambda t: (
        f"the health-check resource waits {t.each:g} s for a probe before it fails",
        "shorten HC_TIMEOUT of the health-check resource, but not below a few of the balancer's intervals",
    ),
    "loser's check": lambda t: (
        f"the node that lost the disk looks at its resources every {t.each:g} s",
        "shorten the interval of the manager's checks (LifeKeeper: LKCHECKINTERVAL; Pacemaker: the monitor's interval)",
    ),
}


def _stopped(piece: Piece, node: str, measured: Measured, series: SeriesResult, terms: Mapping[str, Term]) -> Wait:
    last = f" ({piece.end.evidence})" if piece.end else ""
    do = f"look in the manager's log on {measured.before} for what stops slowly there"
    return Wait(f"until {measured.before} had stopped everything{last}", measured.before, do)


def _vip(piece: Piece, node: str, measured: Measured, series: SeriesResult, terms: Mapping[str, Term]) -> Wait:
    do = (
        f"look in the manager's log on {node} for what it does before it takes the address: fencing of the other node, its disks, its own "
        "order of resources"
    )
    return Wait(f"until {node} had taken the VIP", node, do)


def _service(piece: Piece, node: str, measured: Measured, series: SeriesResult, terms: Mapping[str, Term]) -> Wait:
    do = f"look in the manager's log on {node} for how long {series.service} and what it depends on (disk, file system) take to start"
    return Wait(f"until {series.service} listened on {node}", node, do)


def _database(piece: Piece, node: str, measured: Measured, series: SeriesResult, terms: Mapping[str, Term]) -> Wait:
    recovery = piece.end.evidence.partition(": ")[2].partition(", told")[0] if piece.end else ""
    do = (
        f"let {series.service} write checkpoints more often, so that less of its log is replayed when it starts; a planned switchover goes "
        "faster after a checkpoint"
    )
    return Wait(f"until {series.service} on {node} had recovered{f' ({recovery})' if recovery else ''}", node, do)


def _probe(piece: Piece, node: str, measured: Measured, series: SeriesResult, terms: Mapping[str, Term]) -> Wait:
    term = terms.get("first probe")
    every = f", which comes every {term.each:g} s" if term else ""
    do = f"see in the manager's log on {node} when the health-check resource starts; shorten the probe's interval if the probe is late"
    return Wait(f"until {node} had answered the balancer's probe{every}", node, do)


def _balancer(piece: Piece, node: str, measured: Measured, series: SeriesResult, terms: Mapping[str, Term]) -> Wait:
    term = terms.get("probe-up") or terms.get("probe verdict")
    by = f": it changes its mind by {term.times} probes, one every {term.each:g} s" if term else ""
    return Wait(f"until the balancer sent connections to {node}{by}", node, "shorten the interval or the threshold of the balancer's probe")


def _lasted(piece: Piece, node: str, measured: Measured, series: SeriesResult, terms: Mapping[str, Term]) -> Wait:
    do = "nothing: the disruption was to last so long; what counts for the budget is what came after it"
    return Wait(f"until the disruption itself ({measured.disruption}) was undone", measured.target or node, do)


def _still_out(piece: Piece, node: str, measured: Measured, series: SeriesResult, terms: Mapping[str, Term]) -> Wait:
    return Wait("for what never came", node, f"look at the cluster as it is with `lkharness check`, and in the manager's log on {node}")


def _answer(piece: Piece, node: str, measured: Measured, series: SeriesResult, terms: Mapping[str, Term]) -> Wait:
    if piece.seconds <= 2 * series.period_s:
        do = "nothing: this path was tried no more often"
        return Wait(f"until the next attempt of this path, which came every {series.period_s:g} s", series.origin, do)
    do = f"look on {node} at {series.service} itself: a queue of connections, a slow start, a limit on connections"
    return Wait(f"until {series.service} had answered rightly", node, do)


Waiting = Callable[[Piece, str, Measured, SeriesResult, Mapping[str, Term]], Wait]
WAITS: Mapping[str, Waiting] = {
    "noticed": _noticed,
    "stopped": _stopped,
    "vip moved": _vip,
    "service up": _service,
    "database ready": _database,
    "probe answered": _probe,
    "balancer switched": _balancer,
    LASTED: _lasted,
    STILL_OUT: _still_out,
    ANSWER: _answer,
}
