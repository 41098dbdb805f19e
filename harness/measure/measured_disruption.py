"""One measured disruption from beginning to end: warm up, do it, follow the paths, undo it, see the cluster healthy, read the tokens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Inconclusive
from harness.disrupt import undo
from harness.disrupt.disruption import HARNESS, Disruption, Effect
from harness.expectations.connectivity_matrix import Origin
from harness.measure.meter import ATTEMPT_TIMEOUT_S, Meter
from harness.measure.write_durability import Tokens, TokensFailed, takes_tokens
from harness.remote.recording.recording import Budget, Header, Mark, NodeEvent, Recorder

STEADY_S = 0.5  # for so long every path must have been right before a disruption may begin, and after it before the measuring ends
WARM_UP_TIMEOUT_S = 15.0
MAX_BEGINNINGS = 5  # so often a path may be out just when the start was held back
MAX_PROBE_INTERVALS = 3  # so many intervals are waited for one
COUNTED_FROM = {True: "when it was done, as its host told", False: "when the harness asked for it, so with what doing it took"}
FIRST_SAMPLE_S = 2.0  # beyond the budget: what is still out at its end must be measured past it, to be told


@dataclass(frozen=True)
class Start:
    """How the beginning is chosen: held back by `offset_s` after the cluster was steady (drawn with `seed`), or `after_probe_s` after
    a probe of the active node, where a sweep steps through the probe's period."""

    repeat: int = 0
    offset_s: float = 0.0
    seed: int | None = None
    after_probe_s: float | None = None
    lasts_s: float = 0.0  # of a soak: it is measured again and again for so long


class NotSteady(Inconclusive):
    """Paths were out before anything was done."""


