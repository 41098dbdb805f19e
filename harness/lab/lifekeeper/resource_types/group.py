"""A root that only holds children together."""

from __future__ import annotations

from harness.lab.lifekeeper.resource_types.resource_type import Kind


class Group(Kind):
    """In service as soon as its children are; there is nothing of its own to start, stop or check."""
