"""Would the next failover work? What the cluster manager's own rules say against it, each a cause by itself."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen
from harness.diagnosis.host_config.kernel_limits import USED_FOR, is_far_lower
from harness.diagnosis.host_config.lifekeeper_settings import (
    RARE_CHECKS_S,
    hc_timeout,
    lifekeeper_checks,
    lifekeeper_checks_apart,
    lifekeeper_heartbeats,
    lifekeeper_ip_checks,
)
from harness.diagnosis.required_flows import join_names
from harness.diagnosis.rules.cluster.lost_quorum import missing_votes
from harness.managers.manager import ADDRESS, CommPath, Question
from harness.managers.parse.lifekeeper_parse import STRATEGY

DATABASES = {"postgres", "oracle", "mssql"}
NO_VOTES = "votes, and quorum needs"  # in the words of the adapter
OF_ATTRIBUTE = re.compile(r"the node attribute (#?[\w.-]{1,64}) is ")
OF_HEALTH = re.compile(r"'s health is .*?\((#[\w.-]{1,64})\)")
# Where programs of the system lie, which a package brings; what is mounted elsewhere may well be a disk that moves with the services.
OF_THE_SYSTEM = ("/", "/usr", "/usr/bin", "/usr/sbin", "/usr/local", "/opt")


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    to = evidence.standby
    if to is None or evidence.moved:
        return
    against: dict[str, list[Question]] = {}
    for question, answer in evidence.may_move.items():
        for why in answer.because if answer.no else ():
            against.setdefault(why, []).append(question)
    reasons, foretold = _reasons_and_consequences(evidence, to, list(against))
    for why in reasons:
        votes = missing_votes(evidence) if NO_VOTES in why else None
        yield Cause(
            f"the next failover to {to} would not work{_if(against[why])}: {why}{votes.says if votes else ''}",
            to,
            Certainty.CERTAIN,
            votes.do if votes else _remedy(why, to),
            (
                *(votes.seen if votes else ()),
                *(f"the cluster manager, asked about {question} to {to}: no" for question in against[why]),
                *(foretold if why == reasons[0] else ()),
            ),
        )
    cluster = evidence.cluster
    tags = [cluster.ip_resource.tag, *evidence.responders, *(s.tag for s in cluster.services)]
    disks = [disk for _, host in evidence.nodes for tag in tags for disk in host.units.get(f"disk of {tag}", "").split()]
    loose = _loose_disks(evidence)
    yield from _disk_elsewhere(evidence, to, loose)
    ours = dict.fromkeys((*tags, *disks, *(tag for tag, (_, used) in loose.items() if used)))
    # A wish to be together may be as good as a must: Pacemaker's own word that everything goes says more than the ties.
    answers = [evidence.may_move.get(question) for question in (Question.FAILED, Question.LOST)]
    by_itself = evidence.cluster.manager.kind == "pacemaker" and all(reply is not None and reply.yes for reply in answers)
    for sentence in evidence.left_behind if not by_itself else ():
        if untied_tags := [tag for tag in ours if re.search(rf"(?<![\w.-]){re.escape(tag)}(?![\w-])", sentence)]:
            yield Cause(
                f"{', '.join(untied_tags)} would not follow a move to {to}: {sentence}",
                to,
                Certainty.LIKELY,
                "tie them together in the cluster manager: a group, a colocation with an order, or a dependency",
                (f"the cluster manager's own rules: {sentence}",),
            )
    yield from _settings(evidence, to)
    yield from _fencing_levels(evidence, to)
    active, standby = evidence.hosts.get(evidence.active or ""), evidence.hosts.get(to)
    if active is not None and standby is not None:
        yield from _programs(evidence, active, standby)
        yield from _limits(evidence, active, standby)
    if evidence.fencing is not None and evidence.fencing.no:
        yield Cause(
            f"fencing is off or does not work: {'; '.join(evidence.fencing.because)}; if the nodes lost each other, both could have "
            f"everything in service, or neither",
            to,
            Certainty.CERTAIN,
            "give the cluster a fence device that works for both nodes, and switch fencing on (stonith-enabled)"
            if any("not in use" in why for why in evidence.fencing.because)
            else "see what the fence device failed of (`crm_mon -1rf`, its log), put that right, and try it: it must work for both nodes",
            ("the cluster manager, asked about its fence devices",),
        )


def _if(questions: list[Question]) -> str:
    """Where the loss of the node is covered, and a failure on it is not."""
    return " when a resource fails" if questions == [Question.FAILED] else ""


def _remedy(why: str, to: str) -> str:
    if attribute := OF_ATTRIBUTE.search(why):
        quoted = shlex.quote(attribute[1])
        pings = " (what it pings has to answer; in Azure the default gateway answers no ping, facts FAB-02)" if "by pinging" in why else ""
        return (
            f"see why {attribute[1]} is so on {to} (`attrd_updater -Q -n {quoted} -A`): what sets it has to run there and to find "
            f"what it looks for{pings}; where nobody means the attribute any more, take the constraint away"
        )
    if health := OF_HEALTH.search(why):
        return (
            f"see what sets {health[1]} on {to} (a health agent's resource: a disk, the processor, room) and put that right; where nothing "
            f"sets it any more: `attrd_updater -D -n '{health[1]}' -N {to}`, or `crm_attribute -D -n '{health[1]}' -N {to}` where it lasts"
        )
    if "(crm_simulate)" in why:
        return "see what makes it so: `crm_simulate -sL`, failures (`crm_mon -1rf`) and the constraints of what it names"
    if "fence" in why:
        return "see why no fence device works (`crm_mon -1rf`, its log), and put that right"
    if "took longer than" in why or "could not be" in why:
        return f"see why {to} does not answer: whether the cluster manager's processes run there (`ps -eo pid,stat,comm`)"
    if "unprotected" in why:
        return "have the cluster manager bring it in service itself, so that it is protected (ISP)"
    return f"take that away, so that the cluster manager may bring everything to {to}; what was set by hand is cleared by hand"


def _settings(evidence: Evidence, to: str) -> Iterator[Cause]:
    """What an administrator may have set on purpose, and what a failover makes of it."""
    of_nodes = {name: host for name, host in evidence.hosts.items() if name in evidence.state.nodes}
    doubtful = dict.fromkeys(
        setting for host in of_nodes.values() for setting in host.doubtful if setting.tag not in evidence.unrelated_resources
    )
    cluster = evidence.cluster
    served = {cluster.ip_resource.tag, *evidence.responders, *(s.tag for s in cluster.services)}
    for setting in doubtful:
        if setting.cloned and setting.tag not in served:  # another application's, as far as is known
            continue
        sure = not setting.mild and (not setting.usual or setting.tag in served)
        at = setting.node if setting.node in evidence.state.nodes else to
        yield Cause(setting.says, at, Certainty.LIKELY if sure else Certainty.POSSIBLE, setting.do, (setting.seen,))
    files = {name: host.settings for name, host in of_nodes.items() if host.settings}
    where = "/etc/default/LifeKeeper"
    if len(files) == len(of_nodes):
        for node, says in lifekeeper_heartbeats(files):
            do = f"give it the same value in {where} on every node; LifeKeeper reads it when it starts, and its stop takes services down"
            yield Cause(says, node, Certainty.LIKELY, do, (where,))
        for node, says in lifekeeper_ip_checks(files):
            do = f"set it in {where} on {node} to what the other node has; it takes effect at the next check, without a restart"
            yield Cause(says, node, Certainty.LIKELY, do, (where,))
        if apart := lifekeeper_checks_apart(files):
            do = f"give it the same value in {where} on both nodes (LifeKeeper's own value is 120)"
            yield Cause(apart[1], apart[0], Certainty.LIKELY, do, (where,))
    interval_s = evidence.cluster.load_balancer.probe.interval_s
    rare = [lifekeeper_checks(settings) for settings in files.values()]
    expected_s = cluster.manager.check_interval_s  # with both so, and the cluster file as well, somebody may well mean it
    everywhere = len(files) == len(of_nodes) and all(interval is not None and interval <= 2 * expected_s for interval in rare)
    for node, settings in files.items():
        if (interval := lifekeeper_checks(settings)) is not None:
            yield Cause(
                f"LKCHECKINTERVAL is {interval:g} s on {node}: LifeKeeper looks at what is in service there once in {interval / 3600:g} "
                "hours only, and whatever dies meanwhile is noticed by nobody",
                node,
                Certainty.POSSIBLE if everywhere else Certainty.LIKELY,
                f"set it back in {where} on {node} (LifeKeeper's own value is 120)",
                (f"{where} on {node}: LKCHECKINTERVAL={settings['LKCHECKINTERVAL']}",),
            )
        patience = hc_timeout(settings)
        if patience is not None and patience <= interval_s:
            yield Cause(
                f"HC_TIMEOUT is {patience:g} s, and the balancer probes every {interval_s:g} s: in service on {node}, the health-check "
                "resource hears no probe in time, and fails again and again",
                node,
                Certainty.LIKELY,
                f"raise HC_TIMEOUT in {where} on {node} well above twice the probe's interval",
                (f"{where} on {node}: HC_TIMEOUT={settings['HC_TIMEOUT']}", f"the cluster file: interval_s {interval_s:g}"),
            )
        if patience is not None and patience >= RARE_CHECKS_S:
            yield Cause(
                f"HC_TIMEOUT is {patience:g} s on {node}: the health-check resource waits so long before it notices that no probe comes, "
                f"and a node that the load balancer sends nobody keeps everything in service for {patience / 3600:g} hours",
                node,
                Certainty.LIKELY,
                f"set HC_TIMEOUT in {where} on {node} to some times the probe's interval ({interval_s:g} s)",
                (f"{where} on {node}: HC_TIMEOUT={settings['HC_TIMEOUT']}",),
            )
    yield from _shutdown_strategy(evidence)
    yield from _single_path(evidence, to)


def _shutdown_strategy(evidence: Evidence) -> Iterator[Cause]:
    """LifeKeeper's own default, which many do not know (LKL-46)."""
    host = evidence.hosts.get(evidence.active or "")
    flag = f"flag {STRATEGY}"
    if host is not None and host.units.get(flag) == "not set":
        yield Cause(
            f"the shutdown strategy of {host.name} is not to switch over (the flag {STRATEGY} is not set): when it is rebooted or shut "
            f"down in order, nothing moves to {evidence.standby}, and there is an outage until it is back",
            host.name,
            Certainty.POSSIBLE,
            f"set the strategy on both nodes (`flg_create -f {STRATEGY}`, or Edit Server Properties), if a reboot is to be no outage; else "
            "switch over by hand before one",
            (f"`flg_list` on {host.name}: {STRATEGY} is not there",),
        )


