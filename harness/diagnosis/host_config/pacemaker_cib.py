"""Pacemaker's configuration, as `cibadmin -Q` prints it. Pure; no text makes it raise."""

from __future__ import annotations

from functools import lru_cache
from xml.etree import ElementTree as xml

from harness.hosts.bounded_parse import xml_of


@lru_cache(4)  # several readers ask of the same text, and none of them changes what it gets
def root_of(text: str) -> xml.Element | None:
    """Its root; None for what is no XML, or more of it than is read."""
    try:
        return xml_of(text) if text.lstrip().startswith("<") else None
    except ValueError:
        return None
