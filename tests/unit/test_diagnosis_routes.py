"""Routes that look right and are not: by port, by mark, by account, with several next hops, with few hops left, without the local table."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import BY_ETH0, CLUSTER, LOCAL, PROBE, SILENT, chosen, client, faults, node, only, paths, probed, swallowed, with_host

from harness.config.cluster_config import Design
from harness.core.finding import Finding, Weight
from harness.diagnosis import linux_host_script_parse
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.hosts.linux.linux_parse import Route


def test_a_policy_rule_for_a_port_or_a_mark_is_told_with_what_it_loses() -> None:
    by_port = with_host(node("lknode01", **chosen("sport 80")), paths=swallowed("client"))
    only(by_port, "lknode01", "port 80 (web) answers", "sport 80 blackhole")
    assert faults(diagnose(with_host(node("lknode01", **chosen("sport 80", "unicast"))))) == []
    for rule in (
        "400: from all ipproto tcp sport 22 lookup 100",
        "400: from all ipproto udp lookup 100",
        "400: from all dport 80 lookup 9",
    ):
        other = node("lknode01", **chosen("sport 80", "unreachable", rule))
        assert not [c for c in faults(diagnose(with_host(other))) if "policy rule" in c.says], rule
    ranged = node("lknode01", **chosen("sport 80", rule="400: from all ipproto tcp sport 79-81 blackhole"))
    assert [c for c in faults(diagnose(with_host(ranged))) if "sport 79-81" in c.says]
    away = node("lknode02", **chosen("sport 80"))  # from an address that it does not have
    assert not [c for c in faults(diagnose(with_host(away))) if "policy rule" in c.says]
    marked = node("lknode01", **chosen("mark 0x66", rule="300: from all fwmark 0x66 lookup 66"))
    only(with_host(marked, paths=swallowed("client")), "lknode01", "mark 0x66", "fwmark 0x66 lookup 66")
    assert faults(diagnose(with_host(marked))) == []  # nothing is lost, so nothing that matters has the mark


@pytest.mark.parametrize("rule", ["510: from all fwmark 0x51 lookup 51", ""])
def test_answers_to_the_probe_that_leave_by_another_nic_than_the_routes_say(rule: str) -> None:
    seen = with_host(node("lknode01", rules=(rule,) if rule else ()), paths=paths(client=SILENT, standby=SILENT))
    saw = probed("lknode01", answers_by=frozenset({"eth1"}))
    only(replace(seen, probes={**seen.probes, "lknode01": saw}), "lknode01", "leaves lknode01 by eth1, not by eth0", rule or "its routes")


FLOATING = CLUSTER.model_copy(update={"design": Design.FLOATING})


NOWHERE = Route("unreachable")


CLIENT = str(CLUSTER.client.address)


VIP = str(CLUSTER.vip)


RULE = "700: from all uidrange 101-101 lookup 777"


HOPS = (Route("unicast", "eth0", gateway="10.20.1.1"), Route("unicast", "eth1", gateway="10.20.2.1"))


def owned(name: str, way: Route = NOWHERE, uid: int = 101, rule: str = RULE, **more: Any) -> Any:
    """A node whose policy rule chooses an account; its web server listens as postgres where it is active."""
    to = (CLIENT, "10.20.1.12" if name == "lknode01" else "10.20.1.11", PROBE)
    lost = {(d, f"10.20.1.1{name[-1]}", f"uid {uid}"): way for d in to}
    runs = {"accounts": {80: frozenset({101}), 12345: frozenset({0})}} if name == "lknode01" else {}
    return node(
        name, **({"rules": ("0: from all lookup local", rule), "chosen_routes": lost, "account_names": {101: "postgres"}} | runs | more)
    )


def with_active(seen: Any, **more: Any) -> Evidence:
    """The standby `seen`, beside an active node whose listener is postgres's."""
    one = node("lknode01", accounts={80: frozenset({101})}, account_names={101: "postgres"})
    base = with_host(one, **more)
    return replace(base, hosts={**base.hosts, seen.name: seen})


