"""The ways in which a known secret is written down: docs/secret-encodings.md is the table, and the test. Pure."""

from __future__ import annotations

import base64
import re

MIN_SUBSTRING_LENGTH = 8  # a value of fewer characters is removed only where the whole of it stands: anywhere else it would shred the text
MIN_ENCODED_LENGTH = 6  # characters of base64 or hexadecimal that are enough to know a value by

HEAD_LENGTH = 6  # characters or bytes of a form that are looked for before the whole of it is

_NAMED = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
_BACK = r"\\{0,8}"
_WRAP = r"(?:=?\r?\n|\x00)?"  # between two characters: a line that was wrapped (also quoted-printable's way), or UTF-16 read as bytes
_BREAK = r"(?:\s|\\{1,8}[rn]){0,4}"  # between two characters of base64: MIME's and PEM's lines, also escaped for JSON
_BETWEEN = r"(?:\\{1,8}x|%|=|[\s:,-]{1,2}(?:0x)?)?"  # between two bytes of hexadecimal: dumps, `\x41\x42`, `%41%42`, `=41=42`


def pattern_of(value: str) -> str:
    """A regular expression for a value as it is, quoted for a shell, escaped for URLs, JSON (also in JSON) and XML in any mixture, in
    base64 at each of its three alignments and in hexadecimal, both of UTF-8 and of UTF-16 (PowerShell's); whole or in wrapped lines."""
    if len(value) < MIN_SUBSTRING_LENGTH:
        return rf"(?<![\w-])(?<!\w\.){''.join(map(_character, value))}(?![\w-]|\.\w)"
    plain = _WRAP.join(map(_character, value))
    raws = (value.encode("utf-8", "surrogateescape"), value.encode("utf-16-le", "surrogatepass"))
    return "|".join([plain, *(_hexadecimal(raw) for raw in raws), *(coded for raw in raws for coded in _base64(raw))])


def head_of(value: str) -> str:
    """A regular expression for what every form of `pattern_of` has near its beginning: where this is not found, that is not either.

    The whole of a private key in every form is 7,000 characters to look for, which takes a third of a second to compile.
    """
    if len(value) < MIN_SUBSTRING_LENGTH:
        return pattern_of(value)
    plain = _WRAP.join(map(_character, value[:HEAD_LENGTH]))
    raws = (value.encode("utf-8", "surrogateescape"), value.encode("utf-16-le", "surrogatepass"))
    coded = [encoded for raw in raws for encoded in _base64(raw, HEAD_LENGTH)]
    return "|".join([plain, *(_hexadecimal(raw[:HEAD_LENGTH]) for raw in raws), *coded])


def _character(character: str) -> str:
    if character.isascii() and character.isalnum():
        return character
    raw, code = character.encode("utf-8", "surrogateescape"), ord(character)
    units = character.encode("utf-16-be", "surrogatepass").hex()
    ways = [
        rf"{_BACK}{re.escape(character)}",
        rf"(?i:{_WRAP.join(f'(?:%(?:25)?|=|{_BACK}x){byte:02x}' for byte in raw)})",
        "".join(rf"{_BACK}0?{byte:03o}" for byte in raw),
        rf"(?i:{''.join(rf'{_BACK}u{units[i : i + 4]}' for i in range(0, len(units), 4))})",
        rf"&(?:amp;)?#(?:{code}|(?i:x0{{0,4}}{code:x}));",
    ]
    if character in _NAMED:
        ways.append(rf"&(?:amp;)?{_NAMED[character]};")
    if character == " ":
        ways.append(r"\+")
    if character == "'":
        ways += ["'\"'\"'", r"'\\''", "''"]  # a shell's ways, and SQL's
    if character in "\n\t\r":
        ways.append(_BACK + {"\n": "n", "\t": "t", "\r": "r"}[character])
    return f"(?:{'|'.join(ways)})"


def _hexadecimal(raw: bytes) -> str:
    return rf"(?i:{_BETWEEN.join(f'{byte:02x}' for byte in raw)})"


def _base64(raw: bytes, length: int | None = None) -> list[str]:
    """Of what stands between other things: only the characters that the value alone decides, and those that it shares with them.

    With `length`, only so many of the first."""
    patterns = []
    for before in range(3):
        coded = base64.b64encode(bytes(before) + raw).decode()
        begin, end = (0, 2, 3)[before], (before + len(raw)) * 8 // 6
        if end - begin >= MIN_ENCODED_LENGTH:
            whole_characters = _BREAK.join(
                {"+": r"[+\-]", "/": "[/_]"}.get(character, character) for character in coded[begin:end][:length]
            )
            last_characters = "" if length is not None or (before + len(raw)) % 3 == 0 else rf"(?:{_BREAK}[A-Za-z0-9+/_-]={{0,2}})?"
            first_character = (
                "[A-Za-z0-9+/_-]?" if before and length is None else ""
            )  # to find where the rest is, it says nothing, and costs much
            patterns.append(f"{first_character}{whole_characters}{last_characters}")
    return patterns
