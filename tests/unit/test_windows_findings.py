"""What a Windows node's settings do to the cluster's ports and packets; each rule holds what it should and lets the rest be."""

from __future__ import annotations

import pytest

from harness.check.findings import windows_findings
from harness.check.findings.firewall_findings import evaluate_firewalls
from harness.check.node_facts import NodeFacts, WindowsFacts
from harness.config import cluster_config
from harness.core.finding import Finding, Weight
from harness.hosts.linux.linux_parse import Listener
from harness.hosts.windows.windows_parse import Adapter, ClusterAddress, FirewallRows, HostAbout, WeakHost, WindowsAddress, WindowsListener
from harness.managers.manager import ClusterState

OWN, VIP, LOOPBACK = "10.20.1.211", "10.20.1.200", "Loopback Pseudo-Interface 1"


def cluster(design: str = "nat") -> cluster_config.Cluster:
    return cluster_config.Cluster.model_validate(
        {
            "name": "x",
            "design": design,
            "client": {"name": "lkclient", "address": "10.20.1.100"},
            "nodes": [
                {"name": f"n{i}", "address": f"10.20.1.21{i}", "second_address": f"10.20.2.1{i}", "platform": "windows"} for i in (1, 2)
            ],
            "load_balancer": {"frontend": VIP, "probe": {"port": 12345}},
            "services": [{"name": "oracle", "kind": "oracle", "port": 1521, "tag": "listener-1521"}],
            "manager": {"kind": "wsfc"},
        }
    )


def address(text: str, nic: str = "Ethernet", skipped: bool | None = False) -> WindowsAddress:
    return WindowsAddress(nic, text, 24, "UP", skip_as_source=skipped)


def found(design: str = "nat", addresses=(), heard=(), **facts: object) -> list[Finding]:
    made = cluster(design)
    listeners = [Listener("0.0.0.0", port, "tcp", 1, "x") for port in heard]
    return list(windows_findings.findings(made, made.nodes[0], WindowsFacts(**facts), list(addresses), listeners))


def row(kind: str, first: int, last: int, name: str = "") -> dict:
    return {"K": kind, "First": first, "Last": last, "Name": name}


def short(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(f.what, str(f.weight)) for f in findings]


KEPT = [{"K": "keepalive", "Name": "KeepAliveTime", "Milliseconds": 60_000}]


@pytest.mark.parametrize(
    ("settings", "heard", "says"),
    [
        ([row("excluded", 12300, 12399)], (), [("excluded ports", "note")]),
        ([row("excluded", 12300, 12399)], (12345,), []),  # somebody has it all the same
        ([row("excluded", 12345, 12345, "*"), row("dynamic", 12000, 13000)], (), []),  # by an administrator, against just that
        ([row("dynamic", 1521, 1521)], (), [("dynamic ports", "note")]),
        ([row("dynamic", 1522, 65535), row("excluded", 1, 1520)], (), [("dynamic ports", "note")]),
        ([row("dynamic", 49152, 65535), row("excluded", 5357, 5357)], (), []),
    ],
)
def test_ports_that_somebody_else_may_take(settings, heard, says):
    assert short(found(settings=[*KEPT, *settings], heard=heard)) == says


@pytest.mark.parametrize(("port", "says"), [(1521, [("port proxy", "fault")]), (12345, [("port proxy", "fault")]), (80, [])])
def test_a_port_proxy_on_one_of_our_ports(port, says):
    proxy = {"K": "portproxy", "Name": "v4tov4", "ListenAddress": "*", "ListenPort": port, "ConnectAddress": "10.0.0.9", "ConnectPort": 22}
    assert short(found(settings=[*KEPT, proxy])) == says


@pytest.mark.parametrize(("settings", "says"), [(KEPT, False), ([], True), ([KEPT[0] | {"Milliseconds": 300_000}], True)])
def test_keepalive_against_the_balancer_s_memory(settings, says):
    assert bool(found(settings=settings)) is says