def test_a_policy_rule_by_account_is_told_with_whose_listener_it_silences() -> None:
    lost = with_host(owned("lknode01"), paths=swallowed("client", "standby"))
    cause = only(lost, "lknode01", "web (port 80)", "account postgres (uid 101)", CLIENT, "10.20.1.12", "nowhere (unreachable)", RULE)
    assert cause.certainty is Certainty.CERTAIN and cause.explains == ("client/web", "standby/web")
    assert not diagnose(lost).rest
    by_eth1 = with_host(owned("lknode01", Route("unicast", "eth1")), paths=swallowed("client", "standby"))
    only(by_eth1, "lknode01", "out of eth1", RULE, "not by eth0")
    assert faults(diagnose(with_host(owned("lknode01")))) == []  # it answers: something else lets these packets by
    for harmless in (
        owned("lknode01", Route("unicast", "eth0")),
        owned("lknode01", accounts={80: frozenset({0})}),
        owned("lknode01", rules=()),
        owned("lknode01", uid=60000, rule="201: from all uidrange 60000-60010 lookup 909"),
    ):
        told = faults(diagnose(with_host(harmless, paths=swallowed("client", "standby"))))
        assert not [c for c in told if "account" in c.says], harmless


def test_a_responder_whose_account_is_led_elsewhere_answers_no_probe() -> None:
    quiet = probed("lknode01", answered=0, answers_by=frozenset())
    seen = with_host(owned("lknode01", accounts={12345: frozenset({101})}), paths=paths(client=SILENT, standby=SILENT))
    told = faults(diagnose(replace(seen, probes={**seen.probes, "lknode01": quiet})))
    assert "the health-check resource (port 12345) runs as" in told[0].says and PROBE in told[0].says and "client/*" in told[0].explains


def test_a_rule_by_account_on_the_standby_is_held_against_whose_listener_it_would_be() -> None:
    cause = only(with_active(owned("lknode02")), "lknode02", "web (port 80) runs on lknode01", "postgres (uid 101)", "after a failover")
    assert cause.certainty is Certainty.LIKELY
    renamed = owned("lknode02", uid=555, rule="700: from all uidrange 500-600 lookup 777", account_names={555: "postgres"})
    only(with_active(renamed), "lknode02", "postgres (uid 555)", "uidrange 500-600")  # of another number there
    nameless = owned("lknode02", uid=100, rule="700: from all uidrange 100-200 lookup 777", account_names={})
    only(with_active(nameless), "lknode02", "uid 101", "uidrange 100-200", "ip route get 10.20.1.20 uid 100")  # of a directory's account
    for harmless in (
        owned("lknode02", account_names={101: "backup"}),  # the number is somebody else's there
        owned("lknode02", Route("unicast", "eth0")),
        owned("lknode02", uid=60000, rule="201: from all uidrange 60000-60010 lookup 909"),
    ):
        assert faults(diagnose(with_active(harmless))) == [], harmless
    assert faults(diagnose(replace(with_active(owned("lknode02")), moved=True))) == []


def test_a_vip_that_the_kernel_does_not_take_for_its_own() -> None:
    finding = Finding(Weight.FAULT, "lknode01", "route to the VIP", "unicast dev eth0, not local", "see it")
    inside = {"outcome": "fail", "outcomes": frozenset({"silent"})}
    one = node("lknode01")
    lost = replace(one, routes={**one.routes, (VIP, ""): BY_ETH0}, vip_is_local=False)
    seen = with_host(lost, paths=paths(inside=inside), findings=[finding])
    cause = only(
        seen, "lknode01", VIP, "table `local` has no entry", "ip addr del 10.20.1.200/32 dev eth1", "ip route add table local local"
    )
    assert cause.certainty is Certainty.CERTAIN and not diagnose(seen).rest and "put ip-" not in json.dumps(cause.as_data())
    before = replace(lost, vip_is_local=True, rules=("0: from all to 10.20.1.0/24 lookup 9", "100: from all lookup local"))
    cause = only(replace(seen, hosts={**seen.hosts, "lknode01": before}), "lknode01", "lookup 9", "before the table local")
    assert cause.certainty is Certainty.LIKELY
    floating = replace(seen, cluster=FLOATING)
    assert any("client/*" in c.explains for c in faults(diagnose(floating)) if "no entry" in c.says)
    sound = replace(one, routes={**one.routes, (VIP, ""): LOCAL}, vip_is_local=True)
    assert faults(diagnose(with_host(sound))) == []
    assert faults(diagnose(with_host(replace(sound, vip_is_local=False)))) == []  # some other table has it


