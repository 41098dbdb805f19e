"""Tables of what is gathered from hosts, one file for each platform."""
