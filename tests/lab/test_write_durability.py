"""Unique tokens written through the VIP to a real PostgreSQL, and what is told of them when the database has kept some of them
no longer, twice, or was never asked."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tomli_w

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive
from harness.core.timeline import Timeline
from harness.core.verdict import Outcome
from harness.disrupt import disruption
from harness.lab.lifecycle import default_cluster, launch
from harness.measure import measured_disruption
from harness.measure.evaluation.recording_evaluation import evaluate
from harness.measure.measured_disruption import STEADY_S, MeasuredDisruption, Start
from harness.measure.measurement_result import Measured
from harness.measure.meter import Meter
from harness.measure.write_durability import Tokens
from harness.remote.recording import recording
from harness.remote.recording.recording import Recording
from harness.services.token_table import TABLE

SERVICES = [s for s in default_cluster.DEFAULT_CLUSTER["services"] if s["kind"] in ("postgres", "http")]
PERIOD_S = 0.25  # nobody asks here for how long a path was out; tokens have an interval of their own
REFUSED_S = 2.0
GUEST = "guest of the house"
OWNER = "setpriv --reuid postgres --regid postgres --clear-groups psql -qAt -v ON_ERROR_STOP=1 -h {socket} -d harness -c {sql}"


class Base:
    """A lab's database, and measurements on it with the cluster file changed as a test wants it."""

    def __init__(self, lab: launch.RunningLab, folder: Path) -> None:
        self.lab = lab
        self._folder = folder
        self._opened = contextlib.ExitStack()
        self.subject, self.meter = self._opened.enter_context(self.attached())
        self._number = 0

    @contextlib.contextmanager
    def attached(self, **settings: str) -> Iterator[tuple[ClusterUnderTest, Meter]]:
        """The harness as it is attached by a file whose database has these settings as well."""
        data = tomllib.loads(self.lab.cluster_file.read_text())
        for service in data["services"]:
            if service["kind"] == "postgres":
                service["settings"].update(settings)
        file = self.lab.cluster_file.with_name(f"{len(settings)}-{settings.get('user', 'own')}.toml")  # its keys lie beside it
        file.write_text(tomli_w.dumps(data))
        subject = ClusterUnderTest(cluster_config.load(file, trusted=True), Timeline())
        meter = Meter(subject, period_s=PERIOD_S)
        try:
            meter.start()
            yield subject, meter
        finally:
            assert meter.stop() == []
            subject.close()

    def measure(self, name: str, attached: tuple[ClusterUnderTest, Meter] | None = None) -> tuple[Recording, Measured]:
        subject, meter = attached or (self.subject, self.meter)
        self._number += 1
        path = self._folder / f"{self._number}.jsonl"
        subject.wait_until_healthy(Deadline(120))
        MeasuredDisruption(subject, meter, disruption.get_disruption(name)(subject)).record(path, Start())
        read = recording.read(path)
        return read, evaluate(read)

    def as_owner(self, sql: str) -> str:
        """Ask on the active node, past the account that the harness has."""
        active = self.subject.hosts[self.subject.active]
        socket = active.check("ls -d /run/*/.s.PGSQL.5432 /run/.s.PGSQL.5432 /tmp/.s.PGSQL.5432 2>/dev/null; true").split()[0]
        words = OWNER.format(socket=Path(socket).parent, sql="'" + sql.replace("'", "'\\''") + "'")
        return active.check(f"PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin | tail -n 1); {words}").strip()

    def close(self) -> None:
        self._opened.close()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    # A busy machine takes longer to be in service again, and how long is not asked here.
    lab = launch.up(
        default_cluster.cluster_data(overrides={"services": SERVICES, "budget": {"margin_s": 60.0}}),
        name=f"tokens-{os.getpid()}",
        persistent=False,
    )
    try:
        made = Base(lab, tmp_path_factory.mktemp("tokens"))
        try:
            yield made
        finally:
            made.close()
    finally:
        lab.down()


@contextlib.contextmanager
def by_hand(does: Callable[[Tokens], Any]) -> Iterator[list[Any]]:
    """Let somebody have a hand in the database after the last token was written, before they are read back."""
    did: list[Any] = []

    class Tampered(Tokens):
        def read_back(self) -> dict[str, int]:
            did.append(does(self))
            return super().read_back()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured_disruption, "Tokens", Tampered)
        yield did


