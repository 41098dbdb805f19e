"""What one measurement saw, as it is stored: one JSON line after the other, written while it runs, judged whenever one likes.

Every time in it is in seconds on the harness's monotonic clock; the hosts' own times were converted by their measured offsets,
which stand in the recording as well. A file that was cut off anywhere is readable up to there.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness.core.files import open_text

VERSION = 2
NEW, PINNED = "new", "pinned"
INCIDENT = "incident"  # the disruption of a recording of which nothing was done: a flight recorder kept it


class Sample(NamedTuple):
    """One attempt (or one heartbeat of a pinned connection): when it began, how long it took, how it ended, from which port.

    `outcome` is one of answered, refused, silent, reset, unreachable, or skipped (the origin could not try; `detail` says why).
    """

    at: float
    seconds: float
    outcome: str
    port: int
    detail: str = ""


class CapturedPacket(NamedTuple):
    """One packet at one host. `what`: syn, syn-ack, rst or data; or socket: a connection in its table, where capture is not allowed."""

    at: float
    host: str
    interface: str
    what: str
    src: str
    sport: int
    dst: str
    dport: int
    outgoing: bool


@dataclass(frozen=True)
class Series:
    """What one agent measures without pause: connections from one host to one service, new ones or a pinned one."""

    id: str  # "lkclient/listener/new"
    origin: str
    service: str
    kind: str  # NEW or PINNED
    port: int
    period_s: float
    limit_s: float


@dataclass(frozen=True)
class NodeEvent:
    """Something that changed at a host: vip-up, vip-down, listener-up, listener-down (data: port), log (text: the line),
    host-lost, host-back, agent-lost, agent-back, no-capture, no-loopback (what stays inside it is not captured), no-warm-up (the first
    ticks may be late), coarse (text: what a host without Python left to be measured), not-asked (text: why what a flight recorder kept
    there is missing), witness-lost, witness-back (data: from, until: when not all of its packets were seen; dropped: by the kernel),
    witness-end (all of its packets up to then are here), looks (data: every, longest, vip_longest: seconds from one look at its VIP,
    listeners and connections to the next, in the second before)."""

    at: float
    host: str
    kind: str
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Mark:
    """What the harness did: begin, done, took-effect, undo-begin, undone; whole (the cluster is healthy again); broken-off (text: why);
    told (text: what it showed beside outages)."""

    at: float
    kind: str
    text: str = ""


@dataclass(frozen=True)
class Budget:
    """How long the paths may be out, in seconds from `begin`, as it is known once the disruption is done: what somebody else took to do
    it, the header cannot know. `because` is the sum that it comes from."""

    at: float
    seconds: float
    because: str


@dataclass(frozen=True)
class Clock:
    """harness time = host's monotonic time + offset_s, to within error_s. `wall_s` likewise for the host's wall clock."""

    host: str
    at: float
    offset_s: float
    error_s: float
    wall_s: float = 0.0


@dataclass(frozen=True)
class Noise:
    """How well a measuring host kept its ticks in the second before `at`: steal is a fraction of all cores, load is per core."""

    at: float
    host: str
    ticks: int
    late_ticks: int
    worst_late_s: float
    steal: float
    load: float


@dataclass(frozen=True)
class Token:
    """One unique value written to a database through the VIP from one origin. `by` is the node whose server took it; `service` the
    database, where the cluster has several that take tokens."""

    at: float
    origin: str
    value: str
    acknowledged: bool
    seconds: float
    by: str = ""
    detail: str = ""
    service: str = ""


@dataclass(frozen=True)
class Header:
    """What was measured, on what, and what had to happen."""

    disruption: str
    sentence: str
    design: str
    vip: str
    client: str
    nodes: tuple[str, ...]
    addresses: dict[str, list[str]]  # host → its own addresses
    active: str  # when it began
    target: str
    moves: bool | None  # must everything be on the other node afterwards? None: either
    expects: dict[str, str]  # path (client, inside, standby) → recovers, untouched, out or any
    budget_s: float  # as it was known before anything was done
    budget_because: str
    probe_port: int
    probe_source: str
    probe_interval_s: float
    series: tuple[Series, ...]
    both_may_answer: bool = False  # an isolated node may go on answering itself until it is fenced; its tokens must not be lost
    # What a recording of before does not say is None; `disruption_traits` knows what was meant then.
    takes_away: bool | None = None  # does it take its target away, so that its absence says nothing against the cluster?
    lasts: bool | None = None  # is something undone at the end, which may be an outage of its own?
    shares: bool | None = None  # does the balancer's hash decide, while it lasts, so that only some attempts must fail?
    settles_s: float | None = None  # so long after it took effect what must be out may still answer: the balancer's probe verdict
    observed: bool = False  # nothing was done: a flight recorder saw it happen, and `begin` is when that began
    figures_only: bool = False  # outages are figures of a whole: everything must be measured, also where nothing is demanded
    repeat: int = 0
    offset_s: float = 0.0  # how long the start was held back, by jitter or sweep
    seed: int | None = None
    wall_minus_mono: float = 0.0
    version: int = VERSION


@dataclass
class Recording:
    """All of it, in memory. `samples` by series id; everything else in the order in which it came, which need not be that of time."""

    header: Header
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    sightings: list[CapturedPacket] = field(default_factory=list)
    events: list[NodeEvent] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    budgets: list[Budget] = field(default_factory=list)
    clocks: list[Clock] = field(default_factory=list)
    noise: list[Noise] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)
    read_back: dict[str, int] | None = None  # token → how often it was found after healing; None: never read back
    read_back_of: dict[str, dict[str, int]] = field(
        default_factory=dict
    )  # service → the same, of each that was read, where there are several
    complete: bool = False

    def mark(self, kind: str) -> float | None:
        """When the harness did that, first."""
        return next((m.at for m in self.marks if m.kind == kind), None)

    @property
    def budget(self) -> tuple[float, str]:
        """The budget in seconds and the sum that it comes from: as it was known last, else the header's."""
        if self.budgets:
            return self.budgets[-1].seconds, self.budgets[-1].because
        return self.header.budget_s, self.header.budget_because

    @property
    def node_of_address(self) -> dict[str, str]:
        """The host of each address that the recording knows."""
        return {address: host for host, addresses in self.header.addresses.items() for address in addresses}


