"""Health probes on the wire and in the balancer's verdict (facts PRB, API-03, API-04)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness.config import cluster_config
from harness.core.errors import BadUse
from harness.lab.lifecycle import default_cluster
from tests.lab.conftest import Bench
from tests.lab.connections import (
    ACK,
    ADDRESS,
    APP,
    CLIENT,
    CONNECTION_ALONE,
    HTTPD,
    NODE1,
    NODE2,
    PROBE,
    QUIET,
    RESPONDER,
    SOURCE,
    SYN,
    UDP,
    UDP_CLIENT,
    UDP_ECHO,
    WATCH,
    after_probes,
    answer_by_the_second_nic,
    answers,
    ask,
    deaf,
    gently,  # noqa: F401
    identities,
    next_verdict,
    probes_sent,
    refusals,
    side_by_side,
    stop,
    verdicts,
    vip_on,
)


@pytest.fixture(scope="module")
def each_design(make_lab) -> list[Bench]:
    return [make_lab(design, load_balancer={"probe": {"interval_s": 0.15}}) for design in ("nat", "floating")]


@pytest.fixture
def nat(each_design) -> Bench:
    return each_design[0]


@pytest.fixture(scope="module", autouse=True)
def azure(make_lab) -> tuple[Bench, float, float]:
    """A lab with Azure's timers, up before the first test so that nobody waits for them; since when, at most and at least."""
    began = time.monotonic()
    return make_lab("nat", lab={"profile": "azure"}), began, time.monotonic()


@pytest.fixture(scope="module")
def thrice(make_lab) -> Bench:
    """TCP probes with probeThreshold 3, and a UDP rule. Answers are counted up to the verdict, which must come before the next one."""
    return make_lab("nat", load_balancer={"probe": {"threshold": 3, "interval_s": 0.6}}, lab={"rules": [{"protocol": "udp", "port": UDP}]})


@pytest.fixture(scope="module")
def http(make_lab) -> Bench:
    return make_lab("nat", load_balancer={"probe": {"protocol": "http", "threshold": 3, "interval_s": 0.15}})


@pytest.mark.fact("PRB-01", "PRB-02", "PRB-03")
@side_by_side("each_design")
def test_probes_come_straight_from_the_host_to_the_private_address(each_design):
    """Every probe has source 168.63.129.16 and destination DIP:12345, also under floating IP, and crosses no router on its way."""
    lab = each_design
    with vip_on(lab, NODE1):
        watch = lab.start(NODE1, WATCH)
        lab.start(NODE1, RESPONDER, "0.0.0.0", PROBE)
        lab.listen(NODE1, APP)
        lab.wait_healthy(NODE1)
        assert identities(lab, count=1) == [NODE1]
        after_probes(lab, NODE1, 2)
        seen = [p for p in ask(watch, "") if not p["out"] and p["flags"] == SYN]
    probes = [p for p in seen if p["dport"] == PROBE]
    assert len(probes) >= 3
    assert {(p["src"], p["dst"], p["nic"], p["ttl"]) for p in probes} == {(SOURCE, ADDRESS[NODE1], "eth0", 64)}
    # The capture would have shown another destination, and the hop of what is forwarded.
    expected = lab.vip if lab.data["design"] == "floating" else ADDRESS[NODE1]
    assert [(p["src"], p["dst"], p["ttl"]) for p in seen if p["dport"] == APP] == [(ADDRESS[CLIENT], expected, 63)]


@pytest.mark.fact("PRB-02")
def test_the_probe_of_one_machine_does_not_depend_on_another(nat):
    """A node's verdict does not change while every other machine is without power."""
    nat.start(NODE1, RESPONDER, "0.0.0.0", PROBE)
    nat.wait_healthy(NODE1)
    try:
        for host in (CLIENT, NODE2):
            nat.ask("power", node=host, to="off")
        since = len(nat.events())
        after_probes(nat, NODE1, 3)
        assert nat.healthy() == [NODE1] and not [e for e in nat.events()[since:] if e["kind"] == "probe"]
    finally:
        for host in (CLIENT, NODE2):
            nat.ask("power", node=host, to="on")


