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


def undo(operations: OperationRunner, resource: str, pending: Undo, deadline: Deadline, *, settled: bool = False) -> None:
    """Undo one thing, see that it is undone, and only then remove its tag. Raises what kept it from that; the tag then stays.

    `settled`: whoever calls has seen that a restart came, or that it comes no more.
    """
    if pending.undo in ("start", "restart"):
        Machine(operations, name_of(resource)).start(deadline)
        if pending.undo == "restart" and pending.may_be_at_work and not settled:
            raise Unusable(PENDING)
    elif pending.undo == "rule":
        Network(operations).allow_again(resource, pending.name, deadline)
    elif pending.undo == "pool":
        Network(operations).join(resource, pending.name, pending.pool, deadline)
    else:
        Network(operations).set_admin(pending.pool, pending.name, pending.was, deadline)
    untag(operations, resource, pending, deadline)


def untag(operations: OperationRunner, resource: str, pending: Undo, deadline: Deadline) -> None:
    """Remove the tag, if it is still this one. Raises what kept it from that."""
    tags = UndoTags(operations.arm)
    operations.read(lambda: tags.remove(resource, pending.text()), deadline, f"removing the undo tag of {name_of(resource)}")


def heal(
    azure: Azure, note: Note, *, ours: Ours | None = None, limit_s: float | None = None, run: str = "", all_runs: bool = False
) -> list[UndoResult]:
    """Undo what tags in the resource group tell of; one failure does not keep the others from being undone.

    Of every run whose time is over; with `run` of that one alone, over or not; with `all_runs` of all. `limit_s` bounds each (default:
    twice `operation_limit_s`). A tag is obeyed only as far as
    `ours` has it that it can be a harness's. Raises HarnessError when the group cannot be read.
    """
    operations = make_operation_runner(azure, note)
    limit = 2 * azure.operation_limit_s if limit_s is None else limit_s
    try:
        read_deadline = Deadline(limit)  # for all of them, so that an API that does not answer cannot hold it up for each
        resources = operations.read(
            UndoTags(operations.arm).taggable_resources, read_deadline, f"looking for {KEY} in {azure.resource_group}"
        )
        cluster_resources = ours or Ours()
        results = [_look(operations, resource, read_deadline, limit, run, all_runs, cluster_resources) for resource in resources]
        return [result for result in results if result is not None]
    finally:
        operations.clients.close()


def undo_own(azure: Azure, note: Note) -> list[UndoResult]:
    """Undo what this very process disturbed and did not see undone, because its own undoing failed or was cut short."""
    operations = make_operation_runner(azure, note)
    try:
        return [
            undo_one(operations, resource, pending, Deadline(2 * azure.operation_limit_s)) for resource, pending in list(STANDING.items())
        ]
    finally:
        operations.clients.close()


def _look(
    operations: OperationRunner, resource: str, read_deadline: Deadline, limit_s: float, run: str, all_runs: bool, ours: Ours
) -> UndoResult | None:
    """What became of the resource's tag; None when it bears none, or none that is to be looked at."""
    description = f"whatever its tag {KEY} says"
    try:
        text = operations.read(lambda: UndoTags(operations.arm).of(resource), read_deadline, f"reading the tags of {name_of(resource)}")
        if text is None:
            return None
        description = text
        pending = parse(text)
    except Unreadable as error:
        return None if run else UndoResult(resource, description, str(error))  # a run writes none such
    except Exception as error:
        return UndoResult(resource, description, _why(error))
    if run not in ("", pending.run):
        return None
    if pending.may_be_at_work and not (run or all_runs):
        return UndoResult(resource, str(pending), skip_message(pending))
    try:
        ours.check(operations, resource, pending, read_deadline)
    except Exception as error:
        return UndoResult(resource, str(pending), _why(error))
    return undo_one(operations, resource, pending, Deadline(limit_s))


def undo_one(operations: OperationRunner, resource: str, pending: Undo, deadline: Deadline) -> UndoResult:
    """Undo one thing; whatever keeps it from being undone is told, and keeps nothing else from it."""
    try:
        operations.say(f"{name_of(resource)}: to be undone: {pending}")
        undo(operations, resource, pending, deadline)
    except Exception as error:
        return UndoResult(resource, str(pending), _why(error))
    return UndoResult(resource, str(pending))


def skip_message(pending: Undo) -> str:
    """Why one disturbance is left alone, and the command that undoes it."""
    return (
        f"left alone, because run {pending.run} may still be at work and undo it itself; if that run is dead, "
        f"`lkharness azure heal --cluster FILE --run {pending.run}` undoes it now, and --all in place of --run what every run left"
    )


def _why(error: Exception) -> str:
    """An answer of another shape than anybody promised gives any error at all; a person must learn of it, and of what to do."""
    if isinstance(error, HarnessError):
        return str(error)
    error_text = f"{type(error).__name__}: {error}"
    return f"an answer of Azure's was not of the shape that was expected ({error_text}); undo it by hand, then remove its tag {KEY}"


def exit_code(results: list[UndoResult], *, error: type[HarnessError] = Unusable) -> int:
    """0 when nothing is left to undo, else 4."""
    return int(error.exit_code if any(result.failed for result in results) else ExitCode.PASSED)


def _say(source: str, kind: str, text: str, **data: object) -> None:
    print(text, flush=True)


def main() -> int:
    """What the watchdog starts: undoes one run's leftovers; the exit code is 0 when nothing is left."""
    try:
        results = heal(Azure.model_validate_json(sys.argv[1]), _say, ours=Ours.read(sys.argv[3]), run=sys.argv[2])
    except (HarnessError, DeadlineExceeded) as error:
        print(f"lkharness: {error}", file=sys.stderr)
        return int(ExitCode.UNUSABLE)
    print("\n".join(map(str, results)) or "nothing is left to undo")
    return exit_code(results)


if __name__ == "__main__":
    sys.exit(main())
