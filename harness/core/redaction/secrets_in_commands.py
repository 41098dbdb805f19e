"""Which words of a command are secrets. Pure.

A secret among the words of a command is known by the option before it. What an option of one letter means depends on the program: `-p` is a
password for fence agents, a port for ssh, a folder's parents for mkdir.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from harness.core.redaction.redactor import REMOVED
from harness.core.redaction.secret_names import sensitive

MAX_DEPTH = 3  # lines within lines: `ssh host "sh -c '…'"`
_PLACE = re.compile(r"\d{1,5}(?:[:,-]\d{1,5})*|.*[/\\].*")  # ports, processes, paths
_USER_OPTIONS = ("--user", "--proxy-user")  # long for the letters of a program that takes USER:PASSWORD
_ENDS = ";|&\n"  # of one command; another program's begins


class Program(NamedTuple):
    """What a program means by its options of one letter: those before a secret, those with one in the same word, and whether what follows
    -p is a place (a port, a path) when it looks like one."""

    apart: str = "p"
    attached: str = ""
    place: bool = False
    user: bool = False  # USER:PASSWORD, of which only the password is secret; other letters may stand before in the same word


_UNKNOWN = Program()
# By the program's name, from each one's manual page.
_PROGRAMS: tuple[tuple[re.Pattern[str], Program], ...] = tuple(
    (re.compile(names), program)
    for names, program in (
        # What a lost node is switched off with; also behind ssh or docker, whose own -p is a port.
        (r"fence_\w{1,40}|stonith\w{0,20}|racadm|ipmi-\w{1,20}|ipmipower", Program()),
        (r"lkharness|pytest|cp|rsync|tar", Program("")),  # a plug-in's name; a file's rights are kept
        (r"sshpass|(?:mysql|mariadb)[\w-]{0,20}", Program("p", "p")),
        (r"ipmitool|isql|sqlcmd|bcp", Program("P", "P")),
        (r"snmp\w{1,20}", Program("cAX")),  # a community; pass phrases of version 3
        (r"redis-cli", Program("a")),
        (r"ldap\w{1,20}", Program("w", "w")),
        (r"curl", Program("uU", "uU", user=True)),
        (r"(?:auto)?ssh|sshfs|mosh|ncat|nc|netcat|mkdir|psql|pg_\w{1,20}|nmap|docker|podman|ps", Program(place=True)),
    )
)


def program_only(command: Any) -> Any:
    """A command, as words or as a line, without its arguments, which may be secret themselves."""
    if isinstance(command, str):
        program, blank, _ = command.strip().partition(" ")
        return f"{program} {REMOVED}" if blank else program
    return [*command[:1], REMOVED] if isinstance(command, list) and len(command) > 1 else command


def secret_words(command: Sequence[str]) -> set[str]:
    """Words of a command that an option before them, or in them, calls secret: `--password X`, `-p X`, `--token=X`, `mysql -pX`,
    `ipmitool -P X`, also within a word that is a line of shell. What follows -p may be a password of any program that is not known to mean
    something else by it."""
    return {word for word in _within(command, MAX_DEPTH) if word}


def _within(command: Sequence[str], depth: int) -> Iterator[str]:
    program, before = _UNKNOWN, ""
    for word in command:
        if before and not before.strip(_ENDS):
            program = _UNKNOWN
        name, mark, value = word.partition("=")
        if before.startswith("-") and "=" not in before and sensitive(before.lstrip("-")):
            yield word
        elif program.user and mark and name in _USER_OPTIONS:
            yield _secret_of(value, program)
        elif _is_before_a_secret(before, program) and not (program.place and _PLACE.fullmatch(word)):
            yield _secret_of(word, program)
        elif mark and sensitive(name.lstrip("-")):
            yield value
        elif len(word) > 2 and word[0] == "-" and word[1] in program.attached:
            yield _secret_of(word[2:], program)
        elif depth and re.search(r"\s", word):
            yield from _within(_words_of(word), depth - 1)
        else:
            program = _program_of(word) or program
        before = word


def _is_before_a_secret(word: str, program: Program) -> bool:
    if program.user and word in _USER_OPTIONS:
        return True
    letters = r"-\w{0,8}" if program.user else "-"
    return bool(program.apart) and re.fullmatch(rf"{letters}[{program.apart}]", word) is not None


def _secret_of(value: str, program: Program) -> str:
    return value.partition(":")[2] if program.user else value


def _program_of(word: str) -> Program | None:
    name = re.split(r"[/\\]", word)[-1].removesuffix(".exe")
    return next((program for names, program in _PROGRAMS if names.fullmatch(name)), None)


def _words_of(line: str) -> list[str]:
    words = shlex.shlex(line, posix=True, punctuation_chars=_ENDS)
    words.whitespace, words.whitespace_split, words.commenters = " \t\r", True, ""
    try:
        return list(words)
    except ValueError:  # a quote without an end
        return line.split()
