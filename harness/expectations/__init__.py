"""What must hold: the connectivity matrix and the outage budget. Pure."""
