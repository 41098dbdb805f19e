"""The resource hierarchy: bringing in and out of service, failover, recovery, stored state."""
