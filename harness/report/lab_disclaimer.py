"""What a run on a lab does not show, and what of the lab is not the real thing: the sentences of every report of such a run."""

from __future__ import annotations

from harness.report.record.run_record import ClusterKind, RunRecord

# What a stand-in must not claim (cluster-managers facts, section 10).
LAB_MANAGERS = {
    "lifekeeper": ("a stand-in", "a stand-in for LifeKeeper, written for these tests: it is neither LifeKeeper nor made by its vendor"),
    "lifekeeper-windows": (
        "a stand-in on stand-ins for Windows",
        "a stand-in for LifeKeeper, written for these tests, and its nodes are stand-ins for Windows on Linux: "
        "neither is the product, and nothing of Windows ran",
    ),
    "wsfc": (
        "a stand-in on stand-ins for Windows",
        "a stand-in for a Windows Server Failover Cluster, written for these tests, and its nodes are stand-ins for Windows on Linux: "
        "neither is the product, and nothing of Windows ran",
    ),
    "pacemaker": ("Pacemaker", "Pacemaker with Corosync as the distribution ships them, with timers of its own choice and a fence device"),
}
LAB_STANDS_IN = (
    "This cluster is the embedded lab. Its cluster manager is {}. Azure's network and load balancer are emulated on one Linux machine."
)
LAB_DOES_NOT_SHOW = (
    "how LifeKeeper itself, Windows or its failover cluster behaves, or how fast a cluster of theirs fails over",
    "how fast Azure's load balancer and network are",
    "that any other cluster, a customer's or yours, is sound",
)


def is_lab(run: RunRecord) -> bool:
    """Whether the run was against a lab."""
    return run.cluster is not None and run.cluster.kind is ClusterKind.LAB


def lab_manager(run: RunRecord) -> str:
    """What a lab's nodes run, in a word."""
    return _lab_manager(run)[0]


def lab_silent_about(run: RunRecord) -> str:
    """The product of which a lab's run says nothing."""
    return "Windows' failover cluster itself" if run.cluster and run.cluster.manager == "wsfc" else "LifeKeeper itself"


def lab_stands_in(run: RunRecord) -> str:
    """What of a lab is not the real thing, in a sentence."""
    return LAB_STANDS_IN.format(_lab_manager(run)[1])


def _lab_manager(run: RunRecord) -> tuple[str, str]:
    kind = run.cluster.manager if run.cluster else "lifekeeper"
    return LAB_MANAGERS.get(kind, (kind, kind))