ONE_BY_ONE = {
    "e": (NodeEvent, "events"),
    "m": (Mark, "marks"),
    "b": (Budget, "budgets"),
    "c": (Clock, "clocks"),
    "n": (Noise, "noise"),
    "t": (Token, "tokens"),
}
LETTER = {kind: letter for letter, (kind, _) in ONE_BY_ONE.items()}


class Recorder:
    """Writes a recording as it comes in; thread-safe. A context manager: leaving it writes the end line.

    Nothing that it is given makes it raise: what writes to it also undoes what was done. `broken` says why it could not be written (a full
    disk); from then on nothing is, so that what lies on the disk ends there, and has no end line.
    """

    def __init__(self, path: Path, header: Header, clean: Callable[[Any], Any] = lambda data: data) -> None:
        """`clean` takes secrets out of every text before it is written."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()
        self._clean = clean
        self.broken = ""
        self._put({"is": "h", **asdict(header)})

    def samples(self, series: str, rows: Iterable[Sample]) -> None:
        """Appends attempts of one series."""
        self._put({"is": "s", "series": series, "rows": [_short(row) for row in rows]})

    def sightings(self, rows: Iterable[CapturedPacket]) -> None:
        """Appends packets that a capture saw."""
        self._put({"is": "w", "rows": [_short(row) for row in rows]})

    def add(self, record: NodeEvent | Mark | Budget | Clock | Noise | Token) -> None:
        """Appends one event, mark, budget, clock, noise or token."""
        self._put({"is": LETTER[type(record)], **asdict(record)})

    def read_back(self, counts: dict[str, int], service: str = "") -> None:
        """Appends how often each token was found in the database afterwards; of which `service`, where there are several."""
        self._put({"is": "r", "found": counts} | ({"service": service} if service else {}))

    def close(self) -> None:
        """Ends the file with its last line; one without it was cut off."""
        with self._lock:
            if self._file.closed:
                return
            self._write('{"is":"end"}\n')
            with suppress(OSError):  # what could not be written before is tried once more
                self._file.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, record: dict[str, Any]) -> None:
        line = json.dumps(self._clean(record), separators=(",", ":"), ensure_ascii=False)
        with self._lock:
            if not self._file.closed:  # what comes in after the end (a late stream) belongs to no measurement
                self._write(line + "\n")

    def _write(self, line: str) -> None:
        if self.broken:
            return
        try:
            self._file.write(line)
        except OSError as error:
            self.broken = f"{self._file.name}: {error.strerror or error}"


def read(path: Path) -> Recording:
    """A stored recording, as far as it goes: up to its end, or the first line that is cut off or damaged.

    Raises ValueError when not even its header is there, OSError.
    """
    with open_text(path, errors="replace") as lines:
        try:
            recording = _read_header(json.loads(next(lines, "")))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path}: is no recording of a measurement, or was cut off before its first line was whole") from error
        for line in lines:
            try:
                record = json.loads(line)
                _take_record(recording, record.pop("is"), record)
            except (ValueError, TypeError, KeyError, AttributeError):
                break  # what came before it counts; without its end the recording is not complete, and judged as such
    return recording


def _read_header(record: dict[str, Any]) -> Recording:
    if record.pop("is") != "h":
        raise ValueError("the first line is no header")
    series_records = record.pop("series" if "series" in record else "tracks")  # as version 1 calls them
    series, nodes = tuple(Series(**fields) for fields in series_records), tuple(record.pop("nodes"))
    return Recording(Header(**record, series=series, nodes=nodes))


def _take_record(recording: Recording, kind: str, record: dict[str, Any]) -> None:
    if kind == "s":
        rows = [Sample(*row) for row in record["rows"]]
        recording.samples.setdefault(record["series" if "series" in record else "track"], []).extend(rows)
    elif kind == "w":
        recording.sightings.extend([CapturedPacket(*row) for row in record["rows"]])
    elif kind == "r":
        found = dict(record["found"])
        if service := record.get("service", ""):
            recording.read_back_of[service] = found
        else:
            recording.read_back = found
    elif kind == "end":
        recording.complete = True
    elif kind in ONE_BY_ONE:
        record_type, attribute = ONE_BY_ONE[kind]
        getattr(recording, attribute).append(record_type(**record))


def _short(row: tuple) -> list:
    return [round(value, 6) if isinstance(value, float) else value for value in row]
