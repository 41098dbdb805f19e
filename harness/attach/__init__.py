"""Attaching to somebody else's cluster: what would be done is shown, it is done only where that is safe, and by one run at a time."""
