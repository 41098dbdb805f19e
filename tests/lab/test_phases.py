"""The phases of a measured disruption against the lab's own record of what happened (issue 3, section 4: within one period each).

What the meter observed is held against what those who did it wrote down themselves:

    boundary            switchover, power loss                           service crash
    noticed             journal: the first action begun; power loss:     journal: the first action begun (recover)
                        the first comm path DEAD
    stopped             service's log: `ends on`, or journal: the IP's   the kill, by its host's clock, right before and after it
                        remove script, whichever was last; power loss:
                        nobody is left to see it: not observed
    vip moved           journal: the IP's restore script                 not observed: nothing moved
    service up          service's log: `listening on`                    the same
    probe answered      journal: the health check's restore script ends  not observed
                        as soon as its responder was probed once
    balancer switched   event: switch to the new node, which is told     not observed
                        right after its rules are in force
    first answer        switch and `listening on`, whichever was last    `listening on`
    all recovered       the same, and the IP's restore script            `listening on`

Event: events.jsonl of the lab; journal: the stand-in's, on each node; service's log: /var/log/listener.log on each node. The journal's
entries on a service's script are no match for `service up`: a start script ends 15 to 50 ms after its service listens, because it asks
the service once and then ends as a process; nor is the event probe-up one for `probe answered`: the lab's one loop, which also switches and
spawns, hears of the answer up to 25 ms later. A script of the IP resource gives a span: the address comes or goes within it. An answer
comes up to one period after its cause, and takes its own time, which its sample tells.

The tolerance, on either side, is one period and the interval at which the agent watches, the stated error of the observer's clock, and
by how much the machine's ticks were late then, by the recording's own word and by the test's own ticks: all hosts of a lab, the lab, and
the test share its processors. Of the last recovery, also by how much its attempt began later than a period after the one before.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive
from harness.core.timeline import Timeline
from harness.core.verdict import Outcome
from harness.disrupt import disruption as base
from harness.lab.lifecycle import default_cluster, launch
from harness.measure.evaluation.attempt_attribution import clock_errors
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.measure.measured_disruption import MeasuredDisruption, Start
from harness.measure.measurement_result import Boundary, Measured
from harness.measure.meter import WATCH_INTERVAL_S, Meter
from harness.remote.recording import recording

PERIOD_S = 0.01
QUIET_MOMENT_S = 400.0  # until the machine has had one that is long enough to measure in
JOURNAL = "/var/log/lifekeeper-standin.journal.jsonl"
SERVICE = default_cluster.DEFAULT_CLUSTER["services"][0]
# The service's log has the host's local time, so the host itself turns it into seconds since the epoch.
STAMPS = r"""
import json, sys, time
for line in open(sys.argv[1], errors="replace"):
    stamp, _, text = line.partition(" ")
    try: at = time.mktime(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")) + float(stamp[19:])
    except ValueError: continue
    if "listening on" in text or "ends on" in text: print(json.dumps([at, text]))
"""

CLOCKS_S = 0.001  # both clocks of one machine, read one after the other


class Span(NamedTuple):
    """When something happened, by the lab's record, on the harness's clock."""

    start: float
    end: float

    def missed_by(self, at: float) -> float:
        """How far outside of it a moment is, in seconds; negative: before."""
        return min(0.0, at - self.start) or max(0.0, at - self.end)


def last(*spans: Span) -> Span:
    return Span(max(s.start for s in spans), max(s.end for s in spans))


class Record:
    """What the lab wrote down from `since` on; every time is turned into the harness's."""

    def __init__(self, lab: launch.RunningLab, subject: ClusterUnderTest, since: float, wall_minus_mono: float) -> None:
        self._since, self._offset = since, wall_minus_mono
        self.events = [json.loads(text) for text in (lab.record.folder / "events.jsonl").read_text().splitlines()]
        self.journal: list[dict[str, Any]] = []
        self.logs: list[tuple[float, str, str]] = []
        for node in subject.cluster.nodes:
            host = subject.hosts[node.name]
            self.journal += [json.loads(text) for text in host.check(["cat", JOURNAL]).splitlines()]
            told = host.check([subject.python(node.name), "-c", STAMPS, f"/var/log/{SERVICE['name']}.log"])
            self.logs += [(at, node.name, text) for at, text in map(json.loads, told.splitlines())]

    def event(self, kind: str, **data: Any) -> Span:
        """The first of that kind with that data. A switch is told right after it was made, and how long that took."""
        rows = [(e["wall"], e["data"]) for e in self.events if e["kind"] == kind and data.items() <= e["data"].items()]
        return self._first(f"event {kind} {data}", [(at - (told["seconds"] if kind == "switch" else 0.0), at) for at, told in rows])

    def noted(self, *kinds: str, **data: Any) -> Span:
        """The first journal entry of these kinds with that data, on either node."""
        rows = [e["at_us"] / 1e6 for e in self.journal if e["kind"] in kinds and data.items() <= e.items()]
        return self._first(f"journal {kinds} {data}", [(at, at) for at in rows])

    def script(self, node: str, action: str, tag: str) -> Span:
        which = {"node": node, "action": action, "tag": tag}
        return Span(self.noted("script-begun", **which).start, self.noted("script-ended", **which).end)

    def service(self, node: str, word: str) -> Span:
        """The log has whole milliseconds, cut off."""
        return self._first(f"{word} in the log on {node}", [(at, at + 0.001) for at, n, text in self.logs if n == node and word in text])

    def at(self, wall_start: float, wall_end: float) -> Span:
        return Span(wall_start - self._offset, wall_end - self._offset)

    def _first(self, what: str, rows: list[tuple[float, float]]) -> Span:
        found = [span for span in (self.at(*row) for row in sorted(rows)) if span.end >= self._since]
        assert found, f"the lab's record has no {what} after the disruption"
        return found[0]


class Ticks(threading.Thread):
    """Wakes up every few milliseconds, and knows by how much too late."""

    EVERY_S = 0.003

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended = threading.Event()
        self._late: list[tuple[float, float]] = []

    def __enter__(self) -> Ticks:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        due = time.monotonic() + self.EVERY_S
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            now = time.monotonic()
            self._late.append((now, now - due))
            due = now + self.EVERY_S

    def late_around(self, at: float) -> float:
        """By how much the latest of the half second before, or a tenth after, was late, in seconds."""
        return max((late for now, late in self._late if at - 0.5 < now < at + 0.1), default=0.0)


class Done(NamedTuple):
    """One disruption, measured."""

    result: Measured
    recording: recording.Recording
    disruption: base.Disruption
    record: Record
    cluster: cluster_config.Cluster
    ticks: Ticks

    def happened(self) -> dict[str, Span | None]:
        """Each boundary by the lab's record; None: there is nothing that could be observed. The module's text is its table."""
        r, old, new, record = self.result, self.result.before, self.result.after, self.record
        assert new is not None
        listening = record.service(new, "listening on")
        if self.result.disruption == "service crash":
            moment = self.disruption.moment
            assert moment is not None and old == new
            return {
                "noticed": record.noted("action-begun"),
                "stopped": record.at(moment.before, moment.after),
                "service up": listening,
                "first answer": listening,
                "all recovered": listening,
            }
        cluster = self.cluster
        ip, health_check = cluster.ip_resource.tag, f"lbhc-{cluster.load_balancer.probe.port}"
        vip, switched = record.script(new, "restore", ip), record.event("switch", members=[new])
        lost = r.disruption == "power loss"
        return {
            "noticed": record.noted("path", state="DEAD") if lost else record.noted("action-begun"),
            "stopped": None if lost else last(record.service(old, "ends on"), record.script(old, "remove", ip)),
            "vip moved": vip,
            "service up": listening,
            "probe answered": record.noted("script-ended", node=new, action="restore", tag=health_check),
            "balancer switched": switched,
            "first answer": last(switched, listening),
            "all recovered": last(switched, listening, vip),
        }

    def tolerance(self, boundary: Boundary) -> float:
        """In seconds; the module's text says why."""
        at = boundary.at or 0.0
        late = [n.worst_late_s for n in self.recording.noise if n.at - 1.5 < at < n.at + 0.5]  # a line tells of the second before it
        own = {"first answer": self._took, "all recovered": self._waited}.get(boundary.name, lambda _: 0.0)(boundary)
        late.append(self.ticks.late_around(at))
        return PERIOD_S + WATCH_INTERVAL_S + clock_errors(self.recording)[boundary.source] + max(late) + own

    def _took(self, answer: Boundary) -> float:
        """The seconds of the attempt that was answered then: what is its own time, and not the meter's."""
        rows = [s for samples in self.recording.samples.values() for s in samples]
        return max((s.seconds for s in rows if abs(s.at + s.seconds - (answer.at or 0.0)) < 1e-5), default=0.0)

    def _waited(self, recovered: Boundary) -> float:
        """By how many seconds the attempt that was answered then began later than a period after the one before it."""
        gaps = [
            later.at - earlier.at
            for samples in self.recording.samples.values()
            for earlier, later in pairwise(sorted(samples, key=lambda s: s.at))
            if abs(later.at - (recovered.at or 0.0)) < 1e-5
        ]
        return max(0.0, max(gaps, default=0.0) - PERIOD_S)


def deviations(done: Done, boundaries: list[Boundary]) -> list[str]:
    """Sentences on boundaries that are not where the lab's record has them."""
    happened, anchor, found = done.happened(), done.result.anchor, []
    for b in boundaries:
        span = happened.get(b.name)
        if (b.at is None) != (span is None):
            told = "" if b.at is None else f", at {b.at - anchor:+.4f} s, and nothing of it was to be seen"
            found.append(f"{b.name}: {b.evidence}{told}")
        if b.at is None or span is None:
            continue
        off, tolerance = span.missed_by(b.at), done.tolerance(b)
        told = f"{b.name}: {b.at - anchor:+.4f} s, the lab's record {span.start - anchor:+.4f} to {span.end - anchor:+.4f} s"
        print(f"{told}: {off * 1000:+.1f} ms off, {tolerance * 1000:.1f} ms allowed ({b.evidence})")
        if abs(off) > tolerance:
            found.append(f"{told}: off by {off * 1000:+.1f} ms, {tolerance * 1000:.1f} ms allowed ({b.evidence})")
    return found


class Measurer:
    def __init__(self, lab: launch.RunningLab, subject: ClusterUnderTest, meter: Meter, folder: Path) -> None:
        self._lab, self._subject, self._meter, self._folder = lab, subject, meter, folder
        self._done: dict[str, Done] = {}

    def measure(self, name: str) -> Done:
        """Each is done once, for all who ask of it."""
        if name not in self._done:
            self._done[name] = self._measured(name)
        return self._done[name]

    def _measured(self, name: str) -> Done:
        """Once more for as long as the measurement itself says that its timing is worth nothing; a conclusive one stands."""
        reasons: list[str] = []
        limit = Deadline(QUIET_MOMENT_S)
        while not limit.expired:
            number = len(reasons)
            try:
                done = self._once(name, number)
            except Inconclusive as why:
                reasons.append(str(why))
                continue
            if done.result.timing.outcome is Outcome.PASS:
                return done
            reasons.append(done.result.timing.reason)
        pytest.fail(f"{name} could not be measured in {len(reasons)} tries: {'; '.join(reasons)}")

    def _once(self, name: str, number: int) -> Done:
        subject, path = self._subject, self._folder / f"{name.replace(' ', '-')}-{number}.jsonl"
        subject.wait_until_healthy(Deadline(120))
        disruption = base.get_disruption(name)(subject)
        disruption.prepare(Deadline(120))
        with Ticks() as ticks:
            MeasuredDisruption(subject, self._meter, disruption).record(path, Start(offset_s=0.1 * number))
        read = recording.read(path)
        result = evaluate(read)
        record = Record(self._lab, subject, result.anchor - PERIOD_S, time.time() - time.monotonic())
        return Done(result, read, disruption, record, subject.cluster, ticks)


@pytest.fixture(scope="module")
def measurer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measurer]:
    """One service, so that every series has the period that is claimed: others are measured every 100 ms."""
    data = default_cluster.cluster_data(overrides={"services": [SERVICE]})
    lab = launch.up(data, name=f"phases-{os.getpid()}", persistent=False)
    subject = ClusterUnderTest(cluster_config.load(lab.cluster_file), Timeline())
    meter = Meter(subject, period_s=PERIOD_S)
    try:
        meter.start()
        yield Measurer(lab, subject, meter, tmp_path_factory.mktemp("phases"))
    finally:
        assert meter.stop() == []
        subject.close()
        lab.down()


@pytest.mark.timing
@pytest.mark.parametrize("name", ["switchover", "service crash", "power loss"])
def test_every_boundary_is_where_the_lab_has_it(measurer, name):
    done = measurer.measure(name)
    assert deviations(done, done.result.boundaries) == []
    if name == "power loss":  # the anchor is when the lab itself says that it cut the node off
        cut = done.record.event("power", to="off")
        assert done.result.anchor - CLOCKS_S <= cut.start <= (done.recording.mark("done") or 0.0)


@pytest.mark.timing
def test_a_boundary_that_is_off_is_told(measurer):
    """Every boundary that was observed, moved either way by 30 ms more than the machine was late, is found out."""
    done = measurer.measure("switchover")
    assert {b.name for b in done.result.boundaries if b.at is None} <= {"database ready"}, "in a switchover no database needs to recover"
    for b in done.result.boundaries:
        if b.at is None:
            continue
        span = done.happened()[b.name]
        assert span is not None
        beyond = 0.030 + done.tolerance(b) - PERIOD_S - WATCH_INTERVAL_S
        for moved in (span.start - beyond, span.end + beyond):
            told = deviations(done, [Boundary(b.name, moved, b.evidence, b.source)])
            assert len(told) == 1 and told[0].startswith(b.name), told