@pytest.mark.parametrize(
    ("addresses", "fault"),
    [
        ([address(OWN), address(VIP)], True),
        ([address(OWN), address(VIP, skipped=True)], False),
        ([address(OWN), address(VIP, skipped=None)], False),  # not told
        ([address(OWN), address(VIP, LOOPBACK)], False),  # another NIC's
        ([address(OWN)], False),
    ],
)
def test_a_vip_below_the_node_s_own_address(addresses, fault):
    assert short(found(addresses=addresses)) == ([("source address", "fault")] if fault else [])


@pytest.mark.parametrize(
    ("design", "holder", "nic", "lacks"),
    [
        ("floating", (True, True), (True, True), ""),
        ("floating", (True, True), (True, False), "Ethernet: WeakHostReceive"),
        ("floating", (False, True), (True, True), f"{LOOPBACK}: WeakHostSend"),
        ("floating", (None, None), (None, None), ""),
        ("nat", (False, False), (False, False), ""),
    ],
)
def test_weak_host_where_the_vip_is_on_another_interface(design, holder, nic, lacks):
    """Of each interface: send and receive."""
    hosts = [WeakHost(LOOPBACK, *holder, False), WeakHost("Ethernet", *nic, False)]
    said = found(design, [address(OWN), address(VIP, LOOPBACK)], weak_hosts=hosts)
    assert short(said) == ([("weak host", "fault")] if lacks else []) and (not lacks or lacks in said[0].says)
    assert found(design, [address(OWN), address(VIP, skipped=True)], weak_hosts=hosts) == []


@pytest.mark.parametrize(
    ("elevated", "free", "alone", "says"),
    [
        (True, 10**9, "", []),
        (None, None, "", []),
        (False, 10**9, "", [("rights", "unknown")]),
        (True, 4096, "", [("TEMP", "fault")]),
        (True, 10**9, "it ended", [("PowerShell", "note")]),
    ],
)
def test_what_keeps_the_node_from_telling_all(elevated, free, alone, says):
    about = HostAbout("n1", "5.1", "de-DE", 850, "RemoteSigned", elevated, free, "")
    assert short(found(about=about, why_alone=alone)) == says


@pytest.mark.parametrize(
    ("probe", "mask", "vip", "heard", "says"),
    [
        (12345, "255.255.255.255", True, (12345,), []),
        (12345, "255.255.255.255", False, (), []),  # only where the role is
        (12345, "255.255.255.255", True, (1521,), [("ProbePort", "fault")]),  # set, and not in force (WCLU-97)
        (12345, None, True, None, []),
        (None, None, False, (), [("ProbePort", "fault")]),
        (59999, None, True, (59999,), [("ProbePort", "fault")]),
        (12345, "255.255.255.0", False, (), [("subnet mask", "note")]),
    ],
)
def test_the_cluster_answers_the_probe_where_its_resource_says_and_that_is_in_force(probe, mask, vip, heard, says):
    made = cluster()
    facts = WindowsFacts(cluster_address=ClusterAddress(VIP, mask, probe))
    listeners = None if heard is None else [Listener("0.0.0.0", port, "tcp", 1, "rhs") for port in heard]
    addresses = [address(OWN), *([address(VIP, skipped=True)] if vip else [])]
    assert short(list(windows_findings.findings(made, made.nodes[0], facts, addresses, listeners))) == says


def test_an_adapter_that_is_gone_keeps_what_its_successor_needs():
    there, gone = Adapter("Ethernet 2", "Hyper-V", False), Adapter("Ethernet", "Hyper-V", True)
    assert found(adapters=[there, gone]) == []
    assert short(found(adapters=[there, gone], addresses=[address(OWN, "Ethernet")])) == [("adapter", "fault")]
    assert short(found(adapters=[there, gone], addresses=[address(OWN, "Ethernet 2")])) == []


@pytest.mark.parametrize(
    ("aliases", "says"), [(["Any"], []), (["ethernet 2"], []), (["Ether*"], []), (["Ethernet"], [("adapter", "note")])]
)
def test_a_rule_for_a_nic_that_is_not_there_is_named(aliases, says):
    nics = ({"K": "nic", "InterfaceAlias": "Ethernet 2", "NetworkCategory": "Public", "Addresses": [f"{OWN}/24"]},)
    rules = (rule("oracle", "Allow", InterfaceAlias=aliases),)
    assert short(found(firewall=FirewallRows((), nics, rules))) == says


