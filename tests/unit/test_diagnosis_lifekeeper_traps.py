"""LifeKeeper's settings below its least, and flags on the active node that would keep everything from coming back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosis_sample import both, evidence, faults, node, only, with_host

from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.managers.parse.lifekeeper_parse import flags


def settings(here: dict[str, str], there: dict[str, str] | None = None) -> Evidence:
    return both(settings=(here, here if there is None else there))


def test_no_interval_between_looks() -> None:
    cause = only(settings({"LKCHECKINTERVAL": "0"}, {"LKCHECKINTERVAL": "120"}), "lknode01", "LKCHECKINTERVAL is 0", "noticed by nobody")
    assert cause.certainty is Certainty.LIKELY
    for value in ("120", "", "1", "never"):
        assert faults(diagnose(settings({"LKCHECKINTERVAL": value}))) == []


@pytest.mark.parametrize(("name", "value", "told"), [
    ("LCMNUMHBEATS", "1", 2), ("LCMNUMHBEATS", "2", 0), ("LCMNUMHBEATS", "x", 0), ("LCMHBEATTIME", "0.2", 0),  # as a lab has it
])  # fmt: skip
def test_heartbeats_below_the_least(name: str, value: str, told: int) -> None:
    causes = [c for c in diagnose(settings({name: value})).causes if "the least that LifeKeeper takes" in c.says]
    assert len(causes) == told and {c.certainty for c in causes} <= {Certainty.POSSIBLE}


def flagged(*lines: str, on: str = "lknode01") -> Evidence:
    return with_host(node(on, units=flags("\n".join(("shutdown_switchover", *lines, "# asked")))))


def test_a_flag_about_the_way_back() -> None:
    cause = only(
        flagged("!nofailover!lknode02"), "lknode01", "after a failover to lknode02 nothing would come back", "!nofailover!lknode02"
    )
    assert cause.certainty is Certainty.LIKELY
    (confirm,) = [c for c in diagnose(flagged("confirmso!lknode02")).causes if "come back" in c.says]
    assert confirm.certainty is Certainty.POSSIBLE and "a person's word" in confirm.says


@pytest.mark.parametrize(
    "seen",
    [
        flagged(),
        flagged("!nofailover!lknode01"),
        flagged("!nofailover!lknode02", on="lknode02"),
        flagged("!nofailover!", "xnofailover!lknode02", "!nofailover!lknode02 and more"),
    ],
)
def test_no_flag_or_another_one(seen: Evidence) -> None:
    assert [c for c in diagnose(seen).causes if "come back" in c.says] == []


def test_a_flag_of_lifekeeper_s_own_while_it_is_stopped_there() -> None:
    seen = flagged("!nofailover!lknode02")
    stopped = replace(seen.state.nodes["lknode02"], running=False, stopped=True)
    seen = replace(seen, state=replace(seen.state, nodes={**seen.state.nodes, "lknode02": stopped}))
    assert [c for c in diagnose(seen).causes if "come back" in c.says] == []


def test_flags_that_could_not_be_read() -> None:
    assert flags("!nofailover!lknode02") == {} and flags("!nofailover!b\n# asked")["flag !nofailover!b"] == "set"
    assert faults(diagnose(evidence())) == []
