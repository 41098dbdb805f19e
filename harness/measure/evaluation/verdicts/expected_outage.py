"""A path that must be out while a disruption lasts: was it? Pure.

From the balancer's verdict on (a probe or more after it took effect, and where everything moves, after the other node took over) until the
undoing begins, every attempt must fail; where the balancer's hash decides, about half of them. A path that comes back earlier shows that
what was done is not, or no longer, in force, so that nothing was proved by it.
"""

from __future__ import annotations

import math

from harness.core.verdict import Verdict, failed, inconclusive, passed
from harness.measure.evaluation import disruption_traits
from harness.measure.evaluation.attempt_attribution import Traced
from harness.measure.evaluation.series_view import SeriesView

MIN_ATTEMPTS = 16  # attempts that show a share; by fewer nothing tells one half from a path that loses one now and then
MIN_SHARE_DIFFERENCE = (
    0.25  # by the hash one half fails; further away from that than this, and than four standard deviations, it is no hash
)
MIN_DEVIATIONS = 4


def judge_being_out(view: SeriesView) -> Verdict:
    """Attempts had to fail from when it must have been in force until the undoing."""
    begin, end = view.case.recording.mark("took-effect"), view.case.undo_begin
    if begin is None or end is None:
        return inconclusive(f"{view.name}: had to be out, but the recording does not say from when until when")
    header = view.case.recording.header
    if header.moves is not False and view.case.taken_over is not None:
        begin = max(begin, view.case.taken_over)
    settled = begin + disruption_traits.settles_s(header)
    meanwhile = [attempt for attempt in view.attempts if begin <= attempt.at <= end and (not attempt.spoke or attempt.ended_at <= end)]
    late = [attempt for attempt in meanwhile if attempt.at >= settled]
    if disruption_traits.is_shared(header):
        return _judge_share(view, late if len(late) >= MIN_ATTEMPTS else meanwhile, (begin, end))
    if not late:
        return inconclusive(
            f"{view.name}: had to be out, but no attempt was made between {settled - view.case.anchor:+.2f} s, when the balancer had "
            f"noticed, and {end - view.case.anchor:+.2f} s, when it was undone"
        )
    spoke = [attempt for attempt in late if attempt.spoke]
    if not spoke:
        return passed(f"{view.name}: {len(late)} of {len(late)} attempts failed while it lasted")
    return failed(
        f"{view.name}: had to be out while it lasted, but {_list_nodes(spoke)} answered {_how_many(spoke, late)} "
        f"from {spoke[0].at - view.case.anchor:+.2f} s to {spoke[-1].at - view.case.anchor:+.2f} s"
    )


def _judge_share(view: SeriesView, attempts: list[Traced], span: tuple[float, float]) -> Verdict:
    number = len(attempts)
    failing = sum(not attempt.spoke for attempt in attempts)
    begin, end = (moment - view.case.anchor for moment in span)
    sentence = f"{failing} of {number} attempts failed while it lasted, from {begin:+.2f} s to {end:+.2f} s"
    if not number:
        return inconclusive(f"{view.name}: had to be out, but no attempt was made while it lasted")
    if number < MIN_ATTEMPTS:
        return inconclusive(f"{view.name}: {sentence}, which are too few to show whether the balancer shares connections out")
    reach = max(MIN_SHARE_DIFFERENCE, MIN_DEVIATIONS * math.sqrt(0.25 / number))
    if failing and failing < number and abs(failing / number - 0.5) <= reach:
        return passed(f"{view.name}: {sentence}")
    return failed(f"{view.name}: had to be out for about every other connection, but {sentence}")


def _list_nodes(answered: list[Traced]) -> str:
    return " and ".join(sorted({attempt.node or "a node that nobody watched" for attempt in answered}))


def _how_many(some: list[Traced], all_: list[Traced]) -> str:
    return f"all {len(all_)} attempts" if len(some) == len(all_) else f"{len(some)} of {len(all_)} attempts"
