"""Paths and expectations: the expectation matrix (facts azure-ilb, section 11) as data, and the judgement on what was seen.

Pure: a function of design, role and situation. A test states the situation, never the packets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.config.cluster_config import Design
from harness.core.verdict import Outcome, Verdict, all_of, failed, inconclusive, passed
from harness.expectations.wire_code_meanings import MEANINGS


class Origin(StrEnum):
    """Where a path starts; also its name."""

    CLIENT = "client"
    INSIDE = "inside"  # the active node itself
    STANDBY = "standby"


class Role(StrEnum):
    """Who answers."""

    ACTIVE = "active"
    STANDBY = "standby"


class Situation(StrEnum):
    """The rows of the matrix, in its own words; what it has in brackets ("without VIP", "own application up") are rows as well."""

    HEALTHY = "healthy"
    IP_RESOURCE_OUT = "IP resource removed on the active node"
    BOUND_TO_VIP = "listener bound to the VIP only"
    BOUND_TO_VIP_AND_PROBED = "listener bound to the VIP only, and the probe is the application port"
    BOUND_TO_PRIVATE = "listener bound to the private address only"
    BOUND_TO_PRIVATE_NO_VIP = "listener bound to the private address only, without the VIP"
    RESPONDER_DOWN = "responder down on the active node, application and VIP still there"
    BOTH_UP = "both nodes probe-up, application and VIP on the active node only"
    BOTH_UP_NO_VIP = "both nodes probe-up, application on the active node only, without the VIP"
    BOTH_UP_BOTH_SERVE = "both nodes probe-up, application on both"
    VIP_ON_BOTH = "VIP on both nodes"
    VIP_ON_BOTH_BOTH_SERVE = "VIP and application on both nodes"
    NONE_HEALTHY = "no backend healthy, VIP nowhere"
    SERVICE_DOWN = "responder up, application down on the active node"
    SERVICE_DOWN_NO_VIP = "responder up, application down on the active node, without the VIP"
    ALL_PROBED_UP = "no backend healthy, AllProbedUp"


@dataclass(frozen=True)
class Expectation:
    """One way an attempt may end, and the wire code that proves it. It prints itself."""

    outcome: str  # answered, refused, silent: the words of AttemptOutcome
    way: str
    by: Role | None = None

    def __str__(self) -> str:
        result = f"reaches the {self.by} node" if self.by else self.outcome
        return f"{result} ({self.way}: {MEANINGS[self.way]})"


def reaches(by: Role, way: str) -> Expectation:
    """Answered, by that role and in that way."""
    return Expectation("answered", way, by)


def refused(way: str) -> Expectation:
    """Refused in that way."""
    return Expectation("refused", way)


def silent(way: str) -> Expectation:
    """No answer, in that way."""
    return Expectation("silent", way)


WITHIN = ("W3", "W6")  # ways that never leave the node, so that no balancer has a say


@dataclass(frozen=True)
class Cell:
    """What a path must do in a situation: one expectation, or a mix of which each must be seen (the hash decides). `otherwise`: what it may
    do instead."""

    ways: tuple[Expectation, ...]
    otherwise: Cell | None = None

    @property
    def mixed(self) -> bool:
        """Whether more than one thing may be seen."""
        return len(self.ways) > 1

    @property
    def attempts(self) -> int:
        """How many attempts show it. What the hash may share out takes at least 20 with fresh source ports (facts, section 11): a mix,
        and that one node answers and no other (of three attempts one in eight would miss that every other goes elsewhere)."""
        one_node = self.ways[0].by is not None and self.ways[0].way not in WITHIN
        return 24 if self.mixed or one_node else 3

    def __str__(self) -> str:
        return " or ".join(map(str, self.ways))


@dataclass(frozen=True)
class PathObservation:
    """One attempt as the harness saw it: the role of the node that answered or refused, if any, and how it travelled."""

    outcome: str
    way: str
    by: Role | None
    sentence: str


def cell(*ways: Expectation) -> Cell:
    """A cell of the matrix."""
    return Cell(ways)


_A, _S = Role.ACTIVE, Role.STANDBY
_INSIDE = cell(reaches(_A, "W3"))
_ALL_SILENT = (cell(silent("W8")), cell(silent("W8")), cell(silent("W8")))
_NO_ONE_FOR_OTHERS = (cell(silent("W8")), _INSIDE, cell(silent("W8")))

Row = tuple[Cell, Cell, Cell]  # client, inside, standby

NAT: dict[Situation, Row] = {
    Situation.HEALTHY: (cell(reaches(_A, "W1")), _INSIDE, cell(reaches(_A, "W1"))),
    Situation.IP_RESOURCE_OUT: (cell(reaches(_A, "W1")), cell(silent("W4")), cell(reaches(_A, "W1"))),
    Situation.BOUND_TO_VIP: (cell(refused("W5")), _INSIDE, cell(refused("W5"))),
    Situation.BOUND_TO_VIP_AND_PROBED: _NO_ONE_FOR_OTHERS,
    Situation.BOUND_TO_PRIVATE: (cell(reaches(_A, "W1")), cell(refused("W6")), cell(reaches(_A, "W1"))),
    Situation.BOUND_TO_PRIVATE_NO_VIP: (cell(reaches(_A, "W1")), cell(silent("W4")), cell(reaches(_A, "W1"))),
    Situation.RESPONDER_DOWN: _NO_ONE_FOR_OTHERS,
    Situation.BOTH_UP: (cell(reaches(_A, "W1"), refused("W5")), _INSIDE, cell(reaches(_A, "W1"), silent("W4"))),
    Situation.BOTH_UP_NO_VIP: (
        cell(reaches(_A, "W1"), refused("W5")),
        cell(silent("W4"), refused("W5")),
        cell(reaches(_A, "W1"), silent("W4")),
    ),
    Situation.BOTH_UP_BOTH_SERVE: (cell(reaches(_A, "W1"), reaches(_S, "W1")), _INSIDE, cell(reaches(_A, "W1"), silent("W4"))),
    Situation.VIP_ON_BOTH: (cell(reaches(_A, "W1")), _INSIDE, cell(refused("W6"))),
    Situation.VIP_ON_BOTH_BOTH_SERVE: (cell(reaches(_A, "W1")), _INSIDE, cell(reaches(_S, "W3"))),
    Situation.NONE_HEALTHY: _ALL_SILENT,
    Situation.SERVICE_DOWN: (cell(refused("W5")), cell(refused("W6")), cell(refused("W5"))),
    Situation.SERVICE_DOWN_NO_VIP: (cell(refused("W5")), cell(silent("W4")), cell(refused("W5"))),
}
NAT[Situation.ALL_PROBED_UP] = NAT[Situation.BOTH_UP]

FLOATING: dict[Situation, Row] = {
    Situation.HEALTHY: (cell(reaches(_A, "W2")), _INSIDE, cell(reaches(_A, "W2"))),
    Situation.IP_RESOURCE_OUT: (cell(silent("W7")), cell(silent("W9")), cell(silent("W7"))),
    Situation.BOUND_TO_VIP: (cell(reaches(_A, "W2")), _INSIDE, cell(reaches(_A, "W2"))),
    Situation.BOUND_TO_VIP_AND_PROBED: _NO_ONE_FOR_OTHERS,
    Situation.BOUND_TO_PRIVATE: (cell(refused("W5")), cell(refused("W6")), cell(refused("W5"))),
    Situation.RESPONDER_DOWN: _NO_ONE_FOR_OTHERS,
    Situation.BOTH_UP: (cell(reaches(_A, "W2"), silent("W7")), _INSIDE, cell(reaches(_A, "W2"), silent("W9"))),
    Situation.BOTH_UP_BOTH_SERVE: (cell(reaches(_A, "W2"), reaches(_S, "W2")), _INSIDE, cell(reaches(_S, "W3"))),
    Situation.VIP_ON_BOTH: (cell(reaches(_A, "W2")), _INSIDE, cell(refused("W6"))),
    Situation.VIP_ON_BOTH_BOTH_SERVE: (cell(reaches(_A, "W2")), _INSIDE, cell(reaches(_S, "W3"))),
    Situation.NONE_HEALTHY: _ALL_SILENT,
    Situation.SERVICE_DOWN: (cell(refused("W5")), cell(refused("W6")), cell(refused("W5"))),
}

MATRIX = {Design.NAT: NAT, Design.FLOATING: FLOATING}


def expectation(design: Design, origin: Origin, situation: Situation = Situation.HEALTHY, *, windows: bool = False) -> Cell:
    """What the path from `origin` must do, to nodes that run Linux or `windows`. Raises KeyError for a situation that the design does not
    know."""
    linux_cell = MATRIX[design][situation][list(Origin).index(origin)]
    return _stealth_cell(linux_cell, design) if windows else linux_cell


def _stealth_cell(linux_cell: Cell, design: Design) -> Cell:
    """The same on Windows, whose stealth mode, on by default, keeps silent where Linux sends a RST (facts WNET-13), but on the node itself
    (WNET-14). Somebody may have turned it off."""
    silence = silent("W7" if design is Design.FLOATING else "W10")
    ways = tuple(silence if way == refused("W5") else way for way in linux_cell.ways)
    return linux_cell if ways == linux_cell.ways else Cell(ways, otherwise=linux_cell)


def judge(expected: Cell, observations: Sequence[PathObservation]) -> Verdict:
    """Hold what was seen against the expectation.

    Every attempt must be one of the expected ways, and of a mix every way must have been seen. An attempt whose outcome
    fits but whose way could not be told makes the verdict inconclusive, not a failure.
    """
    if expected.otherwise is not None and judge(expected.otherwise, observations).outcome is Outcome.PASS:
        return judge(expected.otherwise, observations)
    if not observations:
        return inconclusive("no attempt was made")
    # Attempts that went wrong in the same way are told once.
    verdict_by_kind = {
        (observation.outcome, observation.way, observation.by): v
        for observation in reversed(observations)
        if (v := _attempt_fault(expected, observation)) is not None
    }
    if verdict_by_kind:
        return all_of(verdict_by_kind.values())
    missing = [e for e in expected.ways if not any(_outcome_fits(e, s) and e.way == s.way for s in observations)]
    if missing:
        return failed(f"expected a mix of {expected}; of {len(observations)} attempts none {' and none '.join(map(str, missing))}")
    return passed(f"{expected}; {len(observations)} of {len(observations)} attempts")


def judge_outcomes(expected: Cell, observations: Sequence[PathObservation], reason: str) -> Verdict:
    """Hold against the expectation what can be judged where nobody saw how the attempts travelled, for the reason `reason`.

    A wrong outcome is wrong however it came about. A right one passes where it is for the service to say who it is; else it is no proof.
    """
    allowed = {e.outcome for e in (*expected.ways, *(expected.otherwise.ways if expected.otherwise else ()))}
    wrong_by_outcome = {observation.outcome: observation for observation in reversed(observations) if observation.outcome not in allowed}
    if wrong_by_outcome:
        return all_of([failed(f"expected: {expected}; seen: {observation.sentence}") for observation in wrong_by_outcome.values()])
    if not observations:
        return inconclusive("no attempt was made")
    unseen_text = f"how they travelled was not seen: {reason}"
    if expected.mixed or expected.ways[0].by is None:
        return inconclusive(
            f"expected {expected}; {len(observations)} of {len(observations)} attempts {observations[0].outcome}, but {unseen_text}"
        )
    return passed(f"answered; {len(observations)} of {len(observations)} attempts; judged by who answers only, {unseen_text}")


def _attempt_fault(expected: Cell, observation: PathObservation) -> Verdict | None:
    """What is wrong with one attempt, if anything."""
    fitting = [e for e in expected.ways if _outcome_fits(e, observation)]
    if any(e.way == observation.way for e in fitting):
        return None
    if fitting and observation.way == "W?":
        return inconclusive(f"expected {expected}; how the attempt travelled could not be told: {observation.sentence}")
    return failed(f"expected: {expected}; seen: {observation.sentence}")


def _outcome_fits(expected: Expectation, observation: PathObservation) -> bool:
    return expected.outcome == observation.outcome and (expected.by is None or expected.by == observation.by)


def listens_rightly(design: Design, addresses: set[str], private: str, vip: str) -> Verdict:
    """Do a service's listening addresses on the active node fit the design (facts DSN-04, DSN-10, DSN-14)?"""
    if not addresses:
        return failed("nobody listens there")
    listing = ", ".join(sorted(addresses))
    if addresses & {"0.0.0.0", "*", "::"}:
        return passed("it listens on any address")
    needed = {private, vip} if design is Design.NAT else {vip}
    if needed <= addresses:
        return passed(f"it listens on {listing}")
    missing = " and ".join(sorted(needed - addresses))
    return failed(f"it listens on {listing} only, not on {missing}; in the {design} design let it listen on any address (INADDR_ANY)")