def _single_path(evidence: Evidence, to: str) -> Iterator[Cause]:
    """LifeKeeper wants two, each in a subnet of its own; Corosync's one ring is usual on Azure, where fencing decides."""
    paths = {name: node.comm_paths for name, node in evidence.state.nodes.items()}
    if evidence.cluster.manager.kind != "lifekeeper" or not all(paths.values()):
        return
    modes = {host.settings.get("QUORUM_MODE", "").lower() for _, host in evidence.nodes}
    if modes - {"", "none", "off"} or evidence.cluster.manager.quorum not in (None, "off"):
        return  # then it is not the paths alone that decide
    if to not in paths or not all(n.second_address for n in evidence.cluster.nodes):
        return
    if not any(path.alive for path in paths[to]):  # which is told by itself
        return
    listed = list(dict.fromkeys(path.addresses for path in paths[to]))
    if all(len(node_paths) == 1 for node_paths in paths.values()):
        what = f"the nodes have one communication path only ({listed[0]}), though each has two NICs: when it is lost"
    elif nic := _nic_of_all(evidence, paths):
        what = f"all communication paths ({join_names(listed)}) go by {nic}, though each node has two NICs: when its subnet is lost"
    else:
        return
    yield Cause(
        f"{what}, each thinks that the other is dead, and both have everything in service",
        to,
        Certainty.LIKELY,
        "make a second communication path over the other subnet",
        tuple(f"the cluster manager on {name}: {path.addresses}" for name, node_paths in paths.items() for path in node_paths),
    )


