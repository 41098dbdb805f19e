"""Where text assigns a secret: a name that says so and the sign behind it, or such a name in a pair with a value. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from harness.core.redaction.secret_names import BEGINNINGS, POINTS, SHORT_WORDS, WORDS

HEAD = re.compile(
    rf"(?:{WORDS}(?!\w{{0,20}}{POINTS}\b)\w{{0,20}}|(?P<short>{SHORT_WORDS}))(?<!_file)(?<!_env)(?<!_command)(?<!_variable)"
    r"\\{0,8}[\"']?\]?[ \t]{0,40}(?P<sign>=>|:=|\+=|=|:[ \t]?(?:str|bytes|[Ss]tring|SecretStr)(?:[ \t]?\|[ \t]?None)?[ \t]?="
    r"(?!=)|:(?!//|:))[ \t]{0,40}",
    re.IGNORECASE,
)
"""A name and the sign behind it; the value follows."""

_SECRET_WORD = re.compile(rf"{WORDS}|{SHORT_WORDS}", re.IGNORECASE)

# A name in a pair: {"name": "DB_PASSWORD", "value": …}, `- name: DB_PASSWORD` and `value: …` below. The value is read like any other.
_QUOTE = r"\\{0,8}[\"']"
_KEY_OF_NAME = r"(?:name|key|id|variable|param(?:eter)?|option|property|attribute|field|label|setting|env)"
_PAIR = re.compile(
    rf"[ \t]{{0,4}}(?=[,;}}\]\s])(?:(?!(?<![\w.-]){_KEY_OF_NAME}{_QUOTE}?\s{{0,4}}[:=]|\n[ \t]{{0,40}}-)[^{{}}\[\]]){{0,400}}?"
    rf"(?P<key>(?<![\w.-]){_QUOTE}?(?:\w{{0,12}}value|val|data|content|default|text){_QUOTE}?)[ \t]{{0,40}}(?:=>|[:=])[ \t]{{0,40}}",
    re.IGNORECASE,
)
_PAIR_NAME = re.compile(rf"(?<![\w.-]){_KEY_OF_NAME}{_QUOTE}?\s{{0,4}}(?:=>|[:=])\s{{0,4}}{_QUOTE}?[\w./-]{{0,60}}\Z", re.IGNORECASE)
_NAME_IN_PAIR = re.compile(
    rf"(?:{WORDS}|{SHORT_WORDS})\w{{0,20}}(?<!_file)(?<!_env)(?<!_command)(?<!_path){_QUOTE}?(?![\w./:=-])", re.IGNORECASE
)


class AssignmentHead(NamedTuple):
    """A name and the sign behind it: `text[start:end]`. `short`: the name is a short word such as `pass`, which may be a verdict."""

    start: int  # of the name, or of its part that says what it is
    end: int
    name: str
    sign: str
    short: bool


def head_places(text: str, small: str | None) -> list[int]:
    """Where a name may begin, in order; `small` is `text` in small letters, where it is ASCII."""
    if small is None:
        return [match.start() for match in _SECRET_WORD.finditer(text)]
    places: set[int] = set()
    for word in BEGINNINGS:  # many times faster than the pattern alone, which tries all of them at each character
        at = small.find(word)
        while at >= 0:
            places.add(at)
            at = small.find(word, at + 1)
    return sorted(places)


def find_head(text: str, at: int) -> AssignmentHead | None:
    """The head whose name begins there, or the key of the value that is paired with the name that stands there."""
    if (match := HEAD.match(text, at)) is not None:
        return AssignmentHead(at, match.end(), match[0], match["sign"], match["short"] is not None)
    if (name := _NAME_IN_PAIR.match(text, at)) is not None and _PAIR_NAME.search(text, max(0, at - 120), at):
        pair = _PAIR.match(text, name.end())
        if pair is not None:
            return AssignmentHead(pair.start("key"), pair.end(), "", "=", False)
    return None
