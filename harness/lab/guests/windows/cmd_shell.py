"""The shell that sshd starts on a stand-in for a Windows host, where cmd.exe would be. It takes nothing of POSIX.

What it does not know it refuses with exit code 96, on standard error and in /var/log/windows-stand-in.log.
"""

from __future__ import annotations

import sys
import time

from harness.hosts.windows import powershell
from harness.lab.guests.windows import known_scripts, measuring_programs
from harness.lab.guests.windows.powershell_line import NotTaken, body_of, encoded_script
from harness.lab.guests.windows.resident_powershell_loop import QuestionLoop
from harness.lab.guests.windows.underlying_node import LOG

NOTE = (
    "This host is a stand-in for Windows, on Linux, made for tests: it is not Windows. It takes the harness's own scripts and nothing "
    "else; `lkharness lab exec` shows the Linux node beneath."
)
# Windows PowerShell tells its progress so when its standard error is no console (WHST-27).
PROGRESS = (
    '#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04"><Obj S="progress" RefId="0">'
    '<TN RefId="0"><T>System.Management.Automation.PSCustomObject</T><T>System.Object</T></TN><MS><I64 N="SourceId">1</I64><PR N="Record">'
    "<AV>Preparing modules for first use.</AV><AI>0</AI><Nil /><PI>-1</PI><PC>-1</PC><T>Completed</T>"
    "<SR>-1</SR><SD> </SD></PR></MS></Obj></Objs>"
)


def main(words: list[str]) -> int:
    """What `cmd /c` would exit with."""
    if len(words) != 2 or words[0] != "-c":
        print(NOTE, file=sys.stderr)
        return 1
    try:
        return _do(encoded_script(words[1]))
    except NotTaken as refusal:
        if refusal.loud:
            with LOG.open("a", encoding="utf-8") as log:
                log.write(f"{time.strftime('%FT%T')} refused: {refusal}\n")
        print(f"{refusal} ({NOTE})" if refusal.loud else str(refusal), file=sys.stderr)
        return refusal.exit


def _do(script: str) -> int:
    sys.stderr.write(PROGRESS + "\r\n")
    sys.stderr.flush()
    if known_scripts.is_known("bootstrap", script):
        QuestionLoop(sys.stdout.buffer).serve(sys.stdin.buffer)
        return 0
    body = body_of(sys.stdin.buffer.read().decode("utf-8") if script == powershell.FROM_INPUT else script)
    if body == known_scripts.NOTHING:
        return 0
    if known_scripts.is_known(known_scripts.LOADER, body):
        return measuring_programs.by_script()
    if known_scripts.is_known(known_scripts.COMPILER, body):
        return measuring_programs.compiled()
    raise NotTaken(f"a script that is not known was sent: {body[:200]!r}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
