"""Whole lives of clusters in a subscription: up, disturb, heal, down or sweep, each of which may be killed at any of its requests.

Lists lag, tags are copied, locks and refusals come and go, other people's things lie beside. After every step nothing of another's is
changed, and what of ours is disturbed or left is in what was said, or the step was killed. In the end, with nothing in the way any more,
all is gone. LKHARNESS_AZURE_LIVES sets how many (6, with --deep 500), LKHARNESS_TEST_SEED from which seed on.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure_up import run_of, up
from deployments import serving
from killed_harness import Killed, living
from subscription import Subscription

from harness.azure.provision import creation_record, teardown
from harness.cli import main
from harness.config import cluster_config, trust
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.core.timeline import Timeline
from harness.disrupt import disruption
from harness.disrupt.bases.windows_node import WHICH_BOOT
from tests import deep_option

SEED = int(os.environ.get("LKHARNESS_TEST_SEED") or random.SystemRandom().randrange(10**6))
LIVES = deep_option.number(6, 500, "LKHARNESS_AZURE_LIVES")
KINDS = ("azure NSG deny", "azure pool left", "azure adminState down", "azure VM power off", "azure VM restart")
PAST = {"lkharness-expires": "2020-01-01T00:00:00Z"}
NOT_NOW = [(409, "Conflict"), (429, "RetryableErrorDueToAnotherOperation"), (503, "ServerTimeout")]
FORBIDDEN = "does not have authorization to perform action 'Microsoft.Network/a/write' over scope 's'."
FORGED = [
    {"undo": "rule", "since": 1, "until": 2, "run": "0badc0de", "name": "AllowSSH"},
    {"undo": "start", "since": 1, "until": 2, "run": "0badc0de"},
    {"undo": "admin", "since": 1, "until": 2, "run": "0badc0de", "pool": "ilb/pool", "name": "x", "was": "Up"},
]


@pytest.fixture
def arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subscription]:
    monkeypatch.chdir(tmp_path)
    with serving(tmp_path, Subscription) as server:
        assert isinstance(server, Subscription)
        (tmp_path / "where.toml").write_text(server.settings() + "operation_limit_s = 10.0\nevent_limit_s = 1.0\n")
        trust.agree_to_own(tmp_path / "where.toml")
        (tmp_path / "key.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@here\n")
        (tmp_path / "script").write_text("true\n")
        monkeypatch.setattr(teardown, "pause", lambda seconds, deadline: server.unlisted.clear())  # lists come up to date meanwhile
        yield server


class Host:
    """Answers as a machine of the subscription."""

    def __init__(self, arm: Subscription, name: str) -> None:
        self._arm, self.name = arm, name

    def alive(self, *, limit: float = 2.0) -> bool:
        return self._arm.power.get(self.name, "running") == "running"

    def check(self, command: Any, *, limit: float = 10.0) -> str:
        if command == WHICH_BOOT:
            return str(self._arm.boots.get(self.name, 0))
        if "-X POST" in command[-1]:
            self._arm.approve()
        about = {"EventType": "Reboot", "EventSource": "User", "EventStatus": "Scheduled"}
        return json.dumps({"Events": [{**about, "EventId": id, "Resources": [of]} for id, of in self._arm.waiting.items()]})


class Cluster:
    """One cluster's life."""

    def __init__(self, arm: Subscription, chance: random.Random, capture: pytest.CaptureFixture[str]) -> None:
        self.arm, self.chance, self._capture = arm, chance, capture
        self.theirs: dict[str, Any] = {}
        self.their_groups = ["other"]
        self.run = ""
        self.steps: list[str] = []
        self._of_the_killed: dict[str, str] = {}

    # --- the others

    def moves_in(self, group: str, **tags: str) -> None:
        kinds = ("Microsoft.Sql/servers", "Microsoft.Compute/virtualMachines", "Microsoft.Network/networkSecurityGroups")
        for kind in self.chance.sample(kinds, self.chance.choice([0, 1, 2])):
            inner = {"securityRules": [{"name": "AllowSSH", "properties": {"access": "Allow", "direction": "Inbound", "priority": 100}}]}
            forged = {"lkharness-undo": json.dumps(self.chance.choice(FORGED))} if tags and self.chance.random() < 0.5 else {}
            id = self.arm.add(kind, f"theirs-{len(self.theirs)}", group, tags={"of": "somebody", **tags, **forged}, properties=inner)
            self.theirs[id.lower()] = copy.deepcopy(self.arm.resources[id.lower()])

    def unharmed(self) -> None:
        for key, said in self.theirs.items():
            assert self.arm.resources.get(key) == said, (f"{said['name']} was changed", self.steps)
        for name in self.their_groups:
            assert any(g["name"] == name and g["tags"].get("of") == "somebody" for g in self.arm.groups.values()), (name, self.steps)

    @property
    def ours(self) -> set[str]:
        return set(self.arm.resources) - set(self.theirs)

    # --- Azure

    def weather(self) -> None:
        """What the subscription is like in the next step."""
        chance, arm = self.chance, self.arm
        arm.unlisted = {name for name in arm.names() if chance.random() < chance.choice([0.0, 0.3, 1.0])}
        arm.ghosts = [dict(r) for key, r in arm.resources.items() if key in self.ours][:2]
        arm.locked = {chance.choice(["nsg1", "nsg2", "lknode01-nic1", "ilb", "vnet"])} if chance.random() < 0.15 else set()
        arm.scripts_busy, arm.events = chance.choice([0, 0, 1, 3]), chance.random() < 0.5
        kind, left = chance.choice(["", "", "busy", "forbidden"]), [1]
        share = chance.choice([0.02, 0.1])

        def refuses(method: str, path: str) -> tuple[int, Any] | None:
            if method == "GET" or not kind or not left[0] or chance.random() >= share or "/deployments/" in path:
                return None
            left[0] = 0
            status, code = chance.choice(NOT_NOW) if kind == "busy" else (403, "AuthorizationFailed")
            message = "the test says so" if kind == "busy" else f"The client {FORBIDDEN}"
            return status, {"error": {"code": code, "message": message}}

        arm.refuses = refuses

    def clears_up(self) -> None:
        arm = self.arm
        arm.unlisted, arm.locked, arm.ghosts, arm.scripts_busy, arm.fails = set(), set(), [], 0, {}
        arm.refuses = lambda method, path: None

    # --- ours

    def step(self, what: str, do: Callable[[], int], deadly: float = 0.5) -> tuple[int | None, str]:
        """Its exit code, None when it was killed; and all that it said."""
        last = self.chance.randrange(1, self.chance.choice([8, 40, 120])) if self.chance.random() < deadly else 0
        code: int | None = None
        self._capture.readouterr()
        with living(last, arrives=self.chance.random() < 0.5) as life:
            try:
                code = do()
            except Killed:
                assert life.dead
        if life.last == last and life.sent >= last > 0:
            code = None  # whatever it still came to: it could say nothing more
        said = self._capture.readouterr()
        self.steps.append(f"{what}: {'killed' if code is None else code}")
        print(f"--- {self.steps[-1]} (request {last})\n{said.out}{said.err}")
        self.unharmed()
        return code, said.out + said.err

    def disturb(self) -> int:
        cluster = cluster_config.load(Path(f"{self.run}.toml"), trusted=True)
        subject: Any = SimpleNamespace(
            lost=lambda: "",
            permit=lambda disruption: None,
            cluster=cluster,
            timeline=Timeline(),
            active="lknode01",
            standby_of=lambda active: "lknode02",
            hosts={m.name: Host(self.arm, m.name) for m in cluster.machines},
            absent=set(),
            standing=[],
        )
        one: Any = disruption.get_disruption(self.chance.choice(KINDS))(subject)
        one._finish_undo = lambda deadline: None  # there is no cluster manager to ask
        try:
            try:
                one.begin(Deadline(20))
            finally:
                one.undo(Deadline(20))
        except HarnessError as error:
            print(f"{one.name}: {error}")
            return 4
        return 0

    def heal(self) -> int:
        return main(["azure", "heal", "--cluster", f"{self.run}.toml", "--all", "--limit", "4", "--trust-cluster-file"])

    def remove(self, how: list[str]) -> int:
        return main(["azure", *how, "--azure", "where.toml"])

    def said_or_whole(self, code: int | None, said: str) -> None:
        """What is not as it was made is told; of a killed one nothing can be asked, and what it left is for `heal` to find."""
        left = self.arm.disturbed(self.ours)
        if code is None:
            self._of_the_killed = left
        elif self.steps[-1].startswith("disturb"):
            left = {name: how for name, how in left.items() if self._of_the_killed.get(name) != how}
        if code == 0:
            assert left == {}, (left, self.steps)
        elif code is not None:
            assert all(name in said for name in left), (left, self.steps)


