"""Who is told what, and when: changes of state only, of the same runs, and never a secret."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.config import cluster_config
from harness.core.errors import BadUse
from harness.core.verdict import failed, inconclusive, passed
from harness.history.run_import import enter, runs_of_same_cluster
from harness.lab.lifecycle import default_cluster
from harness.notify import notifier, state_change
from harness.notify.notifier import Notifier
from harness.report.record.gate_record import GateRecord
from harness.report.record.run_directory import Run
from harness.report.record.run_exit_code import exit_code_of
from harness.report.record.run_record import CauseRecord, ClusterKind, Judgement, Moment, RunRecord, RunState, TestRecord
from harness.report.record.run_verdict import judge
from harness.report.run_record_builder import summarise_cluster
from tests.notification_receiver import notification_receiver

CLUSTER = cluster_config.parse(default_cluster.cluster_data(None, {}), Path("the lab's default cluster"))
UNREACHABLE = "lknode01: 10.20.1.11:22 does not answer; is the host up?"
VERDICTS = {"p": passed("fine"), "f": failed("out for 9 s"), "i": inconclusive("noise"), "r": passed("fine")}


def shaped(record: RunRecord, kind: str, file: str = "tests/failover/test_failover.py", tests: Sequence[str] = ("test",)) -> RunRecord:
    """A run that ended: p(assed), f(ailed), i(nconclusive), r(efused by its gate), u(sable was nothing), c (Ctrl-C before the first test),
    b(ad use)."""
    record.cluster = summarise_cluster(CLUSTER, ClusterKind.ATTACHED)
    if kind in "ucb":
        record.state = {"u": RunState.UNUSABLE, "c": RunState.INTERRUPTED, "b": RunState.BAD_USE}[kind]
        record.state_reason = UNREACHABLE
        return judged(record)
    record.state = "finished"
    verdict = Judgement.of(VERDICTS[kind])
    record.tests = [TestRecord(id=f"{file}::{test}", title="t", started=Moment.now(), verdict=verdict) for test in tests]
    record.gate = GateRecord(file="gate.toml", sha256="0", outcome="refused", reason="too few runs") if kind == "r" else None
    return judged(record)


def judged(record: RunRecord) -> RunRecord:
    verdict = judge(record)
    record.verdict, record.exit_code = Judgement.of(verdict), exit_code_of(record, verdict).value
    return record


def changes_of(run: RunRecord, before: Sequence[RunRecord]) -> list[str]:
    return [str(change.change) for change in state_change.changes_of(run, before, 3)]


@dataclass
class Runs:
    """Makes records beside each other."""

    folder: Path

    def made(self, kind: str, **more) -> Run:
        run = Run.create(self.folder, command=["pytest"])
        shaped(run.record, kind, **more)
        run.save()
        return run


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(tmp_path / "reports")


@pytest.mark.parametrize(
    ("nights", "told"),
    [
        ("pppp", "...."),
        ("f", "1"),
        ("pffffp", ".1.3.R"),
        ("pfpf", ".1R1"),
        ("pfifip", ".1...R"),
        ("fiff", "1..3"),
        ("iip", "..."),
        ("prrp", ".G.."),
        ("prfrp", ".G1GR"),
    ],
)
def test_each_change_is_told_once(runs, nights, told) -> None:
    names = {"1": "first failure", "3": "still failing", "R": "recovered", "G": "gate refused"}
    records = [runs.made(kind).record for kind in nights]
    changes = [changes_of(record, records[:number][::-1]) for number, record in enumerate(records)]
    assert changes == [[] if mark == "." else [names[mark]] for mark in told]


@pytest.mark.parametrize(
    ("nights", "told"),
    [
        ("u", "N"),
        ("puuuup", "- N - S - A"),
        ("pupu", "- N A N"),
        ("puiu", "- N A N"),  # a run that could not be judged was on the cluster
        ("uubcuu", "N - B - S -"),  # neither bad use nor Ctrl-C says anything of the cluster
        ("pbbpb", "- B - - B"),
        ("b", "B"),
        ("pucp", "- N - A"),
        ("fup", "1 N A+R"),  # what failed before the cluster was away fails no more
        ("puf", "- N A+1"),
        ("fuf", "1 N A"),
        ("fuff", "1 N A 3"),
        ("pur", "- N A+G"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_told_once_and_by_itself(runs, nights, told) -> None:
    names = {"N": "not usable", "S": "still not usable", "A": "usable again", "B": "could not begin"}
    names |= {"1": "first failure", "3": "still failing", "R": "recovered", "G": "gate refused"}
    records = [runs.made(kind).record for kind in nights]
    changes = [changes_of(record, records[:number][::-1]) for number, record in enumerate(records)]
    assert changes == [[] if word == "-" else [names[mark] for mark in word.split("+")] for word in told.split()]


def test_that_a_cluster_cannot_be_used_is_of_all_its_runs_and_of_no_other_cluster(runs) -> None:
    unreachable = runs.made("u").record
    assert changes_of(runs.made("p", file="tests/acceptance/test_paths.py").record, [unreachable]) == ["usable again"]
    elsewhere = runs.made("p").record
    assert elsewhere.cluster is not None
    elsewhere.cluster.vip = "10.9.9.9"
    assert changes_of(elsewhere, [unreachable]) == [] and changes_of(unreachable, [elsewhere]) == ["not usable"]
    unknown = runs.made("u").record
    unknown.cluster = None
    assert changes_of(unknown, [unreachable]) == ["not usable"]  # nobody knows that it is the same


def test_other_tests_and_other_clusters_are_none_of_its_runs(runs) -> None:
    before = [runs.made("p", file="tests/acceptance/test_paths.py").record, runs.made("f").record]
    elsewhere = runs.made("f").record
    assert elsewhere.cluster is not None
    elsewhere.cluster.vip = "10.9.9.9"
    assert state_change.changes_of(runs.made("p").record, before, 3) == [
        state_change.StateChange(state_change.Change.RECOVERED, "1 run in a row had failed")
    ]
    assert changes_of(runs.made("p").record, [elsewhere]) == []


NIGHT = ("test_disruption[power loss]", "test_disruption[switchover]")
TWICE = (*NIGHT, *(f"{test[:-1]} 2]" for test in NIGHT))


def test_one_disruption_alone_ends_no_failure_of_a_whole_night(runs) -> None:
    failed_night = runs.made("f", tests=NIGHT).record
    alone = runs.made("p", tests=NIGHT[:1]).record
    assert changes_of(alone, [failed_night]) == []
    assert changes_of(runs.made("f", tests=NIGHT).record, [alone, failed_night]) == []  # the second night, not the first
    assert changes_of(runs.made("p", tests=TWICE).record, [alone, failed_night]) == ["recovered"]  # repeated, it is the same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (NIGHT, TWICE, True),
        (NIGHT, NIGHT[1:], False),
        (("test[cut 1]",), ("test[cut 2]",), False),  # a number that is of the name
        (("test[10 ms after a probe]",), ("test[20 ms after a probe]",), False),
    ],
)
def test_which_runs_are_alike(runs, one, other, same) -> None:
    assert state_change.is_comparable(runs.made("p", tests=one).record, runs.made("f", tests=other).record) is same


@pytest.mark.parametrize(
    ("word", "state", "same"),
    [("-x", "finished", True), ("--maxfail=1", "finished", True), ("-xy", "finished", False), ("", "interrupted", True)],
)
def test_a_run_that_a_failure_ended_early_is_of_the_whole_night(runs, word, state, same) -> None:
    short, whole = runs.made("f", tests=NIGHT[:1]).record, runs.made("p", tests=NIGHT).record
    short.command, short.state = ["pytest", word], RunState(state)
    assert state_change.is_comparable(short, whole) is state_change.is_comparable(whole, short) is same
    short.verdict = Judgement.of(VERDICTS["p"])
    assert not state_change.is_comparable(short, whole)  # nothing ended it


def test_a_run_that_came_to_no_cluster_is_like_no_other(runs) -> None:
    run, nowhere = runs.made("p").record, runs.made("p").record
    nowhere.cluster = None
    assert not state_change.is_comparable(run, nowhere) and not state_change.is_comparable(nowhere, run)


def test_a_change_is_sent_without_a_secret_and_a_receiver_that_is_away_is_told(runs, monkeypatch) -> None:
    with notification_receiver() as (port, received):
        secret = "hunter2hunter2"
        urls = (f"json://user:{secret}@127.0.0.1:{port}/", "json://user:otherword99@127.0.0.1:1/")
        run = runs.made("f")
        run.record.verdict = Judgement.of(failed(f"it said {urls[0]}, and password={secret}"))
        said = Notifier(urls).tell(run)
    assert said == "1 of 2 receivers did not take the notification “lkharness: lab: first failure”"
    (sent,) = received
    assert sent["title"] == "lkharness: lab: first failure" and run.record.run_id in sent["message"]
    assert secret not in json.dumps(sent) and secret not in said


def test_a_failure_is_the_second_however_many_other_clusters_have_runs_in_between(runs, monkeypatch) -> None:
    """One more than are looked at; the history knows whose they are."""
    monkeypatch.setattr(notifier, "MAX_OLDER", 3)
    told: list[str] = []
    monkeypatch.setattr(Notifier, "send", lambda self, title, body: told.append(title) or "")
    for number, kind in enumerate("fppppf"):
        run = runs.made(kind)
        if 0 < number < 5:
            assert run.record.cluster is not None
            run.record.cluster.vip = f"10.9.9.{number}"
            run.save()
        assert enter(run.directory)
        assert run.record.cluster is not None
        Notifier(("json://x/",)).tell(run, runs_of_same_cluster(run.directory, run.record.cluster, 4))
    assert told == ["lkharness: lab: first failure"]
    Notifier(("json://x/",)).tell(run)  # without the history the other clusters hide it
    assert len(told) == 2


def test_that_a_run_could_not_begin_has_a_sentence_of_its_own(runs) -> None:
    run = runs.made("b")
    title, body = notifier.message(run.record, state_change.changes_of(run.record, [], 3), run.cleaner.text)
    assert title == "lkharness: lab: could not begin" and f"the run could not begin: {UNREACHABLE}" in body


def test_that_a_cluster_cannot_be_used_has_a_sentence_of_its_own_without_a_secret(runs) -> None:
    run = runs.made("u")
    run.record.state_reason = f"{UNREACHABLE} password=hunter2hunter2"
    title, body = notifier.message(run.record, state_change.changes_of(run.record, [], 3), run.cleaner.text)
    assert title == "lkharness: lab: not usable" and "hunter2" not in body
    assert f"the cluster could not be reached or used, so that no test was begun: {UNREACHABLE}" in body and "run before" in body


@pytest.mark.parametrize("before", [480, 490, 500 - len("password=")])
@pytest.mark.parametrize("secret", ["password=hunter2hunter2hunter2", "knownsecretknownsecret"])
def test_no_part_of_a_secret_is_left_where_a_text_is_cut_short(runs, before, secret) -> None:
    """The secret lies across the place where a long text is cut."""
    run = runs.made("f")
    run.cleaner.knows(["knownsecretknownsecret"])
    run.record.verdict = Judgement.of(failed("x" * before + " " + secret))
    run.record.causes = [CauseRecord(says="y" * (before - len("lkclient: ")) + " " + secret, host="lkclient", certainty="likely", do="z")]
    told = state_change.StateChange(state_change.Change.FIRST_FAILURE, "against")
    body = notifier.message(run.record, [told], run.cleaner.text)[1]
    assert "hunt" not in body and "known" not in body and "x" * before in body and "cause: " in body


def test_receivers_are_looked_at_before_anything_is_done(tmp_path) -> None:
    file = tmp_path / "receivers.txt"
    file.write_text("# ours\njson://example.org/\n")
    file.chmod(0o600)
    assert notifier.load(file, 3).urls == ("json://example.org/",)
    for text, words in (("nothing://secretword\n", "line 1 is no URL"), ("# none\n", "names nobody")):
        file.write_text(text)
        with pytest.raises(BadUse, match=words) as refused:
            notifier.load(file, 3)
        assert "secretword" not in str(refused.value)
    file.chmod(0o640)
    with pytest.raises(BadUse, match="can be read by others"):
        notifier.load(file, 3)
    with pytest.raises(BadUse, match="cannot be read"):
        notifier.load(tmp_path / "none", 3)
    for number in (1, notifier.MAX_OLDER + 1):
        with pytest.raises(BadUse, match="--notify-after"):
            notifier.load(file, number)
