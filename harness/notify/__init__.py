"""Notifications: told when the state of a cluster's runs changes, not on every failure."""
