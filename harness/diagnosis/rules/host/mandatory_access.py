"""SELinux that enforces on one node only: what runs on the other was never allowed there."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.host_config.node_files import MandatoryAccess

CONFIG = "/etc/selinux/config"


def causes(evidence: Evidence) -> Iterator[Cause]:
    """By what the kernels do now; where neither kernel has SELinux, or both do the same, by what the next boot brings."""
    active, standby = evidence.hosts.get(evidence.active or ""), evidence.hosts.get(evidence.standby or "")
    here, there = (host.mandatory_access if host else None for host in (active, standby))
    if active is None or standby is None or here is None or there is None or evidence.moved:
        return
    if bool(here.enforces) != bool(there.enforces):
        strict = standby if there.enforces else active
        lax = active if strict is standby else standby
        at_failover = strict is standby
        follows = (
            f"what runs on {lax.name} was never allowed on {strict.name}: ports, programs and labels of files on a shared disk may be "
            "refused at a failover"
            if at_failover
            else f"what {lax.name} does not guard, and labels that it leaves on a shared disk, {strict.name} may refuse later"
        )
        yield Cause(
            f"SELinux enforces on {strict.name} and not on {lax.name}: {follows}",
            strict.name,
            Certainty.LIKELY if at_failover else Certainty.POSSIBLE,
            f"see on {lax.name} what it would refuse (permissive there: `ausearch -m avc -ts boot`), allow that on both nodes, and have "
            f"it enforce on both ({CONFIG})",
            tuple(f"SELinux on {name}: {_words(seen)}" for name, seen in ((active.name, here), (standby.name, there))),
        )
    elif here.configured and there.configured and (here.configured == "enforcing") != (there.configured == "enforcing"):
        yield Cause(
            f"{CONFIG} says {here.configured} on {active.name} and {there.configured} on {standby.name}: from their next boot on one of "
            "them only may enforce SELinux's policy",
            standby.name,
            Certainty.POSSIBLE,
            f"say the same in {CONFIG} on both nodes",
            tuple(f"{CONFIG} on {name}: SELINUX={seen.configured}" for name, seen in ((active.name, here), (standby.name, there))),
        )


def _words(seen: MandatoryAccess) -> str:
    now = {True: "enforcing", False: "permissive", None: "not in the kernel"}[seen.enforces]
    return f"{now} now{f', {seen.configured} in {CONFIG}' if seen.configured else ''}"