class MeasuredDisruption:
    """Carries one disruption out under the meter. The recording tells everything; whoever has it judges."""

    def __init__(
        self, subject: ClusterUnderTest, meter: Meter, disruption: Disruption, *, say: Callable[[str], None] = lambda text: None
    ) -> None:
        self._subject = subject
        self._meter = meter
        self._disruption = disruption
        self._before = subject.active
        self._say = say
        self._is_begun = False
        self._tables_left: list[Tokens] = []  # of services that could not be written to
        self._began = self._happened = self._seen_at = 0.0  # seconds, monotonic: asked for, done, and seen to be so

    def record(self, path: Path, start: Start) -> None:
        """Do it, and leave its recording at `path`. The disruption is undone whatever happens.

        Raises Inconclusive when the paths are not right to begin with, or the disruption cannot be seen to take effect.
        """
        header = self._make_header(start)
        with self._meter.recording(path, header) as recorder:
            tokens: list[Tokens] = []
            with undo.ended_by(lambda: self._end_tokens(tokens, recorder), self._note):
                try:
                    self._begin_tokens(tokens, recorder)
                    self._begin_steady(tokens, start)
                    if recorder.broken:
                        raise Inconclusive(f"{self._disruption.name} was not done, because it could not be recorded: {recorder.broken}")
                    with undo.ended_by(lambda: self._undo(recorder), self._note):
                        self._disrupt(recorder)
                        self._follow(recorder, tokens)
                    self._heal(recorder)
                    for text in self._disruption.observations():
                        recorder.add(Mark(time.monotonic(), "told", text))
                except BaseException as error:  # whoever judges the recording must know that it did not come to its end, and why
                    recorder.add(Mark(time.monotonic(), "broken-off", str(error) or type(error).__name__))
                    raise
        if recorder.broken:
            raise Inconclusive(f"the measurement was not recorded to its end: {recorder.broken}")

    def _make_header(self, start: Start) -> Header:
        cluster, disruption = self._subject.cluster, self._disruption
        allowance = disruption.allowance()
        return Header(
            disruption=disruption.name,
            sentence=disruption.sentence,
            design=str(cluster.design),
            vip=str(cluster.vip),
            client=cluster.client.name,
            nodes=tuple(n.name for n in cluster.nodes),
            addresses=self._meter.addresses,
            active=self._before,
            target=disruption.target(),
            moves=disruption.moves,
            expects={str(origin): str(effect) for origin, effect in disruption.expects[cluster.design].items()},
            both_may_answer=disruption.both_may_answer,
            takes_away=disruption.takes_away,
            lasts=disruption.longest_s > 0,
            shares=disruption.shares,
            figures_only=disruption.figures_only,
            settles_s=(cluster.load_balancer.probe.threshold + 1) * cluster.load_balancer.probe.interval_s,
            budget_s=allowance.seconds,
            budget_because=allowance.because,
            probe_port=cluster.load_balancer.probe.port,
            probe_source=str(cluster.load_balancer.probe.source),
            probe_interval_s=cluster.load_balancer.probe.interval_s,
            series=tuple(self._meter.series),
            repeat=start.repeat,
            offset_s=start.offset_s if start.after_probe_s is None else start.after_probe_s,
            seed=start.seed,
        )

    def _begin_tokens(self, writing: list[Tokens], recorder: Recorder) -> None:
        """Start writing tokens to every service of the cluster that takes them; what keeps one from that is for the judgement to tell.

        What is being written to is in `writing`, also where this is left by an exception."""
        services = [s for s in self._subject.cluster.services if takes_tokens(s)]
        for service in services:
            tokens = Tokens(self._subject, service, recorder.add, service.name if len(services) > 1 else "")
            with self._note_token_failures(recorder, tokens.name):
                tokens.begin()
                writing.append(tokens)
                continue
            if writing:  # it may be another way to a database that the others write to: its table is dropped when all have ended
                self._tables_left.append(tokens)
                continue
            with contextlib.suppress(TokensFailed):  # it was told; but the table may be there, its answer being lost
                tokens.drop()

    def _end_tokens(self, writing: Sequence[Tokens], recorder: Recorder) -> None:
        """All are read back before a table is dropped: two services may be two ways to one database."""
        for tokens in writing:
            tokens.end()
        for tokens in writing:
            with self._note_token_failures(recorder, tokens.name):
                recorder.read_back(tokens.read_back(), tokens.name)
        for tokens in writing:
            with self._note_token_failures(recorder, tokens.name):  # whether they could be read or not
                tokens.drop()
        for tokens in self._tables_left:
            with contextlib.suppress(TokensFailed):
                tokens.drop()
        self._tables_left.clear()

    def _note(self, text: str) -> None:
        self._subject.timeline.note("harness", "interrupt", text)

    @contextlib.contextmanager
    def _note_token_failures(self, recorder: Recorder, service: str) -> Iterator[None]:
        try:
            yield
        except TokensFailed as error:
            data = {"service": service} if service else {}
            recorder.add(NodeEvent(time.monotonic(), self._subject.cluster.client.name, "tokens", str(error), data))

    def _begin_steady(self, tokens: Sequence[Tokens], start: Start) -> None:
        """Every path right, the start held back, and every path still right at its end: what is out then is not the disruption's."""
        for _ in range(MAX_BEGINNINGS):
            self._wait_until_steady(tokens)
            self._subject.permit(self._disruption)  # what was asked before calibrating and warming up is minutes old
            self._hold_back(start)
            if self._meter.all_right(self._all_hosts(), self._before, since=time.monotonic() - STEADY_S - ATTEMPT_TIMEOUT_S):
                return
        raise NotSteady(f"{self._disruption.name} was not done, because the paths did not stay right while its start was held back")

    def _wait_until_steady(self, tokens: Sequence[Tokens]) -> None:
        self._say("warming up: every path must be right, and tokens be taken, before anything is done")
        try:
            for written in tokens:
                Deadline(WARM_UP_TIMEOUT_S).wait_for(written.is_flowing, what="a token acknowledged from every host", every=0.05)
            self._meter.wait_until_right(self._all_hosts(), self._before, Deadline(WARM_UP_TIMEOUT_S), steady_s=STEADY_S)
        except DeadlineExceeded as error:
            raise NotSteady(f"{self._disruption.name} was not done, because the paths were not right before it: {error}") from error

    def _hold_back(self, start: Start) -> None:
        """Let the start fall at another moment of the probe and heartbeat periods."""
        seconds = start.offset_s
        if start.after_probe_s is not None:
            interval = self._subject.cluster.load_balancer.probe.interval_s
            seconds = (self._wait_for_probe(interval) + start.after_probe_s - time.monotonic()) % interval
        deadline = Deadline(seconds)
        if seconds > 0:
            deadline.wait_for(lambda: deadline.expired, what="the chosen start", every=seconds)

    def _wait_for_probe(self, interval: float) -> float:
        """A fresh one: no prober keeps its interval so well that an old one would tell where its period is now."""
        live, since = self._meter.live, time.monotonic()

        def probe() -> float:
            return live.last_probe(self._before) or 0.0

        try:
            return Deadline(MAX_PROBE_INTERVALS * interval + 1.0).wait_for(probe, until=lambda at: at > since, what="a probe", every=0.01)
        except DeadlineExceeded as error:
            raise Inconclusive(
                f"no probe of {self._before} was seen for {MAX_PROBE_INTERVALS} intervals, so the start cannot be swept through its "
                "period; may packets be captured there?"
            ) from error

    def _disrupt(self, recorder: Recorder) -> None:
        disruption = self._disruption
        limit_s = disruption.allowance().seconds + self._subject.cluster.manager.takeover_s
        self._say(f"{disruption.name}: {disruption.sentence}")
        began = time.monotonic()
        self._is_begun = True
        try:
            undo.begin(self._subject, disruption, Deadline(limit_s, anchor=began))
        finally:
            happened = min(self._exact_moment(began), time.monotonic())  # a command's word, and no moment to come
            recorder.add(Mark(happened, "begin", disruption.sentence))
            recorder.add(Mark(time.monotonic(), "counted-from", COUNTED_FROM[disruption.moment is not None]))
        recorder.add(Mark(time.monotonic(), "done"))
        allowance = disruption.counted_allowance()
        recorder.add(Budget(time.monotonic(), allowance.seconds, allowance.because))
        disruption.took_effect(Deadline(limit_s, anchor=began))
        recorder.add(Mark(time.monotonic(), "took-effect"))
        self._seen_at = time.monotonic()
        self._began, self._happened = began, min(max(began, happened), self._seen_at)

    def _exact_moment(self, began: float) -> float:
        """The moment on the host's own clock where the host told it, else when the harness asked for it."""
        moment = self._disruption.moment
        if moment is None:
            return began
        if moment.host == HARNESS:
            return moment.before - time.time() + time.monotonic()
        clock = self._meter.clock(moment.host)
        return began if clock is None else moment.before + clock.wall_s

    def _follow(self, recorder: Recorder, tokens: Sequence[Tokens]) -> None:
        """Until every path that must recover has recovered and tokens are taken over it (or its budget is over), and as long as the
        disruption has to last."""
        disruption = self._disruption
        effects = disruption.expects[self._subject.cluster.design].values()
        # Arming its undoing may take longer than it has to last. What must be out is judged from when it was seen to be in force.
        lasts = Deadline(disruption.lasts_s, anchor=self._seen_at if Effect.OUT in effects else self._happened)
        if Effect.RECOVERS in effects:
            budget = Deadline(disruption.allowance().seconds + FIRST_SAMPLE_S, anchor=self._began)
            hosts = self._hosts_to_recover()
            self._record_recovery(hosts, budget, recorder)
            self._wait_for_tokens(tokens, hosts, budget)
        if not lasts.expired:
            lasts.wait_for(lambda: lasts.expired, what="the disruption's own duration", every=lasts.remaining())

    def _hosts_to_recover(self) -> list[str]:
        """The hosts from which every path must have recovered before anything is undone.

        Not the node that will be the standby where nothing is demanded of its path, or where it has to be out: it may be gone.
        """
        cluster, effect = self._subject.cluster, self._disruption.expects[self._subject.cluster.design][Origin.STANDBY]
        if effect in (Effect.RECOVERS, Effect.UNTOUCHED):
            return self._all_hosts()
        stays = self._disruption.moves is False
        return [cluster.client.name, self._before if stays else cluster.peer_of(self._before).name]

    def _record_recovery(self, hosts: list[str], deadline: Deadline, recorder: Recorder) -> None:
        try:
            self._meter.wait_until_right(hosts, self._node_afterwards(), deadline, steady_s=STEADY_S)
            recorder.add(Mark(time.monotonic(), "right", "every path has recovered"))
        except DeadlineExceeded as error:
            recorder.add(Mark(time.monotonic(), "not-right", str(error)))  # the judgement says which path, and for how long

    def _wait_for_tokens(self, tokens: Sequence[Tokens], hosts: list[str], deadline: Deadline) -> None:
        """A database may take writes later than its path is right. Where it takes none in time, the judgement says for how long."""
        since = time.monotonic() - STEADY_S
        with contextlib.suppress(DeadlineExceeded):
            deadline.wait_for(lambda: all(t.is_taken_since(since, hosts) for t in tokens), what="tokens taken again", every=0.05)

    def _node_afterwards(self) -> str | None:
        """The node that must answer afterwards; None: whichever has it."""
        if self._disruption.moves is None:
            return None
        return self._subject.cluster.peer_of(self._before).name if self._disruption.moves else self._before

    def _undo(self, recorder: Recorder) -> None:
        """First undone, then noted: a disk that is full must not keep a node without power."""
        if not self._is_begun:
            return
        began = time.monotonic()
        try:
            undo.undo(self._subject, self._disruption, Deadline(undo.limit_s(self._subject)))
        except BaseException:
            recorder.add(Mark(began, "undo-begin"))
            raise
        undone = time.monotonic()
        recorder.add(Mark(began, "undo-begin"))
        recorder.add(Mark(undone, "undone"))

    def _heal(self, recorder: Recorder) -> None:
        """The cluster healthy again, and then every path right from every host."""
        manager = self._subject.cluster.manager
        self._say("undone; waiting for the cluster to be healthy")
        self._subject.wait_until_healthy(Deadline(manager.boot_s + manager.takeover_s))
        recorder.add(Mark(time.monotonic(), "whole"))
        self._record_recovery(self._all_hosts(), Deadline(self._disruption.allowance().seconds + FIRST_SAMPLE_S), recorder)

    def _all_hosts(self) -> list[str]:
        return [m.name for m in self._subject.cluster.machines]
