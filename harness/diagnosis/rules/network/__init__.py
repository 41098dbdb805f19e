"""Rules on the way of a packet through the hosts: NICs, routes, firewalls, sizes, names. They know nothing of the other rules."""
