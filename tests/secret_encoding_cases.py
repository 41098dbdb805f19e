"""How a secret may be written: what the redactor is held to, alone and through the whole product."""

from __future__ import annotations

import base64
import functools
import json
import quopri
import re
import shlex
import textwrap
from collections.abc import Callable
from html import escape
from urllib.parse import quote, quote_plus


def utf16(value: str) -> bytes:
    return value.encode("utf-16-le")


# A line of a key as programs put it into their logs.
WRAPS = ("{}", "Nov 28 19:00:01 lknode01 app[7]: {}", "pacemaker-execd [7]: pg_start_0[12] error output [ {} ]", "'{}',")
ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "stripped of nothing in a line": lambda v: f"x{v}y",
    "shlex": shlex.quote,
    "shell, backslashes": lambda v: re.sub(r"([^\w])", r"\\\1", v),
    "SQL": lambda v: v.replace("'", "''"),
    "URL": lambda v: quote(v, safe=""),
    "URL with /": quote,
    "URL, small": lambda v: re.sub("%..", lambda m: m[0].lower(), quote(v, safe="")),
    "URL, form": quote_plus,
    "URL, twice": lambda v: quote(quote(v, safe=""), safe=""),
    "JSON": json.dumps,
    "JSON, no ASCII": lambda v: json.dumps(v, ensure_ascii=False),
    "JSON in JSON": lambda v: json.dumps(json.dumps({"a": v})),
    "JSON three deep": lambda v: json.dumps(json.dumps(json.dumps(v))),
    "JSON, as PowerShell does": lambda v: json.dumps(v).replace("<", r"\u003c").replace("&", r"\u0026").replace("'", r"\u0027"),
    "JSON, capital": lambda v: re.sub(r"\\u....", lambda m: "\\u" + m[0][2:].upper(), json.dumps(v)),
    "XML": escape,
    "XML, decimal": lambda v: re.sub(r"[^\w ]", lambda m: f"&#{ord(m[0])};", v),
    "XML, hexadecimal": lambda v: re.sub(r"[^\w ]", lambda m: f"&#x{ord(m[0]):X};", v),
    "XML twice": lambda v: escape(escape(v)),
    "URL in XML": lambda v: escape(quote(v)),
    "hexadecimal": lambda v: v.encode().hex(),
    "hexadecimal, capital": lambda v: v.encode().hex().upper(),
    "hexadecimal of UTF-16": lambda v: utf16(v).hex(),
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "base64 without padding": lambda v: base64.b64encode(v.encode()).decode().rstrip("="),
    "base64url": lambda v: base64.urlsafe_b64encode(v.encode()).decode(),
    **{f"base64 of {'x' * n}:": lambda v, n=n: base64.b64encode(("x" * n + ":" + v).encode()).decode() for n in range(1, 4)},  # type: ignore[misc]
    **{f"base64 behind and before, {n}": lambda v, n=n: base64.b64encode(("x" * n + v + "y" * n).encode()).decode() for n in range(1, 4)},  # type: ignore[misc]
    "base64 in MIME's lines": lambda v: base64.encodebytes((v * 4).encode()).decode().rstrip(),
    "base64 in short lines": lambda v: "\n".join(textwrap.wrap(base64.b64encode(v.encode()).decode(), 7)),
    "base64 in lines, in JSON": lambda v: "\\n".join(textwrap.wrap(base64.b64encode(v.encode()).decode(), 7)),
    "hexadecimal, a dump's": lambda v: v.encode().hex(" "),
    "hexadecimal, with colons": lambda v: v.encode().hex(":"),
    "hexadecimal, pairs of bytes, in lines": lambda v: v.encode().hex(" ", 2).replace(" ", "\n", 3),
    "hexadecimal, as C writes it": lambda v: "".join(f"\\x{byte:02x}" for byte in v.encode()),
    "hexadecimal, as an array": lambda v: ", ".join(f"0x{byte:02X}" for byte in v.encode()),
    "URL, every byte": lambda v: "".join(f"%{byte:02X}" for byte in v.encode()),
    "quoted-printable": lambda v: quopri.encodestring(v.encode(), quotetabs=True).decode(),
    "quoted-printable, every byte": lambda v: "".join(f"={byte:02X}" for byte in v.encode()),
    "quoted-printable, in lines": lambda v: quopri.encodestring(("x" * 68 + v).encode()).decode().lstrip("x"),
    "ANSI-C quotes": lambda v: "".join(c if c.isascii() else "".join(f"\\{byte:03o}" for byte in c.encode()) for c in v),
    "escaped bytes": lambda v: "".join(c if c.isascii() else "".join(f"\\x{byte:02x}" for byte in c.encode()) for c in v),
    "wrapped at a terminal's width": lambda v: v[:6] + "\n" + v[6:],
    "wrapped, with carriage returns": lambda v: v[:3] + "\r\n" + v[3:9] + "\r\n" + v[9:],
    "base64 of UTF-16": lambda v: base64.b64encode(utf16(v)).decode(),
    **{f"base64 of UTF-16 behind {n}": lambda v, n=n: base64.b64encode(utf16("x" * n + v)).decode() for n in range(1, 4)},  # type: ignore[misc]
}


def lines_of(value: str) -> dict[str, str]:
    """Encoding → the value in it, of those that are one line: a stream's lines are judged alone."""
    written = {name: of(value) for name, of in ENCODINGS.items()}
    return {name: text for name, text in written.items() if not re.search(r"[\r\n]", text)}


def found_in(raw: bytes, value: str) -> list[str]:
    """The encodings of the value that stand in a file, also once more as JSON or HTML writes it; of those that differ from it."""
    forms, least = _forms(value)
    if not any(form in raw for form in least):
        return []
    return [name for name, written in forms.items() if any(form in raw for form in written)]


@functools.cache
def _forms(value: str) -> tuple[dict[str, set[bytes]], list[bytes]]:
    """By encoding, and those of all that no other is a part of: where none of them is, none is. Made once, because a watcher looks for them
    in every process of the machine, again and again."""
    lines = lines_of(value)
    forms = {name: {form.encode() for form in (text, json.dumps(text)[1:-1], escape(text))} for name, text in lines.items()}
    every = set[bytes]().union(*forms.values())
    return forms, [form for form in every if not any(other in form for other in every - {form})]
