"""Reading what every host tells of itself for `lkharness check`: nothing is installed, and nothing is changed.

A Linux host tells everything by one script, of which evidence and facts are made; a Windows host is asked fact by fact.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TypeVar

from harness.check.linux_node_facts import of_script, offset_of
from harness.check.node_facts import NodeFacts, WindowsFacts
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.collect.linux_host_script import FACTS, SCRIPT_TIMEOUT_S, facts_script, pieces, script
from harness.config.cluster_config import Machine
from harness.core.errors import DeadlineExceeded, HarnessError, Unusable
from harness.core.finding import Finding, Weight
from harness.diagnosis import linux_host_script_parse
from harness.diagnosis.evidence import HostSeen
from harness.hosts.host import CommandFailed, Host, HostUnreachable
from harness.hosts.shell_command import CommandTookTooLong
from harness.hosts.ssh.ssh_host import give_up

T = TypeVar("T")
LIVENESS_TIMEOUT_S = 3.0  # for a host that left a question unanswered to say that it is there
SILENCE_S = 3.0  # an answer that takes longer is waited for as long as the host says that it is there


class _Lost(Exception):
    """The host answers no more; the message is its last failure. What else there would be to ask need not be waited for."""


@dataclass(frozen=True)
class Survey:
    """What hosts told: `hosts_seen` of Linux ones, `facts` of all; `lost_hosts`: a finding for each that stopped answering meanwhile."""

    hosts_seen: Mapping[str, HostSeen] = field(default_factory=dict)
    facts: Mapping[str, NodeFacts] = field(default_factory=dict)
    lost_hosts: tuple[Finding, ...] = ()


def unreachable(subject: ClusterUnderTest) -> list[Finding]:
    """Log in everywhere where that has not failed yet; a host that does not let us is a finding, and is left alone from then on
    (`subject.absent`)."""

    def knock(name: str) -> Finding | None:
        try:
            subject.let_in(name)
        except (HostUnreachable, DeadlineExceeded, Unusable) as error:
            give_up(subject.hosts[name], error)
            return _unreachable(name, str(error))
        except CommandFailed as error:
            return Finding(Weight.UNREACHABLE, name, "log-in", f"{error}; no command runs there", "give the account a shell")
        return None

    present = [n for n in subject.hosts if n not in subject.absent]
    findings = [f for f in subject.together(*(lambda n=n: knock(n) for n in present)) if f]
    subject.absent |= {f.host for f in findings}
    return findings


def survey(subject: ClusterUnderTest, instead: Mapping[str, Host] | None = None) -> Survey:
    """Every host that can be asked, all at once. `instead` has what else reads a host that is absent: it is looked at as far as that
    goes, and nothing is measured there."""
    second = instead or {}
    present = [m for m in subject.cluster.machines if m.name not in subject.absent or m.name in second]
    results = subject.together(*(lambda m=m: _survey_host(subject, m, second.get(m.name)) for m in present))
    failures = [result for result in results if isinstance(result, Finding)]
    pairs = [result for result in results if not isinstance(result, Finding)]
    return Survey(
        {host_seen.name: host_seen for host_seen, _ in pairs if host_seen is not None and host_seen.name not in second},
        {facts.node: facts for _, facts in pairs},
        tuple(failures),
    )


def _unreachable(name: str, why: str) -> Finding:
    do = "see that it runs and lets the cluster file's account log in; the rest is judged without it"
    return Finding(Weight.UNREACHABLE, name, "log-in", why, do)


def _survey_host(subject: ClusterUnderTest, machine: Machine, instead: Host | None) -> tuple[HostSeen | None, NodeFacts] | Finding:
    try:
        if instead is not None:
            return _survey_at_once(subject, machine, instead)
        if machine.name == subject.cluster.client.name and not subject.runs_commands(machine.name):
            return None, NodeFacts(machine.name)  # a node that runs nothing is absent
        return _survey_by_script(subject, machine) if machine.platform == "linux" else (None, _survey_windows(subject, machine))
    except _Lost as lost:
        return _unreachable(machine.name, str(lost))
    except HarnessError as error:
        if isinstance(error, HostUnreachable | DeadlineExceeded) and not _still_there(instead or subject.hosts[machine.name]):
            return _unreachable(machine.name, str(error))
        return None, NodeFacts(machine.name, not_told=(f"what it says of itself: {error}",))


def _survey_by_script(subject: ClusterUnderTest, machine: Machine) -> tuple[HostSeen, NodeFacts]:
    """Raises what `Host.run` raises. Of a script that one of the host's tools keeps from its end, what came before counts."""
    cluster, host, name, why = subject.cluster, subject.hosts[machine.name], machine.name, ""
    asked_at = time.time()
    try:
        text = _while_alive(host, lambda: host.run(script(cluster, machine, subject.manager), limit=SCRIPT_TIMEOUT_S).out)
    except CommandTookTooLong as error:
        if linux_host_script_parse.MARK not in error.out or not _still_there(host):
            raise
        text = error.out[: error.out.rindex(linux_host_script_parse.MARK)]  # the last section may be half of one
        why = f"{[*linux_host_script_parse.sections(error.out)][-1]} took longer than {SCRIPT_TIMEOUT_S:g} s"
    offset = None if why else offset_of(text, asked_at, time.time())
    not_told = [] if offset or why else [f"its clock: {name}: `date +%s.%N` printed no time; install GNU coreutils there"]
    host_seen = linux_host_script_parse.host(name, text, cluster.ip_resource.tag)
    failed = dict.fromkeys((*FACTS, *linux_host_script_parse.sections(text)), why) if why else {}
    return host_seen, of_script(cluster, host_seen, text, offset=offset, not_told=not_told, failed=failed)