@pytest.mark.parametrize("met", ["eth0", "eth1"])  # by chance
def test_a_route_with_next_hops_by_both_nics(met: str) -> None:
    one = node("lknode01")
    by = {(PROBE, ""): Route("unicast", met), (PROBE, "10.20.1.11"): Route("unicast", met)}
    seen = replace(one, routes={**one.routes, **by}, next_hops={(PROBE, "10.20.1.11"): HOPS}, sysctls={"eth0.rp_filter": "1"})
    finding = Finding(Weight.FAULT, "lknode01", "route to the probe", f"unicast dev {met}, not by eth0", "send it by eth0")
    told = with_host(seen, findings=[finding], paths=paths(client=SILENT, standby=SILENT))
    cause = only(told, "lknode01", "several next hops", "eth0 and eth1", PROBE, "via 10.20.2.1 dev eth1")
    assert cause.certainty is Certainty.LIKELY and not diagnose(told).rest
    both = probed("lknode01", answers_by=frozenset({"eth0", "eth1"}))
    cause = only(replace(told, probes={**told.probes, "lknode01": both}), "lknode01", "packet capture", "answers leave by eth0, eth1")
    assert cause.certainty is Certainty.CERTAIN
    other = probed("lknode01", answers_by=frozenset({"eth1"}))
    only(replace(told, probes={**told.probes, "lknode01": other}), "lknode01", "several next hops")


def test_next_hops_by_one_nic_or_for_another_source_are_nobodys_business() -> None:
    gateways = (HOPS[0], replace(HOPS[0], gateway="10.20.1.2"))
    assert faults(diagnose(with_host(node("lknode01", next_hops={(PROBE, "10.20.1.11"): gateways})))) == []
    assert faults(diagnose(with_host(node("lknode01", next_hops={(PROBE, "10.20.2.11"): HOPS})))) == []
    seen = with_host(node("lknode01", next_hops={(CLIENT, "10.20.1.11"): HOPS}))
    told = faults(diagnose(replace(seen, cluster=FLOATING)))
    assert not [c for c in told if "next hops" in c.says]  # answers come from the VIP there


def test_a_route_that_leaves_its_packets_few_hops() -> None:
    def short(name: str, to: str, hops: int) -> Any:
        one = client(routes={(to, ""): BY_ETH0}) if name == "lkclient" else node(name)
        return replace(one, routes={**one.routes, (to, ""): replace(BY_ETH0, hops=hops)})

    lost = paths(client=SILENT)
    cause = only(with_host(short("lknode01", CLIENT, 1), paths=lost), "lknode01", "route to the client lkclient (10.20.1.20)", "hoplimit")
    assert cause.certainty is Certainty.CERTAIN and "client/*" in cause.explains
    assert only(with_host(short("lknode01", CLIENT, 9), paths=lost), "lknode01", "time to live of 9").certainty is Certainty.LIKELY
    assert only(with_host(short("lkclient", VIP, 1), paths=lost), "lkclient", "the VIP (10.20.1.200)").certainty is Certainty.CERTAIN
    assert only(with_host(short("lknode02", PROBE, 1)), "lknode02", "the probe's source").certainty is Certainty.LIKELY
    for harmless in (short("lknode01", CLIENT, 64), short("lknode01", CLIENT, 3), short("lkclient", "10.20.1.11", 1)):
        assert faults(diagnose(with_host(harmless))) == []  # much, or it is enough: everything is answered


