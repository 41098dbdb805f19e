"""What is not as it was, in sentences. Pure: looks are compared, and nothing is known of who looked or of what was done meanwhile."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Thing(NamedTuple):
    """One thing on one host: an address, a file, a process, …; `kind` is said before its name."""

    host: str
    kind: str
    key: str


WHOLE = "host"  # the kind of what stands for a host that could not be looked at
Look = Mapping[Thing, str]  # everything there is, and how it is


@dataclass(frozen=True)
class Baseline:
    """How everything was, and what moved by itself while nothing was done."""

    look: Look
    moving: frozenset[Thing]


def baseline(looks: Sequence[Look]) -> Baseline:
    """From several looks at what nobody disturbs; what was not the same in all of them says nothing later."""
    things = frozenset().union(*looks)
    return Baseline(looks[-1], frozenset(t for t in things if len({look.get(t) for look in looks}) > 1))


def differences(before: Baseline, now: Look) -> list[str]:
    """A sentence for each thing that is new, gone or otherwise; none when all is as it was. Of a host that is not seen, only that."""
    unseen = {t.host for t in now if t.kind == WHOLE}
    things = sorted(t for t in (set(before.look) | set(now)) - before.moving if t.host not in unseen or t.kind == WHOLE)
    return [_said(t, before.look.get(t), now.get(t)) for t in things if before.look.get(t) != now.get(t)]


def lasting(seen: Sequence[Sequence[str]]) -> list[str]:
    """What is left, from the differences of one look after the other: what two of the last three have seen.

    A check that a manager runs each second has ended by then. Nothing is left when the last look has seen nothing at all, or three in a row
    had nothing in common.
    """
    *earlier, last = seen[-3:]
    if len(earlier) < 2 or not last:
        return list(last)
    before, between = earlier
    return [*(one for one in last if one in between or one in before), *(one for one in between if one in before and one not in last)]


def _said(thing: Thing, was: str | None, now: str | None) -> str:
    what = f"{thing.host}: {thing.kind} {thing.key}"
    if was is None:
        return f"{what} is new ({now})"
    if now is None:
        return f"{what} is gone ({was})"
    if "\n" in was + now:
        lines = difflib.ndiff(was.splitlines(), now.splitlines())
        return f"{what} has other lines: {'; '.join(line for line in lines if line[:2] in ('- ', '+ '))}"
    return f"{what} is {now or 'empty'}, it was {was or 'empty'}"
