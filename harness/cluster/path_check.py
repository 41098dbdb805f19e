"""One check of one path: attempts from the origin, what the hosts saw of them, who answered, and the verdict on all three."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.cluster.full_mtu_exchange import NOT_ASKED, FullSegments, ask_in_full
from harness.cluster.host_load import overload
from harness.cluster.path_exchange import ATTEMPT_TIMEOUT_S, NoConnection, ask_over_the_path
from harness.config.cluster_config import Service
from harness.core.errors import DeadlineExceeded, HarnessError
from harness.core.verdict import Verdict, all_of, failed, inconclusive, passed
from harness.expectations.connectivity_matrix import Cell, Origin, PathObservation, Role, Situation, expectation, judge, judge_outcomes
from harness.remote.captures.attempt_address import with_addresses
from harness.remote.captures.wire_code_classifier import Way, classify_all
from harness.remote.connections.attempt import Attempt, attempt
from harness.remote.connections.attempt_outcome import AttemptOutcome
from harness.services import service_registry
from harness.services.node_identity import node_of
from harness.services.service_kind import NotServing, NotTheService, Proof, SaysItself, TurnedAway, WordsUntold, WrongAnswer

SILENCE_TIMEOUT_S = 1.3
IDENTITY_TIMEOUT_S = 10.0  # for all that a service may have to do to say who it is: a log-in, a query
MIXED_QUESTIONS = 3  # to a service that took some attempts and not others: its own words, if it can be had to say them
MIXED_TIMEOUT_S = 2.0  # for each of them
SLOW_ANSWER_S = 2.0  # to say who it is, where a session with a log-in takes tenths of a second
USUAL_ATTEMPT_S = 0.5  # an attempt, with the way to the host that makes it; tens of milliseconds where nothing is overloaded


@dataclass(frozen=True)
class Introduction:
    """What came of asking a service who it is. `hung`: it took the connection and said nothing in time; `overload`: which host of those
    that take part is too busy to tell that from slowness, in words; of one that answered late, too. `own_words`: the service itself said
    what keeps it from serving. `answered_s`: how long its right answer took, with the connection for it; None where there was none."""

    verdict: Verdict
    reply: str
    hung: bool = False
    overload: str = ""
    own_words: bool = False
    connected: bool = True  # and nothing was asked otherwise
    answered_s: float | None = None


@dataclass(frozen=True)
class PathCheck:
    """The result of one check, for the report and for a person."""

    origin: Origin
    origin_host: str
    service: Service
    situation: Situation
    expected: Cell
    attempts: list[Attempt]
    ways: list[Way]
    active: str
    identity: str
    verdict: Verdict
    seconds: float
    broke: bool = False  # the check itself, so that nothing was seen of the path
    full: FullSegments = NOT_ASKED
    hung: bool = False
    overload: str = ""
    answered_s: float | None = None  # how long the service took to say who it is, the first time that it was asked

    @property
    def node(self) -> str | None:
        """The one node that every attempt reached; None where they reached several or none."""
        nodes = {w.node for w in self.ways}
        return nodes.pop() if len(nodes) == 1 else None

    @property
    def codes(self) -> str:
        """The wire codes of the attempts, each with its number."""
        return ", ".join(
            f"{code} × {n}" if len(set(self.ways)) > 1 and n > 1 else code for code, n in Counter(w.code for w in self.ways).items()
        )

    @property
    def outcomes(self) -> dict[str, int]:
        """How many attempts ended in which way."""
        return dict(Counter(str(a.outcome) for a in self.attempts))

    @property
    def observed(self) -> str:
        """What was seen of the attempts, in words."""
        return "; ".join(dict.fromkeys(str(w) for w in self.ways[:3])) or "nothing"


def check_path(
    subject: ClusterUnderTest,
    origin: Origin,
    service: Service,
    active: str,
    situation: Situation = Situation.HEALTHY,
    *,
    count: int | None = None,
    in_full: bool = False,
) -> PathCheck:
    """Try the path and judge it. Where it must reach a node, the service there is asked who it is as well; with `in_full`, also
    something that fills segments, where its kind bears that."""
    started_at = time.monotonic()
    cluster = subject.cluster
    expected = expectation(cluster.design, origin, situation, windows=all(n.platform == "windows" for n in cluster.nodes))
    host = subject.origin(origin, active)
    limit = ATTEMPT_TIMEOUT_S if all(e.outcome == "answered" for e in expected.ways) else SILENCE_TIMEOUT_S
    with subject.watched() as capture_window:
        attempts = attempt(subject.connection_workers[host], str(cluster.vip), service.port, count=count or expected.attempts, limit=limit)
        packets = capture_window.packets()
    attempts = with_addresses(attempts, packets, cluster)
    ways = classify_all(attempts, packets, cluster, without_loopback=capture_window.without_loopback)
    observations = [_observation(a, w, active, subject) for a, w in zip(attempts, ways, strict=True)]
    unseen_reason = why_unseen(subject, host)
    verdict = judge_outcomes(expected, observations, unseen_reason) if unseen_reason else judge(expected, observations)
    introduction, full = Introduction(verdict, ""), NOT_ASKED
    one_node = not expected.mixed and expected.ways[0].by is not None
    expected_node = active if expected.ways[0].by is Role.ACTIVE else subject.standby_of(active)
    if one_node and in_full and {a.answered for a in attempts} == {True, False}:
        own_words = _own_words(subject, host, service, expected_node)
        introduction = Introduction(verdict, own_words.reply if own_words else "")
    elif verdict and one_node:
        introduction = ask_identity(subject, host, service, expected_node, packets_tell=not unseen_reason)
        if not introduction.connected and in_full:
            introduction = _own_words(subject, host, service, expected_node) or introduction
        if introduction.verdict and in_full:
            full = ask_in_full(subject, host, service)
            introduction = Introduction(full.verdict, full.wrong, own_words=True) if full.wrong else introduction
        verdict = all_of([verdict, introduction.verdict, *([full.verdict] if full is not NOT_ASKED else [])])
    return PathCheck(
        origin,
        host,
        service,
        situation,
        expected,
        attempts,
        ways,
        active,
        introduction.reply,
        verdict,
        time.monotonic() - started_at,
        full=full,
        hung=introduction.hung,
        overload=introduction.overload,
        answered_s=introduction.answered_s,
    )


def why_unseen(subject: ClusterUnderTest, origin: str) -> str:
    """Why nobody can see how attempts from there travel; "" where somebody can."""
    if not subject.capabilities(origin).tells_port:
        return f"{origin} cannot tell from which port its attempts come"
    unwatched = [n.name for n in subject.cluster.nodes if n.name in subject.unwatchable()]
    refusals = [subject.capture_refused[name] for name in unwatched if name in subject.capture_refused]
    return "; ".join(refusals) or (f"without Python the packets of {' and '.join(unwatched)} cannot be watched" if unwatched else "")


def unchecked_path(subject: ClusterUnderTest, origin: Origin, service: Service, active: str, reason: str) -> PathCheck:
    """A check that broke before there was anything to judge."""
    expected, situation = expectation(subject.cluster.design, origin, Situation.HEALTHY), Situation.HEALTHY
    host, verdict = subject.origin(origin, active), inconclusive(f"it could not be checked: {reason}")
    return PathCheck(origin, host, service, situation, expected, [], [], active, "", verdict, 0.0, broke=True)


def _observation(attempt_made: Attempt, way: Way, active: str, subject: ClusterUnderTest) -> PathObservation:
    by = None
    if attempt_made.outcome is AttemptOutcome.ANSWERED and way.node is not None:
        by = Role.ACTIVE if way.node == active else Role.STANDBY
    return PathObservation(str(attempt_made.outcome), way.code, by, str(way))


def ask_identity(
    subject: ClusterUnderTest,
    host: str,
    service: Service,
    expected_node: str,
    *,
    limit: float = IDENTITY_TIMEOUT_S,
    packets_tell: bool = True,
    controls: bool = True,
) -> Introduction:
    """Let the service say who it is, over a connection made on the origin.

    One that names no node passes where the packets name it (`packets_tell`), and proves nothing elsewhere. Where it says nothing in time,
    `controls` look whether that is a slow host's doing.
    """
    path_text = f"{host} → {subject.cluster.vip}:{service.port}"
    kind = service_registry.kind(service.kind)
    try:
        asked_at = time.monotonic()
        identity = ask_over_the_path(subject, host, service, kind.who_are_you, limit)
        answered_s = time.monotonic() - asked_at
        identity_text = identity.said
        if isinstance(kind, Proof):
            identity_text += f", {ask_over_the_path(subject, host, service, kind.is_it_really_you, limit)}"
    except TurnedAway as error:
        return Introduction(failed(f"{path_text}: the {service.kind} service turned us away: {error}"), str(error), own_words=True)
    except WrongAnswer as error:
        verdict = failed(f"{path_text}: the {service.kind} service answers, and not what it should: {error}")
        return Introduction(verdict, str(error), own_words=True)
    except WordsUntold as error:
        own_words = _ask_untold_words(subject, host, service, limit) or str(error)
        return Introduction(
            failed(f"{path_text}: the {service.kind} service broke off when asked who it is: {own_words}"), own_words, own_words=True
        )
    except NotServing as error:
        verdict = failed(f"{path_text}: the {service.kind} service broke off when asked who it is: {error}")
        return Introduction(verdict, str(error), own_words=True)
    except NotTheService as error:
        return Introduction(failed(f"{path_text}: what answers is not the {service.kind} service: {error}"), str(error))
    except DeadlineExceeded as error:
        if not controls:
            return Introduction(inconclusive(f"{path_text}: {error}"), str(error), hung=True)
        return _judge_hang(subject, host, service, expected_node, f"{path_text}: the {service.kind} service", str(error))
    except NoConnection as error:
        return Introduction(
            failed(f"{path_text}: {error} when the {service.kind} service was to be asked who it is"), str(error), connected=False
        )
    except OSError as error:
        return Introduction(failed(f"{path_text}: the {service.kind} service broke off when asked who it is: {error}"), str(error))
    node, node_text = node_of(
        identity, subject.cluster, _process_starts(subject, service) if identity.node is None and identity.started else {}
    )
    if node is None and not packets_tell:
        return Introduction(
            inconclusive(f"{path_text}: which node answered is not known: {node_text}, and no packets tell it"), identity_text
        )
    busy = overload(subject, host, expected_node) if answered_s >= SLOW_ANSWER_S and controls else ""
    if node is None:
        said = passed(f"it speaks {service.kind}; the packets tell the node ({node_text})")
        return Introduction(said, identity_text, overload=busy, answered_s=answered_s)
    if node != expected_node:
        return Introduction(
            failed(f"{path_text}: expected {expected_node}, but {node_text}"),
            f"{identity_text}, as {expected_node} was expected, but {node_text}",
        )
    return Introduction(passed(node_text), identity_text, overload=busy, answered_s=answered_s)


def _own_words(subject: ClusterUnderTest, host: str, service: Service, expected_node: str) -> Introduction | None:
    """What a service that took some connections and not others says of that itself, as one does whose connections are all taken; None where
    it says nothing. What is silent to the questions too, or hangs, was seen already."""
    for _ in range(MIXED_QUESTIONS):
        try:
            introduction = ask_identity(subject, host, service, expected_node, limit=MIXED_TIMEOUT_S, controls=False)
        except HarnessError:
            break
        if introduction.own_words:
            return introduction
        if introduction.verdict or introduction.hung:
            break
    return None


def _ask_untold_words(subject: ClusterUnderTest, host: str, service: Service, limit: float) -> str:
    """What the library kept back of the service's error, by a second question; empty where that brings nothing."""
    kind = service_registry.kind(service.kind)
    try:
        own_words = ask_over_the_path(subject, host, service, kind.own_words, limit) if isinstance(kind, SaysItself) else ""
    except (DeadlineExceeded, OSError):
        return ""
    return f"{subject.cluster.vip}:{service.port}: {own_words}" if own_words else ""


