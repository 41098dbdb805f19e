"""LifeKeeper ensures that applications are only active on one machine; the VIP is set on the NIC on Subnet#2."""


def test_one_active_node(cluster):
    """Everything is in service on exactly one node."""
    cluster.one_node_is_active()


def test_vip_on_subnet2(cluster):
    """The VIP is on the active node's Subnet#2 NIC, with its own prefix, and nowhere else."""
    cluster.vip_is_in_its_place()


def test_frontend_is_ip_resource(cluster):
    """The load balancer's frontend is the address of the IP resource."""
    cluster.frontend_is_the_ip_resource()


def test_listening_addresses(cluster, service):
    """The service listens on addresses that fit the design."""
    cluster.listens_for_the_design(service)
