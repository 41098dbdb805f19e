"""Text that comes from hosts, made fit to be stored and to be shown. Nothing a host says may break or dress up a report."""

from __future__ import annotations

import re

from harness.core.text.late_pattern import LatePattern

# Control characters (a terminal obeys them), the Unicode marks that turn the reading direction of what follows, and what is there without
# being seen: soft hyphens, characters of no width, fillers, variation selectors and tags.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Commands that CI services take from a job's output: Azure DevOps (##[, ##vso[) and TeamCity (##teamcity[) anywhere in a line, GitHub at
# its beginning, where wrapping may put one.
_CI_COMMAND = LatePattern(r"#(?=#\w{0,40}\[)|(?<!\S):(?=:[a-zA-Z][a-zA-Z-]*(?: [^\n]*?)?::)")
_NOT_XML = LatePattern("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def storable(text: str) -> str:
    """`text` as UTF-8 can hold it: bytes that were no text (lone surrogates) become \\udcXX, readable and reversible by eye."""
    if type(text) is str and text.isascii():
        return text  # nearly every one
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def visible(text: str) -> str:
    """`text` with every character that would act instead of being seen written out as \\x1b or \\u202e: on a terminal, in a page, or in a
    CI service's log, which takes commands from it."""
    text = _UNSEEN.sub(lambda match: _written_out(match[0]), storable(text))
    if "##" in text or "::" in text:
        text = _CI_COMMAND.sub(lambda match: f"\\u{ord(match[0]):04x}", text)  # as JSON has it, so that what was JSON still is
    return text


def xml_safe(text: str) -> str:
    """`text` as `visible` has it, without the characters that XML 1.0 forbids even when escaped."""
    return _NOT_XML.sub("", visible(text))


def cut_at_word(text: str, most: int) -> str:
    """`text`, or its beginning of at most `most` characters that ends at a blank.

    No word is parted: half a secret is not known for one, and would stay.
    """
    if len(text) <= most:
        return text
    begin = re.match(rf"(?s).{{1,{most}}}(?=\s)", text)
    return f"{begin[0].rstrip()} …" if begin else f"… ({len(text)} characters)"


def cut_start_at_word(text: str, most: int) -> str:
    """The same of its end: `… last words`."""
    if len(text) <= most:
        return text
    end = re.search(r"\s(\S.*)", text[-most - 1 :], re.DOTALL)
    return f"… {end[1]}" if end else f"… ({len(text)} characters)"


def one_line(text: str) -> str:
    """`text` on a single line, for summaries and table cells of a terminal."""
    return " ".join(visible(text).split())


def _written_out(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
