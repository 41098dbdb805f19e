"""What shapes, delays or drops packets at a NIC: tc's queueing disciplines, their classes, and actions of its filters. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

# Those that are there to hold packets back. All others (fq_codel, fq, mq, noqueue, pfifo_fast, bare ingress and clsact) drop by right.
SHAPERS = frozenset({"tbf", "netem", "htb", "hfsc", "cake", "cbq", "blackhole"})
BY_PACKETS = frozenset({"pfifo", "sfq", "fq", "fq_codel", "codel", "pie"})  # which hold packets back where their limit is next to nothing
FEW_PACKETS = 2  # a handshake's answer and what follows it at once are more
FEW_BYTES = 10_000  # of a bfifo: one jumbo frame
DIVERTING = ("redirect", "nat", "pedit")  # what a filter does with packets beside dropping them: they never get where they were for
DEVICE = re.compile(r"\bdev (\S{1,15})")
RATE = re.compile(r"\b(rate|ceil|bandwidth|maxrate) (\d{1,12}(?:\.\d{1,6})?)([KMGT]?)(bit|bps)\b")
DEFAULT = re.compile(r"qdisc (?:htb|hfsc) (\S{1,8}:) .*?\bdefault (?:0x)?([1-9a-f][0-9a-f]{0,3})\b")  # the class of what no filter takes
UPPER_LIMIT = re.compile(r"\bul .*?\bm2 (\d{1,12}(?:\.\d{1,6})?)([KMGT]?)(bit|bps)\b")  # of hfsc; what it guarantees limits nothing
UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
LOSS = re.compile(r"\b(?:loss|corrupt)(?: (?:random|p|gemodel p|state p13))? (\d{1,3}(?:\.\d{1,9})?)%")
DISORDER = re.compile(r"\b(?:duplicate|reorder) (\d{1,3}(?:\.\d{1,9})?)%")
PACKETS = re.compile(r"\blimit (\d{1,9})p?\b")
BYTES = re.compile(r"\blimit (\d{1,12}(?:\.\d{1,6})?)([KM]?)b\b")
DELAY = re.compile(r"\bdelay (\d{1,12}(?:\.\d{1,9})?)(us|ms|s)\b")
BURST = re.compile(r"\bburst (\d{1,12}(?:\.\d{1,6})?)([KM]?)b\b")
SENT = re.compile(r"\bSent \d{1,20} bytes (\d{1,20}) pkts? \(dropped (\d{1,20})\b")
WAITING = re.compile(r"\bbacklog \S{1,20} (\d{1,10})p\b")
# An ifb is where what comes in is shaped, and goes on from there.
ACTION = re.compile(
    r"\b(?:police 0x[0-9a-f]+ |gact action drop\b|mirred \(\w+ Redirect to device (?!ifb)|nat (?:in|e)gress |pedit action )"
)
PORTS = re.compile(r"match ([0-9a-f]{8})/([0-9a-f]{8}) at (?:20|nexthdr\+0)\b")  # source and destination, where the header has no options
NAMED_PORT = re.compile(r"\b(?:dst|src)_port (\d{1,5})(?![-\d])")
ALL = re.compile(r"\bmatchall\b|match 00000000/00000000 at ")


@dataclass(frozen=True)
class Queue:
    """One shaper at `nic`: a queueing discipline, a class of one, or what a filter does (`police`, `drop`, DIVERTING). `tc_line` is
    tc's own line; `ports` are those that its filter looks for, empty where it looks for other things, or for all.

    `carries_all`: everything that the NIC sends, but for what a filter leads elsewhere, goes through it (or, for a filter's action, all
    that comes or goes there). `rate` in bits per
    second, `loss` in percent, as `disorder` (what is duplicated or overtaken), `delay_s` in seconds; `largest` frame in bytes that it ever
    lets through, None for any; `room` for so many packets, None where it is not next to nothing; the counts are of packets since it was
    made.
    """

    nic: str
    kind: str
    tc_line: str
    carries_all: bool
    rate: float | None = None
    loss: float = 0.0
    delay_s: float = 0.0
    disorder: float = 0.0
    room: int | None = None
    ports: frozenset[int] = frozenset()
    largest: float | None = None
    sent: int = 0
    dropped: int = 0
    waiting: int = 0

    @property
    def incoming(self) -> bool:
        """Does it stand where packets come in, or is it a filter's at least?"""
        return self.kind in ("police", "drop", *DIVERTING)


def parse(disciplines: str, details: str = "") -> tuple[Queue, ...]:
    """`tc -s qdisc`, and under a line `= NIC` for each NIC what `tc -s class` and `tc -s filter` tell. JSON is not asked for: older tools
    have none for classes, and their plain words have not changed."""
    queues = [queue for head, lines in _blocks(disciplines, details) if (queue := _queue(*head, lines)) is not None]
    defaults = {(queue.nic, f"{at[1]}{at[2]}") for queue in queues if queue.carries_all and (at := DEFAULT.match(queue.tc_line))}
    return tuple(replace(queue, carries_all=True) if (queue.nic, _class(queue)) in defaults else queue for queue in queues)


