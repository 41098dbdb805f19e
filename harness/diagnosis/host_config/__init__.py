"""What is configured on a host beside its firewall, read from what its tools print: IPsec, queueing, the cluster manager. Pure."""
