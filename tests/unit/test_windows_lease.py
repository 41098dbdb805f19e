"""The lease on Windows nodes, and which boot they are in: judged here, asked of a stand-in that takes scripts by name and parameters."""

from __future__ import annotations

import pytest
from windows_node import WindowsNode, refused

from harness.attach.lease import Lease, LeaseHeld
from harness.core.errors import Unusable
from harness.hosts.windows.boot_identity import Boot, boot_of, booted_between

NODES = ("lknode01", "lknode02")


def nodes() -> dict[str, WindowsNode]:
    return {name: WindowsNode(name) for name in NODES}


def lease(hosts: dict[str, WindowsNode], run: str = "run-1", **about) -> Lease:
    return Lease(hosts, run, windows=NODES, renew_s=3600.0, **about)  # type: ignore[arg-type]


def test_the_second_is_refused_and_told_of_the_first():
    hosts = nodes()
    first, second = lease(hosts), lease(hosts, "run-2")
    first.take()
    with pytest.raises(LeaseHeld, match=r"lknode01: another run has this cluster: .*, run run-1, since 2026-.*Z, for another 30 s unless"):
        second.take()
    assert all(host.lease["token"] == first.token for host in hosts.values()), "who was refused takes nothing away"
    assert first.give_back() == [] and all(host.lease is None for host in hosts.values())
    second.take()
    assert not second.loss_reason
    second.give_back()


def test_it_ends_by_the_node_s_own_count_and_with_its_boot():
    hosts = nodes()
    lease(hosts).take()
    for host in hosts.values():
        host.ticks += 31.0
    other = lease(hosts, "run-2")
    other.take()
    for host in hosts.values():
        host.reboots()
    third = lease(hosts, "run-3")
    third.take()
    assert hosts["lknode01"].lease["token"] == third.token
    assert other.give_back() == [] and hosts["lknode01"].lease["token"] == third.token, "nobody gives back what is another's"


def test_what_is_armed_is_covered_at_once():
    hosts = nodes()
    held = lease(hosts)
    held.take()
    held.cover(300.0)
    assert all(host.lease["until"] == host.ticks + 310 for host in hosts.values())
    hosts["lknode02"].lease["token"] = "0" * 16
    with pytest.raises(Unusable, match="lknode02: another run has this cluster"):
        held.cover(300.0)
    assert "lknode02" in held.loss_reason
    held.give_back()


@pytest.mark.parametrize(
    ("error", "message", "says"),
    [
        ("FolderNotOurs", r"C:\ProgramData\lkharness is not for administrators alone: its owner is neither", "FolderNotOurs: C:"),
        ("UnauthorizedAccessException", "Zugriff verweigert", "is the account an administrator there"),
        ("LeaseGarbled", "cannot be read; remove it when no run has this cluster", "remove it when no run"),
    ],
)
def test_a_node_that_gives_none_is_one_sentence_and_the_other_node_is_left_alone(error, message, says):
    hosts = nodes()
    hosts["lknode02"].plays["lease"] = lambda given: refused(error, message)
    with pytest.raises(Unusable, match=f"lknode02: the lease, which keeps two runs from .*{says}"):
        lease(hosts).take()
    assert hosts["lknode01"].lease is None


def test_windows_and_linux_nodes_are_asked_each_in_its_way():
    hosts = nodes()
    with pytest.raises(AssertionError, match="asked by scripts"):
        Lease(hosts, "run-1", windows=["lknode02"]).take()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after", "anew"),
    [
        ((7, 100.0), (7, 160.0), False),
        ((7, 100.0), (8, 160.0), True),
        ((7, 100.0), (8, 20.0), True),
        ((None, 100.0), (None, 20.0), True),
        ((None, 100.0), (7, 160.0), False),
        ((7, 100.0), (7, 20.0), True),
    ],
)
def test_a_boot_is_another_number_or_a_count_that_began_anew(before, after, anew):
    """Clock and event log have no say in it (WHST-96 to 100)."""
    first, second = Boot(*before, 1.0), Boot(*after, 2.0)
    assert booted_between(first, second) is anew
    assert (first != second) is (second != first) is anew


def test_a_boot_is_asked_by_its_script():
    host = WindowsNode()
    before = boot_of(host)  # type: ignore[arg-type]
    host.reboots()
    assert (before.number, before.ticks) == (7, 100.0) and booted_between(before, boot_of(host))  # type: ignore[arg-type]
