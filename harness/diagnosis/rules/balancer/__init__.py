"""Rules on the balancer and what it needs of the nodes: the probe, the design, the VIP's NIC, idle connections."""
