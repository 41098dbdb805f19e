"""The `cluster` fixture of a test: it states paths and situations, and everything it finds goes into the report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from harness.cluster.cluster_audit import vip_in_place
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.cluster.path_check import PathCheck, check_path
from harness.cluster.recovery_poll import Recovery, follow
from harness.config.cluster_config import Service
from harness.core.deadline import Deadline
from harness.core.errors import Inconclusive
from harness.core.finding import verdicts
from harness.core.verdict import Outcome, Verdict, all_of, failed, inconclusive, passed
from harness.disrupt import disruption as disruptions
from harness.disrupt import undo
from harness.expectations import outage_budget
from harness.expectations.connectivity_matrix import Origin, Situation, listens_rightly
from harness.measure.measured_disruption import Start
from harness.measure.measurement_result import Measured
from harness.pytest_plugin.measurement_plan import Planned
from harness.remote.captures.attempt_address import with_addresses
from harness.remote.connections.attempt import Attempt, attempt
from harness.remote.connections.attempt_outcome import AttemptOutcome
from harness.report.run_record_builder import OpenDisruption, ReportBuilder

Measure = Callable[[Callable[[], disruptions.Disruption], Start], Measured]
Failing = Callable[[str], None]  # told, with the disruptions in force, when a test is about to fail
Before = Callable[[disruptions.Disruption, bool], None]  # raises Inconclusive when it must not be done now; is it within another?


class ClusterFixture:
    """What the `cluster` fixture hands to a test. Node names never appear in a test: only roles do."""

    def __init__(
        self, subject: ClusterUnderTest, report: ReportBuilder, measure: Measure, before: Before, failing: Failing = lambda during: None
    ) -> None:
        self.subject = subject
        self._failing = failing
        self._measure = measure
        self._before = before
        self._ongoing: list[str] = []
        self.report = report
        self.services = subject.cluster.services
        self._active: str | None = None

    @property
    def active(self) -> str:
        """The active node by the manager's word, looked up once per test or disruption."""
        if self._active is None:
            self._active = self.subject.active
        return self._active

    @property
    def standby(self) -> str:
        """The node that is not active."""
        return self.subject.standby_of(self.active)

    def demand(self, what: str, verdict: Verdict, *, expected: str, origin: str | None = None, destination: str | None = None) -> None:
        """Record a finding and end the test unless it is a pass."""
        self.report.add_check(verdict, what=what, expected=expected, observed=verdict.reason, origin=origin, destination=destination)
        self.settle(verdict)

    def expect(self, origin: Origin, service: Service, situation: Situation = Situation.HEALTHY) -> None:
        """The path must do what the design demands in this situation."""
        self.settle(self._record(check_path(self.subject, origin, service, self.active, situation, in_full=True)))

    def expect_every_path(self, situation: Situation = Situation.HEALTHY, *, origins: tuple[Origin, ...] = tuple(Origin)) -> None:
        """All paths to all services, at once; every finding is recorded before the test ends."""
        active = self.active
        pairs = [(o, s) for o in origins for s in self.services]
        checks = self.subject.together(
            *(lambda o=o, s=s: check_path(self.subject, o, s, active, situation, in_full=True) for o, s in pairs)
        )
        self.settle(all_of([self._record(check) for check in checks]))

    def settle(self, verdict: Verdict) -> None:
        """End the test unless it is a pass; what all hosts say is kept before anything is undone."""
        if verdict.outcome is Outcome.FAIL:
            self._failing(", ".join(self._ongoing))
        settle(verdict)

    def _record(self, check: PathCheck) -> Verdict:
        self.report.add_check(
            check.verdict,
            path=str(check.origin),
            what="" if check.situation is Situation.HEALTHY else str(check.situation),
            service=check.service.name,
            origin=check.origin_host,
            destination=f"{self.subject.cluster.vip}:{check.service.port}",
            expected=str(check.expected),
            observed=check.observed,
            wire=check.codes,
            node=check.node,
            identity=check.identity or None,
            seconds=check.seconds,
            attempts=check.outcomes,
        )
        return check.verdict

    def inside_path_stays_inside(self, service: Service) -> None:
        """No packet of the active node's connection to the VIP is on any NIC, seen by a capture that is shown not to be blind."""
        subject, active = self.subject, self.active
        if active in subject.unwatchable():
            pytest.skip(_skip_reason(f"without Python the packets of {active} cannot be watched"))
        vip, peer = str(subject.cluster.vip), subject.cluster.peer_of(active)
        with subject.watched() as sight:
            inside_attempts = attempt(subject.connection_workers[active], vip, service.port, count=3)
            control = attempt(subject.connection_workers[active], str(peer.address), service.port, count=1)
            packets = sight.packets()
        if active not in packets:
            pytest.skip(_skip_reason(subject.capture_refused.get(active, f"{active} was not watched")))
        inside_attempts, control = (with_addresses(attempts, packets, subject.cluster) for attempts in (inside_attempts, control))
        control_seen = _packets_on_nics(packets, control)
        strays = _packets_on_nics(packets, inside_attempts)
        if not control_seen:
            verdict = inconclusive(f"the capture is blind: it did not see {control[0]} leave {active} either")
        elif strays:
            verdict = failed(f"a packet of the inside path was on a NIC: {strays[0]}")
        elif not all(a.answered for a in inside_attempts):
            verdict = failed("; ".join(str(a) for a in inside_attempts if not a.answered))
        else:
            verdict = passed(
                f"{len(inside_attempts)} connections answered, none of their packets on a NIC; "
                f"the control's SYN was seen: {control_seen[0]}"
            )
        self.demand(
            "inside path", verdict, expected="answered, no packet on any NIC, the control's packets seen", origin=active, destination=vip
        )

    def vip_is_local(self) -> None:
        """`ip route get VIP` on the active node says local (facts HAIR-07)."""
        route = self.subject.facts[self.active].route_to(str(self.subject.cluster.vip))
        verdict = (passed if route.kind == "local" else failed)(
            f"ip route get {self.subject.cluster.vip} on {self.active} says {route.kind} dev {route.interface}"
        )
        self.demand("route to the VIP", verdict, expected="local", origin=self.active)

    def vip_leaves_by_a_nic(self) -> None:
        """Without the IP resource the route to the VIP leaves the active node (facts HAIR-08)."""
        route = self.subject.facts[self.active].route_to(str(self.subject.cluster.vip))
        leaves = route.kind == "unicast" and route.interface != "lo"
        verdict = (passed if leaves else failed)(
            f"ip route get {self.subject.cluster.vip} on {self.active} says {route.kind} dev {route.interface}"
        )
        self.demand("route to the VIP", verdict, expected="unicast, by a NIC", origin=self.active)

    def one_node_is_active(self) -> None:
        """Demands that everything is in service on exactly one node."""
        state = self.subject.state()
        verdict = passed(f"{state.active} is active") if state.active else failed(f"no single node is active: {state}")
        self.demand("placement", verdict, expected="everything in service on exactly one node")

    def vip_is_in_its_place(self) -> None:
        """On the active node's Subnet#2 NIC only, with the prefix of the cluster file (facts DSN-06, FAB-14)."""
        cluster, active = self.subject.cluster, self.active
        verdict = vip_in_place(self.subject, active)
        self.demand("VIP", verdict, expected=f"only on {active}, on its Subnet#2 NIC, /{cluster.ip_resource.prefix}")

    def frontend_is_the_ip_resource(self) -> None:
        """The manager's IP resource carries the very address of the load balancer's frontend (facts DES-09)."""
        cluster = self.subject.cluster
        tag, vip = cluster.ip_resource.tag, str(cluster.vip)
        address = self.subject.manager.address_of(tag, self.active)
        if address is None:
            verdict = failed(f"the manager on {self.active} knows no address of a resource {tag}; is that its tag?")
        else:
            verdict = (passed if address == vip else failed)(f"{tag} carries {address}, the frontend is {vip}")
        self.demand("frontend", verdict, expected="load balancer frontend = address of the IP resource")

    def azure_is_as_designed(self) -> None:
        """Azure has the load balancer, its members and what lets them be reached as the design demands, and has the active node up."""
        from harness.azure.lint.azure_check import Survey  # only a cluster with [azure] needs the Azure packages

        cluster = self.subject.cluster
        if cluster.azure is None:
            raise Inconclusive("the cluster file has no [azure] table, so Azure was not asked")
        findings = Survey(cluster, cluster.azure).findings(self.active)
        as_designed = passed(f"{self.active} is the one member that the balancer has up, and nothing in Azure is against the design")
        self.demand(
            "azure", all_of(verdicts(findings) or [as_designed]), expected="Azure's configuration fits the design and the cluster file"
        )

    def listens_for_the_design(self, service: Service) -> None:
        """Demands that a service on the active node listens on the addresses that the design needs."""
        cluster, active = self.subject.cluster, self.active
        addresses = {x.address for x in self.subject.facts[active].listeners() if x.port == service.port}
        verdict = listens_rightly(cluster.design, addresses, str(cluster.node(active).address), str(cluster.vip))
        self.demand(
            f"listener of {service.name}", verdict, expected=f"listening addresses that fit the {cluster.design} design", origin=active
        )

    def only_the_active_node_answers_the_probe(self) -> None:
        """On the private addresses, where the balancer asks (facts PRB-03, PRB-22)."""
        cluster = self.subject.cluster
        answers = {n.name: self._from_client(str(n.address), cluster.load_balancer.probe.port) for n in cluster.nodes}
        observed = "; ".join(str(a) for a in answers.values())
        answering = [n for n, a in answers.items() if a.answered]
        unclear = [a for a in answers.values() if a.outcome is AttemptOutcome.UNREACHABLE]
        verdict = inconclusive(observed) if unclear else (passed if answering == [self.active] else failed)(observed)
        self.demand("probe", verdict, expected=f"only {self.active} answers the probe port")

    def nobody_is_served_by(self, node: str) -> None:
        """The node's own address answers neither a service nor the probe."""
        cluster = self.subject.cluster
        address = str(cluster.node(node).address)
        ports = [*(s.port for s in cluster.services), cluster.load_balancer.probe.port]
        attempts = self.subject.together(*(lambda p=p: self._from_client(address, p) for p in ports))
        serving = [a for a in attempts if a.answered]
        unclear = [a for a in attempts if a.outcome not in (AttemptOutcome.REFUSED, AttemptOutcome.SILENT, AttemptOutcome.ANSWERED)]
        if serving:
            verdict = failed("; ".join(map(str, serving)))
        else:
            verdict = inconclusive("; ".join(map(str, unclear))) if unclear else passed("; ".join(map(str, attempts)))
        self.demand(
            f"{node} serves nobody", verdict, expected="refused or silent on every port", origin=cluster.client.name, destination=address
        )

    def _from_client(self, address: str, port: int) -> Attempt:
        client = self.subject.cluster.client.name
        return attempt(self.subject.connection_workers[client], address, port, count=1)[0]

    @contextlib.contextmanager
    def disrupted(self, name: str, *, undo_limit: float = 60.0, **options: object) -> Iterator[Disrupted]:
        """Do the disruption, wait until it is seen to have taken effect, and undo it whatever happens. `options` go to it."""
        self._active = None
        disruption = disruptions.resolve_disruption(name, self.subject.cluster)(self.subject, **options)
        if reason := disruption.why_skipped() or self.subject.skips.get(disruption.name):
            pytest.skip(reason)
        allowance = disruption.allowance()
        target = disruption.target()
        if not disruption.self_stabilizes:
            self._active = target  # the manager calls no node active while a part of it is out
        self._before(disruption, bool(self._ongoing))
        record = self.report.disruption(disruption.name, target=target)
        self._ongoing.append(disruption.name)
        anchor = time.monotonic()
        limit = allowance.seconds + self.subject.cluster.manager.takeover_s

        def end() -> None:
            self._ongoing.pop()
            self.subject.absent.discard(target)
            undo.undo(self.subject, disruption, Deadline(undo_limit + self.subject.cluster.manager.boot_s))
            record.undone()
            self._active = None

        with undo.ended_by(end, lambda text: self.subject.timeline.note("harness", "interrupt", text)):
            undo.begin(self.subject, disruption, Deadline(limit, anchor=anchor))
            disruption.took_effect(Deadline(limit, anchor=anchor))
            record.took_effect()
            # Where nothing moves, the node that was active still is, even if its manager now calls the hierarchy incomplete.
            self._active = None if disruption.self_stabilizes else disruption.target()
            yield Disrupted(self, disruption, record, anchor)

    def measured(self, planned: Planned) -> None:
        """Do the disruption under the meter; every path must do what the disruption demands of it, and no token may be lost."""
        self._active = None
        disruption_type = disruptions.get_disruption(planned.name)
        if reason := disruption_type(self.subject).why_skipped() or self.subject.skips.get(disruption_type.name):
            pytest.skip(reason)
        result = self._measure(lambda: disruption_type(self.subject), planned.start)
        self.settle(result.verdict)

    def becomes_healthy(self) -> None:
        """One node active, the other standing by, all communication paths alive, within the time that a node may take to boot."""
        self.subject.wait_until_healthy(Deadline(self.subject.cluster.manager.boot_s + self.subject.cluster.manager.takeover_s))
        self._active = None

    def every_path_is_steady(self) -> None:
        """Every path is right for as long as the balancer may take to notice what the manager did last.

        A manager that recovers a service in the middle of a group stops what comes after it for that, the responder of the health check
        among it: the paths are right as soon as the service is, the balancer takes the node out by the probes that failed before, and the
        manager calls the cluster healthy before the balancer has taken the node in again (facts TIME-01 to TIME-03).
        """
        patience = outage_budget.balancer_alone(self.subject.cluster)
        steady_s = patience.seconds - self.subject.cluster.budget.margin_s
        allowance = outage_budget.Allowance(patience.seconds + steady_s, f"{patience.because}, and as long without a fault")
        paths = follow(self.subject, list(Origin), allowance, time.monotonic(), steady_s=steady_s)
        self.settle(all_of([self._judge_steadiness(path, allowance) for path in paths]))

    def _judge_steadiness(self, path: Recovery, allowance: outage_budget.Allowance) -> Verdict:
        if path.last is None:
            return inconclusive(f"the {path.origin} path to {path.service.name} could not be checked: {path.fault}")
        verdict = self._record(path.last)
        if path.seconds is not None or verdict.outcome is not Outcome.PASS:
            return verdict
        path_name = f"the {path.origin} path to {path.service.name}"
        return failed(f"{path_name} was right only at times within {allowance.seconds:g} s = {allowance.because}")


