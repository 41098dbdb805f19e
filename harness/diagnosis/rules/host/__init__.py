"""Rules on what the hosts themselves have: accounts, agents, disks, names, clocks, and what their next boot brings."""