def asked(tokens: Tokens, statement: str) -> list[list[str]]:
    """In the session of the harness's own account."""
    return tokens._ask_table("lkclient", lambda table, deadline: table._session.query(statement.encode(), deadline))


def a_token_of(tokens: Tokens, origin: str) -> tuple[str, str]:
    """The latest from that host, and the node that took it, as the database has them."""
    where = f"where run = '{tokens._run}' and value like '{origin}-%'"
    [(value, node)] = asked(tokens, f"select value, node from {TABLE} {where} order by ctid desc limit 1")
    return value, node


def test_every_acknowledged_token_is_there_once(database):
    """Through a switchover, from every host, and nothing of it stays in the database."""
    read, result = database.measure("switchover")
    assert result.tokens is not None and result.tokens.verdict.outcome is Outcome.PASS, result.tokens
    assert (result.tokens.lost, result.tokens.doubled) == ([], [])
    acknowledged = [t for t in read.tokens if t.acknowledged]
    assert {t.origin for t in acknowledged} == {"lkclient", "lknode01", "lknode02"}
    assert {t.by for t in acknowledged} == {"lknode01", "lknode02"}, "before and after the switchover"
    assert read.read_back is not None and all(read.read_back[t.value] == 1 for t in acknowledged)
    values = [t.value for t in read.tokens]
    assert len(values) == len(set(values)) == result.tokens.written
    assert not [e for e in read.events if e.kind == "tokens"]
    assert database.as_owner(f"select count(*) from pg_tables where tablename = '{TABLE}'") == "0"


def test_a_database_that_takes_writes_later_than_its_path_is_right_is_waited_for(database, monkeypatch):
    """What takes none for seconds after a switchover is measured to where writes are taken again, not left undecided."""
    granted: list[float] = []
    follow, wait = MeasuredDisruption._follow, MeasuredDisruption._wait_for_tokens

    def without_writes(self, recorder, tokens):
        database.as_owner(f"revoke insert on {TABLE} from harness")
        refused_for = Deadline(2 * STEADY_S)
        Deadline(120).wait_for(lambda: refused_for.expired, what="no token taken for longer than the paths must be right")
        follow(self, recorder, tokens)

    def grant() -> None:
        granted.append(time.monotonic())  # before: a token may be taken, and the wait be over, while the command still ends
        database.as_owner(f"grant insert on {TABLE} to harness")

    def with_writes_later(self, *told):
        later = threading.Timer(REFUSED_S, grant)
        later.start()
        wait(self, *told)
        later.join()

    monkeypatch.setattr(MeasuredDisruption, "_follow", without_writes)
    monkeypatch.setattr(MeasuredDisruption, "_wait_for_tokens", with_writes_later)
    read, result = database.measure("switchover")
    assert result.tokens is not None and result.tokens.verdict.outcome is Outcome.PASS, result.tokens
    undone = read.mark("undo-begin")
    assert undone is not None
    for origin in ("lkclient", "lknode01", "lknode02"):
        assert any(granted[0] < t.at + t.seconds < undone for t in read.tokens if t.acknowledged and t.origin == origin), origin


class Spoiled(NamedTuple):
    """One measurement after which one token is gone, another is there twice, and two of another run lie beside them."""

    read: Recording
    result: Measured
    lost: tuple[str, str]  # token and node
    doubled: tuple[str, str]


@pytest.fixture(scope="module")
def spoiled(database: Base) -> Spoiled:
    def spoil(tokens: Tokens) -> tuple[tuple[str, str], tuple[str, str]]:
        lost, doubled = a_token_of(tokens, "lkclient"), a_token_of(tokens, "lknode01")
        asked(tokens, f"delete from {TABLE} where run = '{tokens._run}' and value = '{lost[0]}'")
        asked(tokens, f"insert into {TABLE} select * from {TABLE} where run = '{tokens._run}' and value = '{doubled[0]}'")
        asked(tokens, f"insert into {TABLE} values ('other', 'lkclient-1', 'x'), ('other', 'odd', 'x')")
        return lost, doubled

    with by_hand(spoil) as did:
        read, result = database.measure("none")
    [(lost, doubled)] = did
    return Spoiled(read, result, lost, doubled)


