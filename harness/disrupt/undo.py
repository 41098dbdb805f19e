"""Undoing comes before anything is noted about it, and what was not seen undone is remembered until it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.core.errors import BadUse, HarnessError, Inconclusive
from harness.disrupt.disruption import EffectLost
from harness.disrupt.lease_and_role_check import REFUSED_EXIT
from harness.disrupt.move_permission import LeaseLost
from harness.hosts.host import CommandFailed

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest, StandingDisruption
    from harness.disrupt.disruption import Disruption

UNDO_TIMEOUT_S = 60.0  # beyond a node's boot


def limit_s(subject: ClusterUnderTest) -> float:
    """How long an undoing may take; seconds. A node that was taken away has to boot in it."""
    return UNDO_TIMEOUT_S + subject.cluster.manager.boot_s


def demand_permission(subject: ClusterUnderTest, disruption: Disruption) -> None:
    """Everything asked once more, right before a part of it is done. Raises Inconclusive when it is no longer this run's to do."""
    if reason := subject.lost():
        raise Inconclusive(f"{disruption.name} was not done, and nothing was: {reason}")
    subject.permit(disruption)


def begin(subject: ClusterUnderTest, disruption: Disruption, deadline: Deadline) -> None:
    """Do it. Whatever comes of that, it stands until `undo` has ended well. Raises Inconclusive when it is no longer this run's to do: it
    does not stand then, and `undo` does nothing."""
    if reason := subject.lost():
        raise Inconclusive(f"{disruption.name} was not done, and nothing was: {reason}")
    if why := disruption.not_done_there():
        raise Inconclusive(f"{disruption.name} was not done, and nothing was: {why}")
    subject.standing.append(disruption)
    try:
        disruption.begin(deadline)
    except CommandFailed as error:
        disruption.refused = error.result.exit == REFUSED_EXIT
        raise


@contextmanager
def ended_by(end: Callable[[], None], note: Callable[[str], object]) -> Iterator[None]:
    """Call `end`, which undoes or cleans up, at the end of the block, whatever became of it.

    What `end` raises is raised, but not in the place of an interrupt (Ctrl-C, SIGTERM) that is on its way: the run would take that for a
    failed test, and go on to the next disruption. Then it is noted.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        try:
            end()
        except Exception as error:
            note(f"the run is being ended, and this went wrong on the way: {error or type(error).__name__}")
        raise
    except BaseException:
        end()
        raise
    else:
        end()


def undo(subject: ClusterUnderTest, disruption: StandingDisruption, deadline: Deadline) -> None:
    """Undo it, past a test's timeout; what does not stand was refused, or is undone. Raises what keeps it from being undone; it then still
    stands, but for EffectLost, and for LeaseLost, when what is not undone is no longer this run's to change."""
    subject.before_undoing()
    if disruption not in subject.standing:
        return
    try:
        disruption.undo(deadline)
    except (EffectLost, LeaseLost):
        _remove_from_standing(subject, disruption)
        raise
    _remove_from_standing(subject, disruption)


def _remove_from_standing(subject: ClusterUnderTest, disruption: StandingDisruption) -> None:
    if disruption in subject.standing:
        subject.standing.remove(disruption)


def undo_what_stands(subject: ClusterUnderTest) -> list[str]:
    """Undo, last first, what was not seen undone; what of it still stands, in sentences. No error of one keeps the next from being undone.

    What Azure did is left out: `heal` undoes that by what this process remembers of its tags.
    """
    faults = []
    for disruption in [candidate for candidate in reversed(subject.standing) if not candidate.by_azure]:
        try:
            undo(subject, disruption, Deadline(limit_s(subject)))
        except BadUse:
            raise
        except (EffectLost, LeaseLost):
            continue
        except HarnessError as error:
            faults.append(f"{disruption.name} is not undone: {error}")
        except Exception as error:  # of a plug-in, or over what a stranger said
            faults.append(f"{disruption.name} is not undone: {type(error).__name__}: {error}")
    return faults
