"""What transports share: how a command becomes one line of shell, and what is said when it does not end in time."""

from __future__ import annotations

import math
import shlex

from harness.core.errors import DeadlineExceeded
from harness.core.text.host_text import cut_at_word, cut_start_at_word
from harness.hosts.host import Command
from harness.hosts.root_rights import SUDO, VARIABLE, is_marked_for_root

BEGINS = "\x1elkharness\x1e\n"  # comes on both streams before a command's own output; what a profile prints at log-in comes before it
# Its octal form, so that no trace or complaint that quotes the command can be taken for it. C before sudo, so that sudo speaks it, too.
_BEGIN = 'printf "\\036lkharness\\036\\n"; printf "\\036lkharness\\036\\n" >&2; export LC_ALL=C{}; exec "$@"'
MAX_QUOTED_LENGTH = 600  # characters of output that a message to a person quotes


class CommandTookTooLong(DeadlineExceeded):
    """A command was ended because its limit passed; `out` and `err` are what it had printed so far."""

    def __init__(self, host: str, command: str, limit: float, out: str, err: str) -> None:
        ends = ((name, cut_start_at_word(text.strip(), MAX_QUOTED_LENGTH)) for name, text in (("stdout", out), ("stderr", err)))
        printed = "; ".join(f"{name}: {' '.join(end.split())}" for name, end in ends if end)
        super().__init__(
            f"{host}: `{shorten(command)}` took longer than {limit:g} s and was ended; until then it printed {printed or 'nothing'}"
        )
        self.out = out
        self.err = err


def as_line(command: Command) -> str:
    """The command as one line of shell: words are quoted, a line is left as it is."""
    return command if isinstance(command, str) else shlex.join(command)


def wrap_command(command: Command, *, sudo: bool = False, limit: float | None = None) -> str:
    """The line to send to a login shell: BEGINS, the C locale, an end of its own, and with `sudo` root for what is marked for it
    (`root_rights`) and for nothing else: sudo is asked for the program itself.

    sshd does not end a command that has no terminal when its channel closes, so `timeout` on the host does it, one
    second after the harness has given up; a lost connection then leaves nothing running for longer than that.
    """
    words = ["sh", "-c", _BEGIN.format(f' {VARIABLE}="{SUDO}"' if sudo else ""), "lkharness"]
    if limit is not None:
        words += ["timeout", "-k", "2", str(math.ceil(limit) + 1)]
    words += SUDO.split() if sudo and is_marked_for_root(command) else []
    words += ["sh", "-c", command] if isinstance(command, str) else list(command)
    return shlex.join(words)


def without_greeting(output: str) -> str:
    """Output without what the account's profile printed before the command began; all of it when the command never did."""
    before, mark, own_output = output.partition(BEGINS)
    return own_output if mark else before


def shorten(command: str, most: int = 160) -> str:
    """A command on one line, cut for a message."""
    line = " ".join(command.split())
    return cut_at_word(line, most)


def text(data: bytes) -> str:
    """Bytes as text, whatever they are."""
    return data.decode("utf-8", errors="replace")
