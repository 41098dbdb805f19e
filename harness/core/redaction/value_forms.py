"""How values are written behind a name: regular expressions for parts of them. Every repetition is bounded, because a host's log must not
keep a pattern busy for ever. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from harness.core.redaction.secret_names import WORDS
from harness.core.text.late_pattern import LatePattern

NAMES = ("pass", "pwd", "secret", "token", "credential", "key", "shared", "auth", "pw", "psk", "community")
"""In small letters: one of these is in every name of a secret."""


class Form(NamedTuple):
    """A way in which secrets are written. To look for words first costs a tenth."""

    words: tuple[str, ...]  # of which one is in all that looks like it, in small letters
    pattern: LatePattern
    instead: str | Callable[[re.Match[str]], str]  # what stands there afterwards
    also: tuple[str, ...] = ()  # of these one, too


Patterns = tuple[Form, ...]

REMOVED = "[removed]"

NAME = rf"[\w.-]{{0,40}}{WORDS}\w{{0,20}}"
# The closing quote is missing where somebody cut the text off: what the quote begins is the value all the same, to the end of the line.
IN_QUOTES = r"\"(?:[^\"\\\n]|\\.){0,4000}\"?|'(?:[^'\\\n]|\\.){0,4000}'?"
QUOTED = rf"(?:{IN_QUOTES}|(?P<q>\\{{1,8}}[\"'])[^\n]{{0,4000}}?(?:(?P=q)|(?=\n|\Z)))"
_UNQUOTED = r"(?:[^\s;&\"'<>]|&(?!\w{1,30}=)|'(?=\w)){1,4000}"
# In a connection string a value may hold blanks; it ends at the semicolon.
_TO_SEMICOLON = r"[^;\n\"'<>]{1,200}(?=;\s{0,4}(?:[A-Za-z][\w ]{0,30}=|$|[\"']))"
_REMOVED = r"\[removed\](?=[\s/>\"',;)}\]]|\Z)"  # what was taken out before stays what it is, and so does what stands behind it
VALUE = rf"(?:{_REMOVED}|{QUOTED}|{_TO_SEMICOLON}|{_UNQUOTED})"
VALUE_OF_OPTION = rf"(?:{IN_QUOTES}|[^\s\0;|\"'<>]{{1,4000}})"
