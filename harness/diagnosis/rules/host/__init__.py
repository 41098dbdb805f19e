"""Rules on what the hosts themselves have: accounts, agents, disks, files, names and clocks."""
