"""Undoes what a harness that died left disturbed: every tag in the resource group says of what. Doing it twice does no harm.

python -m harness.azure.heal SETTINGS        SETTINGS: the cluster file's [azure] as JSON; what a guardian runs
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from harness.azure import clients
from harness.azure.hand import Hand, Note
from harness.azure.network import Network
from harness.azure.power import Machine, name_of
from harness.azure.undo_tag import KEY, Undo, UndoTags, parse
from harness.deadline import Deadline
from harness.errors import DeadlineExceeded, ExitCode, HarnessError, Unusable
from harness.model import Azure


@dataclass(frozen=True)
class Healed:
    """What became of one tag. `failed` is why it is not undone, in a sentence."""

    resource: str
    what: str
    failed: str | None = None

    def __str__(self) -> str:
        name = name_of(self.resource)
        return f"{name}: not undone ({self.what}): {self.failed}" if self.failed else f"{name}: undone: {self.what}"


def undo(hand: Hand, resource: str, one: Undo, deadline: Deadline) -> None:
    """Undo one thing, see that it is undone, and only then remove its tag. Raises what kept it from that; the tag then stays."""
    if one.undo == "start":
        Machine(hand, name_of(resource)).start(deadline)
    elif one.undo == "rule":
        Network(hand).allow_again(resource, one.name, deadline)
    elif one.undo == "pool":
        Network(hand).join(resource, one.name, one.pool, deadline)
    else:
        Network(hand).set_admin(one.pool, one.name, one.was, deadline)
    untag(hand, resource, one, deadline)


def untag(hand: Hand, resource: str, one: Undo, deadline: Deadline) -> None:
    """Remove the tag, if it is still this one. Raises what kept it from that."""
    tags = UndoTags(hand.arm)
    hand.read(lambda: tags.remove(resource, one.text()), deadline, f"removing the undo tag of {name_of(resource)}")


def heal(azure: Azure, note: Note, *, limit_s: float | None = None) -> list[Healed]:
    """Undo everything that a tag in the resource group tells of; one failure does not keep the others from being undone.

    `limit_s` bounds each (default: twice `operation_limit_s`). Raises HarnessError when the group cannot be read.
    """
    talk = clients.of(azure)
    hand = Hand(talk, note)
    limit = 2 * azure.operation_limit_s if limit_s is None else limit_s
    try:
        found = hand.read(lambda: UndoTags(hand.arm).all_in_group(), Deadline(limit), f"looking for {KEY} in {azure.resource_group}")
        return [_healed(hand, resource, text, Deadline(limit)) for resource, text in found.items()]
    finally:
        talk.close()


def _healed(hand: Hand, resource: str, text: str, deadline: Deadline) -> Healed:
    what = text
    try:
        one = parse(text)
        what = str(one)
        hand.say(f"{name_of(resource)}: to be undone: {what}")
        undo(hand, resource, one, deadline)
    except HarnessError as error:
        return Healed(resource, what, str(error))
    return Healed(resource, what)


def exit_code(healed: list[Healed], *, error: type[HarnessError] = Unusable) -> int:
    """0 when nothing is left to undo, else 4."""
    return int(error.exit_code if any(h.failed for h in healed) else ExitCode.PASSED)


def _say(source: str, kind: str, text: str, **data: object) -> None:
    print(text, flush=True)


def main() -> int:
    try:
        healed = heal(Azure.model_validate_json(sys.argv[1]), _say)
    except (HarnessError, DeadlineExceeded) as error:
        print(f"lkharness: {error}", file=sys.stderr)
        return int(ExitCode.UNUSABLE)
    print("\n".join(map(str, healed)) or "nothing is left to undo")
    return exit_code(healed)


if __name__ == "__main__":
    sys.exit(main())