def _survey_at_once(subject: ClusterUnderTest, machine: Machine, instead: Host) -> tuple[None, NodeFacts]:
    """One script where its answer comes back whole, because each takes some 20 s; else in pieces. It tells no time."""
    try:
        text = instead.run(facts_script(subject.cluster, machine, subject.manager), limit=SCRIPT_TIMEOUT_S).out
    except Unusable:
        text = ""
    if linux_host_script_parse.MARK not in text:
        return _survey_in_pieces(subject, machine, instead)
    host_seen = linux_host_script_parse.host(machine.name, text, subject.cluster.ip_resource.tag)
    return None, of_script(subject.cluster, host_seen, text)


def _survey_in_pieces(subject: ClusterUnderTest, machine: Machine, instead: Host) -> tuple[None, NodeFacts]:
    """By what brings little text back at once, and takes seconds to answer, so that it tells no time. Raises _Lost."""
    texts, failed = [], {}
    for name, piece in pieces(subject.cluster, machine, subject.manager).items():
        try:
            texts.append(instead.check(piece))
        except HarnessError as error:
            if isinstance(error, HostUnreachable | DeadlineExceeded) and not _still_there(instead):
                raise _Lost(str(error)) from error
            failed[name] = str(error)
    text = "\n".join(texts)
    host_seen = linux_host_script_parse.host(machine.name, text, subject.cluster.ip_resource.tag)
    return None, of_script(subject.cluster, host_seen, text, failed=failed)


def _survey_windows(subject: ClusterUnderTest, machine: Machine) -> NodeFacts:
    """Raises _Lost when it stops answering meanwhile."""
    from harness.hosts.windows.windows_host import WindowsHost  # few clusters need it

    cluster, host, facts = subject.cluster, subject.hosts[machine.name], WindowsHost(subject.hosts[machine.name])
    not_told: list[str] = []

    def read_or_note(what: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except HarnessError as error:
            if isinstance(error, HostUnreachable | DeadlineExceeded) and not _still_there(host):
                raise _Lost(str(error)) from error
            not_told.append(f"{what}: {error}")
            return None

    offset, wsfc = read_or_note("its clock", facts.offset), cluster.manager.kind == "wsfc"
    if machine.name == cluster.client.name:
        return NodeFacts(machine.name, offset=offset, not_told=tuple(not_told))
    return NodeFacts(
        machine.name,
        addresses=read_or_note("its addresses", facts.addresses),
        listeners=read_or_note("its listeners", facts.listeners),
        vip_route=read_or_note("its route to the VIP", lambda: facts.route_to(str(cluster.vip))),
        probe_route=read_or_note("its route to the probe", lambda: facts.route_to(str(cluster.load_balancer.probe.source))),
        offset=offset,
        windows=WindowsFacts(
            firewall=read_or_note("its firewall", facts.firewall),
            weak_hosts=read_or_note("its weak-host settings", facts.weak_hosts),
            settings=read_or_note("its ports and keepalive", facts.tcp_settings),
            about=read_or_note("its versions and rights", facts.about),
            adapters=read_or_note("its adapters", facts.adapters),
            cluster_address=read_or_note("its IP resource", lambda: facts.cluster_address(cluster.ip_resource.tag)) if wsfc else None,
            why_alone=facts.why_alone,
        ),
        not_told=tuple(not_told),
    )


def _while_alive(host: Host, ask: Callable[[], T]) -> T:
    """What `ask` returns or raises. Raises _Lost once the host has not answered it for a while, and twice not said that it is there."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask)
        while not wait([answer], timeout=SILENCE_S).done:
            if not _still_there(host) and not _still_there(host) and not answer.done():
                why = HostUnreachable(f"{host.name}: it left a question unanswered, and answers no other")
                give_up(host, why)
                host.close()  # which ends the question
                raise _Lost(str(why))
        return answer.result()


def _still_there(host: Host) -> bool:
    try:
        return host.alive(limit=LIVENESS_TIMEOUT_S)
    except HostUnreachable:
        return False