def _class(queue: Queue) -> str:
    words = queue.tc_line.split()
    return words[2] if words[0] == "class" and len(words) > 2 else ""


def _blocks(disciplines: str, details: str) -> Iterator[tuple[tuple[str, str, bool], list[str]]]:
    """Each thing's NIC, line, and whether its filter is for all packets; with the lines below it, and before these what the filter looks
    for."""
    nic, everything = "", False
    matches: list[str] = []
    current: tuple[tuple[str, str, bool], list[str]] | None = None
    for line in (*disciplines.splitlines(), *details.splitlines()):
        words = line.split()
        if line.startswith("= ") and len(words) > 1:
            yield from [current] if current else []
            nic, current = words[1], None
        elif line.startswith(("qdisc ", "class ")):
            device = DEVICE.search(line)
            yield from [current] if current else []
            current = ((device[1] if device else nic, " ".join(words), False), [])
        elif line.startswith("filter "):
            yield from [current] if current else []
            current, everything, matches = None, ALL.search(line) is not None, []
        elif ACTION.search(line):
            yield from [current] if current else []
            current = ((nic, " ".join(words), everything), [*matches])
        elif ALL.search(line):
            everything = True
        elif current:
            current[1].append(line)
        else:
            matches.append(line)
    yield from [current] if current else []


def _queue(nic: str, head: str, for_all: bool, lines: list[str]) -> Queue | None:
    words = head.split()
    of_filter = words[0] not in ("qdisc", "class")
    kind = _done_by_filter(words) if of_filter else words[1] if len(words) > 1 else ""
    rate, room, largest = _rate(head), _room(kind, head), _largest(kind, head)
    tight = room is not None or (kind == "bfifo" and largest is not None and largest < FEW_BYTES) or (kind == "fq" and rate is not None)
    if not nic or (not of_filter and kind not in SHAPERS and not tight):
        return None
    below = "\n".join(lines)
    sent, waiting = SENT.search(below), WAITING.search(below)
    delay = DELAY.search(head)
    return Queue(
        nic,
        kind,
        head,
        for_all if of_filter else words[0] == "qdisc" and "root" in words,
        rate=rate,
        loss=100.0 if kind == "blackhole" else max(map(float, LOSS.findall(head)), default=0.0),
        delay_s=float(delay[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[delay[2]] if delay else 0.0,
        disorder=max(map(float, DISORDER.findall(head)), default=0.0) if kind == "netem" else 0.0,
        room=room,
        ports=frozenset(_ports(below)) if of_filter else frozenset(),
        largest=largest,
        sent=int(sent[1]) if sent else 0,
        dropped=int(sent[2]) if sent else 0,
        waiting=int(waiting[1]) if waiting else 0,
    )


def _largest(kind: str, head: str) -> float | None:
    """A token bucket filter drops what is longer than its bucket, however long it waits (the kernel's sch_tbf: `max_size`), and a queue
    that counts bytes what is longer than it may hold (sch_fifo: bfifo_enqueue)."""
    burst = BURST.search(head) if kind == "tbf" else BYTES.search(head) if kind == "bfifo" else None
    return float(burst[1]) * {"": 1, "K": 1024, "M": 1024**2}[burst[2]] if burst else None


def _room(kind: str, head: str) -> int | None:
    """Of a queue that counts packets, netem's too, how many it holds, if that is next to nothing."""
    limit = PACKETS.search(head) if kind in BY_PACKETS or kind == "netem" else None
    return int(limit[1]) if limit and int(limit[1]) <= FEW_PACKETS else None


def _done_by_filter(words: list[str]) -> str:
    """What a filter's action does; a redirect where tc says that packets are stolen."""
    return next(
        (kind for word, kind in (("police", "police"), ("mirred", "redirect"), ("nat", "nat"), ("pedit", "pedit")) if word in words), "drop"
    )


def _ports(text: str) -> Iterator[int]:
    for value, mask in PORTS.findall(text):
        for shift in (0, 16):
            if int(mask, 16) >> shift & 0xFFFF == 0xFFFF:
                yield int(value, 16) >> shift & 0xFFFF
    yield from map(int, NAMED_PORT.findall(text))


def _rate(head: str) -> float | None:
    """The most that may pass: a class's `ceil`, else the `rate`."""
    limit = UPPER_LIMIT.search(head)
    rates = {name: _bits(*rest) for name, *rest in RATE.findall(head)}
    if limit:
        return _bits(*limit.groups())
    return rates.get("ceil", rates.get("rate", rates.get("bandwidth", rates.get("maxrate"))))


def _bits(number: str, unit: str, word: str) -> float:
    return float(number) * UNITS[unit] * (8 if word == "bps" else 1)
