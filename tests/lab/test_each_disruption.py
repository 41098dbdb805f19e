"""Every disruption on a real lab: begun, seen to take effect, undone, the cluster healthy again, and nothing of ours left on any host."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.cluster.path_check import check_path
from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.timeline import Timeline
from harness.disrupt import disruption as base
from harness.expectations.connectivity_matrix import Origin
from harness.hosts.deadman.deadman_switch import remains
from harness.lab.lifecycle import default_cluster, launch

ASKED_EVERY_S = 0.5  # each question is sessions, with programs in them
IDLE_S = 4.0  # so that a connection held idle for longer can be tried at all
REBOOTS = ("all comm paths cut", "one-way cut", "node freeze", "azure VM restart", "azure VM redeploy")
NAMES = sorted(base.all_of(), key=lambda n: n in REBOOTS)  # what reboots nodes comes last
# One of each way to do and undo: the manager's word, a process, a link, a file, rules, an address, power, Azure's rules and power.
USUAL = (
    *("switchover", "service crash", "service hang", "NIC down Subnet#2", "shared disk full", "one comm path cut", "probe blocked"),
    *("IP resource out", "IP resource lost", "power loss", "azure NSG deny", "azure VM power off"),
)


@pytest.fixture(scope="module")
def subject() -> Iterator[ClusterUnderTest]:
    data = default_cluster.cluster_data(overrides={"load_balancer": {"idle_timeout_s": IDLE_S}})
    lab = launch.up(data, name=f"disruptions-{os.getpid()}", persistent=False, azure=True)
    subject = ClusterUnderTest(cluster_config.load(lab.cluster_file), Timeline())
    try:
        yield subject
    finally:
        subject.close()
        lab.down()


def served(subject: ClusterUnderTest) -> bool:
    """Is the client path to the first service right, by the service's own word and the packets? A frozen one would still accept."""
    leading = subject.manager.state(limit=0.5).leading
    return leading is not None and bool(check_path(subject, Origin.CLIENT, subject.cluster.services[0], leading, count=1).verdict)


def network(subject: ClusterUnderTest) -> dict[str, str]:
    """Links, addresses and routes of every host, but for the VIP, which moves."""
    line = "ip -o link show | cut -d ' ' -f 2-3 | sed 's|@[^:]*||'; ip -o addr show | awk '{ print $2, $4 }'; ip route show table all"
    lines = {m.name: subject.hosts[m.name].check(line).splitlines() for m in subject.cluster.machines}
    return {name: "\n".join(sorted(x for x in said if str(subject.cluster.vip) not in x)) for name, said in lines.items()}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in USUAL else pytest.mark.deep) for n in NAMES])
def test_done_and_undone(subject, name, record_property):
    """Done, seen, undone; the cluster moved or stayed as the disruption says, is healthy again, and no host has anything of ours."""
    manager = subject.cluster.manager
    subject.wait_until_healthy(Deadline(120))
    disruption = base.get_disruption(name)(subject)
    assert disruption.skip_reason() is None
    disruption.prepare(Deadline(60))
    before = subject.active
    other = subject.standby_of(before)
    allowance = disruption.allowance().seconds
    network_before = network(subject)
    told: dict[str, float] = {}
    began = time.monotonic()

    def tell(what: str) -> None:
        told[what] = round(time.monotonic() - began, 2)

    try:
        disruption.begin(Deadline(120))
        tell("begun")
        allowance = disruption.allowance().seconds  # with what Azure took until it was done
        disruption.took_effect(Deadline(allowance + 10, anchor=began))
        tell("took effect")
        lasts = Deadline(disruption.lasts_s, anchor=began)
        lasts.wait_for(lambda: lasts.expired, what="what it must last")
        if disruption.moves:

            def moved() -> bool:
                return subject.manager.state(limit=0.5).nodes[other].has_everything

            Deadline(allowance, anchor=began).wait_for(moved, what=f"all being on {other}", every=ASKED_EVERY_S)
            tell("moved")
        if disruption.expects[subject.cluster.design][Origin.CLIENT] is base.Effect.RECOVERS:
            Deadline(allowance, anchor=began).wait_for(lambda: served(subject), what="the recovery of the client path", every=ASKED_EVERY_S)
            tell("client right")
    finally:
        disruption.undo(Deadline(60))
    tell("undone")
    state = subject.wait_until_healthy(Deadline(manager.boot_s + manager.takeover_s))
    tell("whole")
    record_property("seconds", told)
    stated = f"longest {disruption.longest_s:g}, lasts {disruption.lasts_s:g}, allowance {allowance:g}"
    print(f"\n{name}: {told}; {stated}; {before} -> {state.active}")
    if disruption.moves is not None:
        assert state.active == (other if disruption.moves else before)
    left = {machine.name: remains(subject.hosts[machine.name]) for machine in subject.cluster.machines}
    assert not any(left.values()), left
    assert network(subject) == network_before