def test_how_a_host_tells_of_its_accounts_next_hops_and_local_table() -> None:
    text = """@@ local table
local 10.20.1.200 dev eth1 proto kernel scope host src 10.20.1.200
# asked
@@ next hops
# 168.63.129.16 10.20.1.11
default
	nexthop via 10.20.1.1 dev eth0 weight 1
	nexthop via 10.20.2.1 dev eth1 weight 1
# 10.20.1.20 10.20.1.11
10.20.1.0/24 dev eth0 proto kernel scope link src 10.20.1.11
# 10.20.1.12 10.20.1.11
RTNETLINK answers: Invalid argument
@@ accounts
State  Recv-Q Send-Q Local Address:Port Peer Address:Port
LISTEN 0 208 0.0.0.0:5432 0.0.0.0:* uid:101 ino:33848485 sk:4fc4a cgroup:unreachable:1 <->
LISTEN 0 208 [::]:5432 [::]:* uid:101 ino:33848486 sk:4fc4b v6only:1 <->
LISTEN 0 1024 *:80 *:* ino:33848523 sk:4fc4c <->
= 101 postgres
= nobody knows
@@ chosen routes
# 10.20.1.20 10.20.1.11 uid 101
RTNETLINK answers: Permission denied
"""
    seen = linux_host_script_parse.host("lknode01", text)
    assert seen.vip_is_local is True and dict(seen.next_hops) == {(PROBE, "10.20.1.11"): HOPS}
    assert seen.accounts == {5432: frozenset({101}), 80: frozenset({0})} and seen.account_names == {101: "postgres"}
    assert seen.chosen_routes[(CLIENT, "10.20.1.11", "uid 101")].kind == "prohibit"
    assert linux_host_script_parse.host("lknode01", "@@ local table\n# asked\n").vip_is_local is False
    untold = linux_host_script_parse.host("lknode01", "@@ local table\n@@ accounts\n")
    assert untold.vip_is_local is None and untold.accounts == {}


def test_a_standby_without_its_default_route_could_not_answer_the_probe() -> None:
    one = node("lknode02")
    gone = {(PROBE, ""): NOWHERE, (PROBE, "10.20.1.12"): NOWHERE}
    cause = only(with_host(replace(one, routes={**one.routes, **gone})), "lknode02", PROBE, "nowhere (unreachable) for want of a route")
    assert "default route" in cause.do and "policy rule" not in cause.says
    ruled = replace(one, routes={**one.routes, **gone}, rules=("100: from 10.20.1.12 lookup 100",))
    assert "want of a route" not in only(with_host(ruled), "lknode02", "100: from 10.20.1.12").says


def strict(own: Route, plain: Route, **more: Any) -> Any:
    """The way to the client as its own address, and the one without a source."""
    one = node("lknode01", sysctls={"all.rp_filter": "1"}, rules=("0: from all lookup local", "9: from 10.20.1.11 lookup 201"))
    ways = {(to, s): (own if s else plain) for to in (CLIENT, PROBE) for s in ("", "10.20.1.11")}
    return with_host(replace(one, routes={**one.routes, **ways}), **more)


def test_a_strict_reverse_path_filter_looks_the_way_back_up_by_its_source() -> None:
    """A default route by the second NIC with a policy rule for the first one's address, as Azure's guides have it, is sound."""
    by_eth1 = Route("unicast", "eth1")
    cut = {"paths": paths(client=SILENT, standby=SILENT), "probes": {"lknode01": probed("lknode01", syns={12345: 4}, answered=0)}}
    assert faults(diagnose(strict(BY_ETH0, by_eth1))) == []
    assert not [c for c in diagnose(strict(BY_ETH0, by_eth1, **cut)).causes if "rp_filter" in c.says]
    told = [c for c in faults(diagnose(strict(by_eth1, by_eth1, **cut))) if "rp_filter strict" in c.says]
    assert [(c.host, c.certainty) for c in told] == [("lknode01", Certainty.CERTAIN)] * 2
    heard = faults(diagnose(strict(by_eth1, by_eth1)))  # every path was answered
    assert not [c for c in heard if "rp_filter" in c.says]
