"""Packet captures on hosts, and the route that a connection took, classified by them."""
