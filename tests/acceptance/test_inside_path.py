"""Connection from inside the operating server: processed inside it, without going out."""

from harness.expectations.connectivity_matrix import Origin


def test_inside_path(cluster, service):
    """The active node reaches itself on the VIP."""
    cluster.expect(Origin.INSIDE, service)


def test_inside_path_leaves_no_nic(cluster, service):
    """No packet of the inside path is on any NIC, and the capture was not blind."""
    cluster.inside_path_stays_inside(service)


def test_route_is_local(cluster):
    """On the active node the route to the VIP is local."""
    cluster.vip_is_local()
