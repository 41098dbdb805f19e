"""What a tag says of an undoing: within Azure's limit, the same when read again, and nothing else is taken for one."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from harness.azure.client.operation_runner import OperationRunner
from harness.azure.faults import undo_leftovers
from harness.azure.faults.undo_tag import MAX_TAG_LENGTH, PENDING_UNDOS, Undo, UndoTags, parse
from harness.core.deadline import Deadline
from harness.core.errors import Unusable
from harness.disrupt import disruption

EVERY = [
    Undo.now("start", 60.0),
    Undo.now("rule", 60.0, name="lkharness-deny-abcdef"),
    Undo.now("pool", 60.0, name="ipconfig1", pool="ilb/pool"),
    Undo.now("admin", 60.0, name="lkharness-lab_lknode01-nic1ipconfig1", pool="ilb/pool", was="None"),
]


@pytest.mark.parametrize("undo", EVERY, ids=lambda u: u.undo)
def test_it_says_the_same_when_it_is_read(undo):
    assert parse(undo.text()) == undo and len(undo.text()) <= MAX_TAG_LENGTH
    assert undo.until - undo.since in (60, 61) and undo.run in str(undo)


def test_one_that_does_not_fit_is_told_before_anything_is_done():
    with pytest.raises(Unusable, match="a tag holds 256"):
        Undo.now("admin", 60.0, name="n" * 80, pool="p" * 80 + "/" + "q" * 80, was="None").text()


def test_nothing_is_left_to_undo_where_its_tag_would_not_fit(monkeypatch):
    """Nothing was tagged or disturbed, so nobody is sent to `lkharness azure heal`."""
    long = Undo.now("pool", 60.0, name="n" * 80, pool="p" * 80 + "/" + "q" * 80)
    cluster = SimpleNamespace(manager=SimpleNamespace(hc_timeout_s=None), azure=SimpleNamespace(operation_limit_s=1.0))
    one = disruption.get_disruption("azure pool left")(SimpleNamespace(active="lknode01", cluster=cluster))
    closed = []
    clients: Any = SimpleNamespace(azure=SimpleNamespace(poll_s=0.01, subscription="s", resource_group="g"), close=lambda: closed.append(1))
    one._cached_runner = OperationRunner(clients, lambda *about, **data: None)
    monkeypatch.setattr(UndoTags, "_all_tags", lambda *about: {})
    before = dict(PENDING_UNDOS)
    monkeypatch.setattr(one, "_undoing", lambda: ("/subscriptions/s/nic", long))
    with pytest.raises(Unusable, match="a tag holds 256"):
        one.begin(Deadline(1.0))
    one.undo(Deadline(1.0))
    assert closed and before == PENDING_UNDOS


@pytest.mark.parametrize("text", ["", "please", "{}", "[]", '{"undo":"start"}', '{"undo":"start","since":1,"until":2,"colour":"red"}'])
def test_nothing_else_is_one(text):
    with pytest.raises(Unusable, match="no undoing of ours"):
        parse(text)


@pytest.mark.parametrize("wrong", [{"until": "x"}, {"since": None}, {"until": 10**20}, {"until": -1}, {"run": 5}, {"pool": ["p"]}])
def test_one_whose_parts_are_of_another_type_is_none(wrong):
    with pytest.raises(Unusable, match="no undoing of ours"):
        parse(json.dumps({"undo": "start", "since": 1, "until": 2, **wrong}))


def test_an_answer_of_another_shape_is_told_and_keeps_nothing_else_from_being_undone(monkeypatch):
    def odd(*about):
        raise KeyError("ipConfigurations")

    monkeypatch.setattr(undo_leftovers, "undo", odd)
    told = undo_leftovers.undo_one(SimpleNamespace(say=lambda text: None), "/subscriptions/s/nic", EVERY[2], Deadline(1.0))
    assert "KeyError" in str(told) and "undo it by hand" in str(told)


def test_a_run_may_be_at_work_until_its_time_is_over():
    assert Undo.now("start", 60.0).may_be_at_work and not Undo.now("start", 0.0).may_be_at_work


@pytest.mark.parametrize("kind", ["", "burn"])
def test_an_undoing_that_nobody_knows(kind):
    with pytest.raises(Unusable, match="no undoing of ours"):
        parse(f'{{"undo":"{kind}","since":1,"until":2}}')
