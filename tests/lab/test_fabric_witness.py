"""The fabric as the witness, held against the hosts' own captures: the same wire code for every attempt, in every situation of the matrix,
and with cuts, refusals, time-outs and resets between them. LKHARNESS_WITNESS sets how many attempts are made in all (10,000)."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.config.cluster_config import Design
from harness.core.deadline import Deadline
from harness.expectations.connectivity_matrix import MATRIX, Situation
from harness.lab.lifecycle import default_cluster, launch
from harness.remote.captures.wire_code_classifier import UNKNOWN, classify_all
from harness.remote.connections.attempt import Attempt, attempt
from tests.deep_option import number
from tests.lab.situations import HEALTHY, Stage, placement, stages

pytestmark = [pytest.mark.deep, pytest.mark.timeout(3600)]

LIMIT_S = 0.4  # of an attempt
CLOSED_PORT = 999
CUT_PERIOD_S = 0.05  # of a cut that comes and goes while attempts are made
SITUATIONS = {design: [s for s in rows if s is not Situation.BOUND_TO_VIP_AND_PROBED] for design, rows in MATRIX.items()}


@dataclass
class Tally:
    """What was compared so far."""

    codes: Counter[tuple[str, str]] = field(default_factory=Counter)  # of what was done, and the code
    differing: list[str] = field(default_factory=list)

    @property
    def attempts(self) -> int:
        return sum(self.codes.values())


@pytest.fixture(scope="module")
def stage_of() -> Iterator[Callable[[Design, bool], Stage]]:
    def bring_up(design: Design, probed_itself: bool) -> launch.RunningLab:
        one = {"services": [s for s in default_cluster.DEFAULT_CLUSTER["services"] if s["kind"] == "oracle"]}
        data = default_cluster.cluster_data(overrides={"design": str(design), **one})
        return launch.up(data, name=f"witness-{os.getpid()}-{design}", persistent=False)

    yield from stages(bring_up)


def compare(stage: Stage, tally: Tally, what: str, make: Callable[[], list[Attempt]]) -> None:
    """Make attempts under the eyes of all; note every one that the fabric tells otherwise than the hosts."""
    subject = stage.subject
    with subject.watched() as own, stage.fabric.sights() as sights:
        attempts = make()
        hosts = classify_all(attempts, own.packets(), subject.cluster)
        fabric = {sight.place: sight.ways(attempts) for sight in sights}
    tally.codes.update((what, way.code) for way in hosts)
    for place, ways in fabric.items():
        for by_hosts, by_fabric in zip(hosts, ways, strict=True):
            if (by_hosts.code, by_hosts.node, by_hosts.left_a_nic) != (by_fabric.code, by_fabric.node, by_fabric.left_a_nic):
                tally.differing.append(f"{what}: {place}: {by_fabric}; by the hosts: {by_hosts}")


def tries(stage: Stage, host: str, count: int, **options: Any) -> Callable[[], list[Attempt]]:
    """Attempts from that host, to the VIP's listener where nothing else is said."""
    given: dict[str, Any] = {"destination": str(stage.cluster.vip), "port": stage.listener.port, "limit": LIMIT_S, **options}
    destination, port = given.pop("destination"), given.pop("port")
    return lambda: attempt(stage.subject.connection_workers[host], destination, port, count=count, **given)


@contextlib.contextmanager
def cut(stage: Stage, source: str, destination: str) -> Iterator[None]:
    stage.lab.record.ask("cut", source=source, destination=destination)
    try:
        yield
    finally:
        stage.lab.record.ask("heal", source=source, destination=destination)


@contextlib.contextmanager
def comes_and_goes(stage: Stage, source: str, destination: str) -> Iterator[None]:
    """A cut that is made and healed all the time while the block runs."""
    over = threading.Event()

    def keep_cutting() -> None:
        while not over.wait(CUT_PERIOD_S):
            with cut(stage, source, destination):
                over.wait(CUT_PERIOD_S)

    worker = threading.Thread(target=keep_cutting)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()


