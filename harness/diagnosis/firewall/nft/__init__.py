"""nftables: its JSON and its own words read into chains that a packet can be walked through. Pure."""
