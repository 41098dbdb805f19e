"""Seeded lives of clusters in a subscription as Azure's are: lists that lag, copied tags, locks, refusals, kills, other people's things.

Whatever happens, nothing of another's is changed or removed, and nothing of ours is left unsaid. LKHARNESS_AZURE_LIVES sets how many,
LKHARNESS_TEST_SEED from which seed on.
"""

from __future__ import annotations

import copy
import os
import random
from typing import Any

import pytest
from azure_up import run_of, up

from harness.azure.provision import creation_record, teardown
from harness.cli import main

SEED = int(os.environ.get("LKHARNESS_TEST_SEED") or random.SystemRandom().randrange(10**6))
LIVES = int(os.environ.get("LKHARNESS_AZURE_LIVES") or 4)
QUOTA = {"code": "SkuNotAvailable", "message": "The requested size is not available."}
STRANGERS = (
    "Microsoft.Sql/servers",
    "Microsoft.KeyVault/vaults",
    "Microsoft.Compute/virtualMachines",
    "Microsoft.Network/networkInterfaces",
)
NOT_NOW = [(400, "NicReservedForAnotherVm"), (429, "RetryableErrorDueToAnotherOperation"), (409, "Conflict"), (503, "ServerTimeout")]
PAST = {"lkharness-expires": "2020-01-01T00:00:00Z"}


class Life:
    """One cluster's, with strangers beside it."""

    def __init__(self, arm: Any, chance: random.Random) -> None:
        self.arm, self.chance = arm, chance
        self.strangers: dict[str, Any] = {}

    def move_in(self, group: str, **tags: str) -> None:
        for _ in range(self.chance.choice([0, 0, 1, 2])):
            kind = self.chance.choice(STRANGERS)
            id = self.arm.add(kind, f"theirs-{len(self.strangers)}", group, tags={"of": "somebody", **tags})
            self.strangers[id.lower()] = copy.deepcopy(self.arm.resources[id.lower()])

    def lag(self) -> None:
        """Some of all that there is, is in no list of all types; some that is gone still is."""
        names = sorted(self.arm.names())
        self.arm.unlisted = {name for name in names if self.chance.random() < self.chance.choice([0.0, 0.3, 1.0])}
        self.arm.ghosts = [dict(r) for r in self.arm.resources.values() if r["id"].lower() not in self.strangers][:2]

    def refuse(self) -> None:
        share = self.chance.choice([0.0, 0.3])

        def answer(name: str, times: int) -> tuple[int, Any] | None:
            if times > 1 or self.chance.random() >= share:
                return None
            status, code = self.chance.choice(NOT_NOW)
            return status, {"error": {"code": code, "message": "the test says so"}}

        self.arm.on_delete = answer

    def ours(self) -> set[str]:
        return {r["name"] for key, r in self.arm.resources.items() if key not in self.strangers}

    def unharmed(self) -> bool:
        return all(self.arm.resources.get(key) == said for key, said in self.strangers.items())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", range(LIVES))
def test_nothing_of_anothers_is_touched_and_nothing_of_ours_left_unsaid(
    arm: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    # In the 20 minutes between the two looks at an empty group its list comes up to date.
    monkeypatch.setattr(teardown, "pause", lambda seconds, deadline: arm.unlisted.clear())
    chance = random.Random(f"{SEED} {number}")
    print(f"LKHARNESS_TEST_SEED={SEED}, life {number}")
    life = Life(arm, chance)
    arm.add_group("other", of="somebody")
    life.move_in("other")
    if there := chance.random() < 0.5:
        arm.add_group("lk-test", of="somebody")
        life.move_in("lk-test")
    arm.fails = {"lknode02": QUOTA} if chance.random() < 0.3 else {}
    arm.fresh_404 = chance.choice([0, 2])
    life.lag()
    life.refuse()
    if killed := chance.random() < 0.4:
        if not there:
            arm.add_group("lk-test")
        run = arm.killed_up(chance.randrange(4), **PAST)
    else:
        code = up("--keep", chance.choice(["never", "always"]))
        said = capsys.readouterr()
        run = run_of(said.out)
        assert code in (0, 4) and (code == 4) is bool(arm.fails)
    assert life.unharmed()

    life.move_in("lk-test", **{"lkharness-run": run, **PAST})  # a policy copies the group's tags, or somebody mistook them
    life.move_in("other", **{"lkharness-run": chance.choice([run, "0badc0de"]), **PAST})
    if life.ours():
        arm.locked = {chance.choice(sorted(life.ours()))} if chance.random() < 0.2 else set()
    life.lag()
    if chance.random() < 0.3:
        creation_record.delete_ledger(run)  # another machine removes it
    how = ["sweep", "--yes"] if killed and chance.random() < 0.5 else ["down", "--run", run]
    before = life.ours()
    code = main(["azure", *how, "--azure", "where.toml"])
    arm.go_on()
    said = capsys.readouterr()
    print(said.err)
    assert life.unharmed(), "something of another's was changed or removed"
    if code == 0:
        assert life.ours() == set(), "something of ours is left, and nothing was said"
    elif code == 4:
        assert all(name in said.err for name in life.ours()), f"left unsaid: {life.ours()}"
    else:
        assert code == 2 and before == set() and "no record of it" in said.err

    arm.locked, arm.on_delete, arm.unlisted = set(), lambda name, times: None, set()
    main(["azure", "down", "--run", run, "--azure", "where.toml"])
    print(capsys.readouterr().err)
    assert life.unharmed() and life.ours() == set(), "what stood in the way is gone, and so is what was ours"
