"""Implementations by name: services, cluster managers, disruptions, collectors, of this package and of others' entry points."""
