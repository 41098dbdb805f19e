"""Connection from the client: through the load balancer to the active node."""

from harness.expectations.connectivity_matrix import Origin


def test_client_path(cluster, service):
    """From the client the VIP reaches the active node, by the service's own word and by the packets."""
    cluster.expect(Origin.CLIENT, service)
