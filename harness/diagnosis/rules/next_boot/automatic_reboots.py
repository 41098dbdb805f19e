"""Updates that reboot a node by themselves: both nodes at the same minute are an outage without a failover."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence

REBOOT, TIME, RUNS = (
    "Unattended-Upgrade::Automatic-Reboot",
    "Unattended-Upgrade::Automatic-Reboot-Time",
    "APT::Periodic::Unattended-Upgrade",
)
TRUE = ("true", "yes", "on", "with", "enable", "1")  # as APT takes it
FOLDER = "/etc/apt/apt.conf.d"


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    times = {
        node.name: host.next_boot.updates.get(TIME, "now") for node, host in evidence.nodes if _reboots_by_itself(host.next_boot.updates)
    }
    if not times:
        return
    names = " and ".join(times)
    together = len(times) == len(evidence.cluster.nodes) and len(set(times.values())) == 1 and "now" not in times.values()
    when = f"at {next(iter(times.values()))}" if len(set(times.values())) == 1 and "now" not in times.values() else "when they are done"
    then = (
        "both at the same time, with nobody to fail over to" if together else "and what runs there moves, or nobody can take over meanwhile"
    )
    yield Cause(
        f"automatic updates reboot {names} by themselves {when} ({REBOOT}): {then}",
        (evidence.standby if evidence.standby in times else None) or next(iter(times)),
        Certainty.LIKELY if together else Certainty.POSSIBLE,
        f'switch that off in {FOLDER} ({REBOOT} "false"), or give the nodes times far apart; update a cluster node by node, by hand or by '
        "a tool that puts it aside first",
        tuple(f"{FOLDER} on {name}: {REBOOT} true, {TIME} {time}" for name, time in times.items()),
    )


def _reboots_by_itself(updates: Mapping[str, str]) -> bool:
    return updates.get(REBOOT, "").lower() in TRUE and updates.get(RUNS, "0") not in ("0", "")
