"""What was seen to arrive at a node's NIC was let through by Azure, whatever became of it there: no security group is named for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from diagnosis_sample import CLUSTER, WEB, drop, evidence, faults, nft, node, only, probed, state, with_host

from harness.check import captured_evidence
from harness.core.finding import Finding, Weight
from harness.diagnosis import bundle_observations
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Direct
from harness.diagnosis.firewall import parse
from harness.managers.manager import ClusterState, CommPath
from harness.remote.recording.packets import Packet

FIRST, SECOND, CLIENT = "10.20.1.12", "10.20.2.12", "10.20.1.20"


def syn(source: str = CLIENT, to: str = FIRST, sport: int = 40001, dport: int = 80, kind: str = "host") -> Packet:
    return Packet(1.0, "eth0", kind, "tcp", source, sport, to, dport, "S", 7, 0)


def answer(to: str = CLIENT, source: str = FIRST, dport: int = 40001, sport: int = 80, flags: str = "RA") -> Packet:
    return Packet(1.0, "eth0", "outgoing", "tcp", source, sport, to, dport, flags, 0, 8)


def joined(*packets: Packet, outcome: str = "silent") -> tuple[bool, bool]:
    attempt = Direct("lkclient", "lknode02", 80, outcome, "", 40001)
    (one,) = captured_evidence.direct([attempt], {"lknode02": packets}, CLUSTER)
    return one.arrived, one.answer_left


def test_attempts_past_the_balancer_are_joined_with_what_the_node_saw() -> None:
    assert joined(syn()) == (True, False) and joined(syn(), answer()) == (True, True) == joined(syn(), answer(flags="SA"))
    for other in (syn(sport=40002), syn(dport=81), syn(to=SECOND), syn(kind="outgoing"), syn(kind="otherhost")):
        assert joined(other) == (False, False)
    assert joined(syn(), answer(dport=40002)) == (True, False) == joined(syn(), answer(flags="FA"))
    assert joined(syn(), outcome="refused") == (False, False)  # it came back: nobody asks


def attempts(*origins: str, **seen: bool) -> list[Direct]:
    outcome = {True: "silent", False: "refused"}
    return [
        Direct(o, "lknode02", s.port, outcome[s is WEB], "", 40001, **(seen if s is WEB else {})) for o in origins for s in CLUSTER.services
    ]


def test_silence_of_a_standby_where_everything_arrives_is_its_own() -> None:
    assert "NSG" in only(evidence(direct=attempts("lkclient")), "lknode02").says
    cause = only(
        evidence(direct=attempts("lkclient", arrived=True)), "lknode02", "arrives at the NIC", "80 (web)", "neither answers nor refuses"
    )
    assert cause.certainty is Certainty.LIKELY and "NSG" not in cause.says + cause.otherwise and "clients would get no answer" in cause.says
    peers = diagnose(evidence(direct=attempts("lknode01", arrived=True)))
    assert faults(peers) == [] and ["arrives" in c.says for c in peers.causes] == [True]  # only clients have to get in


def test_refusals_that_left_a_standby_were_lost_on_their_way_back() -> None:
    cause = only(evidence(direct=attempts("lkclient", arrived=True, answer_left=True)), "lknode02", "refusals leave it", "UDR")
    assert "NSG" not in cause.says and "firewall lets it pass" not in cause.says


def test_one_origin_may_arrive_and_another_not() -> None:
    told = diagnose(evidence(direct=[*attempts("lkclient", arrived=True), *attempts("lknode01")]))
    assert sorted("NSG" in c.says for c in told.causes) == [False, True]


def test_a_rule_that_names_its_doings_stays_the_cause() -> None:
    closed = node("lknode02", firewall=parse(nft(drop("tcp", "dport", 80))))
    assert "its own firewall" in only(with_host(closed, direct=attempts("lkclient", arrived=True)), "lknode02").says


RATE = "table ip f {\nchain i {\ntype filter hook input priority 0;\ntcp dport 80 limit rate over 5/second drop\n}\n}\n"


def test_of_a_rule_that_cannot_be_told_no_security_group_is_guessed_besides() -> None:
    doubtful = node("lknode02", firewall=parse(RATE))
    assert "NSG" in only(with_host(doubtful, direct=attempts("lkclient")), "lknode02", "depends on").says
    assert "NSG" not in only(with_host(doubtful, direct=attempts("lkclient", arrived=True)), "lknode02", "depends on").says


def swallowed(*packets: Packet) -> dict[str, int]:
    return dict(captured_evidence.probes(CLUSTER.nodes[1], packets, CLUSTER, 1.0).swallowed)


def test_what_the_other_nodes_manager_begins_and_nothing_answers() -> None:
    begun = syn("10.20.2.11", SECOND, dport=7365)
    assert swallowed(begun, begun) == {SECOND: 2} and swallowed(syn("10.20.1.11", dport=7365)) == {FIRST: 1}
    assert swallowed(begun, answer("10.20.2.11", SECOND, sport=7365, flags="SA")) == {}
    assert swallowed(syn("10.20.1.11")) == {} == swallowed(syn(CLIENT, dport=7365))  # the look's own attempts, and others'
    assert swallowed(begun, answer("10.20.1.11", sport=7365)) == {SECOND: 1}  # an answer on the other path


def dead_path(**more: Any) -> Any:
    dead = (CommPath("other", "10.20.1.11/10.20.1.12", True), CommPath("other", "10.20.2.11/10.20.2.12", False))
    cut = ClusterState({name: replace(one, comm_paths=dead) for name, one in state().nodes.items()})
    base = evidence(state=cut, **more)
    return replace(base, findings=(Finding(Weight.FAULT, "lknode01", "communication path", "10.20.2.11/10.20.2.12 is dead", "see"),))


def test_a_communication_path_whose_packets_arrive_is_no_security_groups_matter() -> None:
    assert "NSG" in only(dead_path(), "lknode01", "10.20.2.11/10.20.2.12").says
    there = {"lknode01": probed("lknode01"), "lknode02": probed("lknode02", swallowed={SECOND: 2})}
    cause = only(dead_path(probes=there), "lknode02", f"what lknode01 sends to {SECOND} arrives", "neither answers nor refuses")
    assert "NSG" not in cause.says
    elsewhere = {**there, "lknode02": probed("lknode02", swallowed={FIRST: 2})}
    assert "NSG" in only(dead_path(probes=elsewhere), "lknode01").says


def test_an_archive_keeps_it_and_older_ones_lack_it() -> None:
    whole = evidence(direct=attempts("lkclient", arrived=True), probes={"lknode02": probed("lknode02", swallowed={SECOND: 2})})
    data = bundle_observations.as_data(whole, ())
    back = bundle_observations.parse(data, CLUSTER)
    assert (list(back.direct), back.probes) == (list(whole.direct), whole.probes)
    for row in data["direct"]:
        del row["local_port"], row["arrived"], row["answer_left"]
    del data["probes"][0]["swallowed"]
    old = bundle_observations.parse(data, CLUSTER)
    assert not any(d.arrived for d in old.direct) and old.probes["lknode02"].swallowed == {}
