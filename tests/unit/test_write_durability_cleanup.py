"""The table of the tokens goes at the end, whatever became of making it and of reading it back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import Inconclusive, Unusable
from harness.hosts.host import HostUnreachable
from harness.measure import measured_disruption, write_durability
from harness.measure.measured_disruption import MeasuredDisruption
from harness.measure.write_durability import TokensFailed


class Tokens:
    """Fails at what it is told to, and keeps what it was asked for."""

    def __init__(self, *fails: str, name: str = "", asked: list[str] | None = None) -> None:
        self.asked: list[str] = [] if asked is None else asked
        self.name = name
        self._fails = fails

    def _do(self, what: str) -> Any:
        self.asked.append(what)
        if what in self._fails:
            raise TokensFailed(f"{what} failed")
        return {}

    def __getattr__(self, name: str) -> Any:
        return lambda: self._do(name)


def made(told: list[str]) -> tuple[MeasuredDisruption, Any]:
    cluster = SimpleNamespace(client=SimpleNamespace(name="lkclient"), services=[SimpleNamespace(name="one")])
    recorder = SimpleNamespace(
        add=lambda event: told.append(event.text), read_back=lambda found, service: told.append(f"read {service}") if service else None
    )
    return MeasuredDisruption(SimpleNamespace(active="a", cluster=cluster), None, None), recorder  # type: ignore[arg-type]


@pytest.mark.parametrize("fails", [(), ("read_back",), ("drop",), ("read_back", "drop")])
def test_it_is_dropped_though_it_could_not_be_read(fails):
    told: list[str] = []
    one, recorder = made(told)
    tokens = Tokens(*fails)
    one._end_tokens([tokens], recorder)  # type: ignore[list-item]
    assert tokens.asked == ["end", "read_back", "drop"] and told == [f"{what} failed" for what in fails]


def test_it_is_dropped_though_making_it_failed(monkeypatch):
    """The database may have made it and its answer been lost."""
    told: list[str] = []
    one, recorder = made(told)
    tokens = Tokens("begin")
    monkeypatch.setattr(measured_disruption, "Tokens", lambda *of: tokens)
    monkeypatch.setattr(measured_disruption, "takes_tokens", lambda service: True)
    writing: list[Any] = []
    one._begin_tokens(writing, recorder)
    assert writing == [] and tokens.asked == ["begin", "drop"] and told == ["begin failed"]


def test_a_second_way_to_a_database_that_fails_drops_nothing_under_the_writers_of_the_first(monkeypatch):
    """Every token of theirs would be lost, and nobody's fault but ours."""
    told: list[str] = []
    asked: list[str] = []
    one, recorder = made(told)
    one._subject.cluster.services.append(SimpleNamespace(name="two"))
    services = iter([Tokens(name="one", asked=asked), Tokens("begin", name="two", asked=asked)])
    monkeypatch.setattr(measured_disruption, "Tokens", lambda *of: next(services))
    monkeypatch.setattr(measured_disruption, "takes_tokens", lambda service: True)
    writing: list[Any] = []
    one._begin_tokens(writing, recorder)
    assert asked == ["begin", "begin"]
    one._end_tokens(writing, recorder)
    assert asked[2:] == ["end", "read_back", "drop", "drop"]
    one._end_tokens([], recorder)
    assert asked[6:] == [], "dropped once"


@pytest.mark.parametrize("error", [HostUnreachable("lkclient is gone"), Unusable("sudo refused"), Inconclusive("no worker")])
def test_whatever_the_way_to_the_database_raises_is_told_as_the_tokens_own(monkeypatch, error):
    """Else nothing would be dropped, and the reason would stand in the place of the test's own."""
    tokens = write_durability.Tokens(
        SimpleNamespace(cluster=SimpleNamespace(client=SimpleNamespace(name="lkclient"))),  # type: ignore[arg-type]
        SimpleNamespace(name="postgres"),  # type: ignore[arg-type]
        lambda token: None,
    )

    def gone(*of: object) -> Any:
        raise error

    monkeypatch.setattr(tokens, "_open_path", gone)
    with pytest.raises(TokensFailed, match=str(error)):
        tokens.read_back()


def test_every_database_is_written_to_and_read_before_a_table_is_dropped(monkeypatch):
    """Two services may be two ways to one database: the first one's end would take the second one's tokens away."""
    told: list[str] = []
    asked: list[str] = []
    one, recorder = made(told)
    one._subject.cluster.services.append(SimpleNamespace(name="two"))
    monkeypatch.setattr(measured_disruption, "Tokens", lambda subject, service, tell, name: Tokens(name=name, asked=asked))
    monkeypatch.setattr(measured_disruption, "takes_tokens", lambda service: True)
    writing: list[Any] = []
    one._begin_tokens(writing, recorder)
    one._end_tokens(writing, recorder)
    assert [tokens.name for tokens in writing] == ["one", "two"] and told == ["read one", "read two"]
    assert asked == [what for what in ("begin", "end", "read_back", "drop") for _ in writing]


class Unreachable(write_durability.Tokens):
    """A database that can be asked when it is said so; `asked` has what it was."""

    def __init__(self) -> None:
        cluster = SimpleNamespace(client=SimpleNamespace(name="lkclient"), machines=[])
        super().__init__(SimpleNamespace(cluster=cluster), SimpleNamespace(name="postgres", port=5432), lambda token: None)  # type: ignore[arg-type]
        self.answers, self.asked = True, 0

    def _ask_table(self, origin: str, ask: Any, *, limit: float = 10.0) -> Any:
        self.asked += 1
        if not self.answers:
            raise TokensFailed("postgres could not be asked")


def test_a_table_that_was_not_seen_dropped_is_remembered_tried_again_and_said(monkeypatch):
    """The database was out of service when the measurement ended; it is in service again when all is put back, or is not."""
    monkeypatch.setattr(write_durability, "TABLES_LEFT", {})
    tokens = Unreachable()
    tokens.begin()
    tokens.answers = False
    with pytest.raises(TokensFailed):
        tokens.drop()
    (left,) = write_durability.drop_what_is_left()
    assert "lkharness_tokens may still be in the database of postgres (DROP TABLE lkharness_tokens removes it)" in left
    tokens.answers = True
    asked = tokens.asked
    assert write_durability.drop_what_is_left() == [] and tokens.asked == asked + 1
    assert write_durability.drop_what_is_left() == [] and tokens.asked == asked + 1
