"""What the tests of the judge share: what paths are expected to do, and a series of a result by its origin.

In their recordings a client and two nodes are measured every 10 ms, and A is the active node until 2.0, when the disruption begins.
"""

from __future__ import annotations

from recordings import A, Script

from harness.core.verdict import Outcome

U3 = {"client": "untouched", "inside": "untouched", "standby": "untouched"}
R3 = {"client": "recovers", "inside": "recovers", "standby": "recovers"}
A3 = {"client": "any", "inside": "any", "standby": "any"}
STAYS = Script([(0, A)], [(0, A)])
FAIL, PASS, OPEN = Outcome.FAIL, Outcome.PASS, Outcome.INCONCLUSIVE


def series_of(result, origin, kind="new"):
    return next(t for t in result.series if t.origin == origin and t.kind == kind)
