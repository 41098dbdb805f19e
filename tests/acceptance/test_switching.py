"""Whatever moves the applications, all three paths follow."""

import pytest

from harness.expectations.connectivity_matrix import Origin


@pytest.mark.disruptive("switchover")
@pytest.mark.parametrize("way", ["there", "back"])
def test_switchover(cluster, way):
    """After a switchover every path reaches the other node within its budget, and the old one serves nobody."""
    new = cluster.standby
    with cluster.disrupted("switchover") as switchover:
        switchover.every_path_follows(to=new)
        cluster.nobody_is_served_by(switchover.node)
    cluster.becomes_healthy()
    cluster.expect_every_path()


@pytest.mark.disruptive("service crash")
def test_service_crash(cluster, service):
    """After a crash of a protected service every path reaches the right node within its budget, and the other serves nobody."""
    with cluster.disrupted("service crash", service=service) as crash:
        crash.every_path_follows()
    cluster.becomes_healthy()
    cluster.every_path_is_steady()
    cluster.nobody_is_served_by(cluster.standby)
    cluster.expect_every_path()


@pytest.mark.disruptive("power loss")
def test_power_loss(cluster):
    """After the active node's power loss the paths reach the survivor within their budget, and the lost node returns as standby."""
    survivor = cluster.standby
    with cluster.disrupted("power loss") as loss:
        # The lost node is the only other member, so there is no standby path until it is back.
        loss.every_path_follows(to=survivor, origins=(Origin.CLIENT, Origin.INSIDE))
        cluster.nobody_is_served_by(loss.node)
    cluster.becomes_healthy()
    cluster.nobody_is_served_by(loss.node)
    cluster.expect_every_path()
