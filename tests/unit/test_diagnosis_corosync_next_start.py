"""What both nodes' corosync.conf say alike, and Corosync would run with from its next start on."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from diagnosis_sample import both, faults, only
from test_diagnosis_corosync_files import CONF

from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.linux_host_script_parse import host
from harness.managers.manager import Answer, Question, Says
from harness.managers.parse import corosync_parse
from harness.managers.parse.corosync_keys import SECTIONS, unknown_keys
from harness.managers.parse.corosync_refusals import END

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


def told_by(*texts: str) -> list:
    """What two nodes tell of their files, as the survey prints it."""
    seen = [host("it", f"@@ corosync\n{text}\n@@ end\n") for text in texts]
    names = ("corosync", "corosync_refusals", "log_folders_lacking")
    return [{name: getattr(one, name) for name in names} for one in seen]


def nodes_with(*texts: str, keys: tuple[str, str] = ("", "")) -> Evidence:
    of = told_by(*texts)
    more = [host("it", f"@@ keys\n{text}\n@@ end\n") for text in keys]
    return both(**{name: tuple(one[name] for one in of) for name in of[0]}, key_sizes=tuple(m.key_sizes for m in more))


SOUND = f"{CONF.strip()}\n{END}"
BROKEN = f"{CONF.strip().removesuffix('}')}\n{END}"


def test_a_file_that_corosync_refuses() -> None:
    cause = only(nodes_with(SOUND, BROKEN), "lknode02", "corosync.conf on lknode02 is refused", "is not closed", "corosync -t")
    assert cause.certainty is Certainty.CERTAIN
    assert faults(diagnose(nodes_with(SOUND, SOUND))) == []
    cause = only(nodes_with(BROKEN, BROKEN), "lknode02", "on lknode01 and lknode02 is refused")
    assert cause.certainty is Certainty.CERTAIN
    assert only(nodes_with(*[SOUND.replace("provider:", "provider")] * 2), "lknode02", "lost its colon").certainty is Certainty.LIKELY


def test_a_folder_of_its_log_that_is_not_there() -> None:
    lacking = f"{SOUND}\n# no folder /var/log/cluster"
    only(nodes_with(SOUND, lacking), "lknode02", "/var/log/cluster", "does not start the next time")
    only(nodes_with(lacking, SOUND), "lknode01", "Corosync of lknode01")
    only(nodes_with(lacking, lacking), "lknode02", "Corosync of lknode01 and lknode02")


@pytest.mark.parametrize(("size", "told"), [(0, 1), (64, 1), (127, 1), (128, 0), (256, 0)])
def test_a_key_that_is_too_short(size: int, told: int) -> None:
    sealed = re.sub(r"(crypto_cipher|crypto_hash): \w+", r"\1: sha256", SOUND)
    key = f"bytes {size} /etc/corosync/authkey"
    causes = [c for c in faults(diagnose(nodes_with(sealed, sealed, keys=(key, key)))) if f"has {size} bytes" in c.says]
    assert [c.host for c in causes] == ["lknode02"] * told
    open_ = re.sub(r"(crypto_cipher|crypto_hash): \w+", r"\1: none", SOUND)
    elsewhere = sealed.replace("version: 2", "version: 2\n  keyfile: /etc/k")
    for other in (open_, elsewhere):
        assert not [c for c in diagnose(nodes_with(other, other, keys=(key, key))).causes if "bytes" in c.says]


def test_two_ways_to_have_quorum_of_which_one_counts() -> None:
    both_ways = SOUND.replace(NOT_SET, f"{NOT_SET}\n  auto_tie_breaker: 1")
    only(nodes_with(both_ways, both_ways), "lknode02", "auto_tie_breaker", "only lknode01 has quorum", "lknode02 stops everything")
    highest = both_ways.replace("auto_tie_breaker: 1", "auto_tie_breaker: 1\n  auto_tie_breaker_node: highest")
    only(nodes_with(highest, highest), "lknode02", "only lknode02 has quorum", "lknode01 stops everything")


def test_a_name_in_it_that_is_a_loopback_there() -> None:
    by_name = SOUND.replace("ring0_addr: 10.20.1.12", "ring0_addr: lknode02")
    it = nodes_with(by_name, by_name)
    for addresses in (("127.0.1.1",), ("127.0.1.1", "10.20.1.12")):
        hosts = {**it.hosts, "lknode02": replace(it.hosts["lknode02"], names={"lknode02": addresses})}
        only(replace(it, hosts=hosts), "lknode02", "corosync.conf on lknode02 has its name", "127.0.1.1")
    right = {**it.hosts, "lknode02": replace(it.hosts["lknode02"], names={"lknode02": ("10.20.1.12", "127.0.1.1")})}
    assert faults(diagnose(replace(it, hosts=right))) == []
