"""Disruptions of a whole node or of its cluster manager."""
