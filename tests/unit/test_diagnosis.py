"""The diagnosis: for each family of rules what was seen gives the cause, with its host and what is at fault; a sound cluster gives none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.config import cluster_config
from harness.core.finding import Finding, Weight
from harness.diagnosis import required_flows, rules
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import Diagnosis, all_rules, diagnose
from harness.diagnosis.evidence import Direct, Evidence, HostSeen, PathSeen, ProbesSeen, Socket
from harness.diagnosis.firewall import parse
from harness.hosts.linux.linux_parse import InterfaceAddress, Route
from harness.lab.lifecycle import default_cluster
from harness.managers.manager import Answer, ClusterState, CommPath, NodeState, Question, ResourceState, Says

CLUSTER = cluster_config.parse(default_cluster.cluster_data(), Path("a test's"))
PROBE = "168.63.129.16"
WEB = next(s for s in CLUSTER.services if s.kind == "http")
TAGS = ["cluster-services", "ip-10.20.1.200", "lbhc-12345", *(s.tag for s in CLUSTER.services)]
IN, OUT, FAILED = ResourceState.IN_SERVICE, ResourceState.STANDBY, ResourceState.FAILED
BY_ETH0, LOCAL = Route("unicast", "eth0"), Route("local", "lo")


def state(active: dict[str, ResourceState] | None = None, standby: dict[str, ResourceState] | None = None) -> ClusterState:
    paths = tuple(CommPath("other", f"10.20.{subnet}.11/10.20.{subnet}.12", True) for subnet in (1, 2))
    one = NodeState("lknode01", True, dict.fromkeys(TAGS, IN) | (active or {}), paths)
    return ClusterState({"lknode01": one, "lknode02": NodeState("lknode02", True, dict.fromkeys(TAGS, OUT) | (standby or {}), paths)})


def listening(port: int, address: str = "0.0.0.0", **more: Any) -> Socket:
    return Socket("LISTEN", address, port, "0.0.0.0", 0, **{"waiting": 0, "room": 128, "process": "it", "pid": 5, **more})


def node(name: str, **more: Any) -> HostSeen:
    last = name[-1]
    vip = [InterfaceAddress("eth1", "10.20.1.200", 32, "UP")] if name == "lknode01" else []
    own = [InterfaceAddress("eth0", f"10.20.1.1{last}", 24, "UP"), InterfaceAddress("eth1", f"10.20.2.1{last}", 24, "UP"), *vip]
    routes = {(to, source): BY_ETH0 for to in (PROBE, "10.20.1.20", "10.20.1.11", "10.20.1.12") for source in ("", f"10.20.1.1{last}")}
    listeners = [listening(p) for p in (12345, *(s.port for s in CLUSTER.services))] if name == "lknode01" else []
    told = {"addresses": own, "routes": routes, "listeners": listeners, "firewall": parse(""), "mtus": {"eth0": 1500, "eth1": 1500}}
    return HostSeen(name, **(told | more))


def path(origin: str, service: cluster_config.Service = WEB, outcome: str = "pass", **more: Any) -> PathSeen:
    host = {"client": "lkclient", "inside": "lknode01", "standby": "lknode02"}[origin]
    inside = origin == "inside"
    told: dict[str, Any] = {"outcomes": frozenset({"answered"}), "ways": frozenset({"W3" if inside else "W1"})}
    if not inside:
        told |= {"nodes": frozenset({"lknode01"}), "arrived_as": frozenset({"10.20.1.11"}), "answers_left": True, "answers_came": True}
    return PathSeen(origin, host, service, outcome, "a reason", **(told | more))


SILENT = {
    "outcome": "fail",
    "outcomes": frozenset({"silent"}),
    "ways": frozenset({"W8"}),
    "nodes": frozenset(),
    "arrived_as": frozenset(),
} | {
    "answers_left": False,
    "answers_came": False,
}


def paths(**of: dict[str, Any]) -> list[PathSeen]:
    return [path(origin, service, **of.get(origin, {})) for origin in ("client", "inside", "standby") for service in CLUSTER.services]


def probed(name: str, **more: Any) -> ProbesSeen:
    told: dict[str, Any] = {"syns": {12345: 4}, "came_by": frozenset({"eth0"})}
    told |= {"answered": 4, "answers_by": frozenset({"eth0"})} if name == "lknode01" else {"refused": 4}
    return ProbesSeen(name, 1.0, **(told | more))


def evidence(**more: Any) -> Evidence:
    told: dict[str, Any] = {
        "hosts": {"lknode01": node("lknode01"), "lknode02": node("lknode02"), "lkclient": client()},
        "paths": paths(),
        "probes": {"lknode01": probed("lknode01"), "lknode02": probed("lknode02")},
        "may_move": {q: Answer(Says.YES) for q in Question},
    }
    told |= {"cluster": CLUSTER, "state": state(), "active": "lknode01"} | more
    return Evidence(**({"firewalls": evaluated(told["hosts"])} | told))


def evaluated(hosts: dict[str, HostSeen]) -> dict[str, required_flows.FirewallVerdict]:
    return {
        n: required_flows.judge_firewall(CLUSTER, n, one.firewall, one.nic_of, place_packet=partial(one.place_packet, CLUSTER.vip))
        for n, one in hosts.items()
        if one.firewall is not None
    }


def client(**more: Any) -> HostSeen:
    return HostSeen("lkclient", **({"addresses": [InterfaceAddress("eth0", "10.20.1.20", 24, "UP")], "firewall": parse("")} | more))


def with_host(seen: HostSeen, **more: Any) -> Evidence:
    base = evidence(**more)
    hosts = {**base.hosts, seen.name: seen}
    return replace(base, hosts=hosts, firewalls=evaluated(hosts))


def faults(told: Diagnosis) -> list[Cause]:
    return [c for c in told.causes if c.is_fault]


def only(seen: Evidence, host: str, *words: str) -> Cause:
    """The one fault that was found, which is on this host and says these words somewhere."""
    (cause,) = faults(diagnose(seen))
    text = json.dumps(cause.as_data(), ensure_ascii=False)
    assert cause.host == host and not [w for w in words if w not in text], text
    return cause


def nft(*rules_: str, hook: str = "input") -> str:
    """An nft listing with one chain; each rule is JSON."""
    items: list[dict] = [{"table": {"family": "ip", "name": "t", "handle": 1}}]
    items.append({"chain": {"family": "ip", "table": "t", "name": "c", "type": "filter", "hook": hook, "prio": 0, "policy": "accept"}})
    items += [{"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 9, "expr": json.loads(r)}} for r in rules_]
    return json.dumps({"nftables": items})


def drop(protocol: str, field: str, right: object) -> str:
    return json.dumps(
        [{"match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}, {"drop": None}]
    )


SWALLOWED = {**SILENT, "nodes": frozenset({"lknode01"})}


def swallowed(*origins: str) -> list[PathSeen]:
    return [replace(p, **SWALLOWED) if p.service is WEB and p.path in origins else p for p in paths()]


def chosen(words: str, kind: str = "blackhole", rule: str = "400: from all ipproto tcp sport 80 blackhole") -> dict[str, Any]:
    nic = "eth0" if kind == "unicast" else None
    return {"chosen_routes": {("10.20.1.20", "10.20.1.11", words): Route(kind, nic)}, "rules": (rule,)}


def test_a_sound_cluster_has_no_cause() -> None:
    assert faults(diagnose(evidence())) == []


def test_what_is_no_fault_is_told_after_every_fault() -> None:
    """A likely cause that is general stands after special ones of its kind, and yet before what is only worth a look."""
    told = diagnose(
        evidence(hosts={"lkclient": client(sysctls={"tcp_keepalive_time": "7200"})}, paths=paths(client=SILENT, standby=SILENT))
    )
    assert [c.is_fault for c in told.causes] == [True, False] and "keepalive" in told.causes[1].says
    assert len(told.under[0]) == 6 and told.under[1] == ()


def test_every_family_is_found_by_being_there_and_has_its_row_in_the_page() -> None:
    names = {p.stem for p in Path(rules.__path__[0]).rglob("*.py")} - {"__init__"}
    assert len(all_rules()) == len(names)
    page = (Path(__file__).parents[2] / "docs" / "diagnosis.md").read_text()
    assert [n for n in sorted(names) if f"| {n} |" not in page] == []


def test_the_firewall_that_drops_what_answers_the_probe_is_named_with_its_rule() -> None:
    seen = node("lknode01", firewall=parse(nft(drop("ip", "daddr", PROBE), hook="output")))
    cause = only(with_host(seen, paths=paths(client=SILENT, standby=SILENT)), "lknode01", PROBE, "firewall drops", "answers")
    assert cause.certainty is Certainty.CERTAIN


def test_a_closed_firewall_on_the_standby_is_a_failover_that_will_not_work() -> None:
    seen = node("lknode02", firewall=parse(nft(drop("tcp", "dport", WEB.port))))
    only(with_host(seen), "lknode02", f"port {WEB.port}", "could not take over")


def test_a_policy_rule_that_sends_answers_out_of_the_other_nic_is_quoted() -> None:
    by_eth1 = {(PROBE, "10.20.1.11"): Route("unicast", "eth1")}
    base = node("lknode01")
    seen = replace(base, routes={**base.routes, **by_eth1}, rules=("0: from all lookup local", "100: from 10.20.1.11 lookup 100"))
    only(with_host(seen, paths=paths(client=SILENT, standby=SILENT)), "lknode01", "100: from 10.20.1.11 lookup 100", "eth1")


@pytest.mark.parametrize("name", ["lknode01", "lknode02"])
def test_a_node_that_is_not_probed_is_outside_the_pool_or_shut_out(name: str) -> None:
    broken = paths(client=SILENT, standby=SILENT) if name == "lknode01" else paths()
    seen = evidence(paths=broken)
    seen = replace(seen, probes={**seen.probes, name: ProbesSeen(name, 2.0)})
    only(seen, name, "no probe from", "pool", "NSG")


def test_a_probe_that_asks_another_port_is_told_by_the_packets() -> None:
    seen = evidence(paths=paths(client=SILENT, standby=SILENT))
    seen = replace(seen, probes={n: ProbesSeen(n, 1.0, syns={59999: 4}) for n in ("lknode01", "lknode02")})
    both = only(
        seen, "lknode01", "asks port 59999 of both nodes, not 12345, where the health-check resource of lknode01 answers", "probe ask 12345"
    )
    assert "client/web" not in both.explains and "client/*" in both.explains
    listeners = [listening(p) for p in (59999, *(s.port for s in CLUSTER.services))]
    only(
        replace(seen, hosts={**seen.hosts, "lknode01": node("lknode01", listeners=listeners)}),
        "lknode01",
        "let the cluster file have 59999",
    )
    apart = replace(seen, probes={n: ProbesSeen(n, 1.0, syns={port: 4}) for n, port in (("lknode01", 59999), ("lknode02", 59998))})
    assert [c.host for c in faults(diagnose(apart))] == ["lknode01", "lknode02"], "each asked another one"


def test_one_silent_port_has_no_rule_and_one_silent_origin_is_denied() -> None:
    one = [replace(p, **SILENT) if p.service is WEB and p.path != "inside" else p for p in paths()]
    seen = evidence(paths=one, direct=[Direct("lknode02", "lknode01", WEB.port, "answered")])
    only(seen, "lknode01", f"no rule for port {WEB.port}")
    only(evidence(paths=paths(client=SILENT)), "lkclient", "NSG", "lkclient")


def test_floating_ip_on_or_off_against_the_file() -> None:
    as_vip = {"outcome": "fail", "ways": frozenset({"W2"}), "arrived_as": frozenset({"10.20.1.200"})}
    only(evidence(paths=paths(client=as_vip, standby=as_vip)), "lknode01", "floating IP is on", "nat")
    other = cluster_config.parse(default_cluster.merge_tables(default_cluster.cluster_data(), {"design": "floating"}), Path("a test's"))
    told = diagnose(evidence(cluster=other, paths=paths(client={"outcome": "fail"}, standby={"outcome": "fail"})))
    assert "floating IP is off" in faults(told)[0].says


def test_a_full_accept_queue_is_told_with_who_holds_it() -> None:
    base = node("lknode01")
    listeners = [listening(12345, waiting=2, room=1), *[s for s in base.listeners or () if s.port != 12345]]
    held = Socket("ESTAB", "10.20.1.11", 12345, "10.20.1.12", 40000)
    only(with_host(replace(base, listeners=listeners, sockets=[held])), "lknode01", "queue", "full", "10.20.1.12")


def test_an_outgoing_connection_that_has_the_probe_port_is_found_on_the_standby() -> None:
    held = Socket("ESTAB", "10.20.1.12", 12345, "10.20.2.11", 22, process="nc", pid=7)
    seen = node("lknode02", sockets=[held], sysctls={"ip_local_port_range": "1024 60999"})
    only(with_host(seen), "lknode02", "12345", "ephemeral", "nc (pid 7)")


def test_a_resource_that_failed_is_told_with_its_last_words() -> None:
    log = ("Nov 28 22:00:00 lknode01 lcm[1]: ERROR::restore:lbhc-12345:990110:port 12345 cannot be listened on (Address already in use)",)
    base = node("lknode01", log=log)
    seen = replace(base, listeners=[s for s in base.listeners or () if s.port != 12345])
    told = with_host(seen, state=state({"lbhc-12345": FAILED}), paths=paths(client=SILENT, standby=SILENT))
    only(told, "lknode01", "lbhc-12345 failed", "Address already in use")


def test_the_manager_and_the_host_disagree() -> None:
    base = node("lknode01", units={"monitor lbhc-12345": "none"})
    seen = replace(base, listeners=[s for s in base.listeners or () if s.port != 12345])
    only(with_host(seen, paths=paths(client=SILENT, standby=SILENT)), "lknode01", "nobody listens", "disagree", "no monitor operation")


def test_services_apart_are_told_with_both_nodes() -> None:
    seen = evidence(state=state({WEB.tag: OUT}, {WEB.tag: IN}))
    seen = replace(seen, hosts={n: h for n, h in seen.hosts.items() if n == "lkclient"})
    assert [c.host for c in faults(diagnose(seen)) if WEB.tag in c.says and "lknode01" in c.says] == ["lknode02"]


def test_what_speaks_against_the_next_failover_is_a_cause_each() -> None:
    seen = evidence(may_move={Question.LOST: Answer(Says.NO, ("the cluster is in maintenance mode", "a constraint is in force"))})
    assert [c.host for c in faults(diagnose(seen))] == ["lknode02", "lknode02"]
    assert (
        faults(diagnose(evidence(may_move={Question.TOLD: Answer(Says.CANNOT_TELL, ("not read",))}, fencing=Answer(Says.CANNOT_TELL))))
        == []
    )


def test_fencing_that_is_off_is_told_and_what_is_not_known_of_it_is_not() -> None:
    only(evidence(fencing=Answer(Says.NO, ("stonith-enabled is false",))), "lknode02", "stonith-enabled is false")


def test_swapped_nics_on_the_standby() -> None:
    base = node("lknode02", units={"ip nic": "eth1"})
    swapped = [InterfaceAddress("eth1", "10.20.1.12", 24, "UP"), InterfaceAddress("eth0", "10.20.2.12", 24, "UP")]
    routes = {k: Route("unicast", "eth1") for k in base.routes}
    only(with_host(replace(base, addresses=swapped, routes=routes)), "lknode02", "eth0", "eth1", "10.20.2.12")


def test_an_mtu_black_hole_names_the_host_where_large_packets_vanish() -> None:
    seen = client(large={"10.20.1.11": (True, False, 1500), "10.20.1.12": (True, False, 1500)})
    only(with_host(seen), "lkclient", "MTU", "1500")
    nothing = client(large={"10.20.1.11": (False, False, 1500)})
    assert faults(diagnose(with_host(nothing))) == []  # ICMP does not pass at all, so that it proves nothing


def test_the_services_own_sentence_is_the_cause() -> None:
    said = "10.20.1.200:5432: PostgreSQL turned us away: pg_hba.conf rejects connection"
    base = [p for p in paths() if (p.path, p.service.kind) != ("inside", "postgres")]
    database = next(s for s in CLUSTER.services if s.kind == "postgres")
    only(evidence(paths=[*base, path("inside", database, "fail", identity=said)]), "lknode01", "pg_hba.conf")
    entry = '10.20.1.200:5432: PostgreSQL turned us away: FATAL: 28000: no pg_hba.conf entry for host "{}", user "harness", no encryption'
    three = [("client", "10.20.1.20"), ("inside", "10.20.1.200"), ("standby", "10.20.1.12")]
    lost = [path(origin, database, "fail", identity=entry.format(address)) for origin, address in three]
    cause = only(
        evidence(paths=[*(p for p in base if p.service is not database), *lost]), "lknode01", "hostssl", "10.20.1.20", "10.20.1.12"
    )
    assert cause.certainty is Certainty.CERTAIN


def test_a_service_that_closes_one_hosts_connections_only_goes_by_its_address() -> None:
    closed = {"outcome": "fail", "identity": "10.20.1.200:80 closed the connection on a question without a word"}
    one = [replace(p, **closed) if p.service is WEB and p.path == "client" else p for p in paths()]
    cause = only(evidence(paths=one), "lknode01", "lkclient", "by the address", "tcp.invited_nodes", "lknode02")
    assert cause.certainty is Certainty.LIKELY
    everybody = [replace(p, **closed) if p.service is WEB else p for p in paths()]
    assert "by the address" not in only(evidence(paths=everybody), "lknode01", "without a word").says


def test_a_finding_that_no_rule_says_better_is_a_cause_with_its_paths_under_it() -> None:
    finding = Finding(Weight.FAULT, "lknode01", f"listener of {WEB.name}", "it listens on 10.20.1.11 only", "let it listen on any address")
    broken = [replace(p, outcome="fail") if p.service is WEB and p.path == "inside" else p for p in paths()]
    told = diagnose(evidence(findings=(finding,), paths=broken))
    assert [(c.host, under) for c, under in zip(told.causes, told.under, strict=True)] == [
        ("lknode01", (f"inside/{WEB.name}", f"lknode01:listener of {WEB.name}"))
    ]


def test_where_roles_moved_nothing_is_advised_that_depends_on_them() -> None:
    two: Sequence[Socket] = [listening(12345)]
    seen = with_host(node("lknode02", listeners=two), moved=True)
    assert faults(diagnose(seen)) == []


def test_a_nic_that_is_down_explains_the_dead_communication_path() -> None:
    base = node("lknode02")
    down = [replace(a, state="DOWN") if a.interface == "eth1" else a for a in base.addresses or ()]
    dead = Finding(Weight.FAULT, "lknode02", "communication path", "10.20.2.12/10.20.2.11 is dead", "fix the network")
    only(with_host(replace(base, addresses=down), findings=(dead,)), "lknode02", "eth1", "down")


def test_a_dead_communication_path_that_nothing_explains_is_told_by_itself() -> None:
    dead = Finding(Weight.FAULT, "lknode02", "communication path", "10.20.2.12/10.20.2.11 is dead", "fix the network")
    assert only(evidence(findings=(dead,)), "lknode02", "is dead").certainty is Certainty.LIKELY


def test_a_client_that_holds_the_vip_or_routes_it_elsewhere_is_told_by_its_route() -> None:
    by = {("10.20.1.200", ""): LOCAL}
    only(with_host(client(routes=by), paths=paths(client={"outcome": "fail"})), "lkclient", "holds 10.20.1.200 itself")
    by = {("10.20.1.200", ""): Route("unicast", "eth0", gateway="10.20.1.1")}
    assert faults(diagnose(with_host(client(routes=by)))) == []  # it works: whoever gave the gateway knows why
    assert any("10.20.1.1" in c.says for c in faults(diagnose(with_host(client(routes=by), paths=paths(client=SILENT)))))


def test_one_port_of_one_origin_is_denied_by_a_rule_about_both() -> None:
    denied = [replace(p, **SILENT) if p.service is WEB and p.path == "client" else p for p in paths()]
    only(evidence(paths=denied), "lkclient", f"port {WEB.port}", "NSG")
    own = "table inet e {\nchain o {\ntype filter hook output priority 0;\nip daddr 10.20.1.200 tcp dport 80 drop\n}\n}\n"
    cause = only(with_host(client(firewall=parse(own)), paths=denied), "lkclient", "its own firewall drops")
    assert "NSG" not in cause.says


def test_both_nodes_or_none() -> None:
    both = state(standby=dict.fromkeys(TAGS, IN))
    assert "split brain" in faults(diagnose(evidence(state=both, active=None, paths=())))[0].says
    none = state(dict.fromkeys(TAGS, OUT))
    assert "nothing is in service" in faults(diagnose(evidence(state=none, active=None, paths=())))[0].says


def test_clients_that_are_sent_to_a_node_that_answers_no_probe() -> None:
    mixed = {"outcome": "fail", "outcomes": frozenset({"answered", "refused"}), "nodes": frozenset({"lknode01", "lknode02"})}
    only(evidence(paths=paths(client=mixed, standby=mixed)), "lknode02", "admin", "Up")
    none_up = {n: ProbesSeen(n, 1.0, syns={12345: 4}, refused=4) for n in ("lknode01", "lknode02")}
    told = diagnose(evidence(paths=paths(client=mixed, standby=mixed), probes=none_up))
    assert "AllProbedUp" in faults(told)[0].says


def test_a_healthy_node_that_is_sent_nobody() -> None:
    silent = paths(client=SILENT, standby=SILENT)
    past = [Direct(o, "lknode01", s.port, "answered") for o in ("lkclient", "lknode02") for s in CLUSTER.services]
    only(evidence(paths=silent, direct=past), "lknode01", "adminState")
    only(evidence(paths=silent, direct=[replace(d, outcome="silent") for d in past]), "lknode01", "NSG")


def test_a_standby_that_is_silent_to_clients_is_shut_by_its_security_group() -> None:
    """Its own kernel would refuse; a firewall of its own is told as that."""
    past = [Direct("lkclient", "lknode02", s.port, "silent" if s is WEB else "refused") for s in CLUSTER.services]
    only(evidence(direct=past), "lknode02", "NSG", f"{WEB.port} ({WEB.name})")
    closed = node("lknode02", firewall=parse(nft(drop("tcp", "dport", WEB.port))))
    only(with_host(closed, direct=past), "lknode02", "firewall drops")


def test_a_port_that_is_silent_past_the_balancer_too_is_denied_by_a_security_group() -> None:
    one = [replace(p, **SILENT) if p.service is WEB and p.path != "inside" else p for p in paths()]
    only(evidence(paths=one, direct=[Direct("lknode02", "lknode01", WEB.port, "silent")]), "lknode01", "NSG", f"port {WEB.port}")


def test_a_responder_without_a_monitor_is_told_while_it_still_answers() -> None:
    only(with_host(node("lknode01", units={"monitor lbhc-12345": "none"})), "lknode01", "no monitor operation")


def test_what_a_move_would_leave_behind_is_told_where_it_is_the_files_own() -> None:
    says = "moving cluster-services (manager.resource) does not move ip-10.20.1.200, which the cluster manager has besides"
    only(evidence(left_behind=[says]), "lknode02", "ip-10.20.1.200 would not follow")
    its = says.replace("ip-10.20.1.200", "printer")
    assert faults(diagnose(evidence(left_behind=[its]))) == []
    only(with_host(node("lknode01", units={f"disk of {WEB.tag}": "printer"}), left_behind=[its]), "lknode02", "printer would not follow")


def test_a_vip_that_is_nowhere_though_its_resource_is_in_service() -> None:
    base = node("lknode01")
    seen = replace(base, addresses=[a for a in base.addresses or () if a.address != "10.20.1.200"])
    finding = Finding(Weight.FAULT, "lknode01", "VIP", "10.20.1.200 is on no NIC", "let the manager check it")
    only(with_host(seen, findings=(finding,)), "lknode01", "10.20.1.200 is on no NIC", "disagree")


def test_what_keeps_everything_out_of_service_is_told_with_it() -> None:
    none = state(dict.fromkeys(TAGS, OUT))
    answer = {Question.LOST: Answer(Says.NO, ("the cluster is told to stop all resources", "nothing is in service on either node"))}
    only(evidence(state=none, active=None, paths=(), may_move=answer), "lknode01", "nothing is in service", "told to stop all resources")


def test_a_vip_that_is_on_another_nic_besides() -> None:
    base = node("lknode01")
    seen = replace(base, addresses=[*(base.addresses or ()), InterfaceAddress("lo", "10.20.1.200", 32, "UNKNOWN")])
    only(with_host(seen), "lknode01", "is on lo of lknode01 besides eth1")


WINDOWS = CLUSTER.model_copy(update={"nodes": tuple(n.model_copy(update={"platform": "windows"}) for n in CLUSTER.nodes)})


SHUT = {"direct": [Direct("lkclient", "lknode02", s.port, "silent") for s in CLUSTER.services]}
UNANSWERED = {"probes": {"lknode01": probed("lknode01"), "lknode02": probed("lknode02", refused=0)}}


@pytest.mark.parametrize(("seen", "says"), [(SHUT, "security group (NSG) at lknode02 denies"), (UNANSWERED, "nothing answers it")])
def test_a_windows_standby_that_is_silent_where_nobody_listens_is_sound(seen: dict[str, Any], says: str) -> None:
    """Its stealth mode sends no RST (WNET-13). On Linux the same silence has a cause, and on Windows where somebody listens."""

    def said(of: Evidence) -> list[str]:
        return [cause.says for rule in all_rules() for cause in rule(of)]

    assert [says in one for one in said(evidence(**seen))] == [True]
    assert said(evidence(**seen, cluster=WINDOWS)) == []
    listens = node("lknode02", listeners=[listening(p) for p in (12345, *(s.port for s in CLUSTER.services))])
    hosts = {"lknode01": node("lknode01"), "lknode02": listens, "lkclient": client()}
    assert any(says in one for one in said(evidence(**seen, cluster=WINDOWS, hosts=hosts)))
