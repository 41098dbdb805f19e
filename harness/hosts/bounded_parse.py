"""JSON and XML that a host printed, read as far as memory allows: what is read takes up to 40 times the memory of its text."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

MAX_DOCUMENT_LENGTH = 2 * 1024 * 1024  # characters; a cluster of a hundred resources prints some 300,000


def json_of(text: str | bytes) -> Any:
    """Raises ValueError for what is none, for what is too large, and for what is nested too deep."""
    _demand_bounded(text)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def xml_of(text: str | bytes) -> ElementTree.Element:
    """Raises ValueError for what is none, for what is too large, and for an encoding that there is not."""
    _demand_bounded(text)
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(str(error)) from error


def _demand_bounded(text: str | bytes) -> None:
    if len(text) > MAX_DOCUMENT_LENGTH:
        raise ValueError(f"{len(text)} characters, of which {MAX_DOCUMENT_LENGTH} at most are read")
