"""The health probe always finds only the active side healthy."""


def test_probe(cluster):
    """Exactly one node answers the probe port on its private address, and it is the active one."""
    cluster.only_the_active_node_answers_the_probe()
