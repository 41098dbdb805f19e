"""PowerShell behind an SSH server: how a script becomes one command line, and what its output is cleaned of. Pure.

What Windows does here is [from memory] and known bug reports; nothing of it was run on Windows:
- cmd.exe, sshd's default shell, takes no line longer than 8191 characters, so a long script travels on standard input.
- With its stderr in a pipe Windows PowerShell may write progress and errors as CLIXML; PowerShell 7 does not where -OutputFormat is given
  (WHST-27).
- sshd does not end a command when its channel closes, but Windows ends what the command started when that ends: a watchdog inside the
  script ends it one second after the harness has given up.
- The code page of the console is anybody's guess: what is read as data is therefore JSON in ASCII (`J` in a script).
"""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Sequence

from harness.core.errors import BadUse
from harness.hosts.host import Command

EXE = "powershell"
OPTIONS = "-NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -InputFormat None -OutputFormat Text"
MAX_LINE = 8000  # cmd.exe's limit is 8191
TIMED_OUT = 124  # as timeout(1) has it

# `J` prints any objects as one JSON array, in ASCII.
PROLOGUE = r"""$ProgressPreference='SilentlyContinue';$ErrorActionPreference='Stop'
try{[Console]::OutputEncoding=New-Object Text.UTF8Encoding $false}catch{[Console]::Error.WriteLine('no console to set to UTF-8')}
function J($x){[regex]::Replace((ConvertTo-Json -InputObject @($x) -Compress -Depth 4),'[^ -~]',{param($m)'\u{0:x4}'-f[int][char]$m.Value})}
"""
WATCHDOG = "$w=[PowerShell]::Create().AddScript('Start-Sleep -Seconds {seconds};[Environment]::Exit({code})');[void]$w.BeginInvoke()\n"
# An error's id is the same in every language; its message is not.
BODY = """$c=0;$global:LASTEXITCODE=0
try{{& {{
{body}
}}
$c=$LASTEXITCODE}}catch{{[Console]::Error.WriteLine($_.FullyQualifiedErrorId+': '+$_.Exception.Message);$c=1}}{end}
exit $c
"""
FROM_INPUT = (
    "$r=New-Object IO.StreamReader([Console]::OpenStandardInput(),(New-Object Text.UTF8Encoding $false));"
    ". ([ScriptBlock]::Create($r.ReadToEnd()))"
)

MAX_ERRORS = 2 * 1024 * 1024  # characters
CLIXML = re.compile(r"#< CLIXML\r?\n?")
OBJECTS = re.compile(r"<Objs\b.*?(?:</Objs>|\Z)", re.DOTALL)
MESSAGE = re.compile(r'<S S="(?:[Ee]rror|[Ww]arning)">([^<]*)</S>')  # `<` is escaped there; `.*?` would search to the end for each
ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Complete(str):
    """A script that is sent as it is: it says itself how it ends, and takes from its input what it wants."""


def quoted(text: str) -> str:
    """One literal word of PowerShell. The curly quotes are quotes to it as well."""
    return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", text) + "'"


def script_of(command: Command) -> str:
    """A script as it is, words as a call; `true`, with which the harness asks whether a host runs commands at all, is not there."""
    if isinstance(command, str):
        return command
    return "exit 0" if list(command) == ["true"] else call_line(command)


def call_line(words: Sequence[str]) -> str:
    """A call of a native program. Windows PowerShell breaks arguments that hold double quotes, so they are refused."""
    if any('"' in word for word in words):
        raise BadUse(f"PowerShell cannot hand a double quote to {words[0]}; write the command as a script")
    return "& " + " ".join(map(quoted, words))


def complete_script(command: Command, limit: float | None = None) -> str:
    """The complete script: quiet, strict, with an exit code that means something and, given a limit, an end of its own."""
    watchdog = WATCHDOG.format(seconds=math.ceil(limit) + 1, code=TIMED_OUT) if limit is not None else ""
    return PROLOGUE + watchdog + BODY.format(body=script_of(command), end="finally{$w.Stop()}" if watchdog else "")


def encoded_line(script: str) -> str:
    """A script as one command line that needs no quoting."""
    return f"{EXE} {OPTIONS} -EncodedCommand {base64.b64encode(script.encode('utf-16-le')).decode()}"


def invocation(
    command: Command, data: bytes | None = None, *, limit: float | None = None, streams: bool = False
) -> tuple[str, bytes | None]:
    """The line for sshd, and what to send on standard input. Raises BadUse for a long script that needs its input for something else."""
    if isinstance(command, Complete):
        return encoded_line(command), data
    script = complete_script(command, limit)
    line = encoded_line(script)
    if len(line) <= MAX_LINE:
        return line, data
    if data is not None or streams:
        raise BadUse(f"a script of {len(script)} characters does not fit into a command line of Windows, and its input is taken")
    return encoded_line(FROM_INPUT), script.encode()


def clean_output(out: str) -> str:
    """Without a byte order mark, with plain line ends."""
    return out.removeprefix("\ufeff").replace("\r\n", "\n")


def clean_errors(err: str) -> str:
    """What stderr says to a person: the errors and warnings of CLIXML as text, its progress left out, everything else as it is.

    As much of it as a person would read: the beginning.
    """
    err = err[:MAX_ERRORS]
    if not CLIXML.search(err):
        return clean_output(err)
    plain = OBJECTS.sub(lambda objects: "".join(_unescape(message) for message in MESSAGE.findall(objects[0])), CLIXML.sub("", err))
    return clean_output(COLOUR.sub("", plain))


def _unescape(text: str) -> str:
    return (
        ESCAPED.sub(lambda match: chr(int(match[1], 16)), html.unescape(text)).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )
