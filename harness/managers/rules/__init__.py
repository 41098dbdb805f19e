"""What a manager's configuration and state say about a switchover: allowed, unknown, or not. Pure."""
