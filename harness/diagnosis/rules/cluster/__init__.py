"""Rules on the cluster manager: its states, its settings, and whether the next failover would work."""