@pytest.mark.fact("PRB-04")
def test_a_udp_rule_hangs_on_a_tcp_probe(thrice):
    """A UDP service is reached while the node's TCP probe is answered and only then, whatever the UDP service itself does."""
    thrice.start(NODE1, UDP_ECHO, "0.0.0.0", UDP, NODE1)
    client = thrice.start(CLIENT, UDP_CLIENT, thrice.vip, UDP, 22000, 1)
    assert ask(client, str(QUIET)) == ["silent"]
    responder = thrice.start(NODE1, RESPONDER, "0.0.0.0", PROBE)
    thrice.wait_healthy(NODE1)
    assert thrice.wait_for(lambda: ask(client, str(QUIET)), "an answer", until=lambda a: a == [NODE1])
    stop(responder)
    thrice.wait_healthy()
    thrice.wait_for(lambda: ask(client, str(QUIET)), "silence", until=lambda a: a == ["silent"])


@pytest.mark.fact("PRB-04", "PRB-08")
@pytest.mark.parametrize("fault", [{"protocol": "udp"}, {"number_of_probes": 2}])
def test_settings_that_a_probe_does_not_have_are_refused(fault):
    """There is no UDP probe; numberOfProbes, which the platform ignores, is not accepted in silence."""
    data = default_cluster.cluster_data(overrides={"load_balancer": {"probe": fault}})
    with pytest.raises(BadUse, match=rf"load_balancer\.probe\.{next(iter(fault))}"):
        cluster_config.parse(data, Path("cluster.toml"))
    assert cluster_config.parse(default_cluster.cluster_data(), Path("cluster.toml")).load_balancer.probe.protocol == "tcp"


@pytest.mark.fact("PRB-07", "API-03", "API-04", "OQ-19")
def test_the_threshold_counts_in_both_directions(thrice):
    """With probeThreshold 3 the third consecutive success brings a member in, also the first time, and the third failure takes it out."""
    watch = thrice.start(NODE1, WATCH)
    thrice.wait_healthy()
    since = len(thrice.events())
    began = time.time()
    responder = thrice.start(NODE1, RESPONDER, "0.0.0.0", PROBE)
    thrice.wait_for(lambda: thrice.reason(NODE1), "on its way up", until=lambda r: r == "Down_Probe_ApproachingHealthyThreshold")
    up = next_verdict(thrice, NODE1, since=since, up=True)
    assert thrice.reason(NODE1) == "Up_Probe_Success"
    stop(responder)
    thrice.wait_for(lambda: thrice.reason(NODE1), "on its way down", until=lambda r: r == "Up_Probe_ApproachingUnhealthyThreshold")
    down = next_verdict(thrice, NODE1, since=since, up=False)
    assert thrice.reason(NODE1) == "Down_Probe_TcpProbeTimeout"
    seen = ask(watch, "")
    assert answers(seen, SYN | ACK, after=began, before=up) == 3
    assert refusals(seen, after=up, before=down) == 3


@pytest.mark.fact("PRB-08")
def test_without_a_threshold_one_result_flips(nat):
    """Where only numberOfProbes could have been set, one success brings a member in and one failure takes it out."""
    nat.wait_healthy()
    watch = nat.start(NODE1, WATCH)
    since, began = len(nat.events()), time.time()
    responder = nat.start(NODE1, RESPONDER, "0.0.0.0", PROBE)
    up = next_verdict(nat, NODE1, since=since, up=True)
    stop(responder)
    down = next_verdict(nat, NODE1, since=since, up=False)
    seen = ask(watch, "")
    assert answers(seen, SYN | ACK, after=began, before=up) == 1
    assert refusals(seen, after=up, before=down) == 1


@pytest.mark.fact("PRB-10")
def test_an_unanswered_tcp_probe_fails_when_the_next_falls_due(nat):
    """An unanswered TCP probe fails one interval after it was sent, and before the next one goes out."""
    interval = nat.data["load_balancer"]["probe"]["interval_s"]
    nat.start(NODE1, RESPONDER, "0.0.0.0", PROBE)
    nat.wait_healthy(NODE1)
    watch = nat.start(NODE1, WATCH)
    after_probes(nat, NODE1, 1)
    since = len(nat.events())
    with deaf(nat, NODE1):
        down = next_verdict(nat, NODE1, since=since, up=False)
        after_probes(nat, NODE1, 1)
        seen = ask(watch, "")
    answered = {p["dport"] for p in seen if p["out"] and p["flags"] == SYN | ACK}
    sent = [p for p in seen if p["dport"] == PROBE and p["flags"] == SYN]
    first, second = [p["at"] for p in sent if p["sport"] not in answered][:2]
    assert answered and first + 0.8 * interval <= down <= second


