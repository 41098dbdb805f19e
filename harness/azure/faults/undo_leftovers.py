"""Undoes what a harness that died left disturbed: every tag in the resource group says of what. Doing it twice does no harm.

python -m harness.azure.faults.undo_leftovers SETTINGS RUN OURS        what a watchdog runs
SETTINGS: the cluster file's [azure] as JSON; RUN: whose tags; OURS: what belongs to the cluster (harness.azure.faults.undo_tag_validation)
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from harness.azure.client.operation_runner import Note, OperationRunner, make_operation_runner
from harness.azure.faults.network_faults import Network
from harness.azure.faults.undo_tag import KEY, STANDING, Undo, UndoTags, Unreadable, parse
from harness.azure.faults.undo_tag_validation import Ours
from harness.azure.faults.vm_power import Machine, name_of
from harness.config.cluster_config import Azure
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, ExitCode, HarnessError, Unusable

PENDING = (
    "the machine runs, but a restart or redeploy that Azure accepted may still come until then, where scheduled events are on in it; "
    "its tag stays so long: run this again afterwards"
)


@dataclass(frozen=True)
class UndoResult:
    """What became of one tag. `failed` is why it is not undone, in a sentence."""

    resource: str
    what: str
    failed: str | None = None

    def __str__(self) -> str:
        name = name_of(self.resource)
        return f"{name}: not undone ({self.what}): {self.failed}" if self.failed else f"{name}: undone: {self.what}"


def undo(hand: OperationRunner, resource: str, one: Undo, deadline: Deadline, *, settled: bool = False) -> None:
    """Undo one thing, see that it is undone, and only then remove its tag. Raises what kept it from that; the tag then stays.

    `settled`: whoever calls has seen that a restart came, or that it comes no more.
    """
    if one.undo in ("start", "restart"):
        Machine(hand, name_of(resource)).start(deadline)
        if one.undo == "restart" and one.may_be_at_work and not settled:
            raise Unusable(PENDING)
    elif one.undo == "rule":
        Network(hand).allow_again(resource, one.name, deadline)
    elif one.undo == "pool":
        Network(hand).join(resource, one.name, one.pool, deadline)
    else:
        Network(hand).set_admin(one.pool, one.name, one.was, deadline)
    untag(hand, resource, one, deadline)


def untag(hand: OperationRunner, resource: str, one: Undo, deadline: Deadline) -> None:
    """Remove the tag, if it is still this one. Raises what kept it from that."""
    tags = UndoTags(hand.arm)
    hand.read(lambda: tags.remove(resource, one.text()), deadline, f"removing the undo tag of {name_of(resource)}")


def heal(
    azure: Azure, note: Note, *, ours: Ours | None = None, limit_s: float | None = None, run: str = "", all_runs: bool = False
) -> list[UndoResult]:
    """Undo what tags in the resource group tell of; one failure does not keep the others from being undone.

    Of every run whose time is over; with `run` of that one alone, over or not; with `all_runs` of all. `limit_s` bounds each (default:
    twice `operation_limit_s`). A tag is obeyed only as far as
    `ours` has it that it can be a harness's. Raises HarnessError when the group cannot be read.
    """
    hand = make_operation_runner(azure, note)
    limit = 2 * azure.operation_limit_s if limit_s is None else limit_s
    try:
        looking = Deadline(limit)  # for all of them, so that an API that does not answer cannot hold it up for each
        found = hand.read(UndoTags(hand.arm).taggable_resources, looking, f"looking for {KEY} in {azure.resource_group}")
        mine = ours or Ours()
        looked = [_look(hand, resource, looking, limit, run, all_runs, mine) for resource in found]
        return [one for one in looked if one is not None]
    finally:
        hand.clients.close()


def undo_own(azure: Azure, note: Note) -> list[UndoResult]:
    """Undo what this very process disturbed and did not see undone, because its own undoing failed or was cut short."""
    hand = make_operation_runner(azure, note)
    try:
        return [undo_one(hand, resource, one, Deadline(2 * azure.operation_limit_s)) for resource, one in list(STANDING.items())]
    finally:
        hand.clients.close()


def _look(
    hand: OperationRunner, resource: str, looking: Deadline, limit_s: float, run: str, all_runs: bool, ours: Ours
) -> UndoResult | None:
    """What became of the resource's tag; None when it bears none, or none that is to be looked at."""
    what = f"whatever its tag {KEY} says"
    try:
        text = hand.read(lambda: UndoTags(hand.arm).of(resource), looking, f"reading the tags of {name_of(resource)}")
        if text is None:
            return None
        what = text
        one = parse(text)
    except Unreadable as error:
        return None if run else UndoResult(resource, what, str(error))  # a run writes none such
    except Exception as error:
        return UndoResult(resource, what, _why(error))
    if run not in ("", one.run):
        return None
    if one.may_be_at_work and not (run or all_runs):
        return UndoResult(resource, str(one), skip_message(one))
    try:
        ours.check(hand, resource, one, looking)
    except Exception as error:
        return UndoResult(resource, str(one), _why(error))
    return undo_one(hand, resource, one, Deadline(limit_s))


def undo_one(hand: OperationRunner, resource: str, one: Undo, deadline: Deadline) -> UndoResult:
    """Undo one thing; whatever keeps it from being undone is told, and keeps nothing else from it."""
    try:
        hand.say(f"{name_of(resource)}: to be undone: {one}")
        undo(hand, resource, one, deadline)
    except Exception as error:
        return UndoResult(resource, str(one), _why(error))
    return UndoResult(resource, str(one))


def skip_message(one: Undo) -> str:
    """Why one disturbance is left alone, and the command that undoes it."""
    return (
        f"left alone, because run {one.run} may still be at work and undo it itself; if that run is dead, "
        f"`lkharness azure heal --cluster FILE --run {one.run}` undoes it now, and --all in place of --run what every run left"
    )


def _why(error: Exception) -> str:
    """An answer of another shape than anybody promised gives any error at all; a person must learn of it, and of what to do."""
    if isinstance(error, HarnessError):
        return str(error)
    said = f"{type(error).__name__}: {error}"
    return f"an answer of Azure's was not of the shape that was expected ({said}); undo it by hand, then remove its tag {KEY}"


def exit_code(done: list[UndoResult], *, error: type[HarnessError] = Unusable) -> int:
    """0 when nothing is left to undo, else 4."""
    return int(error.exit_code if any(h.failed for h in done) else ExitCode.PASSED)


def _say(source: str, kind: str, text: str, **data: object) -> None:
    print(text, flush=True)


def main() -> int:
    """What the watchdog starts: undoes one run's leftovers; the exit code is 0 when nothing is left."""
    try:
        done = heal(Azure.model_validate_json(sys.argv[1]), _say, ours=Ours.read(sys.argv[3]), run=sys.argv[2])
    except (HarnessError, DeadlineExceeded) as error:
        print(f"lkharness: {error}", file=sys.stderr)
        return int(ExitCode.UNUSABLE)
    print("\n".join(map(str, done)) or "nothing is left to undo")
    return exit_code(done)


if __name__ == "__main__":
    sys.exit(main())
