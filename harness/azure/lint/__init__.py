"""Rules for what is configured in Azure: load balancer, network, health probe; findings with facts."""
