"""Listings of iptables, read into the same rules as nftables' own. Pure."""
