"""Which Pacemaker resource needs which file system, told by the places that its settings name. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree as xml


def lies_on(resources: xml.Element) -> Iterable[tuple[str, str]]:
    """Pairs of a file system's resource and one that has a file below the place where it is mounted, or works in that place itself: it
    needs it, whether anything ties them or not. Of file systems within each other both are told."""
    settings_by_tag = {
        e.get("id", ""): {pair.get("name"): pair.get("value", "") for pair in e.iterfind("instance_attributes/nvpair")}
        for e in resources.iter("primitive")
    }
    for disk, settings in settings_by_tag.items():
        place = settings.get("directory", "").rstrip("/")
        for tag, other_settings in settings_by_tag.items():
            if place and tag != disk and any(_is_in(place, name, value) for name, value in other_settings.items()):
                yield disk, tag


def _is_in(place: str, name: str | None, value: str) -> bool:
    """Two file systems that are mounted in one place, at different times or on different nodes, do not need each other."""
    inside = f"{value.rstrip('/')}/".startswith(f"{place}/")
    return inside and not (name == "directory" and value.rstrip("/") == place)
