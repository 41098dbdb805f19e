"""Pacemaker's configuration, as `cibadmin -Q` prints it. Pure; no text makes it raise."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from xml.etree import ElementTree as xml

from harness.hosts.bounded_parse import xml_of

INFINITE = {"INFINITY": 1e6, "-INFINITY": -1e6}
NUMBER = re.compile(r"-?[0-9]{1,9}")


@lru_cache(4)  # several readers ask of the same text, and none of them changes what it gets
def root_of(text: str) -> xml.Element | None:
    """Its root; None for what is no XML, or more of it than is read."""
    try:
        return xml_of(text) if text.lstrip().startswith("<") else None
    except ValueError:
        return None


def pairs_of(where: xml.Element | None, sets: str, holds: Callable[[xml.Element], bool] = lambda rule: False) -> dict[str, str]:
    """Names and values of these sets of an element's (`meta_attributes`, or a path to them). Of those whose rules hold, none of which does
    unless `holds` says so: where several have a name, the set with the highest score counts, and of equal ones the first (Pacemaker
    Explained, "Rules")."""
    found: dict[str, str] = {}
    those = [] if where is None else [one for one in where.iterfind(sets) if all(map(holds, one.findall("rule")))]
    for one in sorted(those, key=lambda one: -score_of(one.get("score", "0"))):
        for pair in one.iterfind("nvpair"):
            found.setdefault(pair.get("name", ""), pair.get("value", ""))
    return found


def options(root: xml.Element) -> dict[str, str]:
    """The cluster's own options."""
    return pairs_of(root, "configuration/crm_config/cluster_property_set")


def score_of(text: str) -> float:
    """A score; 0 for what is none."""
    word = text.strip().lstrip("+").upper()
    return INFINITE.get(word, float(word) if NUMBER.fullmatch(word) else 0.0)
