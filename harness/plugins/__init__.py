"""Implementations by name: services, cluster managers and disruptions, of this package and of others' entry points."""
