"""Every disruption, measured: for how long each path was out, and whose fault each part of it was."""

import pytest

pytestmark = [pytest.mark.disruptive, pytest.mark.usefixtures("live_view")]


def test_disruption(cluster, disruption):
    """Every path does what the disruption demands of it, no acknowledged token is lost, and the cluster is healthy again."""
    cluster.measured(disruption)
