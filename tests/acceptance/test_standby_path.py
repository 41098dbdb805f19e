"""Connection from the standby node: through the load balancer, as a client's."""

from harness.expectations.connectivity_matrix import Origin


def test_standby_path(cluster, service):
    """From the standby node the VIP reaches the active node through the load balancer."""
    cluster.expect(Origin.STANDBY, service)
