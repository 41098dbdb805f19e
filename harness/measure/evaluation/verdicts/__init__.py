"""Verdicts on a series, on durability, and on outages that must happen. Pure."""
