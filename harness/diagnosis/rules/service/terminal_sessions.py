"""A listener that somebody started by hand in a session: it ends with the session, and no cluster manager moves it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen, Socket
from harness.diagnosis.rules.service.listeners import ports_of

OF_A_CONTAINER = re.compile(r"docker|containerd|libpod|podman|crio|kubepods|lxc|machine\.slice")


def causes(evidence: Evidence) -> Iterator[Cause]:
    """What a cluster manager or systemd starts has no controlling terminal (proc(5), tty_nr)."""
    for node, host in evidence.nodes:
        for port, what in ports_of(evidence.cluster).items():
            by_hand = [s for s in host.listening(port) if s.pid in host.terminals]
            # Where others have the port as well it is a child that one of these started for something else.
            if by_hand and len(by_hand) == len(host.listening(port)):
                yield _cause(evidence, host, by_hand[0], what, doubtful=_may_be_meant(evidence, node.name, host, by_hand[0]))


def _cause(evidence: Evidence, host: HostSeen, listener: Socket, what: str, *, doubtful: str) -> Cause:
    terminal = host.terminals[listener.pid or 0]
    return Cause(
        f"{listener.owner}, which listens on port {listener.port} ({what}), was started from a terminal ({terminal}), and not by "
        f"{evidence.cluster.manager.kind} or systemd: it may end with that session, and stays behind at a failover",
        host.name,
        Certainty.POSSIBLE if doubtful else Certainty.LIKELY,
        "see who started it and why (`ps -o pid,ppid,lstart,tty,user,comm -p "
        f"{listener.pid}`); in a quiet hour end it and have the cluster manager start its own on the node where it is in service",
        (f"/proc/{listener.pid}/stat on {host.name}: its controlling terminal is {terminal}",),
        doubtful,
    )


def _may_be_meant(evidence: Evidence, node: str, host: HostSeen, listener: Socket) -> str:
    """Why it may well be the cluster manager's all the same, or a container's; empty where neither may be."""
    if OF_A_CONTAINER.search(host.control_groups.get(listener.pid or 0, "")):
        return "a container that was started with a terminal (`docker run -t`) has one, too"
    cluster = evidence.cluster
    tags = evidence.responders if listener.port == cluster.load_balancer.probe.port else []
    tags = [*tags, *(s.tag for s in cluster.services if s.port == listener.port)]
    states = [evidence.resource(node, tag) for tag in tags]
    if cluster.manager.kind == "lifekeeper" and any(state is not None and state.active for state in states):
        return "LifeKeeper may have been told to start it (`perform_action`) in that session"
    return ""
