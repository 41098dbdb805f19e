"""The diagnosis of what hosts tell of themselves: sources, neighbours, descriptors, ports, addresses and names."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from diagnosis_sample import BY_ETH0, CLUSTER, SILENT, WEB, client, evidence, faults, listening, node, only, paths, with_host

from harness.config import cluster_config
from harness.core.finding import Finding, Weight
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Direct, Socket
from harness.diagnosis.firewall import parse
from harness.diagnosis.linux_host_script_parse import host
from harness.diagnosis.manager_log_excerpts import about
from harness.hosts.linux.linux_parse import InterfaceAddress, Route
from harness.lab.lifecycle import default_cluster
from harness.managers.manager import Answer, ClusterState, CommPath, NodeState, Question, Says


def test_connections_that_take_the_vip_as_their_source_are_dropped_by_azure() -> None:
    seen = node("lknode01")
    routes = {**seen.routes, ("10.20.1.12", ""): Route("unicast", "eth0", source="10.20.1.200")}
    only(with_host(replace(seen, routes=routes)), "lknode01", "the VIP, 10.20.1.200, as their source", "10.20.1.11")
    routes |= {("10.20.1.12", ""): replace(BY_ETH0, source="10.20.1.11")}
    assert faults(diagnose(with_host(replace(seen, routes=routes)))) == []


@pytest.mark.parametrize(("hardware", "found"), [("02:00:00:00:00:99", 1), ("12:34:56:78:9A:BC", 0)])
def test_a_neighbour_that_somebody_wrote_down_is_told_unless_it_is_what_azure_answers(hardware: str, found: int) -> None:
    seen = host("lknode01", f"@@ neighbours written down\n10.20.1.20 dev eth0 lladdr {hardware} PERMANENT\n")
    assert seen.neighbours == {"10.20.1.20": hardware}
    told = faults(diagnose(with_host(node("lknode01", neighbours=seen.neighbours))))
    assert [("lknode01", True)] * found == [(c.host, "10.20.1.20 (lkclient)" in c.says and hardware in c.says) for c in told]


def test_a_neighbour_of_a_stranger_is_nobodys_business() -> None:
    assert faults(diagnose(with_host(node("lknode01", neighbours={"10.20.1.77": "02:00:00:00:00:99"})))) == []


def test_a_process_without_a_descriptor_left_accepts_nobody() -> None:
    text = "@@ descriptors\n5 64 Max open files            64                   4096                 files\n6 3 \n"
    known = host("lknode01", text).descriptors
    assert known == {5: (64, 64)}
    listeners = [listening(WEB.port, pid=5), *(listening(p, pid=6) for p in (12345, 1521, 5432))]
    broken = paths(client={"outcome": "fail"})
    only(with_host(node("lknode01", listeners=listeners, descriptors=known), paths=broken[:0]), "lknode01", "64 of 64", str(WEB.port))
    assert faults(diagnose(with_host(node("lknode01", listeners=listeners, descriptors={5: (63, 64)})))) == []


def test_a_client_whose_ephemeral_ports_are_used_up() -> None:
    held = [Socket("ESTAB", "10.20.1.20", port, "10.20.1.200", WEB.port) for port in (50000, 50001)]
    seen = client(sockets=held, sysctls={"ip_local_port_range": "50000\t50001"})
    only(with_host(seen, paths=paths(client=SILENT)[:0]), "lkclient", "ip_local_port_range, 50000–50001", "ephemeral")
    assert faults(diagnose(with_host(replace(seen, sysctls={"ip_local_port_range": "50000 50002"})))) == []
    assert faults(diagnose(with_host(replace(seen, sysctls={})))) == []


def test_an_address_that_is_another_machines_own() -> None:
    seen = node("lknode02")
    twice = [*(seen.addresses or ()), InterfaceAddress("lo", "10.20.1.11", 32, "UNKNOWN")]
    only(with_host(replace(seen, addresses=twice)), "lknode02", "10.20.1.11 on lo", "lknode01's own address")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"lknode02": ("10.20.1.11",)}, ("lknode02's own name", "10.20.1.11", "lknode01's address")),
        ({"lknode02": ("10.20.1.99",)}, ("lknode02's own name", "10.20.1.99")),
        ({"lknode01": ("10.20.1.91",)}, ("lknode01 resolves to 10.20.1.91 on lknode02",)),
        ({"lknode01": (), "lknode02": ()}, ("cannot resolve any name", "neither its own nor lknode01")),
    ],
)
def test_names_that_lead_elsewhere(names: dict[str, tuple[str, ...]], words: tuple[str, ...]) -> None:
    right = {"lknode01": ("10.20.1.11",), "lknode02": ("10.20.1.12",), "lkclient": ("10.20.1.20",)}
    base = with_host(node("lknode01", names=right))
    broken = replace(base, hosts={**base.hosts, "lknode02": node("lknode02", names=right | names)})
    only(broken, "lknode02", *words)


def test_names_that_no_node_knows_are_labels_of_the_file() -> None:
    unknown = {"lknode01": (), "lknode02": (), "lkclient": ()}
    base = evidence()
    assert faults(diagnose(replace(base, hosts={n: replace(base.hosts[n], names=unknown) for n in base.hosts}))) == []


@pytest.mark.parametrize("subnet", [1, 2])
def test_a_dead_communication_path_that_nothing_on_the_nodes_explains_is_denied_between_them(subnet: int) -> None:
    base = evidence()
    dead = (CommPath("other", f"10.20.{subnet}.11/10.20.{subnet}.12", False), CommPath("other", "10.20.9.11/10.20.9.12", True))
    nodes = {name: replace(one, comm_paths=dead) for name, one in base.state.nodes.items()}
    finding = Finding(Weight.FAULT, "lknode01", "communication path", "it is dead", "mend the network")
    told = replace(base, state=ClusterState(nodes), findings=(finding,))
    only(told, "lknode01", f"Subnet#{subnet}", "TCP port 7365", "security group")


def test_a_manager_that_is_stopped_is_told_and_what_could_not_be_asked_of_it_is_its_evidence() -> None:
    base = evidence()
    away = NodeState("lknode02", False, {}, (), "it does not answer", stopped=True)
    asked = Answer(Says.NO, ("lknode02: it does not answer", "its configuration could not be read"))
    told = replace(base, state=ClusterState({**base.state.nodes, "lknode02": away}), may_move={Question.LOST: asked})
    both = faults(diagnose(told))
    assert [c.host for c in both] == ["lknode02", "lknode02"]
    assert [c for c in both if "LifeKeeper" in c.says] and not [c for c in both if "configuration" in c.says]


def test_what_the_scheduler_would_do_follows_from_the_reason_and_is_told_by_itself_only_without_one() -> None:
    foretold = ("Pacemaker would have a stopped (crm_simulate)", "Pacemaker would have b stopped (crm_simulate)")
    asked = {Question.LOST: Answer(Says.NO, ("the constraint c forbids lknode02", *foretold))}
    (cause,) = faults(diagnose(evidence(may_move=asked)))
    assert "constraint c" in cause.says and set(foretold) <= set(cause.evidence)
    (cause,) = faults(diagnose(evidence(may_move={Question.LOST: Answer(Says.NO, foretold)})))
    assert foretold[0] in cause.says and foretold[1] in cause.evidence


def test_a_standby_that_cannot_be_reached_is_silent_by_itself_and_nothing_denies_clients_there() -> None:
    silent = [Direct("lkclient", "lknode02", s.port, "silent") for s in CLUSTER.services]
    assert any("NSG" in c.says for c in faults(diagnose(evidence(direct=silent))))
    for weight in (Weight.UNREACHABLE, Weight.UNKNOWN):  # of a look, and of an archive
        away = Finding(weight, "lknode02", "log-in", "it does not answer", "see that it runs")
        assert not [c for c in faults(diagnose(evidence(direct=silent, findings=(away,)))) if "NSG" in c.says]


def test_no_security_group_is_guessed_where_the_standbys_own_rule_cannot_be_told() -> None:
    table = {"family": "ip", "name": "filter"}
    listing = [
        {"table": table},
        {"chain": {**table, "table": "filter", "name": "INPUT", "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}},
        {
            "rule": {
                "family": "ip",
                "table": "filter",
                "chain": "INPUT",
                "expr": [{"xt": {"type": "match", "name": "geoip"}}, {"drop": None}],
            }
        },
    ]
    standby = node("lknode02", firewall=host("lknode02", "@@ firewall\n" + json.dumps({"nftables": listing}) + "\n").firewall)
    silent = [Direct("lkclient", "lknode02", s.port, "silent") for s in CLUSTER.services]
    (cause,) = faults(diagnose(replace(with_host(standby), direct=silent)))
    assert cause.host == "lknode02" and "its own firewall, or a network security group (NSG)" in cause.says and "geoip" in cause.says


@pytest.mark.parametrize("rule", ["-m string --string x --algo bm -j DROP", "-m geoip --src-cc XX -j REJECT --reject-with tcp-reset"])
def test_a_rule_that_keeps_no_handshake_back_in_silence_leaves_the_security_group(rule: str) -> None:
    saved = f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp {rule}\nCOMMIT\n"
    standby = node("lknode02", firewall=parse(saved))
    silent = [Direct("lkclient", "lknode02", s.port, "silent") for s in CLUSTER.services]
    (cause,) = faults(diagnose(replace(with_host(standby), direct=silent)))
    assert "a network security group (NSG) at lknode02 denies" in cause.says


@pytest.mark.parametrize(("count", "words"), [(1000, "is full"), (960, "nearly full"), (900, "")])
def test_a_table_of_connections_that_is_full(count: int, words: str) -> None:
    text = f"@@ sysctls\nnf_conntrack_count:{count}\nnf_conntrack_max:1000\n"
    sysctls = host("lknode01", text).sysctls
    seen = with_host(node("lknode01", sysctls=sysctls))
    if words:
        only(seen, "lknode01", words, f"{count} of 1000")
    else:
        assert faults(diagnose(seen)) == []


OWN, VIP = "10.20.1.11", "10.20.1.200"


@pytest.mark.parametrize(
    ("addresses", "programs", "folders", "client_path", "found"),
    [
        ((OWN, VIP), (("nginx", 5), ("httpd", 6)), {}, {}, True),
        ((OWN, "*"), (("nginx", 5), ("httpd", 6)), {}, {}, True),
        ((OWN, VIP), (("python3", 5), ("python3", 6)), {5: "/root", 6: "/srv"}, {}, True),
        ((OWN, VIP), (("nginx", 5), ("nginx", 6)), {5: "/srv", 6: "/srv"}, {}, False),  # a process for each address
        ((OWN, VIP), (("nginx", 5), ("nginx", 6)), {}, SILENT, True),  # and not both serve
        ((OWN, VIP), (("nginx", 5), ("nginx", 5)), {}, SILENT, False),
        ((OWN, "127.0.0.1"), (("nginx", 5), ("httpd", 6)), {}, {}, False),  # the loopback's is nobody's business
        ((VIP, "127.0.0.1"), (("nginx", 5), ("httpd", 6)), {}, {}, False),
    ],
)
def test_another_program_on_the_address_where_the_balancer_delivers(
    addresses: tuple[str, str],
    programs: tuple[tuple[str, int], tuple[str, int]],
    folders: dict[int, str],
    client_path: dict[str, object],
    found: bool,
) -> None:
    there = [listening(WEB.port, a, process=name, pid=pid) for a, (name, pid) in zip(addresses, programs, strict=True)]
    others = [listening(p) for p in (12345, *(s.port for s in CLUSTER.services if s is not WEB))]
    seen = node("lknode01", listeners=[*others, *there], folders=folders)
    told = [c for c in diagnose(with_host(seen, paths=paths(client=client_path))).causes if "two programs have" in c.says]
    assert [(c.host, c.is_fault) for c in told] == [("lknode01", True)] * found
    assert all(word in c.says for c in told for word in (addresses[0], addresses[1], f"port {WEB.port} (web)"))


def test_with_floating_ip_a_proxy_on_the_vip_is_no_fault_by_itself() -> None:
    floating = cluster_config.parse(default_cluster.cluster_data(overrides={"design": "floating"}), Path("a test's"))
    there = [listening(WEB.port, VIP, process="haproxy", pid=5), listening(WEB.port, OWN, process="httpd", pid=6)]
    seen = node("lknode01", listeners=[*[listening(p) for p in (12345, *(s.port for s in CLUSTER.services if s is not WEB))], *there])
    told = [c for c in diagnose(replace(with_host(seen), cluster=floating)).causes if "two programs have" in c.says]
    assert [(c.is_fault, c.says.index("haproxy") < c.says.index("httpd")) for c in told] == [(False, True)]


ARP = """@@ firewall
{"nftables": [{"table": {"family": "arp", "name": "f"}},
{"chain": {"family": "arp", "table": "f", "name": "in", "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}},
{"rule": {"family": "arp", "table": "f", "chain": "in", "handle": 2, "expr": [
{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "NIC"}}, {"drop": null}]}}]}
"""


@pytest.mark.parametrize(("nic", "client_path", "found"), [("eth0", SILENT, 1), ("eth9", SILENT, 0), ("eth0", {}, 0)])
def test_a_filter_of_arp_is_told_where_something_is_lost_in_silence(nic: str, client_path: dict[str, object], found: int) -> None:
    firewall = host("lknode01", ARP.replace("NIC", nic)).firewall
    told = diagnose(with_host(node("lknode01", firewall=firewall), paths=paths(client=client_path))).causes
    assert [c.is_fault for c in told if "filter of ARP" in c.says and "drop" in c.says] == (
        [True] if found else [False] if nic == "eth0" else []
    )


def arp_match(left: dict[str, object], right: object, op: str = "==") -> dict[str, object]:
    return {"match": {"op": op, "left": left, "right": right}}


def arp_payload(field: str) -> dict[str, object]:
    return {"payload": {"protocol": "arp", "field": field}}


DROP, ACCEPT = {"drop": None}, {"accept": None}
NIC = {"meta": {"key": "iifname"}}


@pytest.mark.parametrize(
    ("rules", "certainty"),
    [
        ([[DROP]], "likely"),
        ([[arp_match(NIC, "eth0", "!="), DROP]], None),  # of every other NIC
        ([[arp_match(NIC, "eth1", "!="), DROP]], "likely"),
        ([[ACCEPT], [DROP]], None),  # never reached
        ([[arp_match(NIC, "eth0"), ACCEPT], [DROP]], None),
        ([[arp_match(arp_payload("daddr ip"), "10.9.9.9"), DROP]], None),
        ([[arp_match(arp_payload("daddr ip"), "10.20.1.11"), DROP]], "likely"),
        ([[arp_match(arp_payload("operation"), "reply"), DROP]], "likely"),
        ([[arp_match(arp_payload("operation"), "request"), arp_match(arp_payload("saddr ip"), "10.20.1.20"), DROP]], "possible"),
        ([[arp_match(arp_payload("saddr ether"), "02:00:00:00:00:01"), DROP]], "possible"),
        ([[arp_match({"meta": {"key": "protocol"}}, "ip"), DROP]], None),
    ],
)
def test_a_filter_of_arp_is_evaluated_and_where_it_cannot_be_it_hides_no_other_cause(rules: list[object], certainty: str | None) -> None:
    listing = [
        {"table": {"family": "arp", "name": "f"}},
        {"chain": {"family": "arp", "table": "f", "name": "in", "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}},
        *({"rule": {"family": "arp", "table": "f", "chain": "in", "expr": rule}} for rule in rules),
    ]
    firewall = host("lknode01", "@@ firewall\n" + json.dumps({"nftables": listing}) + "\n").firewall
    seen = node("lknode01", firewall=firewall)
    lost = paths(client=SILENT) if certainty != "possible" else paths(inside=SILENT)  # what no other cause explains
    told = [c for c in diagnose(with_host(seen, paths=lost)).causes if "filter of ARP" in c.says]
    assert [str(c.certainty) for c in told] == ([certainty] if certainty else [])
    if certainty == "possible":
        causes = diagnose(with_host(seen, paths=paths(client=SILENT))).causes
        assert causes[0].is_fault and not [c for c in causes if "filter of ARP" in c.says]
        assert not diagnose(with_host(seen)).causes


def test_a_service_in_nested_file_systems_needs_them_all() -> None:
    given = '<primitive id="{}"><instance_attributes id="i"><nvpair id="j" name="{}" value="{}"/></instance_attributes></primitive>'
    disks = given.format("inner", "directory", "/srv/pg") + given.format("outer", "directory", "/srv")
    text = f"@@ configuration\n<cib><resources>{given.format(WEB.tag, 'root', '/srv/pg/web')}{disks}</resources></cib>\n"
    units = host("lknode01", text).units
    assert (units[f"disk of {WEB.tag}"], units["disk of inner"]) == ("inner outer", "outer")
    for disk in ("inner", "outer"):
        says = f"moving cluster-services (manager.resource) does not move {disk}, which the cluster manager has besides"
        only(with_host(node("lknode01", units={f"disk of {WEB.tag}": "inner outer"}), left_behind=[says]), "lknode02", f"{disk} would not")


@pytest.mark.parametrize(
    ("here", "there", "folder", "beside", "words"),
    [
        ("OSU", "ISP", "/srv/shared/pg", {"disk"}, ("is in service on lknode02", "nothing ties them", "web works in /srv/shared")),
        ("OSU", "ISP", "/", {"disk"}, ("is in service on lknode02", "nothing ties them", "/srv/shared is not there")),
        ("OSU", "ISP", "/srv/shared", {"disk", "sap"}, ("is in service on lknode02", "nothing ties them")),
        ("OSU", "ISP", "/srv/sharedX", {"disk", "sap"}, ()),  # another application's
        ("OSU", "ISP", "/srv/shared", set(), ()),  # the file's own, judged by its state
        ("OSU", "OSU", "/srv/shared", {"disk"}, ()),  # nobody has it: nothing of the kind
        ("ISP", "OSU", "/srv/shared", {"disk"}, ("disk would not follow",)),
        ("ISP", "OSU", "/", {"disk"}, ()),  # nobody is known to need it
    ],
)
def test_a_file_system_of_lifekeepers_that_nothing_ties(
    here: str, there: str, folder: str, beside: set[str], words: tuple[str, ...]
) -> None:
    seen = {}
    for name, state in (("lknode01", here), ("lknode02", there)):
        row = "\x01".join([name, "gen", "filesys", "disk", "/srv/shared", "", state])
        text = f"@@ working folders\n= 5 {folder}\n@@ instances\n{row}\n"
        told = host(name, text, "ip-a")
        assert told.units == {"place disk": "/srv/shared", "state disk": state}
        seen[name] = node(name, units=told.units, folders=told.folders)
    left = f"moving cluster-services (manager.resource) does not move {', '.join(sorted(beside))}, which the cluster manager has besides"
    found = faults(diagnose(evidence(hosts=seen, unrelated_resources=frozenset(beside), left_behind=[left] if here == "ISP" else [])))
    assert [c.host for c in found] == ["lknode02"] * bool(words), found
    assert all(word in found[0].says for word in words)


def test_last_words_are_of_what_failed_and_not_of_what_is_planned_next() -> None:
    log = [
        "Nov 29 17:41:07.1 lknode01 pacemaker-controld  [23] (log_op) \terror: Result of stop operation for web on lknode01: Timed Out",
        "Nov 29 17:41:08.4 lknode01 pacemaker-schedulerd[22] (pcmk__assign) \tinfo: Unmanaged resource web assigned to a: failed",
    ]
    assert about(log, "web") == ["error: Result of stop operation for web on lknode01: Timed Out"]
    counted = (
        "Nov 29 17:41:09.4 lknode01 pacemaker-schedulerd[22] (threshold) \twarning: web cannot run on a due to reaching migration threshold"
    )
    assert about([*log, counted], "web") == about(log, "web")
    assert about([counted], "web") == ["warning: web cannot run on a due to reaching migration threshold"]


def test_an_own_name_that_is_a_loopback_address_is_no_fault_by_itself() -> None:
    (told,) = [c for c in diagnose(with_host(node("lknode02", names={"lknode02": ("127.0.1.1",)}))).causes if "127.0.1.1" in c.says]
    assert (told.host, told.is_fault) == ("lknode02", False)


@pytest.mark.parametrize(
    ("why", "says"),
    [
        ("10.20.1.200/32 is not on eth1", "10.20.1.200 is taken away again and again"),
        ("nobody answered the broadcast ping on eth1; NOBCASTPING=1 skips this check", "fails again and again"),
    ],
)
def test_an_ip_resource_that_is_recovered_again_and_again_is_taken_away_or_fails_by_its_own_word(why: str, says: str) -> None:
    now, tag = datetime(2026, 11, 29, 13, 37, 40, tzinfo=UTC), CLUSTER.ip_resource.tag
    log = []
    for second in range(30, 36):
        head = f"Nov 29 13:37:{second} lknode01"
        log.append(f"{head} quickCheck[7]: ERROR:ip:quickCheck:{tag}:990200:{why}")
        log.append(f"{head} perform_action[7]: NOTIFY::recover:{tag}:990101:recover begins, asked for by lknode01")
    told = faults(diagnose(with_host(node("lknode01", log=log, clock=now.timestamp()))))
    assert [c.host for c in told] == ["lknode01"] and says in told[0].says and (why in told[0].says) is ("fails" in says)