def disturbances(life: Cluster) -> None:
    for _ in range(life.chance.choice([1, 1, 2])):
        life.weather()
        life.said_or_whole(*life.step("disturb", life.disturb))
        if life.chance.random() < 0.5:
            life.weather()
            code, said = life.step("heal", life.heal)
            if code != 2:
                life.said_or_whole(code, said)
    life.clears_up()
    life.arm.notice_is_over(life.ours)
    code, said = life.step("heal in peace", life.heal, deadly=0.0)
    assert life.arm.disturbed(life.ours) == {}, life.steps
    assert code == 0 or "was not obeyed" in said or "no undoing of ours" in said, life.steps


def its_time_is_over(arm: Subscription) -> None:
    """By the tags, by the deployment's record, and by what this machine wrote down."""
    arm.expire("lk-test")
    for file in creation_record.folder().glob("*.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "expires": PAST["lkharness-expires"]}))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(LIVES))
def test_a_life(arm: Subscription, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest, number: int) -> None:
    chance = random.Random(f"{SEED} {number}")
    life = Cluster(arm, chance, capsys)
    request.node.add_report_section("call", "seed", f"LKHARNESS_TEST_SEED={SEED}, life {number}")  # a step reads what is printed
    arm.add_group("other", of="somebody")
    life.moves_in("other")
    if chance.random() < 0.5:
        arm.add_group("lk-test", of="somebody")
        life.their_groups.append("lk-test")
        life.moves_in("lk-test")
    arm.fails = {"lknode02": {"code": "SkuNotAvailable", "message": "none"}} if chance.random() < 0.15 else {}
    life.weather()
    manager = ["--outbound", "--manager", "script"] if chance.random() < 0.3 else []
    code, said = life.step("up", lambda: up("--keep", chance.choice(["never", "always"]), *manager), deadly=0.3)
    life.run = run_of(said)
    arm.go_on()  # what was under way when it was killed comes about
    if code == 4 and not arm.fails:
        assert any(words in said for words in ("may not", "test says so", "locked", "in progress", "try again later")), said
    if code == 0:
        life.moves_in("lk-test", **{"lkharness-run": life.run, **PAST})  # a policy copies tags, or somebody mistook them
        disturbances(life)
    life.moves_in("other", **{"lkharness-run": chance.choice([life.run, "0badc0de"]), **PAST})

    for _ in range(chance.choice([1, 2, 3])):
        life.weather()
        its_time_is_over(arm)
        life.theirs = {key: copy.deepcopy(arm.resources[key]) for key in life.theirs}
        how = chance.choice([["down", "--run", life.run], ["sweep", "--yes"]])
        code, said = life.step(how[0], lambda how=how: life.remove(how))  # type: ignore[misc]
        names = {arm.resources[key]["name"] for key in life.ours}
        if code == 0:
            assert names == set(), (names, life.steps)
        elif code == 4:
            assert all(name in said for name in names), (names, life.steps)
        elif code == 2:
            assert names == set() and "no record of it" in said, (names, life.steps)
    life.clears_up()
    life.step("down in peace", lambda: life.remove(["down", "--run", life.run]), deadly=0.0)
    assert life.ours == set(), life.steps
