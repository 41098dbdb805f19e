"""The negative control: the load balancer has no NAT loopback, so the inside path needs the IP resource."""

import pytest

from harness.expectations.connectivity_matrix import Situation

pytestmark = pytest.mark.disruptive("IP resource out")


def test_inside_path_needs_the_ip_resource(cluster):
    """Without the IP resource every path does what the design demands, and comes back with it."""
    with cluster.disrupted("IP resource out"):
        cluster.vip_leaves_by_a_nic()
        cluster.expect_every_path(Situation.IP_RESOURCE_OUT)
    cluster.vip_is_local()
    cluster.expect_every_path()
