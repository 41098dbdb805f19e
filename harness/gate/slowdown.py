"""Is a run slower than its baseline? One hypothesis for each disruption and path, corrected for their number. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.core.text import seconds
from harness.gate.gate_file import Slowdown
from harness.gate.samples import Key, Sample
from harness.gate.shift_test import Shift, Stratum, holm, least_p, shift_test
from harness.report.record.gate_record import GateFinding

PASS, FAIL, REFUSED = "pass", "fail", "refused"


@dataclass(frozen=True)
class _Compared:
    key: Key
    shift: Shift
    allowed: float
    strata: Sequence[Stratum]


def slowdown(
    before: Mapping[Key, Sample],
    after: Mapping[Key, Sample],
    demand: Slowdown,
    must_see_s: float,
    scatter: Mapping[Key, float] | None = None,
) -> list[GateFinding]:
    """A finding for each disruption and path that the run measured.

    `must_see_s` is what must have been visible where the gate file does not say; `scatter` is by how much the baseline's own runs differ.
    """
    found: list[GateFinding] = []
    compared: list[_Compared] = []
    for key, sample in after.items():
        base = before.get(key, Sample())
        strata: list[Stratum] = [(base.by_direction.get(direction, []), values) for direction, values in sample.by_direction.items()]
        n = sum(len(b) for a, b in strata if a)
        m = sum(len(a) for a, b in strata if a)
        if min(n, m) < demand.least_repeats:
            found.append(
                _refused(key, f"{m} repeats of the baseline against {n} from the same node; {demand.least_repeats} of each are demanded")
            )
            continue
        if not math.isfinite(base.middle):
            found.append(_refused(key, "in the baseline itself most repeats did not recover"))
            continue
        allowed = max(demand.absolute_s, demand.relative * base.middle, (scatter or {}).get(key, 0.0))
        compared.append(_Compared(key, shift_test(strata, allowed if math.isfinite(allowed) else 0.0), allowed, strata))
    corrected = holm([one.shift.p for one in compared])
    level = demand.false_alarms / max(1, len(compared))
    found += [_judged(one, p, level, demand, must_see_s) for one, p in zip(compared, corrected, strict=True)]
    return found


def _judged(one: _Compared, p: float, level: float, demand: Slowdown, must_see_s: float) -> GateFinding:
    shift = one.shift
    visible = max(0.0, shift.visible(level))
    told = (
        f"{_signed(shift.by)} ({_signed(shift.low)} to {_signed(shift.high)}) against the baseline, {seconds(one.allowed)} allowed, "
        f"{shift.before} against {shift.after} repeats, p = {p:.4f} corrected"
    )
    seen = f"a shift of {seconds(visible)} beyond that would have been seen in 80 %" if math.isfinite(visible) else ""
    must = demand.must_see_s or must_see_s
    if p < demand.false_alarms:
        outcome, reason = FAIL, f"slower by {told}"
    elif least_p(one.strata) >= level:
        outcome, reason = REFUSED, f"{told}; so few repeats can never tell"
    elif visible > must:
        outcome, reason = (
            REFUSED,
            f"{told}; the figures scatter too much: {seen or 'no shift would have been seen'}, {seconds(must)} is demanded",
        )
    else:
        outcome, reason = PASS, f"{told}; {seen}"
    return GateFinding(about=_about(one.key), outcome=outcome, reason=reason, p=p, shift_s=_finite(shift.by), visible_s=_finite(visible))


def _refused(key: Key, why: str) -> GateFinding:
    return GateFinding(about=_about(key), outcome=REFUSED, reason=why)


def _about(key: Key) -> str:
    return f"slowdown: {key[0]}, {key[1]} path"


def _signed(value: float) -> str:
    if math.isinf(value):
        return "unbounded"
    return f"{'-' if value < 0 else '+'}{seconds(abs(value))}"


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
