"""What Azure has configured fits the design: frontend, rules, probe, members, security rules and routes."""

import pytest


@pytest.mark.in_azure
def test_azure(cluster):
    """Azure has everything as the design and the cluster file demand it, and the active node alone is up for its load balancer."""
    cluster.azure_is_as_designed()