def test_a_lost_token_is_named_with_its_node(database, spoiled):
    (value, node), result = spoiled.lost, spoiled.result
    assert node == database.subject.active
    (lost,) = result.tokens.lost
    assert f"token {value} from lkclient, acknowledged" in lost and lost.endswith(f"taken by {node}: lost")
    assert result.tokens.verdict.outcome is Outcome.FAIL and result.verdict.outcome is Outcome.FAIL
    assert value in result.verdict.reason and node in result.verdict.reason and "1 lost" in result.verdict.reason


def test_a_doubled_token_is_named_with_its_node(spoiled):
    (value, node), result = spoiled.doubled, spoiled.result
    (doubled,) = result.tokens.doubled
    assert f"token {value} from lknode01" in doubled and f"taken by {node}: there 2 times" in doubled
    assert result.verdict.outcome is Outcome.FAIL and value in result.verdict.reason and "1 doubled" in result.verdict.reason


def test_tokens_of_another_run_are_none_of_ours(spoiled):
    """Neither is one of ours called doubled for another's of the same name."""
    assert "lkclient-1" in {t.value for t in spoiled.read.tokens} and "odd" not in (spoiled.read.read_back or {})
    assert (spoiled.read.read_back or {})["lkclient-1"] == 1 or spoiled.lost[0] == "lkclient-1"
    assert [len(found) for found in (spoiled.result.tokens.lost, spoiled.result.tokens.doubled)] == [1, 1]


def test_a_database_in_which_even_the_table_is_gone(database):
    """As after a failover to an empty or an older disk: every acknowledged token is lost, and everything else is told as ever."""

    def gone(tokens: Tokens) -> None:
        asked(tokens, f"drop table {TABLE}")

    with by_hand(gone):
        read, result = database.measure("none")
    assert read.read_back == {} and not [e for e in read.events if e.kind == "tokens"]
    assert result.tokens.verdict.outcome is Outcome.FAIL and "the table itself is gone" in result.tokens.verdict.reason
    assert len(result.tokens.lost) == result.tokens.acknowledged
    of_paths = [t.verdict for t in result.series if t.path]
    assert read.complete and of_paths
    for verdict in of_paths:  # a busy machine's timing may be worth nothing, which says nothing of tokens either
        assert verdict.outcome is not Outcome.FAIL and "token" not in verdict.reason, verdict


def test_an_account_that_may_not_make_a_table(database, tmp_path):
    """One sentence with what to do; it is inconclusive for the tokens, and every path is measured all the same."""
    database.as_owner(f"create role guest login password '{GUEST}'; revoke create on schema public from public")
    secret = tmp_path / "password"
    secret.write_text(GUEST)
    with database.attached(user="guest", dbname="harness", password_file=str(secret)) as guest:
        read, result = database.measure("none", guest)
    (told,) = [e.text for e in read.events if e.kind == "tokens"]
    assert "permission denied" in told and 'tokens = "no"' in told and "\n" not in told
    assert read.tokens == [] and read.complete and read.mark("whole") is not None
    assert {t.verdict.outcome for t in result.series if t.path} == {Outcome.PASS}
    assert result.tokens is not None and result.tokens.verdict.outcome is Outcome.INCONCLUSIVE and told in result.tokens.verdict.reason
    assert result.verdict.outcome is Outcome.INCONCLUSIVE and told in result.verdict.reason


def test_where_none_may_be_written_none_is(database):
    """tokens = "no": no table, no token, no complaint."""
    with database.attached(tokens="no") as without:
        read, result = database.measure("none", without)
    assert read.tokens == [] and read.read_back is None and result.tokens is None
    assert not [e for e in read.events if e.kind == "tokens"]
    assert result.verdict.outcome is Outcome.PASS, result.verdict
    assert database.as_owner(f"select count(*) from pg_tables where tablename = '{TABLE}'") == "0"


def test_paths_that_are_not_right_first_leave_no_table(database, monkeypatch):
    """A disruption that is not done takes its tokens back as well."""
    monkeypatch.setattr(measured_disruption, "WARM_UP_TIMEOUT_S", 0.0)
    with pytest.raises(Inconclusive, match="not right before it"):
        database.measure("none")
    assert database.as_owner(f"select count(*) from pg_tables where tablename = '{TABLE}'") == "0"