def _judge_hang(
    subject: ClusterUnderTest, host: str, service: Service, expected_node: str, service_text: str, error_text: str
) -> Introduction:
    """It was not answered in time, and the controls of that: a connection, and the load of the hosts that take part."""
    slow_connect = [] if _connects_quickly(subject, host, service) else ["connecting is slow too"]
    overloaded = "; ".join([*slow_connect, *filter(None, [overload(subject, host, expected_node)])])
    sentence = f"{service_text} took the connection and did not say who it is: {error_text}"
    verdict = (
        inconclusive(f"{sentence}; but {overloaded}: cannot tell a service that hangs from a slow host") if overloaded else failed(sentence)
    )
    return Introduction(verdict, error_text, True, overloaded)


def _connects_quickly(subject: ClusterUnderTest, host: str, service: Service) -> bool:
    """Is everything but the answer as quick as ever?"""
    started_at = time.monotonic()
    attempts = attempt(subject.connection_workers[host], str(subject.cluster.vip), service.port, count=1, limit=ATTEMPT_TIMEOUT_S)
    return attempts[0].answered and time.monotonic() - started_at < USUAL_ATTEMPT_S


def _process_starts(subject: ClusterUnderTest, service: Service) -> dict[str, float | None]:
    """When the process that listens on the service's port started, per node: its identity where it tells nothing else."""
    start_by_node: dict[str, float | None] = {}
    for node in subject.cluster.nodes:
        if node.name in subject.absent:
            continue
        facts = subject.facts[node.name]
        pids = [x.pid for x in facts.listeners() if x.port == service.port and x.pid]
        start_by_node[node.name] = facts.process_start(pids[0]) if pids else None
    return start_by_node
