"""What a Windows host takes as a command line, judged: cmd.exe's limit, PowerShell with our options, and one of our own scripts. Pure."""

from __future__ import annotations

import base64
import binascii
import re

from harness.hosts.windows import powershell
from harness.lab.guests.windows.known_scripts import is_known

MAX_CMD_LINE = 8191  # characters, of cmd.exe
REFUSED = 96  # exit code of the stand-in for what it does not know
NOT_RECOGNISED = 1  # of `cmd /c` for a program that is not there
SECONDS = "\0"


class NotTaken(Exception):
    """The host does not do it; `exit` is what sshd is told. `loud`: the stand-in does not know it, Windows might."""

    def __init__(self, said: str, exit: int = REFUSED, *, loud: bool = True) -> None:
        super().__init__(said)
        self.exit, self.loud = exit, loud


def encoded_script(line: str) -> str:
    """The script that a command line brings. Raises NotTaken."""
    if len(line) > MAX_CMD_LINE:
        raise NotTaken("The command line is too long.", NOT_RECOGNISED, loud=False)
    words = line.split()
    program = words[0] if words else ""
    if program.lower() not in ("powershell", "powershell.exe"):
        said = f"'{program}' is not recognized as an internal or external command,\r\noperable program or batch file."
        raise NotTaken(said, NOT_RECOGNISED, loud=False)
    expected = [*powershell.OPTIONS.split(), "-EncodedCommand"]
    if words[1:-1] != expected:
        raise NotTaken(f"PowerShell was called in a way that is not known: {' '.join(words[1:-1])[:200]}")
    try:
        return base64.b64decode(words[-1], validate=True).decode("utf-16-le")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise NotTaken(f"what was encoded is no text ({error})", loud=False) from None


def body_of(script: str) -> str:
    """What stands in the frame that the harness puts around a script. Raises NotTaken for another frame."""
    frame = powershell.PROLOGUE + powershell.WATCHDOG + powershell.BODY
    rest = script.removeprefix(powershell.PROLOGUE)
    if not is_known("frame", frame) or rest == script:
        raise NotTaken(f"a script that is not known was sent: {script[:200]!r}")
    pattern = re.escape(powershell.WATCHDOG.format(seconds=SECONDS, code=powershell.TIMED_OUT)).replace(re.escape(SECONDS), r"\d+")
    watchdog = re.match(pattern, rest)
    head, tail = powershell.BODY.format(body=SECONDS, end="finally{$w.Stop()}" if watchdog else "").split(SECONDS)
    inner = rest[watchdog.end() :] if watchdog else rest
    if not (inner.startswith(head) and inner.endswith(tail)):
        raise NotTaken(f"a script in a frame that is not known was sent: {inner[:200]!r}")
    return inner[len(head) : len(inner) - len(tail)]
