"""Secrets taken out of everything that a run writes. Pure."""
