"""The lab's virtual network: fabric, network security groups, load balancer, health probes."""
