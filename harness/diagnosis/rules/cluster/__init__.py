"""Rules on the cluster manager: its states, whether the next failover would work, and the clocks that its logs are read by."""
