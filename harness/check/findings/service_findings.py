"""What services tell of themselves that is not as it should be, though they serve: asked once, from the client's host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.cluster.path_exchange import ask_over_the_path
from harness.config.cluster_config import Cluster, Service
from harness.core.errors import BadUse, HarnessError
from harness.core.finding import Finding, Weight
from harness.services import service_registry
from harness.services.service_kind import NotTheService, TellsFindings, TurnedAway, Unbearable, UnbearableAndRefusing

FINDINGS_TIMEOUT_S = 5.0


def tells(service: Service, cluster: Cluster) -> bool:
    """Does its kind have anything to tell, with its settings?"""
    kind = service_registry.kind(service.kind)
    return isinstance(kind, TellsFindings) and kind.tells_findings(service_registry.settings_of(service, cluster))


def of_service(subject: ClusterUnderTest, service: Service) -> list[Finding]:
    """Its findings, under its own name. That it cannot be asked is a note: the checks of its paths judge that."""
    kind = service_registry.kind(service.kind)
    assert isinstance(kind, TellsFindings)
    try:
        findings = ask_over_the_path(subject, subject.cluster.client.name, service, kind.findings, FINDINGS_TIMEOUT_S)
    except (NotTheService, HarnessError, OSError) as error:  # and what a file that nobody has agreed to was not asked for
        if isinstance(error, BadUse) and not isinstance(error, TurnedAway):
            raise
        return [Finding(Weight.NOTE, f"service {service.name}", "not told", f"what it says of itself: {error}", "see its paths")]
    return [replace(finding, host=f"service {service.name}") for finding in findings]


def set_aside(cluster: Cluster, aside: Mapping[str, Unbearable]) -> list[Finding]:
    """Of each service that no path was tried to, because it would refuse a host for that: why. That it serves nobody now is a fault."""
    findings = []
    for name, why in aside.items():
        refuses = isinstance(why, UnbearableAndRefusing)
        weight, says = (Weight.FAULT, "it turns clients away") if refuses else (Weight.UNKNOWN, "no path to it was tried")
        do = (
            f"do what its own sentence says, and see which of {cluster.client.name}'s programs breaks its handshakes off (1129: `FLUSH "
            "HOSTS`, or `TRUNCATE performance_schema.host_cache`; 1040, 1203, 1226: a limit, or sessions that nobody ends)"
            if refuses
            else "look at it from its own client, or say in its settings what the sentence names"
        )
        findings.append(Finding(weight, f"service {name}", "own word" if refuses else "not tried", f"{says}: {why}", do))
    return findings