@pytest.mark.fact("PRB-12")
def test_a_handshake_is_all_that_a_tcp_probe_wants(nat):
    """A completed handshake is a success and is then closed normally; a reset and silence are failures."""
    nat.wait_healthy()
    responder = nat.start(NODE1, RESPONDER, "0.0.0.0", PROBE)
    nat.wait_healthy(NODE1)
    seen = nat.wait_for(lambda: [c for c in ask(responder, "") if c[2]], "closed probes", until=lambda found: len(found) >= 3)
    assert {(how, peer) for _, _, how, peer in seen} == {("fin", SOURCE)}
    with deaf(nat, NODE1):
        nat.wait_healthy()
    nat.wait_healthy(NODE1)
    stop(responder)
    nat.wait_healthy()


@pytest.mark.fact("PRB-13", "API-03", "API-04")
@pytest.mark.parametrize("statuses", [("201", "204"), ("301", "302"), ("401", "403"), ("404", "500"), ("503", "silent"), ("rst", "206")])
def test_only_200_is_healthy(http, statuses):
    """An HTTP probe succeeds on 200 only; a redirect is not followed, and a reset or no answer in time fails too."""
    expected = {"silent": "Down_Probe_HttpNoResponse", "rst": "Down_Probe_HttpEndpointUnreachable"}
    servers = {node: http.start(node, HTTPD, "0.0.0.0", PROBE) for node in (NODE1, NODE2)}
    http.wait_healthy(NODE1, NODE2)
    for node in servers:  # a busy machine may have answered one too late
        http.wait_for(lambda node=node: http.reason(node), "a probe that succeeded", until=lambda seen: seen == "Up_Probe_Success")
    for node, answer in zip(servers, statuses, strict=True):
        ask(servers[node], f"answer {answer}")
    http.wait_healthy()
    for node, answer in zip(servers, statuses, strict=True):
        reason = expected.get(answer, "Down_Probe_HttpStatusCodeError")
        http.wait_for(lambda node=node: http.reason(node), reason, until=lambda seen, reason=reason: seen == reason)


@pytest.mark.fact("PRB-14")
def test_an_explicit_status_flips_at_once_and_timeouts_are_counted(http):
    """With probeThreshold 3 one 500 takes a member out and one 200 brings it back, while two timeouts do nothing and a third counts."""
    server = http.start(NODE1, HTTPD, "0.0.0.0", PROBE)
    http.wait_healthy(NODE1)
    since = len(http.events())
    ask(server, "answer 500 1")
    http.wait_for(lambda: [v["up"] for v in verdicts(http, NODE1, since=since)], "two flips", until=lambda seen: seen == [False, True])
    since = len(http.events())
    ask(server, "answer silent 2")
    after_probes(http, NODE1, 4)
    assert not [e for e in http.events()[since:] if e["kind"] == "probe"]
    ask(server, "answer silent 3")
    next_verdict(http, NODE1, since=since, up=False)
    next_verdict(http, NODE1, since=since, up=True)


@pytest.mark.fact("PRB-17")
def test_a_stopped_machine_is_not_probed(nat):
    """A node without power gets no probes; once it has booted it is healthy after a probe has succeeded, not before."""
    nat.start(NODE2, RESPONDER, "0.0.0.0", PROBE)
    nat.wait_healthy(NODE2)
    nat.ask("power", node=NODE2, to="off")
    try:
        nat.wait_healthy()
        sent = probes_sent(nat, NODE2)
        after_probes(nat, NODE1, 3)  # the other node's go on
        assert probes_sent(nat, NODE2) == sent
    finally:
        nat.ask("power", node=NODE2, to="on")
    after_probes(nat, NODE2, 2)
    assert nat.healthy() == []
    nat.start(NODE2, RESPONDER, "0.0.0.0", PROBE)
    nat.wait_healthy(NODE2)


@pytest.mark.fact("PRB-20")
@pytest.mark.parametrize(("reached", "unreached"), [("0.0.0.0", "127.0.0.1"), ("10.20.1.11", "10.20.1.200")])
@side_by_side("each_design")
def test_where_the_responder_must_listen(each_design, reached, unreached):
    """A responder on INADDR_ANY or the DIP is probed; one bound to loopback or to the VIP is never reached, in either design."""
    lab = each_design
    lab.wait_healthy()
    with vip_on(lab, NODE2):
        responder = lab.start(NODE1, RESPONDER, reached, PROBE)
        mistaken = lab.start(NODE2, RESPONDER, unreached, PROBE)
        lab.wait_healthy(NODE1)
        after_probes(lab, NODE2, 2)
        assert lab.healthy() == [NODE1]
        assert ask(responder, "") and not ask(mistaken, "")
        lab.python(NODE2, CONNECTION_ALONE, unreached, PROBE)  # a responder says nothing that could be waited for
        # it listens all right, where no probe comes
        lab.wait_for(lambda: ask(mistaken, ""), "the connection that was made there", until=lambda taken: len(taken) == 1)


