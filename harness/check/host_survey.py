"""Reading what every host tells of itself for `lkharness check`: nothing is installed, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from harness.check.host_rules import NodeFacts, firewalls, judge
from harness.cluster import disk_preflight
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.core.errors import DeadlineExceeded, HarnessError, Unusable
from harness.core.finding import Finding, Weight
from harness.diagnosis.required_flows import Judged
from harness.hosts.host import CommandFailed, Host, HostUnreachable
from harness.hosts.host_facts import facts_of
from harness.hosts.linux.linux import LinuxHost
from harness.managers.manager import ClusterState
from harness.managers.manager_registry import manager_of

T = TypeVar("T")
STILL_THERE_S = 3.0  # for a host that left a question unanswered to say that it is there

# Not the shell's `read`: it asks byte by byte, which these files do not bear.
_SYSCTLS = "cd /proc/sys/net/ipv4 && grep -H . conf/*/rp_filter conf/*/arp_ignore tcp_timestamps"


class _Lost(Exception):
    """The host answers no more; the message is its last failure. What else there would be to ask need not be waited for."""


def unreachable(subject: ClusterUnderTest) -> list[Finding]:
    """Log in everywhere where that has not failed yet; a host that does not let us is a finding, and is left alone from then on
    (`subject.absent`)."""

    def knock(name: str) -> Finding | None:
        try:
            subject.let_in(name)
        except (HostUnreachable, DeadlineExceeded, Unusable) as error:
            return _gone(name, str(error))
        except CommandFailed as error:
            return Finding(Weight.UNREACHABLE, name, "log-in", f"{error}; no command runs there", "give the account a shell")
        return None

    present = [n for n in subject.hosts if n not in subject.absent]
    found = [f for f in subject.together(*(lambda n=n: knock(n) for n in present)) if f]
    subject.absent |= {f.host for f in found}
    return found


@dataclass(frozen=True)
class Survey:
    """The cluster's state, what is not as the design demands on the hosts that can be asked, and their firewalls, evaluated."""

    state: ClusterState
    found: list[Finding]
    firewalls: Mapping[str, Judged]


def survey(subject: ClusterUnderTest, instead: Mapping[str, Host] | None = None) -> Survey:
    """What the hosts that can be asked say, judged.

    `instead` has what else reads a host that is absent: it is looked at as far as that goes, and nothing is measured there.
    """
    second = instead or {}
    present = [m.name for m in subject.cluster.machines if m.name not in subject.absent or m.name in second]
    (state, untold), *told = subject.together(
        lambda: _state(subject, second), *(lambda n=n: _seen(subject, n, second.get(n)) for n in present)
    )
    lost = [one for one in told if isinstance(one, Finding)]
    subject.absent |= {f.host for f in lost}
    seen = {one.node: one for one in told if isinstance(one, NodeFacts)}
    evaluated = firewalls(subject.cluster, seen)
    return Survey(state, [*untold, *lost, *judge(subject.cluster, state, seen, evaluated)], evaluated)


def _state(subject: ClusterUnderTest, instead: Mapping[str, Host]) -> tuple[ClusterState, list[Finding]]:
    """By the manager's word, and what of it could not be had by the second way."""
    if instead:
        try:
            return manager_of(subject.cluster, {**subject.hosts, **instead}).state(), []
        except HarnessError as error:
            do = "reach the host by SSH; its manager's word is missing"
            return subject.manager.state(), [Finding(Weight.UNKNOWN, name, "the cluster manager", str(error), do) for name in instead]
    return subject.manager.state(), []


def _gone(name: str, why: str) -> Finding:
    do = "see that it runs and lets the cluster file's account log in; the rest is judged without it"
    return Finding(Weight.UNREACHABLE, name, "log-in", why, do)


def _seen(subject: ClusterUnderTest, name: str, instead: Host | None = None) -> NodeFacts | Finding:
    try:
        return _told(subject, name, instead)
    except _Lost as lost:
        return _gone(name, str(lost))


def _told(subject: ClusterUnderTest, name: str, instead: Host | None) -> NodeFacts:
    """What one host tells. Raises _Lost when it stops answering meanwhile."""
    cluster, host = subject.cluster, instead or subject.hosts[name]
    facts = facts_of(subject.machine(name), instead) if instead else subject.facts[name]
    untold: list[str] = []

    def told(what: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except HarnessError as error:
            if isinstance(error, HostUnreachable | DeadlineExceeded) and not _still_there(host):
                raise _Lost(str(error)) from error
            untold.append(f"{what}: {error}")
            return None

    if instead is None and not subject.runs_commands(name):
        return NodeFacts(name)
    offset = told("its clock", facts.offset) if instead is None else None  # what takes seconds to answer tells no time
    if name == cluster.client.name:
        rules = _quietly(facts.firewall) if isinstance(facts, LinuxHost) else None
        nics = told("its addresses", facts.addresses) if rules else None
        return NodeFacts(name, nics, firewall=rules, offset=offset, untold=tuple(untold))
    linux = isinstance(facts, LinuxHost)
    full = told("its disks", lambda: disk_preflight.trouble(host)) if linux else None
    sysctls = told("its kernel's settings", lambda: host.check(_SYSCTLS)) if linux else None
    return NodeFacts(
        name,
        addresses=told("its addresses", facts.addresses),
        listeners=told("its listeners", facts.listeners),
        vip_route=told("its route to the VIP", lambda: facts.route_to(str(cluster.vip))),
        probe_route=told("its route to the probe", lambda: facts.route_to(str(cluster.load_balancer.probe.source))),
        sysctls=_settings(sysctls or ""),
        firewall=told("its firewall", facts.firewall) if isinstance(facts, LinuxHost) else None,
        offset=offset,
        untold=tuple(untold),
        disks=tuple(full or ()),
    )


def _quietly(read: Callable[[], str]) -> str | None:
    """Of a client, whose firewall an ordinary user need not be able to read."""
    try:
        return read()
    except CommandFailed:
        return None


def _still_there(host: Host) -> bool:
    try:
        return host.alive(limit=STILL_THERE_S)
    except HostUnreachable:
        return False


def _settings(text: str) -> dict[str, str]:
    """`conf/eth0/rp_filter:1` as eth0.rp_filter: "1"."""
    pairs = (line.rpartition(":") for line in text.splitlines())
    return {name.removeprefix("conf/").replace("/", "."): value for name, _, value in pairs if name}
