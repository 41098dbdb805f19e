"""The diagnosis of quorum: why one node alone has none, and what a node without it keeps from the services."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosis_sample import OUT, TAGS, both, evidence, node, only, state
from test_diagnosis_corosync_files import CONF

from harness.core.finding import Finding, Weight
from harness.diagnosis.engine import diagnose
from harness.diagnosis.linux_host_script_parse import host
from harness.managers.manager import Answer, ClusterState, NodeState, Question, Says

NO_VOTES = "without lknode01 there are 1 votes, and quorum needs 2"


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (
            CONF.replace("two_node: 1", ""),
            CONF.replace("two_node: 1", ""),
            ("two_node is not set in", "on lknode01 and lknode02", "two_node: 1 in"),
        ),
        (CONF.replace("two_node: 1", "two_node: 0"), "", ("two_node is not set in", "on lknode01:", "corosync-cfgtool -R")),
        (CONF, CONF, ("runs with more expected votes than two nodes have", "corosync-quorumtool -e 2")),
        (CONF.replace("two_node: 1", "two_node: 1\nexpected_votes: 3"),) * 2 + (("quorum.expected_votes 3",),),
        (CONF.replace("two_node: 1", "two_node: 1\ndevice {\nmodel: net\n}"),) * 2 + (("the quorum device", "does not vote now"),),
        ("", "", ("take that away",)),
    ],
)
def test_why_one_node_alone_has_no_quorum(ours: str, theirs: str, words: tuple[str, ...]) -> None:
    files = tuple(host("it", f"@@ corosync\n{text}").corosync for text in (ours, theirs))
    told = replace(both(corosync=files), may_move={Question.LOST: Answer(Says.NO, (NO_VOTES,))})
    only(told, "lknode02", NO_VOTES, *words)


@pytest.mark.parametrize(
    ("conf", "option", "words"),
    [
        (
            CONF.replace("two_node: 1", ""),
            "",
            ("without lknode02, because two_node is not set", "it stops everything", "start lknode02", "two_node: 1"),
        ),
        (CONF, "", ("waits until it has once seen that (wait_for_all", "pcs quorum unblock")),
        (CONF, '<nvpair name="no-quorum-policy" value="freeze"/>', ("(freeze)", "keeps what it has in service")),
        ("", "", ("has no quorum without lknode02; so", "corosync-quorumtool -s")),
    ],
)
def test_a_node_without_quorum_is_told_as_that_and_dead_paths_follow(conf: str, option: str, words: tuple[str, ...]) -> None:
    cib = f"<cib><configuration><crm_config><cluster_property_set>{option}</cluster_property_set></crm_config></configuration></cib>"
    told = host("lknode01", f"@@ corosync\n{conf}\n@@ configuration\n{cib}\n")
    one = NodeState("lknode01", True, dict.fromkeys(TAGS, OUT), state().nodes["lknode01"].comm_paths, quorum=False)
    away = NodeState("lknode02", False, {}, (), "could not be asked")
    dead = Finding(Weight.FAULT, "lknode01", "communication path", "10.20.1.11/10.20.1.12 is dead", "see", ())
    base = evidence(active=None, paths=[], probes={}, findings=[dead], state=ClusterState({"lknode01": one, "lknode02": away}))
    hosts = {"lknode01": node("lknode01", corosync=told.corosync, units=told.units)}
    only(replace(base, hosts=hosts, firewalls={}), "lknode01", "lknode01 has no quorum", *words)


def test_a_node_with_quorum_or_a_policy_to_ignore_it_is_no_cause() -> None:
    pair = '<cluster_property_set><nvpair name="no-quorum-policy" value="ignore"/></cluster_property_set>'
    ignore = f"<cib><configuration><crm_config>{pair}</crm_config></configuration></cib>"
    units = host("lknode01", f"@@ configuration\n{ignore}\n").units
    for quorum, its in ((True, {}), (None, {}), (False, units)):
        nodes = {name: replace(one, quorum=quorum) for name, one in state().nodes.items()}
        base = evidence(state=ClusterState(nodes))
        told = diagnose(
            replace(base, hosts={**base.hosts, "lknode01": node("lknode01", units=its), "lknode02": node("lknode02", units=its)})
        )
        assert not [c for c in told.causes if "quorum" in c.says]
