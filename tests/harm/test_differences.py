"""What the comparison says, without any host."""

from __future__ import annotations

from tests.harm.differences import WHOLE, Thing, baseline, differences, lasting

FILE, CHECK, CHAIN = (
    Thing("n1", "file", "/etc/hosts"),
    Thing("n1", "process", "sh monitor"),
    Thing("n1", "firewall", "table inet f chain in"),
)


def test_nothing_is_said_of_what_is_as_it_was() -> None:
    assert differences(baseline([{FILE: "a"}, {FILE: "a"}]), {FILE: "a"}) == []


def test_new_gone_and_otherwise() -> None:
    before = baseline([{FILE: "a"}])
    assert differences(before, {FILE: "b"}) == ["n1: file /etc/hosts is b, it was a"]
    assert differences(before, {}) == ["n1: file /etc/hosts is gone (a)"]
    assert differences(before, {FILE: "a", CHECK: "1 times"}) == ["n1: process sh monitor is new (1 times)"]


def test_the_lines_that_changed_are_said() -> None:
    (said,) = differences(baseline([{CHAIN: "accept\ndrop"}]), {CHAIN: "accept\ntcp dport 1 drop\ndrop"})
    assert said == "n1: firewall table inet f chain in has other lines: + tcp dport 1 drop"


def test_the_order_of_rules_counts() -> None:
    assert differences(baseline([{CHAIN: "accept\ndrop"}]), {CHAIN: "drop\naccept"})


def test_what_moves_by_itself_says_nothing() -> None:
    before = baseline([{FILE: "a"}, {FILE: "a", CHECK: "1 times"}, {FILE: "a"}])
    assert before.moving == {CHECK}
    assert differences(before, {FILE: "a", CHECK: "2 times"}) == []
    assert differences(before, {CHECK: "2 times"}) == ["n1: file /etc/hosts is gone (a)"]


def test_what_two_of_three_looks_have_seen_lasts() -> None:
    assert lasting([["a"], ["b"], ["b", "c"]]) == ["b"]
    assert lasting([["a"], ["b"], ["a"]]) == ["a"]


def test_nothing_lasts_only_when_it_was_looked_often_enough() -> None:
    assert lasting([["a"]]) == ["a"] and lasting([["a"], ["b"]]) == ["b"]
    assert lasting([["the host is away"], ["b"], ["b"]]) == ["b"]
    assert lasting([["a"], ["a"], ["b"]]) == ["a"]
    assert lasting([["a"], ["b"], ["c"]]) == [] and lasting([["a"], []]) == []


def test_of_a_host_that_is_not_seen_only_that_is_said() -> None:
    whole, other = Thing("n1", WHOLE, "as a whole"), Thing("n2", "file", "/etc/hosts")
    said = differences(baseline([{FILE: "a", other: "a"}]), {whole: "cannot be looked at: no power", other: "b"})
    assert said == ["n1: host as a whole is new (cannot be looked at: no power)", "n2: file /etc/hosts is b, it was a"]
