"""Disruptions of Windows nodes: which are done at all, in which order, by which scripts, and how each is known to have taken effect."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from windows_cluster import PROFILE, TOKEN, subject_of
from windows_node import refused, rows

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Inconclusive, Unusable
from harness.disrupt import disruption, undo
from harness.disrupt.bases import windows_node
from harness.disrupt.bases.block_rule_effect import no_effect
from harness.disrupt.disruption import EffectLost
from harness.hosts.host import CommandFailed, HostUnreachable
from harness.hosts.linux.linux_parse import InterfaceAddress
from harness.hosts.windows import scheduled_undo
from harness.hosts.windows.boot_identity import boot_of
from harness.hosts.windows.windows_parse import FirewallRows

LONG_S = 120.0
DONE = {"none", "switchover", "failback", "service crash", "probe responder crash", "probe blocked", "one comm path cut"}
DONE |= {"all comm paths cut", "NIC down Subnet#1", "NIC down Subnet#2", "power loss", "node reboot", "node freeze"}
REFUSED = {"service hang", "manager crash", "one-way cut", "responder up on both nodes", "IP resource lost", "IP resource out"}
REFUSED |= {"shared disk full", "azure VM restart", "azure VM redeploy"}
AT_CLIENT = {"idle beyond the balancer's timeout"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduled_undo, "POLL_INTERVAL_S", 0.001)


@pytest.fixture
def subject() -> SimpleNamespace:
    return subject_of()


def made(subject: SimpleNamespace, name: str) -> disruption.Disruption:
    return disruption.get_disruption(name)(subject)


def asked(subject: SimpleNamespace, node: str) -> list[str]:
    return [name for name, _ in subject.hosts[node].asked]


def test_every_disruption_is_done_on_windows_or_says_why_not():
    of_azure = {name for name in disruption.all_of() if name.startswith("azure ")} - REFUSED
    assert set(disruption.all_of()) == DONE | REFUSED | AT_CLIENT | of_azure
    for name, kind in disruption.all_of().items():
        assert bool(kind.on_windows) is (name in REFUSED | AT_CLIENT), name
        assert not kind.on_windows.endswith(".")


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_has_no_way_is_refused_in_the_plan_and_again_when_it_is_begun(subject, name):
    one = made(subject, name)
    assert (one.why_skipped() or "").startswith(f"{one.target()} is a Windows node: {one.on_windows}")
    with pytest.raises(Inconclusive, match=r"was not done, and nothing was: lknode0\d is a Windows node"):
        undo.begin(subject, one, Deadline(LONG_S))
    assert subject.standing == [] and not any(host.asked for host in subject.hosts.values())


def test_a_disruption_of_somebody_else_s_is_not_done_on_windows():
    """What says nothing of Windows is for Linux."""

    class Own(disruption.Disruption):
        name = "of a plug-in"

    assert Own.on_windows


@pytest.mark.parametrize(
    ("name", "node", "local", "remote", "port"),
    [
        ("one comm path cut", "lknode02", ["10.20.2.12"], ["10.20.2.11"], None),
        ("all comm paths cut", "lknode02", ["10.20.1.12", "10.20.2.12"], ["10.20.1.11", "10.20.2.11"], None),
        ("probe blocked", "lknode01", ["10.20.1.11"], ["168.63.129.16"], 12345),
    ],
)
def test_a_cut_is_armed_made_seen_and_undone(subject, name, node, local, remote, port):
    one, host = made(subject, name), subject.hosts[node]
    assert one.why_skipped() is None and one.target() == node
    assert [step.phase for step in one.steps()] == ["do", "undo"] and "cut.ps1" in one.steps()[0].command
    host.asked.clear()
    undo.begin(subject, one, Deadline(LONG_S))
    assert asked(subject, node) == ["undo-arm", "cut"] and host.rules
    assert all(given["Lease"] == TOKEN for _, given in host.asked)
    given = host.asked[1][1]
    assert (given["Local"], given["Remote"], given.get("Port")) == (local, remote, port)
    assert one.moment == (node, 1000.0, 1000.25)
    one.took_effect(Deadline(LONG_S))
    undo.undo(subject, one, Deadline(LONG_S))
    assert host.rules == set() and host.armed == {} and subject.standing == []


def test_a_cut_that_the_firewall_does_not_enforce_has_not_taken_effect(subject):
    one, host = made(subject, "probe blocked"), subject.hosts["lknode01"]
    host.plays["effect"] = lambda given: rows({"There": bool(host.rules), "InForce": False, "Why": "LocalFirewallRulesDisallowed"})
    undo.begin(subject, one, Deadline(LONG_S))
    with pytest.raises(DeadlineExceeded, match="Windows Firewall enforcing the rules of lkharness-"):
        one.took_effect(Deadline(0.3))
    undo.undo(subject, one, Deadline(LONG_S))
    assert host.rules == set()


def test_rules_that_were_gone_before_the_end_make_it_inconclusive(subject):
    one, host = made(subject, "probe blocked"), subject.hosts["lknode01"]
    undo.begin(subject, one, Deadline(LONG_S))
    one.took_effect(Deadline(LONG_S))
    host.rules.clear()
    with pytest.raises(EffectLost, match="lknode01: the block rules were not in force any more"):
        undo.undo(subject, one, Deadline(LONG_S))
    assert host.armed == {} and subject.standing == []


@pytest.mark.parametrize(("name", "nic"), [("NIC down Subnet#1", "Ethernet"), ("NIC down Subnet#2", "Ethernet 2")])
def test_a_nic_goes_down_by_its_address_and_may_take_the_session_along(subject, name, nic, monkeypatch):
    monkeypatch.setattr(type(made(subject, name)), "severs", True)  # as where the harness reaches the node by it
    one, host = made(subject, name), subject.hosts["lknode01"]
    assert one.why_skipped() is None

    def severed(given):
        host.off.add(given["Nic"])
        raise HostUnreachable("the connection broke")

    host.plays["nic-down"] = severed
    undo.begin(subject, one, Deadline(LONG_S))
    assert host.off == {nic} and one.moment is None and set(host.armed)
    host.hears = False
    one.took_effect(Deadline(LONG_S))
    host.hears = True
    host.passes(one.longest_s)
    undo.undo(subject, one, Deadline(LONG_S))
    assert host.off == set() and host.armed == {}


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda host: host.readiness.update(Scheduler="Disabled"), "the Task Scheduler (service Schedule) of lknode01 is Disabled"),
        (lambda host: host.nics.update({"Ethernet": "10.9.9.9"}), ""),
        (lambda host: host.nics.update({"100% of it": host.nics.pop("Ethernet")}), "cannot be given its name '100% of it'"),
    ],
)
def test_what_could_not_be_undone_is_not_planned(subject, spoil, why):
    spoil(subject.hosts["lknode01"])
    one = made(subject, "NIC down Subnet#1")
    if why:
        assert why in (one.why_skipped() or "")
    else:
        with pytest.raises(Inconclusive, match=r"one NIC should have 10\.20\.1\.11; none has"):
            one.why_skipped()


@pytest.mark.parametrize("name", ["service crash", "probe responder crash"])
def test_what_listens_is_ended_if_it_is_still_the_same(subject, name):
    one, host = made(subject, name), subject.hosts["lknode01"]
    assert "process-kill.ps1 -Id 42 -StartedAt 2026-11-29T08" in one.steps()[0].command
    undo.begin(subject, one, Deadline(LONG_S))
    assert host.asked[-1] == ("process-kill", {"Id": 42, "StartedAt": "2026-11-29T08:00:00.0000000Z", "Lease": TOKEN})
    one.took_effect(Deadline(LONG_S))
    host.processes[42] = "2026-11-29T09:00:00.0000000Z"
    one.took_effect(Deadline(LONG_S))
    assert one.moment == ("lknode01", 1000.0, 1000.25)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({}, ""),
        ({"Name": "svchost"}, "svchost (42) listens on port 1521 for others"),
        ({"Name": "w3wp.exe"}, "w3wp (42) listens"),
        ({"Id": 4, "Name": "x"}, "x (4) listens on port 1521 for others"),
        ({"Services": ["A", "B"]}, "holds the services A, B"),
        ({"Restarts": True}, "restarts the whole node"),
        ({"Restarts": None}, "whether a failure action of the service O restarts the whole node could not be read"),
        ({"Name": "rhs.exe", "Services": []}, "rhs (42), which listens on port 1521, is the failover cluster's own"),
        ({"Name": "ClusSvc"}, "is the failover cluster's own"),
        ({"StartedAt": None}, "started is not told"),
    ],
)
def test_a_process_that_others_need_is_left_alone(told, why):
    row = {"Id": 42, "Name": "TNSLSNR", "StartedAt": "x", "Services": ["O"], "Restarts": False} | told
    assert why in windows_node.reason_not_to_end_process(row, int(row["Id"]), 1521) and bool(
        windows_node.reason_not_to_end_process(row, int(row["Id"]), 1521)
    ) is bool(why)
    assert "is gone" in windows_node.reason_not_to_end_process(None, 42, 1521)


def test_a_process_that_listens_for_more_than_the_cluster_is_left_alone(subject):
    host = subject.hosts["lknode01"]
    host.ports[8080] = 42
    with pytest.raises(Inconclusive, match="on port 1521 and on 8080, which the cluster file does not name"):
        undo.begin(subject, made(subject, "service crash"), Deadline(LONG_S))
    assert 42 in host.processes and "process-kill" not in asked(subject, "lknode01")


@pytest.mark.parametrize("name", ["service crash", "NIC down Subnet#2", "probe blocked"])
@pytest.mark.parametrize(("here", "why"), [(False, "is not any more"), (None, "could not be told")])
def test_a_node_that_is_not_known_to_be_active_still_is_left_alone(subject, name, here, why):
    subject.manager.here = here
    host = subject.hosts["lknode01"]
    with pytest.raises(Inconclusive, match=f"lknode01 was active and .*{why}, so nothing was done"):
        undo.begin(subject, made(subject, name), Deadline(LONG_S))
    assert 42 in host.processes and not host.rules and not host.off and not host.armed


@pytest.mark.parametrize(("name", "error"), [("service crash", CommandFailed), ("probe blocked", Unusable)])
def test_without_the_lease_nothing_is_done(subject, name, error):
    host = subject.hosts["lknode01"]
    host.lease["token"] = "f" * 16
    with pytest.raises(error, match="the lease on this node is not this run's any more"):
        undo.begin(subject, made(subject, name), Deadline(LONG_S))
    assert 42 in host.processes and not host.rules and not host.armed


def test_a_host_on_which_tasks_are_forbidden_is_not_disturbed(subject):
    host = subject.hosts["lknode02"]
    host.plays["undo-arm"] = lambda given: refused("HRESULT 0x80070005,Register-ScheduledTask", "Zugriff verweigert")
    one = made(subject, "one comm path cut")
    with pytest.raises(Unusable, match="could not be armed, so nothing was done"):
        undo.begin(subject, one, Deadline(LONG_S))
    undo.undo(subject, one, Deadline(LONG_S))
    assert "cut" not in asked(subject, "lknode02") and subject.standing == []


def test_a_reboot_is_another_boot_by_number_or_count(subject):
    host = subject.hosts["lknode01"]
    before = windows_node.which_boot(subject, "lknode01", limit=1.0)
    host.ticks += 50.0
    assert windows_node.which_boot(subject, "lknode01", limit=1.0) == before == boot_of(host)
    host.reboots()
    assert windows_node.which_boot(subject, "lknode01", limit=1.0) != before and before is not None


ADDRESSES = [InterfaceAddress("Ethernet", "10.20.1.11", 24, "UP"), InterfaceAddress("Ethernet 2", "10.20.2.11", 24, "UP")]


@pytest.mark.parametrize(
    ("profiles", "nics", "why"),
    [
        ({"Private": {}}, {"Ethernet": "Private", "Ethernet 2": "Private"}, ""),
        (
            {"Private": {}, "Public": {"Enabled": "False"}},
            {"Ethernet": "Private", "Ethernet 2": "Public"},
            r"is off, .*\(profile Public of Ethernet 2\)",
        ),
        ({"Private": {}, "Public": {}}, {"Ethernet": "Private"}, "which profile of Windows Firewall Ethernet 2 is in is not told"),
        ({"Private": {}, "Public": {}}, {"Ethernet": "Private", "Ethernet 2": None}, "Ethernet 2 is in is not told"),
        (
            {"Domain": {"AllowLocalFirewallRules": "False"}},
            {"Ethernet": "DomainAuthenticated"},
            "a group policy .*profile Domain of",
        ),
        ({"Private": {"DisabledInterfaceAliases": ["Ethernet"]}}, {"Ethernet": "Private"}, "leaves this NIC alone"),
        ({"Private": {"Enabled": None}}, {"Ethernet": "Private"}, "is off"),
        ({}, {"Ethernet": "Private"}, "is not told"),
        ({"Private": {}}, {"Ethernet": "None"}, "is not told"),
    ],
)
def test_a_rule_without_effect_is_known_beforehand(profiles, nics, why):
    found = FirewallRows(
        tuple({"Name": name, **PROFILE, **about} for name, about in profiles.items()),
        tuple({"InterfaceAlias": nic, "NetworkCategory": category} for nic, category in nics.items()),
        (),
    )
    said = no_effect(ADDRESSES, found, ["10.20.1.11", "10.20.2.11"])
    assert re.search(why, said) if why else said == ""
    assert no_effect(ADDRESSES, found, ["10.9.9.9"]) == "no NIC has the address 10.9.9.9"
