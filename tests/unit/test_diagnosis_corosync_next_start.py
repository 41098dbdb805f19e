"""What both nodes' corosync.conf say alike, and Corosync would run with from its next start on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosis_sample import both, faults, only
from test_diagnosis_corosync_files import CONF

from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.managers.manager import Answer, Question, Says
from harness.managers.parse import corosync_parse
from harness.managers.parse.corosync_keys import SECTIONS, unknown_keys

NOT_SET = "two_node: 1"


def alike(*changes: tuple[str, str]) -> Evidence:
    text = CONF
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    settings = corosync_parse.parse(text)
    return both(corosync=(settings, settings))


@pytest.mark.parametrize("new", ["", "two_node: 0", "# two_node: 1"])
def test_no_word_that_there_are_two_nodes(new: str) -> None:
    cause = only(alike((NOT_SET, new)), "lknode02", "no two_node", "next start", "no quorum")
    assert cause.certainty is Certainty.LIKELY and "two_node: 1" in cause.do and "corosync-cfgtool -R" in cause.do


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((("two_node:", "two_nodes:"),), ("two_nodes", "two_node is meant", "no quorum")),
        ((("two_node:", "tow_node:"),), ("tow_node", "two_node is meant")),
        ((("two_node: 1", ""), ("version: 2", "version: 2\n  two_node: 1")), ("two_node in the section totem", "it belongs into quorum")),
        ((("version: 2", "version: 2\n  tokens: 30000"),), ("tokens", "token is meant")),
        ((("provider: cor", "token: 30000\n  provider: cor"),), ("token in the section quorum", "it belongs into totem")),
    ],
)
def test_a_key_that_corosync_does_not_know(changes: tuple[tuple[str, str], ...], words: tuple[str, ...]) -> None:
    cause = only(alike(*changes), "lknode02", *words)
    assert cause.certainty is Certainty.LIKELY and "lknode01 and lknode02" in cause.says


def test_a_key_that_hardly_matters_or_is_set_besides_is_worth_a_look_only() -> None:
    for changes in ((("version: 2", "version: 2\n  netmtus: 1400"),), ((NOT_SET, "two_node: 1\n  two_nodes: 1"),)):
        told = diagnose(alike(*changes))
        assert faults(told) == [] and any("does not know" in c.says for c in told.causes)


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ((NOT_SET, "two_node: 1\n  expected_votes: 4"),),  # by which it does not go then
        ((NOT_SET, "two_node: 1\n  wait_for_all: 0\n  expected_votes: 2"),),
        ((NOT_SET, "device {\n model: net\n net {\n host: q\n }\n votes: 1\n }"),),
        ((NOT_SET, "auto_tie_breaker: 1"),),
        ((NOT_SET, ""), ("nodeid: 2", "nodeid: 2\n quorum_votes: 2")),
        ((NOT_SET, ""), ("provider: corosync_votequorum", "")),
        ((NOT_SET, ""), ("nodelist {", "nodelist {\n node {\n nodeid: 3\n ring0_addr: 10.20.1.13\n }")),
        (("version: 2", "version: 2\n  something_new: 1\n # tokens: 3"),),
        (("version: 2", "version: 2\n  ip_version: ipv4\n  rrp_mode: passive\n  knet_mtu: 1400\n  clear_node_high_bit: yes"),),
    ],
)
def test_what_is_right_or_another_way_is_not_told(changes: tuple[tuple[str, str], ...]) -> None:
    told = diagnose(alike(*changes))
    assert not [
        c.says for c in told.causes if "corosync.conf has no two_node" in c.says or "does not know" in c.says or "expects" in c.says
    ]


def test_what_it_counts_already_or_nobody_asks_for_is_told_elsewhere() -> None:
    base = alike((NOT_SET, ""))
    counted = Answer(Says.NO, ("without lknode01 there are 1 votes, and quorum needs 2",))
    ignored = {name: replace(host, units={"option no-quorum-policy": "ignore"}) for name, host in base.hosts.items()}
    for one in (replace(base, may_move={Question.LOST: counted}), replace(base, hosts=ignored), replace(base, moved="lknode02")):
        assert not [c.says for c in diagnose(one).causes if "corosync.conf has no two_node" in c.says]


def test_known_keys_are_never_taken_for_another() -> None:
    for section, keys in SECTIONS.items():
        assert not [*unknown_keys({f"{section}.{key}": "1" for key in keys})]
    assert not SECTIONS["totem"] & SECTIONS["quorum"], "else a key in the wrong one could not be told"
