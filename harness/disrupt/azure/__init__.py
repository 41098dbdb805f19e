"""Disruptions through Azure's management API."""
