"""What services tell of themselves that is not as it should be, though they serve: asked once, from the client's host."""

from __future__ import annotations

from dataclasses import replace

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.cluster.path_exchange import ask_over_the_path
from harness.config.cluster_config import Cluster, Service
from harness.core.errors import DeadlineExceeded
from harness.core.finding import Finding, Weight
from harness.services import service_registry
from harness.services.service_kind import NotTheService, TellsFindings, TurnedAway

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
    except (NotTheService, TurnedAway, DeadlineExceeded, OSError) as error:
        return [Finding(Weight.NOTE, f"service {service.name}", "not told", f"what it says of itself: {error}", "see its paths")]
    return [replace(finding, host=f"service {service.name}") for finding in findings]
