"""Faults whose symptoms look like another's: each is named by itself, and nothing beside it is blamed for what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import (
    BY_ETH0,
    CLUSTER,
    FAILED,
    IN,
    OUT,
    PROBE,
    SILENT,
    WEB,
    client,
    evidence,
    faults,
    listening,
    node,
    only,
    path,
    paths,
    probed,
    state,
    with_host,
)

from harness.core.deadline import Deadline
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Direct, Evidence
from harness.diagnosis.firewall import parse
from harness.diagnosis.linux_host_script_parse import host
from harness.hosts.linux.linux_parse import InterfaceAddress, Route
from harness.services import service_registry
from harness.services.service_kind import NotTheService
from tests.saying_server import saying

NOWHERE = Route("unreachable", None)
AWAY = {"nodes": frozenset(), "arrived_as": frozenset(), "answers_left": False, "answers_came": False}


def says(seen: Evidence) -> list[str]:
    return [f"{c.host}: {c.says}" for c in faults(diagnose(seen))]


@pytest.mark.parametrize(("value", "certainty"), [("1", Certainty.CERTAIN), ("8", Certainty.LIKELY), ("64", None), ("", None)])
def test_packets_with_few_hops_left_are_dropped_by_routers(value: str, certainty: Certainty | None) -> None:
    seen = node("lknode01", sysctls=host("lknode01", f"@@ sysctls\nip_default_ttl:{value}\n").sysctls)
    told = faults(diagnose(with_host(seen, paths=paths(client=SILENT, standby=SILENT) if certainty else paths())))
    few = [c for c in told if "time to live" in c.says]
    assert [(c.host, c.certainty) for c in few] == [("lknode01", certainty)] * (certainty is not None)
    assert told == few


@pytest.mark.parametrize("name", ["lknode01", "lknode02"])
def test_a_gateway_that_somebody_wrote_down_takes_the_answers_to_the_probe(name: str) -> None:
    one = node(name)
    routes = {**one.routes, (PROBE, ""): replace(BY_ETH0, gateway="10.20.1.1")}
    seen = replace(one, routes=routes, neighbours={"10.20.1.1": "02:00:00:00:00:99"})
    lost = paths(client=SILENT, standby=SILENT) if name == "lknode01" else paths()
    cause = only(with_host(seen, paths=lost), name, "10.20.1.1 (the gateway", "02:00:00:00:00:99", "probe")
    assert cause.certainty is (Certainty.CERTAIN if name == "lknode01" else Certainty.LIKELY)
    assert faults(diagnose(with_host(replace(seen, neighbours={"10.20.1.1": "12:34:56:78:9a:bc"})))) == []


SNAT = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o {} -j SNAT --to-source {}\nCOMMIT\n"
NFT = """table ip n {{
	chain post {{
		type nat hook postrouting priority 100; policy accept;
		oif "{}" snat to {}
	}}
}}
"""


@pytest.mark.parametrize("text", [SNAT, NFT], ids=["iptables", "nft"])
@pytest.mark.parametrize(
    ("nic", "to", "found"), [("eth0", "10.20.2.12", True), ("eth0", "10.20.1.12", False), ("eth9", "10.20.2.12", False)]
)
def test_another_source_address_is_told_where_its_packets_are_lost(text: str, nic: str, to: str, found: bool) -> None:
    seen = node("lknode02", firewall=parse(text.format(nic, to)))
    told = faults(diagnose(with_host(seen, paths=paths(standby=SILENT | AWAY))))
    named = [c for c in told if "another source address" in c.says]
    assert [(c.host, c.general, to in c.says and "Azure drops" in c.says) for c in named] == [("lknode02", False, True)] * found
    assert len(told) == 1


def test_of_a_healthy_standby_another_source_address_is_no_cause() -> None:
    assert says(with_host(node("lknode02", firewall=parse(SNAT.format("eth0", "10.20.2.12"))))) == []


@pytest.mark.parametrize("text", ["dnat", "DNAT"])
def test_what_the_client_itself_sends_elsewhere_is_denied_by_no_security_group(text: str) -> None:
    nft = f"table ip n {{\n\tchain out {{\n\t\ttype nat hook output priority -100;\n\t\ttcp dport {WEB.port} dnat to 10.20.1.99\n\t}}\n}}\n"
    old = f"*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp -m tcp --dport {WEB.port} -j DNAT --to-destination 10.20.1.99\nCOMMIT\n"
    told = [path("client", WEB, **(SILENT | AWAY)) if (p.path, p.service) == ("client", WEB) else p for p in paths()]
    seen = with_host(client(firewall=parse(nft if text == "dnat" else old)), paths=told)
    [sentence] = says(seen)
    assert sentence.startswith("lkclient: its own firewall may well stop") and "10.20.1.99" in str(diagnose(seen).causes[0])
    [denied] = says(with_host(client(), paths=told))
    assert "security group" in denied


def test_after_a_split_nobody_is_advised_to_give_the_probe_another_port() -> None:
    there = node("lknode02", listeners=[listening(12345)])
    both = with_host(there, state=state(standby={"lbhc-12345": IN, "ip-10.20.1.200": IN}))
    assert not [s for s in says(both) if "port of its own" in s or "on every node" in s]
    assert [s for s in says(with_host(there)) if "on every node" in s]


def shut(port: int) -> Direct:
    return Direct("lkclient", "lknode02", port, "silent")


def test_a_standby_without_a_way_back_is_shut_by_no_security_group() -> None:
    ports = [shut(s.port) for s in CLUSTER.services]
    one = node("lknode02")
    assert [s for s in says(with_host(one, direct=ports)) if "(NSG) at lknode02" in s]
    lost = replace(one, routes={key: NOWHERE for key in one.routes})
    assert not [s for s in says(with_host(lost, direct=ports)) if "(NSG)" in s]


def test_a_first_nic_that_is_down_is_the_only_cause() -> None:
    addresses = [InterfaceAddress("eth0", "10.20.1.12", 24, "DOWN"), InterfaceAddress("eth1", "10.20.2.12", 24, "UP")]
    one = node("lknode02", addresses=addresses)
    lost = {key: route if route.kind == "local" else NOWHERE for key, route in one.routes.items()}
    dead = replace(one, routes={**lost, (str(CLUSTER.vip), ""): NOWHERE})
    unprobed = {"lknode01": probed("lknode01"), "lknode02": probed("lknode02", syns={}, refused=0, came_by=frozenset())}
    seen = with_host(dead, probes=unprobed, paths=paths(standby=SILENT | AWAY), direct=[shut(s.port) for s in CLUSTER.services])
    cause = only(seen, "lknode02", "eth0", "is down")
    assert cause.certainty is Certainty.CERTAIN


def test_the_ip_resource_that_waits_for_what_failed_is_not_to_be_started_first() -> None:
    bare = node("lknode01", addresses=[a for a in node("lknode01").addresses or () if a.address != str(CLUSTER.vip)])
    lost = paths(client=SILENT, standby=SILENT, inside=SILENT)
    waits = with_host(bare, state=state({"ip-10.20.1.200": OUT, "lbhc-12345": FAILED}), paths=lost)
    [ip] = [c for c in faults(diagnose(waits)) if "the IP resource" in c.says] or [None]
    assert ip is None or (ip.do.startswith("fix lbhc-12345 first") and ip.general)
    [alone] = [
        c for c in faults(diagnose(with_host(bare, state=state({"ip-10.20.1.200": OUT}), paths=lost))) if "the IP resource" in c.says
    ]
    assert alone.do.startswith("put ip-10.20.1.200") and not alone.general


@pytest.mark.parametrize(("elsewhere", "found"), [(OUT, True), (IN, False)])
def test_what_runs_and_is_out_of_service_for_the_manager_is_told(elsewhere: Any, found: bool) -> None:
    seen = evidence(state=state({"lbhc-12345": OUT}, {"lbhc-12345": elsewhere}))
    told: list[Cause] = [c for c in faults(diagnose(seen)) if "runs without the manager" in c.says]
    assert [(c.host, "lbhc-12345" in c.says, "12345" in c.says) for c in told] == [("lknode01", True, True)] * found


CIB = """<cib><configuration><resources><primitive id="fence" class="stonith" type="fence_lab"><operations>
<op id="m" name="monitor" interval="60s"/></operations></primitive></resources>
<fencing-topology><fencing-level id="fl1" target="lknode01" index="1" devices="{}"/></fencing-topology></configuration></cib>"""


@pytest.mark.parametrize(("devices", "found"), [("nosuch", True), ("fence,nosuch", True), ("fence", False)])
def test_a_fencing_level_of_a_device_that_is_not_there(devices: str, found: bool) -> None:
    units = host("lknode01", f"@@ configuration\n{CIB.format(devices)}\n").units
    told = faults(diagnose(with_host(node("lknode01", units=units))))
    assert [(c.host, "fl1" in c.says and "nosuch" in c.says and "fenced" in c.says) for c in told] == [("lknode01", True)] * found


def test_a_port_of_https_that_is_asked_plain_http_says_so_by_its_alert() -> None:
    with saying(b"\x15\x03\x01\x00\x02\x02\x46") as port, pytest.raises(NotTheService, match="speaks TLS"):
        service_registry.kind("http").who_are_you("127.0.0.1", port, settings={}, deadline=Deadline(10))
