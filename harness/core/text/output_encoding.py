"""Output never dies of its encoding: what the terminal's lacks is written in plain words."""

from __future__ import annotations

import codecs
import sys

# What messages have beyond ASCII, in words that every encoding holds.
PLAIN = {"→": "->", "…": "...", "“": '"', "”": '"', "–": "-", "—": "-", "·": "-", "×": "x", "≤": "<=", "≥": ">=", "✓": "ok", "✗": "x"}
_PLAIN_WORDS = "lkharness-plain"


def _in_plain_words(error: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, in plain words or written out: output never dies of its encoding."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking), error.end


def allow_every_encoding() -> None:
    """The standard streams take every text, whatever their encoding: a redirected command's on Windows is cp1252."""
    codecs.register_error(_PLAIN_WORDS, _in_plain_words)
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors=_PLAIN_WORDS)