def rule(name: str, action: str, **fields: object) -> dict:
    any_ = ["Any"]
    about = {
        "LocalPort": any_,
        "RemotePort": any_,
        "LocalAddress": any_,
        "RemoteAddress": any_,
        "InterfaceAlias": any_,
        "InterfaceType": any_,
    }
    said = {"K": "rule", "Name": name, "Id": name, "Enabled": "True", "Direction": "Inbound", "Action": action, "Profile": "Any"}
    more = {"EnforcementStatus": ["Full"], "PolicyStoreSourceType": "Local", "Protocol": "TCP", "Authentication": "NotRequired"}
    return said | more | {"Program": "Any", "Service": "Any"} | about | fields


def judged(*rules: dict, listeners=None):
    profile = {"K": "profile", "Name": "Domain", "Enabled": "True", "DefaultInboundAction": "Block", "DefaultOutboundAction": "Allow"}
    profile |= {"AllowInboundRules": "NotConfigured", "AllowLocalFirewallRules": "NotConfigured", "DisabledInterfaceAliases": []}
    nics = [
        {"K": "nic", "InterfaceAlias": "Ethernet", "NetworkCategory": "DomainAuthenticated", "Addresses": [f"{OWN}/24"]},
        {"K": "nic", "InterfaceAlias": "Second", "NetworkCategory": "DomainAuthenticated", "Addresses": ["10.20.2.11/24"]},
    ]
    facts = NodeFacts(
        "n1",
        addresses=[address(OWN), address("10.20.2.11", "Second")],
        listeners=listeners,
        windows=WindowsFacts(firewall=FirewallRows((profile,), tuple(nics), rules)),
    )
    return evaluate_firewalls(cluster(), {"n1": facts}, ClusterState({}))["n1"]


def test_check_judges_windows_firewall_by_what_the_script_collects():
    """A rule for LocalSubnet does not let the probe in; one for any protocol does; a block beats both (WNET-01, WNET-07, WNET-08)."""
    paths = rule("cluster", "Allow", Protocol="UDP", LocalPort=["3343"])
    services = rule("oracle", "Allow", LocalPort=["1521"])
    near = rule("near", "Allow", LocalPort=["12345"], RemoteAddress=["LocalSubnet"])
    lost = [f.lost for fates in judged(paths, services, near).stopped_by_rule.values() for f in fates]
    assert lost == ["the probe from 168.63.129.16 to port 12345"]
    every = rule("all", "Allow", Protocol="Any")
    assert judged(every).stopped_by_rule == {} and judged(every).unsure == {}
    blocked = judged(every, rule("no probe", "Block", LocalPort=["12000-13000"])).stopped_by_rule
    assert [key[0] for key in blocked] == ["the inbound rule \u201cno probe\u201d (Block)"]
    assert [key[0] for key in judged(services, near).stopped_by_rule if "default" in key[0]], "the communication path as well"


def test_a_rule_for_a_program_is_decided_by_the_program_that_listens():
    """A rule made for the listener's old home lets nothing in any more."""
    paths = rule("cluster", "Allow", Protocol="UDP", LocalPort=["3343"])
    probe, program = rule("probe", "Allow", LocalPort=["12345"]), "C:\\oracle\\19c\\bin\\TNSLSNR.EXE"
    ruled = (paths, probe, rule("oracle", "Allow", Program=program.lower()))

    def with_listener(*paths: str | None) -> tuple[bool, bool]:
        found = judged(*ruled, listeners=[WindowsListener("0.0.0.0", 1521, "tcp", 1, "TNSLSNR", path) for path in paths])
        return any("1521" in f.lost for fates in found.stopped_by_rule.values() for f in fates), bool(found.unsure)

    assert with_listener(program) == (False, False)
    assert with_listener("C:\\oracle\\21c\\bin\\TNSLSNR.EXE") == (True, False)
    assert with_listener(None) == with_listener(program, "C:\\other.exe") == (False, True)


def test_what_a_fault_is_weighed_as():
    assert {Weight.FAULT, Weight.NOTE, Weight.UNKNOWN} >= {f.weight for f in found(settings=[])}