@contextlib.contextmanager
def ruled(stage: Stage, node: str, rule: str) -> Iterator[None]:
    """A filter of the node's own."""
    table = "add table ip witness; add chain ip witness input { type filter hook input priority 0; }; add rule ip witness input "
    stage.subject.hosts[node].check(["nft", table + rule])
    try:
        yield
    finally:
        stage.subject.hosts[node].check(["nft", "delete table ip witness"])


@contextlib.contextmanager
def nic_down(stage: Stage, node: str) -> Iterator[None]:
    host = stage.subject.hosts[node]
    host.check(["ip", "link", "set", "eth0", "down"])
    try:
        yield
    finally:
        host.check(["ip", "link", "set", "eth0", "up"])
        host.check(["ip", "route", "replace", "default", "via", str(stage.cluster.subnet1.network_address + 1), "dev", "eth0"])


def disturb(stage: Stage, tally: Tally, count: int) -> None:
    """What no situation of the matrix is: on the way, in a node, and while attempts are made."""
    client, cluster, port = stage.cluster.client, stage.cluster, stage.listener.port
    active, standby = cluster.node(stage.active), cluster.node(stage.standby)
    arrives_as = str(cluster.vip if cluster.design is Design.FLOATING else active.address)
    from_client = tries(stage, client.name, count)
    spread = tries(stage, client.name, count, spacing=0.002)
    closed = {"destination": str(active.address), "port": CLOSED_PORT}

    def under(what: str, state: contextlib.AbstractContextManager[None], make: Callable[[], list[Attempt]] = from_client) -> None:
        with state:
            compare(stage, tally, what, make)

    for what, host, options in (
        ("closed with a reset", client, {"reset": True}),
        ("refused", client, closed),
        ("refused, between nodes", standby, closed),
        ("the second NIC", standby, {"destination": str(active.second_address)}),
        ("itself, at its own address", active, {"destination": str(active.address)}),
        ("from the VIP", active, {"destination": str(standby.address), "source": str(cluster.vip)}),
    ):
        compare(stage, tally, what, tries(stage, host.name, count, **options))
    under("cut on the way there", cut(stage, str(client.address), arrives_as))
    under("cut on the way back", cut(stage, arrives_as, str(client.address)))
    under("a cut that comes and goes", comes_and_goes(stage, str(client.address), arrives_as), spread)
    under("answers that are cut now and then", comes_and_goes(stage, arrives_as, str(client.address)), spread)
    under("dropped by the node", ruled(stage, active.name, f"tcp dport {port} drop"))
    under("refused by the node's filter", ruled(stage, active.name, f"tcp dport {port} reject with tcp reset"))
    under("rejected by the node's filter", ruled(stage, active.name, f"tcp dport {port} reject"))
    under("dropped inside the node", ruled(stage, active.name, f"tcp dport {port} drop"), tries(stage, active.name, count))
    under("the node's NIC is down", nic_down(stage, active.name))
    Deadline(120).wait_for(stage.healthy, until=lambda seen: seen == [active.name], what="the balancer sending to it again", every=0.05)


def test_the_same_code_for_every_attempt(stage_of: Callable[[Design, bool], Stage]) -> None:
    wanted = number(10_000, 10_000, "LKHARNESS_WITNESS")
    tally = Tally()
    rounds = sum(3 * len(rows) for rows in SITUATIONS.values()) + 15 * len(SITUATIONS)
    count = -(-wanted // rounds)
    for design, rows in SITUATIONS.items():
        stage = stage_of(design, False)
        for situation in rows:
            stage.bring_about(placement(situation, design))
            for host in (stage.cluster.client.name, stage.active, stage.standby):
                compare(stage, tally, f"{design}: {situation}", tries(stage, host, count))
        stage.bring_about(HEALTHY)
        disturb(stage, tally, count)
    for (what, code), times in sorted(tally.codes.items()):
        print(f"{times:6} {code:4} {what}")
    codes = Counter({code: sum(n for (_, c), n in tally.codes.items() if c == code) for _, code in tally.codes})
    print(f"{tally.attempts} attempts, {len(tally.differing)} told otherwise: {dict(codes)}")
    assert tally.attempts >= wanted and {f"W{n}" for n in range(1, 10)} | {UNKNOWN} == set(codes), codes
    assert tally.differing == [], f"{len(tally.differing)} differ, such as {tally.differing[:5]}"