def _nic_of_all(evidence: Evidence, paths: Mapping[str, Sequence[CommPath]]) -> str | None:
    """The one NIC that all paths of a node go by, by its own addresses, on every node; None where there are several, or that was not
    told."""
    nics: set[str] = set()
    for name, node_paths in paths.items():
        host = evidence.hosts.get(name)
        by_path = [{host.nic_of(a) for a in ADDRESS.findall(path.addresses)} - {None} for path in node_paths] if host else []
        if len(by_path) < 2 or any(len(nics_of_path) != 1 for nics_of_path in by_path) or len(set.union(*by_path)) != 1:
            return None
        nics |= {nic for nics_of_path in by_path for nic in nics_of_path if nic}
    return join_names(sorted(nics)) if nics else None


def _loose_disks(evidence: Evidence) -> dict[str, tuple[str, tuple[str, ...]]]:
    """File systems that nothing ties to what the file names, and that are its own all the same: a service works in them, or there is
    nothing else besides that could be what they are for. By tag, with the place and the services that work there."""
    places = {
        name.removeprefix("place "): place for _, host in evidence.nodes for name, place in host.units.items() if name.startswith("place ")
    }
    disks: dict[str, tuple[str, tuple[str, ...]]] = {}
    for tag in sorted(evidence.unrelated_resources & set(places)):
        place = places[tag]
        used = tuple(
            service.name
            for service in evidence.cluster.services
            if any(
                f"{host.folders.get(s.pid or 0, '')}/".startswith(f"{place}/")
                for _, host in evidence.nodes
                for s in host.listening(service.port)
            )
        )
        if used or evidence.unrelated_resources <= set(places):
            disks[tag] = (place, used)
    return disks