@pytest.mark.fact("PRB-21")
def test_an_application_on_the_vip_only_that_is_its_own_probe_target(make_lab):
    """Bound to the VIP only and probed on its own port, a service is silent for all but the VIP's holder."""
    lab = make_lab("nat", load_balancer={"probe": {"port": APP, "interval_s": 0.15}})
    with vip_on(lab, NODE1):
        service = lab.listen(NODE1, APP, bind=lab.vip)
        after_probes(lab, NODE1, 1)
        assert lab.healthy() == []
        assert {who for origin in (CLIENT, NODE2) for who in identities(lab, count=3, origin=origin, limit=QUIET)} == {"silent"}
        assert identities(lab, count=3, origin=NODE1) == [NODE1] * 3
        stop(service)
        lab.listen(NODE1, APP)  # the same service on INADDR_ANY is probed and reached
        lab.wait_healthy(NODE1)
        assert identities(lab, count=3) == [NODE1] * 3


@pytest.mark.fact("PRB-21")
@side_by_side("each_design")
def test_an_application_on_the_vip_only_beside_a_responder(each_design):
    """Bound to the VIP only beside a responder of its own, a service refuses the others (nat) or works for them (floating)."""
    lab = each_design
    with vip_on(lab, NODE1):
        lab.start(NODE1, RESPONDER, "0.0.0.0", PROBE)
        lab.listen(NODE1, APP, bind=lab.vip)
        lab.wait_healthy(NODE1)
        expected = "refused" if lab.data["design"] == "nat" else NODE1
        assert set(identities(lab, count=3)) == set(identities(lab, count=3, origin=NODE2)) == {expected}
        assert identities(lab, count=3, origin=NODE1) == [NODE1] * 3


@pytest.mark.fact("PRB-23")
def test_a_probe_answered_on_another_nic_fails(nat):
    """A probe that arrives on one NIC and is answered through the other is lost."""
    nat.start(NODE1, RESPONDER, "0.0.0.0", PROBE)
    nat.wait_healthy(NODE1)
    watch = nat.start(NODE1, WATCH)
    answer_by_the_second_nic(nat, True)
    try:
        nat.wait_healthy()
        ways = {(p["nic"], p["out"]) for p in ask(watch, "") if PROBE in (p["sport"], p["dport"])}
        assert {("eth0", False), ("eth1", True)} <= ways
    finally:
        answer_by_the_second_nic(nat, False)
    nat.wait_healthy(NODE1)


STUCK = r"""
import socket, sys
l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); l.bind(("0.0.0.0", int(sys.argv[1]))); l.listen(1)
print("ready"); sys.stdin.read()
"""


@pytest.mark.fact("PRB-27")
def test_a_responder_that_serves_one_connection_stops_answering(nat):
    """A responder with a backlog of 1 that does not come back to accept answers a few probes and then none, its application being well."""
    nat.wait_healthy()
    nat.listen(NODE1, APP)
    since = len(nat.events())
    nat.start(NODE1, STUCK, PROBE)
    next_verdict(nat, NODE1, since=since, up=True)
    next_verdict(nat, NODE1, since=since, up=False)
    queue = nat.sh(NODE1, f"ss -Hltn sport = :{PROBE}").stdout.split()
    assert int(queue[1]) > int(queue[2]) == 1  # the listen queue is full
    assert identities(nat, count=3, limit=QUIET) == ["silent"] * 3
    assert nat.connect(CLIENT, ADDRESS[NODE1], APP)[0]["hello"]["host"] == NODE1


@pytest.mark.fact("PRB-05")
def test_the_azure_profile_probes_every_5_s(azure):
    """With Azure's defaults a probe is sent every 5 s: the first at once, as many others as there have been intervals."""
    lab, began, up = azure
    sent, asked = lab.wait_for(lambda: (probes_sent(lab, NODE1), time.monotonic()), "the second probe", until=lambda seen: seen[0] >= 2)
    late = 1.2  # a busy machine sends some late; each is counted from the one before
    assert (asked - up) / (5 * late) - 1 <= sent <= (asked - began) / 5 + 1
