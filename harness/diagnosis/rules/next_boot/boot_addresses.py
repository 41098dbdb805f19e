"""What a node's own files bring at its next boot beside the cluster manager: the VIP, and programs that it has."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.required_flows import join_names
from harness.diagnosis.rules.next_boot.boot_units import protected_programs

RESPONDERS = ("nc", "ncat", "netcat", "socat")  # what answers a probe, and is started by hand as easily


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    yield from _address(evidence)
    yield from _programs(evidence)


def _address(evidence: Evidence) -> Iterator[Cause]:
    vip, tag = evidence.cluster.vip, evidence.cluster.ip_resource.tag
    for node, host in evidence.nodes:
        files = list(host.next_boot.addresses)
        if not files:
            continue
        yield Cause(
            f"{join_names(files)} of {node.name} {'give' if len(files) > 1 else 'gives'} it {vip}: after its next boot it holds the VIP "
            "whether or not the cluster manager has it in service there, and answers itself",
            node.name,
            Certainty.LIKELY,
            f"take {vip} out of {join_names(files)} on {node.name} (what is configured now is not changed by that); only the IP "
            f"resource {tag} may hold it",
            tuple(f"{file} on {node.name}: a line gives the host {vip}" for file in files),
            "nothing comes of it if what that line belongs to is never brought up",
        )


def _programs(evidence: Evidence) -> Iterator[Cause]:
    """By /etc/rc.local, or a crontab's @reboot; a word in a line is all that was told."""
    tags = {program: service.tag for service, program, _ in protected_programs(evidence)}
    tags |= dict.fromkeys(["responder"], "the health-check resource") if _has_a_responder(evidence) else {}
    for node, host in evidence.nodes:
        for program, file in host.next_boot.starts:
            if program not in tags:
                continue
            what = "something at the probe's port" if program == "responder" else program
            yield Cause(
                f"a line of {file} on {node.name} seems to start {what} at boot, beside the cluster manager, which has "
                f"{tags[program]} in service on {evidence.active}",
                node.name,
                Certainty.POSSIBLE,
                f"see what that line does; what the cluster manager has is its alone to start, so take it out of {file} if it starts that",
                (f"{file} on {node.name}: a line that is run at boot, with that word",),
            )


def _has_a_responder(evidence: Evidence) -> bool:
    """Does one that such a line may start listen on the probe's port of the active node, and nobody on the standby?"""
    port = evidence.cluster.load_balancer.probe.port
    active, standby = evidence.hosts.get(evidence.active or ""), evidence.hosts.get(evidence.standby or "")
    if active is None or standby is None or standby.listeners is None or evidence.moved:
        return False
    return any(s.process in RESPONDERS for s in active.listening(port)) and not standby.listening(port)
