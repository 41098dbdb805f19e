"""What a host checks in the same command that disturbs it: is it still leased to this run, and is its role the same?"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest
    from harness.disrupt.disruption import Disruption

REFUSED_EXIT = 77


def with_permission_checks(subject: ClusterUnderTest, disruption: Disruption, act: str) -> str:
    """The act, which is not done unless the host grants it; the moment that it tells is that of the act alone.

    The lease's token is asked on nodes of an attached cluster (a client has no lease); the role where the active node was chosen and
    nothing else is going on, within which the manager calls no node active.
    """
    target, lines = disruption.target(), []
    is_node = target in {n.name for n in subject.cluster.nodes}
    if is_node and subject.lease_line:
        lines.append(_demand(subject.lease_line, "the lease on this node is not this run's any more, so nothing was done"))
    if target == disruption.chosen_as_active and all(other is disruption for other in subject.standing):
        role_test = subject.manager.in_service_test(subject.cluster.ip_resource.tag)
        lines.append(_demand(f"{{ {role_test}; }}", f"{target} was active and is not any more, so nothing was done"))
    if not lines:
        return act
    return "\n".join([*lines, "lk_before=$(date +%s.%N)", "(", act, ") || exit $?", 'echo "moment $lk_before $(date +%s.%N)"'])


def _demand(line: str, otherwise: str) -> str:
    return f"{line} || {{ echo {shlex.quote(otherwise)} >&2; exit {REFUSED_EXIT}; }}"