def _disk_elsewhere(evidence: Evidence, to: str, loose: Mapping[str, tuple[str, tuple[str, ...]]]) -> Iterator[Cause]:
    for tag, (place, used) in loose.items():
        there = [node.name for node, host in evidence.nodes if host.units.get(f"state {tag}") in ("ISP", "ISU")]
        if there != [to]:
            continue
        works = (
            f"{join_names(used)} works in {place} on {evidence.active}, which is not that file system" if used else f"{place} is not there"
        )
        yield Cause(
            f"the file system {tag} ({place}) is in service on {to}, while the services are on {evidence.active}, and nothing ties them "
            f"together in the cluster manager: {works}",
            to,
            Certainty.LIKELY,
            f"see where the data are before anything is moved; then make {tag} a child of what works in {place}, on both nodes, and bring "
            "all into service on one node",
            (
                f"`ins_list` on {to}: {tag}, {place}, is in service there",
                *(f"/proc on {evidence.active}: what serves {name} works below {place}" for name in used),
            ),
        )


def _fencing_levels(evidence: Evidence, to: str) -> Iterator[Cause]:
    """Pacemaker asks no other device than those of the topology, once a node is in it."""
    levels = {name: level for _, host in evidence.nodes for name, level in host.units.items() if name.startswith("fencing level ")}
    for name, level in levels.items():
        target, _, devices = level.partition(" ")
        yield Cause(
            f"the {name} of the fencing topology, for {target}, names a fence device that is not there: {devices}; {target} could not be "
            "fenced by that level, and without another one nothing would be recovered from it",
            target if target in evidence.state.nodes else to,
            Certainty.CERTAIN,
            f"give the level a device that is there, or take it out: `cibadmin -Q -o fencing-topology`, level {name.split()[-1]}",
            (f"the cluster's configuration: {name}, target {target}, devices {devices}",),
        )


