"""End-to-end connectivity test harness for two-node clusters behind an Azure internal load balancer."""

__version__ = "0.1.0"
