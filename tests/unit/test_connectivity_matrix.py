"""The expectation matrix and the judgement on what was seen, without any network."""

from __future__ import annotations

import itertools

import pytest

from harness.config.cluster_config import Design
from harness.core.verdict import Outcome
from harness.expectations.connectivity_matrix import (
    MATRIX,
    Cell,
    Origin,
    PathObservation,
    Role,
    Situation,
    cell,
    expectation,
    judge,
    judge_outcomes,
    listens_rightly,
    reaches,
    refused,
    silent,
)
from harness.expectations.wire_code_meanings import MEANINGS

PRIVATE, VIP = "10.20.1.11", "10.20.1.200"
CELLS = [(d, s, o) for d, rows in MATRIX.items() for s in rows for o in Origin]
TO_ACTIVE = cell(reaches(Role.ACTIVE, "W1"))
MIX = cell(reaches(Role.ACTIVE, "W1"), refused("W5"))


def seen_as(expected: Cell) -> list[PathObservation]:
    """What a network that does exactly this would show: each of the ways, twice."""
    return [PathObservation(e.outcome, e.way, e.by, f"{e.outcome} by {e.way}") for e in expected.ways] * 2


def one(outcome: str, way: str, by: Role | None = None) -> PathObservation:
    return PathObservation(outcome, way, by, f"the attempt was {outcome} by {way}")


@pytest.mark.parametrize(("design", "situation", "origin"), CELLS)
def test_every_cell_passes_on_what_it_says(design, situation, origin):
    """What a cell expects is judged a pass, and its reason says how the attempts travelled."""
    expected = expectation(design, origin, situation)
    verdict = judge(expected, seen_as(expected))
    assert verdict
    assert all(MEANINGS[e.way] in verdict.reason for e in expected.ways)


def test_every_other_cell_fails_on_it():
    """The negative proof: whatever a cell expects, it is a failure wherever anything else is expected."""
    cells = set(itertools.chain.from_iterable(row for rows in MATRIX.values() for row in rows.values()))
    assert len(cells) > 10
    for expected, other in itertools.permutations(cells, 2):
        assert judge(expected, seen_as(other)).outcome is Outcome.FAIL, f"{other} passed for {expected}"


@pytest.mark.parametrize("design", Design)
def test_swapped_rows_fail(design):
    """Had the matrix two of its rows the wrong way round, what a lab shows of either would be a failure."""
    rows = MATRIX[design]
    for a, b in itertools.combinations(rows, 2):
        if rows[a] != rows[b]:
            outcomes = [judge(wrong, seen_as(right)).outcome for wrong, right in zip(rows[b], rows[a], strict=True)]
            assert Outcome.FAIL in outcomes, f"{a} and {b} could be swapped unnoticed"


def test_the_negative_control_tells_the_designs_apart():
    """Without the IP resource clients are not affected in `nat`, and hear nothing in `floating` (facts N2, F2)."""
    client = {d: expectation(d, Origin.CLIENT, Situation.IP_RESOURCE_OUT) for d in Design}
    assert client[Design.NAT] == TO_ACTIVE
    assert client[Design.FLOATING] == cell(silent("W7"))


def test_an_unknown_situation_is_a_mistake_in_the_test():
    with pytest.raises(KeyError):
        expectation(Design.FLOATING, Origin.CLIENT, Situation.ALL_PROBED_UP)


def test_no_attempt_proves_nothing():
    assert judge(TO_ACTIVE, []).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    "wrong",
    [
        one("answered", "W1", Role.STANDBY),  # the wrong node
        one("answered", "W3", Role.ACTIVE),  # the right node, the wrong way
        one("refused", "W5"),
        one("silent", "W8"),
        one("reset", "W?"),
    ],
)
def test_one_wrong_attempt_among_many_fails(wrong):
    """The reason quotes the attempt and what was expected of it."""
    verdict = judge(TO_ACTIVE, [*seen_as(TO_ACTIVE), wrong, *seen_as(TO_ACTIVE)])
    assert verdict.outcome is Outcome.FAIL
    assert wrong.sentence in verdict.reason and "reaches the active node" in verdict.reason


def test_a_way_that_could_not_be_told_is_inconclusive():
    """The outcome fits, but a blind capture neither proves the path nor breaks it."""
    verdict = judge(cell(silent("W8")), [one("silent", "W8"), one("silent", "W?")])
    assert verdict.outcome is Outcome.INCONCLUSIVE and "could not be told" in verdict.reason


