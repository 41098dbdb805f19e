"""Values in what was compressed and then written as base64, as logs and settings of tools have it (gzip, zlib). Pure."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable

MAX_TEXT_BYTES = 1024 * 1024  # of one piece, when it is unpacked: a few bytes can stand for any number
EITHER_FORMAT = 47  # zlib's word for: gzip's or zlib's header, whichever is there
# How base64 of gzip begins, and of zlib at each of its levels. Lines of it go on at the beginning of the next one; the last may be short.
_LETTER = "[A-Za-z0-9+/_-]"
_PACKED = re.compile(
    rf"(?<!{_LETTER})(?:H4sI|eJ|eNo|eNp|eAE|eF4){_LETTER}{{12,}}(?:\r?\n{_LETTER}{{16,}})*"
    rf"(?:\r?\n(?:{_LETTER}{{4}}){{0,19}}{_LETTER}{{2,4}}={{0,2}}(?=[ \t]*(?:\r?\n|\Z)))?={{0,2}}"
)


def unpacked(packed: str) -> str:
    """The text that base64 of gzip or zlib holds, as far as it can be unpacked; empty where it is none."""
    return _unpack(packed)[0]


def _unpack(packed: str) -> tuple[str, bool]:
    """The text, and whether there is more of it than is unpacked."""
    plain = re.sub(r"[\s=]", "", packed).replace("-", "+").replace("_", "/")
    raw = base64.b64decode(plain[: len(plain) - (len(plain) % 4 == 1)] + "=" * (-len(plain) % 4 % 3))
    reader = zlib.decompressobj(EITHER_FORMAT)
    try:
        text = reader.decompress(raw, MAX_TEXT_BYTES)
    except zlib.error:
        return "", False
    return text.decode("utf-8", "replace"), bool(reader.unconsumed_tail)


def remove_from_compressed(text: str, secret: Callable[[str], bool], instead: str) -> tuple[str, int]:
    """`text` where every packed piece whose text is a secret's is replaced whole, and how many those were."""
    removed = 0

    def replace_secret(packed: re.Match[str]) -> str:
        nonlocal removed
        unpacked_text, is_longer = _unpack(packed[0])
        if not (is_longer or secret(unpacked_text)):  # what was not read to its end may hold one
            return packed[0]
        removed += 1
        return instead

    return _PACKED.sub(replace_secret, text), removed
