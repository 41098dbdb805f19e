"""Measuring: attempts, relays, witnesses, and the way a connection took."""