class Disrupted:
    """A disruption that has taken effect."""

    def __init__(self, cluster_fixture: ClusterFixture, disruption: disruptions.Disruption, record: OpenDisruption, anchor: float) -> None:
        self._cluster_fixture = cluster_fixture
        self._disruption = disruption
        self._record = record
        self._anchor = anchor
        self.node = disruption.target()

    def every_path_follows(self, *, to: str | None = None, origins: tuple[Origin, ...] = tuple(Origin)) -> None:
        """Every path has recovered within the budget, counted from the disruption. `to` is the node that must answer."""
        allowance = self._disruption.allowance()
        self._cluster_fixture.report.run.note(
            "harness", "budget", f"{self._disruption.name}: {allowance.seconds:g} s = {allowance.because}"
        )
        recoveries = follow(self._cluster_fixture.subject, list(origins), allowance, self._anchor, active=to)
        self._cluster_fixture.settle(all_of([self._judge(r, allowance.seconds) for r in recoveries]))

    def _judge(self, recovery: Recovery, budget: float) -> Verdict:
        if recovery.last is not None:
            self._cluster_fixture._record(recovery.last)
        verdict = self._record.recovery(
            str(recovery.origin),
            recovery.seconds,
            budget=budget,
            service=recovery.service.name,
            period=recovery.period,
            fault=recovery.fault,
        )
        if verdict.outcome is Outcome.FAIL and recovery.last is not None:
            return failed(f"{verdict.reason}; at the end: {recovery.last.verdict.reason}")
        return verdict


def settle(verdict: Verdict) -> None:
    """Turn a verdict into the end of a test: nothing for a pass, a failure with its reason, or Inconclusive."""
    if verdict.outcome is Outcome.FAIL:
        pytest.fail(verdict.reason, pytrace=False)
    if verdict.outcome is Outcome.INCONCLUSIVE:
        raise Inconclusive(verdict.reason)


def _skip_reason(reason: str) -> str:
    return f"{reason}, so that none is on a NIC cannot be shown there"


def _packets_on_nics(packets: dict[str, list], attempts: list[Attempt]) -> list:
    """The packets of these attempts that were seen on anything but loopback, at any host."""
    ends = {(a.local_address, a.local_port) for a in attempts}
    return [p for of_host in packets.values() for p in of_host if not p.local and ((p.src, p.sport) in ends or (p.dst, p.dport) in ends)]
