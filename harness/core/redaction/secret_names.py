"""Which names say that what they hold is a secret. Pure."""

from __future__ import annotations

import re

_PASS = r"(?:pass(?:word|wd|phrase|code)|pwd|secret|token|credentials?|authkey|authtok|bindpw|rootpw|community)"
# "key" alone is a file, a resource or a field; with one of these it is a secret.
_KEY = (
    r"(?:(?:api|access|account|shared[_-]?access|private|secret|sas|storage|encryption|subscription|functions?|auth|signing|master|client"
    r"|pre-?shared|wep|hmac)[_-]?key|pre-shared[ ]key|keymaterial)"
)
_SHARED = r"shared[_-]?access[_-]?\w{1,20}"
_BARE = r"(?:(?<![a-z])(?:ssh|db|pg|my|root|admin)?pass(?![a-z])|(?<![a-z])(?:pw|psk)(?![a-z]))"  # not passed, passive, bypass
WORDS = rf"(?:{_PASS}|{_KEY}|{_SHARED})"
# Short words that are names only before an equals sign: a "pass:" is a verdict. In camel case the capital tells where one begins.
_APART = r"(?:(?<![a-z])|(?<=(?<![a-z])(?:db|pg|my))|(?<=(?<![a-z])ssh)|(?<=(?<![a-z])root)|(?<=(?<![a-z])admin))"
SHORT_WORDS = rf"(?:{_APART}pass|(?<![a-z])(?:pw|psk)|(?-i:(?<=[a-z])P(?:ass|sk)|(?<=[a-z])PASS))(?![a-z])(?:\d{{1,4}}\b)?"
BEGINNINGS = (
    "pass", "pwd", "secret", "token", "credential", "auth", "bindpw", "rootpw", "community", "api", "access", "account", "shared",
    "private",
    "sas", "storage", "encryption", "subscription", "function", "signing", "master", "client", "pre-shared", "preshared", "wep", "hmac",
    "keymaterial", "pw", "psk",
)  # fmt: skip
"""What WORDS and SHORT_WORDS begin with, in small letters: where none of them stands, neither does one of those."""
# What only says where a secret is, or how it is used.
POINTS = r"(?:[_-](?:file|env|command|path|variable|dir|timeout|age|policy|encryption|count|type|s|ms))"

_SENSITIVE = re.compile(rf"(?:{WORDS}|{_BARE})", re.IGNORECASE)
_POINTS = re.compile(rf"{POINTS}\Z", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def sensitive(name: str) -> bool:
    """Does a setting of this name hold a secret itself, wherever in it the word stands? `password_file` only says where one is."""
    apart = _CAMEL.sub("_", name) if not name.isupper() else name
    return bool(_SENSITIVE.search(apart) or _SENSITIVE.search(name)) and not _POINTS.search(apart)