def _programs(evidence: Evidence, active: HostSeen, standby: HostSeen) -> Iterator[Cause]:
    """What a resource agent starts, which is on the active node and not on the other."""
    port = evidence.cluster.load_balancer.probe.port
    responder = next((s.process for s in active.listening(port) if s.process), None)
    disks = [place for name, place in active.units.items() if name.startswith("directory ")]
    for name, agent in active.units.items():
        kind, _, tag = name.partition(" ")
        if kind != "agent":
            continue
        file = active.units.get(f"program {tag}", "")
        if agent == "azure-lb" and not file and responder in ("nc", "socat"):
            file = f"/usr/bin/{responder}"  # the agent's own default, which is the other one on SUSE
        here, there = active.programs.get(file), standby.programs.get(file)
        if here is None or there is None or here[0] or not there[0] or here[1] not in OF_THE_SYSTEM:
            continue
        if any(f"{file}/".startswith(f"{place}/") for place in disks):
            continue
        follows = "nothing would answer the load balancer's health probe" if tag in evidence.responders else f"{tag} would not run"
        yield Cause(
            f"{file}, which the resource agent {agent} of {tag} starts, {there[0]} on {standby.name}, while {active.name} has it: after a "
            f"failover {tag} could not start there, and {follows}",
            standby.name,
            Certainty.LIKELY,
            f"install on {standby.name} what brings {file} (see with `rpm -qf` or `dpkg -S` on {active.name}), or mend it; then let {tag} "
            "be tried there by a switchover in a quiet hour",
            (
                f"`stat -L {file}` on {standby.name}: it {there[0]}",
                f"`stat -L {file}` on {active.name}: a program",
                f"the cluster's configuration: {tag} is of the agent {agent}",
            ),
        )


def _limits(evidence: Evidence, active: HostSeen, standby: HostSeen) -> Iterator[Cause]:
    """Only what is lower by far: hosts differ."""
    low = [name for name in USED_FOR if is_far_lower(name, active.limits.get(name, ""), standby.limits.get(name, ""))]
    if active.limits.get("vm.free_hugepages") in (None, active.limits.get("vm.nr_hugepages")):  # nobody there uses any
        low = [name for name in low if name != "vm.nr_hugepages"]
    services = [s.name for s in evidence.cluster.services if s.kind in DATABASES] or [s.name for s in evidence.cluster.services]
    if low:
        comparison = "; ".join(f"{n} is {standby.limits[n]} ({USED_FOR[n]}), and {active.limits[n]} on {active.name}" for n in low)
        yield Cause(
            f"the kernel's limits on {standby.name} are far lower than on {active.name}: {comparison}; after a failover "
            f"{join_names(services)} may "
            f"not start there, or fail under load",
            standby.name,
            Certainty.LIKELY,
            f"set {', '.join(low)} on {standby.name} as on {active.name}, below /etc/sysctl.d, so that it is there after a restart too",
            tuple(f"`sysctl {name}`: {host.limits[name]} on {host.name}" for name in low for host in (standby, active)),
        )


def _reasons_and_consequences(evidence: Evidence, to: str, against: list[str]) -> tuple[list[str], list[str]]:
    """The reasons, and what only follows from them: what the scheduler would do, and what could not be asked of a manager that is away."""
    there = evidence.state.nodes.get(to)
    if there is not None and not there.running and there.stopped:
        manager_reasons = [why for why in against if there.why and there.why in why][:1]
        return manager_reasons, [why for why in against if why not in manager_reasons]
    foretold = [why for why in against if why.endswith("(crm_simulate)")]
    reasons = [why for why in against if why not in foretold] or foretold[:1]
    return reasons, [why for why in foretold if why not in reasons]
