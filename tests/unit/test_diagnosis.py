"""The diagnosis: for each family of rules what was seen gives the cause, with its host and what is at fault; a sound cluster gives none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from diagnosis_sample import (
    CLUSTER,
    LOCAL,
    PROBE,
    SILENT,
    WEB,
    client,
    drop,
    evidence,
    faults,
    listening,
    nft,
    node,
    only,
    path,
    paths,
    with_host,
)

from harness.core.finding import Finding, Weight
from harness.diagnosis import rules
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import all_rules, diagnose
from harness.diagnosis.evidence import Socket
from harness.diagnosis.firewall import parse
from harness.hosts.linux.linux_parse import InterfaceAddress, Route


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


def test_a_full_accept_queue_is_told_with_who_holds_it() -> None:
    base = node("lknode01")
    listeners = [listening(12345, waiting=2, room=1), *[s for s in base.listeners or () if s.port != 12345]]
    held = Socket("ESTAB", "10.20.1.11", 12345, "10.20.1.12", 40000)
    only(with_host(replace(base, listeners=listeners, sockets=[held])), "lknode01", "queue", "full", "10.20.1.12")


def test_an_outgoing_connection_that_has_the_probe_port_is_found_on_the_standby() -> None:
    held = Socket("ESTAB", "10.20.1.12", 12345, "10.20.2.11", 22, process="nc", pid=7)
    seen = node("lknode02", sockets=[held], sysctls={"ip_local_port_range": "1024 60999"})
    only(with_host(seen), "lknode02", "12345", "ephemeral", "nc (pid 7)")


def test_swapped_nics_on_the_standby() -> None:
    base = node("lknode02", units={"ip nic": "eth1"})
    swapped = [InterfaceAddress("eth1", "10.20.1.12", 24, "UP"), InterfaceAddress("eth0", "10.20.2.12", 24, "UP")]
    routes = {k: route if route.kind == "local" else Route("unicast", "eth1") for k, route in base.routes.items()}
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


def test_a_client_that_holds_the_vip_or_routes_it_elsewhere_is_told_by_its_route() -> None:
    by = {("10.20.1.200", ""): LOCAL}
    only(with_host(client(routes=by), paths=paths(client={"outcome": "fail"})), "lkclient", "holds 10.20.1.200 itself")
    by = {("10.20.1.200", ""): Route("unicast", "eth0", gateway="10.20.1.1")}
    assert faults(diagnose(with_host(client(routes=by)))) == []  # it works: whoever gave the gateway knows why
    assert any("10.20.1.1" in c.says for c in faults(diagnose(with_host(client(routes=by), paths=paths(client=SILENT)))))
