"""The cluster file against what is seen: the probe's interval, its protocol and path, the client's address, the VIP's prefix."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, SILENT, WEB, client, evidence, faults, node, only, paths, probed, with_host

from harness.check import captured_evidence, evidence_gathering
from harness.check.findings.node_findings import of_containers
from harness.config.cluster_config import Cluster
from harness.core.deadline import Deadline
from harness.core.finding import Finding, Weight
from harness.diagnosis import bundle_observations
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence, ProbesSeen
from harness.diagnosis.firewall import parse
from harness.hosts.linux.linux_parse import InterfaceAddress
from harness.remote.recording.packets import Packet


def with_probe(**more: Any) -> Cluster:
    balancer = CLUSTER.load_balancer
    return CLUSTER.model_copy(update={"load_balancer": balancer.model_copy(update={"probe": balancer.probe.model_copy(update=more)})})


QUICK, SLOW = with_probe(interval_s=0.25), with_probe(interval_s=5.0)


def seen_of_probes(cluster: Cluster, *, syns: int, seconds: float, every_s: float | None, second: int | None = None) -> Evidence:
    counts = {"lknode01": syns, "lknode02": syns if second is None else second}
    told = {
        name: replace(probed(name), syns={12345: n} if n else {}, seconds=seconds, every_s=every_s if n > 1 else None)
        for name, n in counts.items()
    }
    return replace(evidence(cluster=cluster), probes=told)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (seen_of_probes(QUICK, syns=2, seconds=18.0, every_s=15.0, second=1), ("come every 15.0 s", "0.25 s")),
        (seen_of_probes(QUICK, syns=0, seconds=20.0, every_s=None), ("did not come once in 20 s",)),
        (seen_of_probes(QUICK, syns=1, seconds=9.0, every_s=None), ("came once in 9 s",)),
        (seen_of_probes(QUICK, syns=1, seconds=9.0, every_s=None, second=0), ("came once in 9 s",)),
        (seen_of_probes(SLOW, syns=4, seconds=1.1, every_s=0.25), ("come every 0.2 s", "5 s", "interval_s")),
    ],
)
def test_probes_that_come_more_or_less_often_than_the_file_says(seen: Evidence, words: tuple[str, ...]) -> None:
    assert only(seen, CLUSTER.name, "interval_s", *words).certainty is Certainty.LIKELY


@pytest.mark.parametrize(
    "seen",
    [
        seen_of_probes(QUICK, syns=2, seconds=2.0, every_s=0.9),  # a busy host
        seen_of_probes(QUICK, syns=4, seconds=1.0, every_s=0.25),
        seen_of_probes(SLOW, syns=1, seconds=4.9, every_s=None),
        seen_of_probes(SLOW, syns=2, seconds=5.3, every_s=0.4),  # of two probes of one port
        seen_of_probes(SLOW, syns=2, seconds=5.3, every_s=5.0),
    ],
)
def test_probes_that_come_as_the_file_says(seen: Evidence) -> None:
    assert faults(diagnose(seen)) == []


def test_a_node_that_is_not_probed_is_told_as_before_where_probes_come_in_time() -> None:
    only(seen_of_probes(QUICK, syns=4, seconds=1.0, every_s=0.25, second=0), "lknode02", "no probe", "backend pool")
    lost = replace(seen_of_probes(QUICK, syns=0, seconds=20.0, every_s=None), paths=paths(client=SILENT, standby=SILENT))
    assert any("no load-balancing rule uses a probe" in c.says for c in faults(diagnose(lost)))


def syn(at: float, sport: int, seq: int = 1) -> Packet:
    return Packet(at, "eth0", "host", "tcp", "168.63.129.16", sport, "10.20.1.11", 12345, "S", seq, 0)


def test_a_syn_that_is_sent_again_is_no_second_probe() -> None:
    one = CLUSTER.node("lknode01")
    packets = [syn(10.0, 1), syn(11.0, 1), syn(15.0, 2), syn(20.2, 3)]
    assert captured_evidence.probes(one, packets, CLUSTER, 11.0).every_s == pytest.approx(5.1)
    assert captured_evidence.probes(one, packets[:2], CLUSTER, 11.0).every_s is None


class Sight:
    """A capture that has seen one more of these at each look."""

    def __init__(self, *syns: Packet) -> None:
        self.left, self.seen = [*syns], []

    def packets(self) -> dict[str, list[Packet]]:
        self.seen += [self.left.pop(0)] if self.left else []
        return {name: self.seen for name in ("lknode01", "lknode02")}


def test_it_is_waited_on_for_a_second_probe_where_the_first_comes_late_and_clients_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_gathering, "MAX_WATCH_S", 5.0)
    began = Deadline(0.0)
    monkeypatch.setattr(began, "elapsed", lambda: 3.0)
    two = ("lknode01", "lknode02")

    def watched(sent: bool, *syns: Packet) -> ProbesSeen:
        return evidence_gathering.probes(Sight(*syns), QUICK, two, began, sent=sent)["lknode01"]  # type: ignore[arg-type]

    assert watched(True, syn(1.0, 1), syn(16.0, 2)).every_s == 15.0
    assert watched(False, syn(1.0, 1), syn(16.0, 2)).every_s is None


def test_an_archive_has_how_often_probes_came() -> None:
    seen = seen_of_probes(QUICK, syns=2, seconds=18.0, every_s=15.0)
    data = bundle_observations.as_data(seen, ())
    assert bundle_observations.parse(data, QUICK).probes == seen.probes
    for row in data["probes"]:
        del row["every_s"]
    assert bundle_observations.parse(data, QUICK).probes["lknode01"].every_s is None


HTTP = with_probe(protocol="http", path="/health")


@pytest.mark.parametrize("answer", ["404 Not Found", "with no HTTP (RemoteDisconnected)"])
def test_a_node_that_is_in_rotation_is_asked_otherwise_than_the_file_says(answer: str) -> None:
    seen = evidence(cluster=HTTP, asked_by_probe={"lknode01": answer, "lknode02": ""})
    cause = only(seen, "lknode01", answer, "GET /health", "sends it clients", "protocol")
    assert cause.certainty is Certainty.LIKELY and "out of rotation" not in cause.says
    lost = replace(seen, paths=paths(client=SILENT, standby=SILENT))
    assert "out of rotation" in faults(diagnose(lost))[0].says


def test_a_page_behind_a_probe_that_the_file_has_as_tcp() -> None:
    silent = paths(client=SILENT, standby=SILENT)
    seen = evidence(paths=silent, asked_by_probe={"lknode01": "503 Service Unavailable"})
    only(seen, "lknode01", "HTTP", "503", "adminState", "protocol")
    only(evidence(paths=silent), "lknode01", "adminState")
    assert faults(diagnose(evidence(asked_by_probe={"lknode01": "503 Service Unavailable"}))) == []


def test_a_client_that_has_not_the_files_address() -> None:
    other = client(addresses=[InterfaceAddress("lo", "127.0.0.1", 8, "UNKNOWN"), InterfaceAddress("eth0", "10.20.1.20", 24, "UP")])
    machine = CLUSTER.client.model_copy(update={"address": "10.20.1.21"})
    cause = only(
        replace(with_host(other), cluster=CLUSTER.model_copy(update={"client": machine})), "lkclient", "10.20.1.21", "10.20.1.20 on eth0"
    )
    assert cause.certainty is Certainty.CERTAIN and "127.0.0.1" not in cause.says
    assert faults(diagnose(with_host(other))) == [] and faults(diagnose(with_host(client(addresses=None)))) == []


def test_a_wide_prefix_in_the_file_is_the_files_fault() -> None:
    wide = CLUSTER.model_copy(update={"ip_resource": CLUSTER.ip_resource.model_copy(update={"prefix": 24})})
    cause = only(evidence(cluster=wide), CLUSTER.name, "prefix /24", "/32")
    assert "10.20.1.200/32 on eth1" in cause.evidence[1] and "set ip_resource.prefix to 32" in cause.do


NAT = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80\nCOMMIT\n"


def test_a_service_in_a_container_is_served_where_the_firewall_hands_its_port_on() -> None:
    others = [s for s in node("lknode01").listeners or () if s.port != WEB.port]
    seen = with_host(node("lknode01", listeners=others, firewall=parse(NAT)))
    assert faults(diagnose(seen)) == []
    finding = Finding(Weight.FAULT, "lknode01", f"listener of {WEB.name}", "nobody listens there", "start it")
    (note,) = of_containers([finding], CLUSTER, "lknode01", seen.paths, seen.firewalls)
    assert note.weight is Weight.NOTE and "DNAT" in note.says
    unserved = [replace(p, outcome="fail") if p.service is WEB else p for p in seen.paths]
    assert of_containers([finding], CLUSTER, "lknode01", unserved, seen.firewalls) == [finding]
    assert any("the two disagree" in c.says for c in faults(diagnose(replace(seen, paths=unserved))))
    without = with_host(node("lknode01", listeners=others))
    assert of_containers([finding], CLUSTER, "lknode01", without.paths, without.firewalls) == [finding]
    assert any("the two disagree" in c.says for c in faults(diagnose(without)))