def test_refused_is_not_silent():
    """A refusal comes from a machine, silence from the fabric: neither passes for the other."""
    assert judge(cell(silent("W8")), [one("refused", "W5")]).outcome is Outcome.FAIL
    assert judge(cell(refused("W5")), [one("silent", "W8")]).outcome is Outcome.FAIL


def test_a_mix_needs_every_way():
    """A mix of which only one way was seen is a failure that names the missing one."""
    verdict = judge(MIX, [one("answered", "W1", Role.ACTIVE)] * 24)
    assert verdict.outcome is Outcome.FAIL and "W5" in verdict.reason and "24 attempts" in verdict.reason


def test_a_mix_of_two_nodes_needs_both():
    both = expectation(Design.NAT, Origin.CLIENT, Situation.BOTH_UP_BOTH_SERVE)
    assert judge(both, [one("answered", "W1", Role.ACTIVE), one("answered", "W1", Role.STANDBY)])
    assert judge(both, [one("answered", "W1", Role.STANDBY)] * 24).outcome is Outcome.FAIL


def test_a_mix_is_tried_often_enough():
    """At least 20 attempts with fresh ports (facts, section 11); and as many for the claim that no other node answers."""
    assert MIX.attempts >= 20 and TO_ACTIVE.attempts >= 20
    assert cell(reaches(Role.ACTIVE, "W3")).attempts == cell(silent("W8")).attempts == 3


@pytest.mark.parametrize(
    ("design", "addresses", "fits"),
    [
        (Design.NAT, {"0.0.0.0"}, True),
        (Design.NAT, {"::"}, True),
        (Design.NAT, {"*"}, True),
        (Design.NAT, {PRIVATE, VIP}, True),
        (Design.NAT, {PRIVATE}, False),  # the inside path is refused (N4)
        (Design.NAT, {VIP}, False),  # clients are refused (N3)
        (Design.NAT, {"127.0.0.1"}, False),
        (Design.NAT, set(), False),
        (Design.FLOATING, {"0.0.0.0"}, True),
        (Design.FLOATING, {VIP}, True),
        (Design.FLOATING, {PRIVATE, VIP}, True),
        (Design.FLOATING, {PRIVATE}, False),  # nobody reaches it (F4)
        (Design.FLOATING, set(), False),
    ],
)
def test_listening_addresses(design, addresses, fits):
    """Where a listener may be bound follows from the matrix's rows 3 and 4; a fault says what to do."""
    verdict = listens_rightly(design, addresses, PRIVATE, VIP)
    assert bool(verdict) is fits
    assert fits or not addresses or "INADDR_ANY" in verdict.reason


@pytest.mark.parametrize("order", [1, -1])
def test_a_failure_outweighs_a_way_that_could_not_be_told(order):
    verdict = judge(cell(silent("W8")), [one("silent", "W?"), one("refused", "W5")][::order])
    assert verdict.outcome is Outcome.FAIL


@pytest.mark.parametrize(("design", "silence"), [(Design.NAT, "W10"), (Design.FLOATING, "W7")])
def test_on_windows_a_closed_port_is_silent_to_others_and_refused_on_the_node_itself(design, silence):
    client, inside, standby = (expectation(design, o, Situation.SERVICE_DOWN, windows=True) for o in Origin)
    assert client.ways == standby.ways == (silent(silence),) and inside.ways == (refused("W6"),)
    assert judge(client, seen_as(client)).outcome is Outcome.PASS
    assert judge(client, [one("refused", "W5")] * 2).outcome is Outcome.PASS  # stealth mode may be off
    assert judge(client, [one("refused", "W5"), one("silent", silence)]).outcome is Outcome.FAIL  # but not now and then
    assert judge(client, [one("answered", "W1", Role.ACTIVE)]).outcome is Outcome.FAIL
    assert judge(inside, [one("silent", "W?")]).outcome is Outcome.FAIL
    assert judge_outcomes(client, [one("refused", "W?")], "no port").outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(("design", "situation", "origin"), CELLS)
def test_windows_changes_nothing_but_refusals_by_another_host(design, situation, origin):
    plain, windows = expectation(design, origin, situation), expectation(design, origin, situation, windows=True)
    assert (windows is plain) == (refused("W5") not in plain.ways)
    assert [w.by for w in windows.ways] == [w.by for w in plain.ways]
