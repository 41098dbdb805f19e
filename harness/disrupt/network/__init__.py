"""Disruptions of links, packets and addresses."""
