"""Routes of who connects, the client and the standby as one, and of the second subnet: and no security group is blamed for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, SILENT, client, evidence, faults, node, only, paths, state, with_host

from harness.collect.linux_host_script import script
from harness.config.cluster_config import Design
from harness.diagnosis import linux_host_script_parse
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Direct, Evidence
from harness.hosts.linux.linux_parse import Route
from harness.managers.manager import CommPath
from harness.managers.manager_registry import manager_of

VIP = "10.20.1.200"
BY_ETH0, BY_LO = Route("unicast", "eth0"), Route("unicast", "lo")
WAYS = {(VIP, ""): BY_ETH0, ("10.20.1.12", "10.20.1.20"): BY_ETH0}
LISTENER = next(s for s in CLUSTER.services if s.kind == "oracle")
NEVER_LEFT = {**SILENT, "ways": frozenset({"W?"})}


def blames_azure(seen: Evidence) -> list[str]:
    return [c.says for c in faults(diagnose(seen)) if "NSG" in c.says]


def one_port_lost(origin: str = "client") -> list[Any]:
    return [replace(p, **NEVER_LEFT) if p.service is LISTENER and p.path == origin else p for p in paths()]


def by_port(**more: Any) -> Any:
    chosen = {(VIP, "10.20.1.20", f"dport {LISTENER.port}"): BY_LO}
    told = {"routes": WAYS, "chosen_routes": chosen, "rules": (f"700: from all dport {LISTENER.port} lookup 77",)}
    return client(**(told | more))


def test_a_policy_rule_of_the_client_for_one_port_is_told_and_no_security_group() -> None:
    direct = [Direct("lkclient", "lknode02", LISTENER.port, "silent")]
    seen = replace(with_host(by_port(), paths=one_port_lost()), direct=direct)
    cause = only(seen, "lkclient", f"port {LISTENER.port}", VIP, "out of lo", "lookup 77")
    assert cause.certainty is Certainty.CERTAIN and cause.explains == (f"client/{LISTENER.name}",)
    nowhere = by_port(chosen_routes={(VIP, "", f"dport {LISTENER.port}"): Route("prohibit")})  # as a bundle of before has it
    only(with_host(nowhere, paths=one_port_lost()), "lkclient", "nowhere (prohibit)")
    for harmless in (
        by_port(chosen_routes={(VIP, "10.20.1.20", f"dport {LISTENER.port}"): BY_ETH0}),
        by_port(rules=("700: from all to 10.20.9.0/24 dport 1521 lookup 77",)),
        by_port(rules=()),
    ):
        assert not blames_azure(with_host(harmless, paths=one_port_lost()))
        assert not [c for c in faults(diagnose(with_host(harmless, paths=paths()))) if "policy rule" in c.says]


@pytest.mark.parametrize(("origin", "host"), [("client", "lkclient"), ("standby", "lknode02")])
def test_what_was_not_seen_leaving_is_no_security_groups_doing(origin: str, host: str) -> None:
    left = [replace(p, **SILENT) if p.service is LISTENER and p.path == origin else p for p in paths()]
    assert "denies that port" in only(evidence(paths=left), host, "NSG").says
    assert not blames_azure(evidence(paths=one_port_lost(origin)))
    assert not blames_azure(evidence(paths=paths(**{origin: NEVER_LEFT})))
    for_all = [replace(p, **NEVER_LEFT) if p.service is LISTENER and p.path != "inside" else p for p in paths()]
    assert not [c for c in faults(diagnose(evidence(paths=for_all))) if "has no rule" in c.says]


def test_a_policy_rule_by_source_is_met_by_the_second_look_up_alone() -> None:
    rule = "500: from 10.20.1.20 prohibit"
    unreachable = {"outcome": "fail", "outcomes": frozenset({"unreachable"}), "ways": frozenset({"W?"}), "nodes": frozenset()}
    astray = client(routes=WAYS | {(VIP, "10.20.1.20"): Route("prohibit")}, rules=(rule,))
    cause = only(with_host(astray, paths=paths(client=unreachable)), "lkclient", VIP, "10.20.1.20", "nowhere (prohibit)", rule)
    assert cause.certainty is Certainty.CERTAIN
    good = client(routes=WAYS | {(VIP, "10.20.1.20"): BY_ETH0}, rules=("500: from 10.20.1.20 lookup 9",))
    assert faults(diagnose(with_host(good))) == []
    standby = node("lknode02")
    lost = replace(
        standby,
        routes={**standby.routes, (VIP, ""): BY_ETH0, (VIP, "10.20.1.12"): Route("prohibit")},
        rules=("500: from 10.20.1.12 to 10.20.1.200 prohibit",),
    )
    only(with_host(lost, paths=paths(standby=unreachable)), "lknode02", "as its own address 10.20.1.12", "500: from 10.20.1.12")


def test_what_has_a_mark_is_told_where_it_never_leaves() -> None:
    marked = client(routes=WAYS, chosen_routes={(VIP, "10.20.1.20", "mark 0x5"): BY_LO}, rules=("300: from all fwmark 0x5 lookup 5",))
    only(with_host(marked, paths=one_port_lost()), "lkclient", "mark 0x5", "fwmark 0x5 lookup 5", f"port {LISTENER.port}")
    assert faults(diagnose(with_host(marked))) == []


SECOND = ("10.20.2.12", "10.20.2.11")


def dead_in_subnet_2(alive: bool = False) -> Any:
    good = state()
    ends = (CommPath("other", "10.20.1.11/10.20.1.12", True), CommPath("other", "10.20.2.11/10.20.2.12", alive))
    return replace(good, nodes={name: replace(one, comm_paths=ends) for name, one in good.nodes.items()})


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (Route("prohibit"), ("nowhere (prohibit)",)),
        (Route("unicast", "eth0", gateway="10.20.1.1"), ("out of eth0", "Azure drops")),
        (Route("unicast", "eth1", hops=1), ("time to live of 1", "hoplimit 1")),
    ],
)
def test_a_route_of_the_second_subnet_kills_a_communication_path(route: Route, words: tuple[str, ...]) -> None:
    one = node("lknode01")
    astray = replace(one, routes={**one.routes, SECOND: route})
    cause = only(with_host(astray, state=dead_in_subnet_2()), "lknode01", "10.20.2.11", "10.20.2.12", *words)
    assert cause.certainty is Certainty.CERTAIN and cause.explains == ("*:communication path",)
    alive = faults(diagnose(with_host(astray)))  # not noticed yet, or this look-up is not what the packets meet
    assert [c.certainty for c in alive] == ([Certainty.LIKELY] if route.kind != "unicast" else [])


def test_a_good_route_of_the_second_subnet_leaves_the_dead_path_to_azure() -> None:
    one = node("lknode01")
    good = replace(one, routes={**one.routes, SECOND: Route("unicast", "eth1")})
    findings_of_a_look = with_host(good, state=dead_in_subnet_2())
    assert not [c for c in diagnose(findings_of_a_look).causes if "as 10.20.2.11" in c.says]


def test_the_script_asks_for_the_ways_of_a_client_and_of_the_second_subnet() -> None:
    one, client_ = CLUSTER.node("lknode01"), CLUSTER.client
    manager = manager_of(CLUSTER, {})
    for machine in (one, client_):
        text = script(CLUSTER, machine, manager)
        assert f"ip route get {VIP} from {machine.address} 2>&1 ;; esac" in text and f'ask {VIP} {machine.address} "dport $p"' in text
    assert "ip route get 10.20.2.12 from 10.20.2.11 2>&1" in script(CLUSTER, one, manager)
    floating = CLUSTER.model_copy(update={"design": Design.FLOATING})
    text = script(floating, one, manager)
    assert f'ask 10.20.1.20 10.20.1.11 "sport $p"; ask 10.20.1.20 {VIP} "sport $p"' in text
    said = f"@@ chosen routes\n# {VIP} 10.20.1.20 dport 1521\nRTNETLINK answers: Permission denied\n"
    assert linux_host_script_parse.host("lkclient", said).chosen_routes == {(VIP, "10.20.1.20", "dport 1521"): Route("prohibit")}
