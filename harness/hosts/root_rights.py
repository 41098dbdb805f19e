"""Root for what needs it, and for nothing else: which questions and deeds run as root on a host, and how sudo is asked for it.

A whole command is marked by `as_root`; within a script only the programs that need root are, by `ROOT` before them. Where `ssh.sudo`
is set, sudo is then asked for the program itself (`sudo -n /usr/sbin/nft list ruleset`), so that a line of sudoers may name it, and
everything else runs as the account. Elsewhere the marks are nothing, and the log-in's own rights count.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence

VARIABLE = "LKHARNESS_ROOT"  # in the environment of every command: what comes before a program that is to be root's
ROOT = f"${VARIABLE}"
SUDO = "sudo -n"
ALLOWED = f"{ROOT} -l"  # before a program: would sudo let us? Only where there is a sudo
# May everything be done, and without a password? `-l` also lists what a password is wanted for; who may not do it at all is not tried.
# The trial's shell stands in quotes, so that it is no line for sudoers (`sudo_lines`).
MAY_ALL = f'{{ [ -z "{ROOT}" ] || {{ {ALLOWED} sh && {ROOT} "sh" -c : </dev/null; }} >/dev/null 2>&1; }}'
# The program and its words, up to where the shell's own begins; not where a word is only known to the shell that runs it.
_MARKED = re.compile(rf"\${VARIABLE} (?!-)(?P<words>(?:'[^'\n]*'|[^|;&<>()`\n\"'${{}}])+?)\s*(?=\d*[<>]|[|;&)}}\n]|\Z)")
_REFUSED = re.compile(
    r"^sudo: (?!unable to resolve host).*|^Sorry, user .{1,100} is not allowed to execute .*|sudo: (?:command )?not found", re.MULTILINE
)
_NO_SUDO = re.compile(r"^timeout: .{0,40}.sudo.: No such file|exec: sudo: not found$", re.MULTILINE)  # what starts it says so
ABSENT = re.compile(r"^sudo: \S+: command not found$", re.MULTILINE)


class RootLine(str):
    """A line of shell that runs as root, whole."""

    __slots__ = ()


class RootWords(list[str]):
    """A command in words whose program runs as root."""

    __slots__ = ()


def as_root(command: str | Sequence[str]) -> RootLine | RootWords:
    """The same command, to be run as root."""
    return RootLine(command) if isinstance(command, str) else RootWords(command)


def is_marked_for_root(command: str | Sequence[str]) -> bool:
    """Whether the whole command is to be run as root."""
    return isinstance(command, RootLine | RootWords)


def sudo_lines(command: str | Sequence[str]) -> list[str]:
    """What a command has run as root, each as the line of shell that sudo is asked for, without what changes from call to call. Pure."""
    if isinstance(command, RootLine):
        return ["sh"]
    if isinstance(command, RootWords):
        return ["sh"] if command[0] == "sh" else [shlex.join(command)]
    line = command if isinstance(command, str) else shlex.join(command)
    return list(dict.fromkeys(" ".join(match["words"].split()) for match in _MARKED.finditer(line)))


def read_by_root(tool: str, *files: str) -> str:
    """A line of shell that has a tool read files; as root those alone that the account may not read. Each file is read by itself."""
    each = (f"{{ if [ -r {q} ]; then {tool} {q}; else {ROOT} {tool} {q}; fi; }}" for q in map(shlex.quote, files))
    return "; ".join(each)


WHOLE = f"""may_all=yes
{MAY_ALL} || may_all=
whole() {{ if [ -n "$may_all" ] && [ -n "{ROOT}" ]; then {ROOT} sh -c 'exec "$@"' lkharness "$@"; else "$@"; fi; }}"""
"""Defines `whole`: run these words as root for an account that may everything, and else as the account."""


def refusals_line(lines: Iterable[str]) -> str:
    """A line of shell that prints those of these commands that sudo does not allow without a password; nothing where there is no sudo."""
    tests = "; ".join(f"{{ {_test_without_password(line)}; }} >/dev/null 2>&1 || printf '%s\\n' {shlex.quote(line)}" for line in lines)
    return f'if [ -n "{ROOT}" ]; then {_LISTED}; {tests or ":"}; fi'


# Sudo's whole list, asked for only where everything is allowed with a password: `-l LINE` then says yes to what is refused.
_WITH_PASSWORD = f'{{ {ALLOWED} sh && ! {ROOT} "sh" -c : </dev/null; }} >/dev/null 2>&1'
_LISTED = f'listed=; if {_WITH_PASSWORD}; then listed=$({ALLOWED} | tr -d "\\\\"); fi'


def _test_without_password(line: str) -> str:
    """Tests whether sudo allows a line, and where everything is allowed with a password, that its list has this one without."""
    program, _, words = line.partition(" ")
    pattern = shlex.quote(f"/{program.rpartition('/')[2]} {words}".rstrip())
    in_list = f'printf "%s\\n" "$listed" | grep -F NOPASSWD: | grep -qF -- {pattern}'
    return f'{ALLOWED} {line} && {{ [ -z "$listed" ] || {in_list}; }}'


def sudo_refusal(output: str) -> str:
    """Sudo's own words for its refusal, where there are some in what a command printed."""
    match = _REFUSED.search(output)
    return match.group().strip() if match else "sudo: not found" if _NO_SUDO.search(output) else ""


def refusal_sentence(host: str, user: str, refusal: str, lines: Sequence[str]) -> str:
    """The one sentence for what sudo refused: what it said, and what its lines would have to allow."""
    commands = " and ".join(f"`{line}`" for line in lines)
    return (
        f"{host}: `sudo -n` does not work for {user} ({refusal}): its sudoers lacks the line that allows {commands} without a password; "
        "`lkharness sudoers` prints it, or log in as root and leave ssh.sudo out"
    )
