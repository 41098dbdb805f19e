"""Stands where `powershell` would on a Windows host: checks how it is called, and answers what was recorded.

It is copied onto the PATH of a real sshd. Its first argument (put there by the copy) is the folder of what is recorded. It knows no
PowerShell. Called with the product's own loop, it is `tests/powershell_loop_stand_in.py`, which takes scripts by their names and
parameters; any other script has to be recorded word for word, or is refused with exit 97, a wrong invocation with 96.
"""

import base64
import datetime
import json
import re
import select
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from harness.hosts.windows.script_protocol import bootstrap
from tests.powershell_loop_stand_in import Loop

OPTIONS = "-NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -InputFormat None -OutputFormat Text -EncodedCommand"
FROM_INPUT = (
    "$r=New-Object IO.StreamReader([Console]::OpenStandardInput(),(New-Object Text.UTF8Encoding $false));"
    ". ([ScriptBlock]::Create($r.ReadToEnd()))"
)
MAX_CMD_LINE = 8191
WATCHDOG = re.compile(
    r"\$w=\[PowerShell\]::Create\(\)\.AddScript\('Start-Sleep -Seconds (\d+);\[Environment\]::Exit\(124\)'\);\[void\]\$w\.BeginInvoke\(\)\n"
)
FRAME = re.compile(
    r"\$c=0;\$global:LASTEXITCODE=0\ntry\{& \{\n(?P<body>.*)\n\}\n\$c=\$LASTEXITCODE\}"
    r"catch\{\[Console\]::Error\.WriteLine\(\$_\.FullyQualifiedErrorId\+': '\+\$_\.Exception\.Message\);\$c=1\}(?P<end>.*)\nexit \$c\n",
    re.DOTALL,
)

LOADER = Path(__file__).parents[2] / "harness/remote/agents/powershell/load-agent.ps1"


def main() -> None:
    shapes, *words = sys.argv[1:]
    folder = Path(shapes)
    script, by_input = asked(words)
    if script == bootstrap():
        Loop(folder, sys.stdout.buffer).serve(sys.stdin.buffer)
        sys.exit(0)
    body, seconds = unframed(script, (folder.parent / "prologue.ps1").read_text())
    with (folder / "asked.jsonl").open("a") as log:
        log.write(json.dumps({"body": body, "seconds": seconds, "by_input": by_input, "at": time.time()}) + "\n")
    if body == LOADER.read_text(encoding="utf-8").rstrip("\n"):
        agent(folder, int(sys.stdin.buffer.readline()))
    elif body == "HANG":
        hang(seconds)
    answer(folder, body)


def asked(words: list[str]) -> tuple[str, bool]:
    if words[:-1] != OPTIONS.split():
        wrong(f"these options were not expected: {words[:-1]}")
    if len("powershell ") + len(" ".join(words)) > MAX_CMD_LINE:
        wrong("the input line is too long")
    script = base64.b64decode(words[-1], validate=True).decode("utf-16-le")
    if script == FROM_INPUT:
        return sys.stdin.buffer.read().decode("utf-8"), True
    return script, False


def unframed(script: str, prologue: str) -> tuple[str, int]:
    if not script.startswith(prologue):
        wrong("the script does not begin with the prologue")
    rest = script[len(prologue) :]
    watchdog = WATCHDOG.match(rest)
    frame = FRAME.fullmatch(rest[watchdog.end() :] if watchdog else rest)
    if frame is None or (frame["end"] == "finally{$w.Stop()}") is not bool(watchdog):
        wrong("the script is not framed as expected")
    return frame["body"], int(watchdog[1]) if watchdog else 0


def answer(folder: Path, body: str) -> None:
    for path in sorted(folder.glob("*.shape")):
        parts = dict(re.findall(r"^== (\w+)\n(.*?)(?=^== |\Z)", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))
        if parts["script"].rstrip("\n") == body:
            sys.stdout.buffer.write(parts.get("out", "").replace("\n", "\r\n").encode())
            sys.stderr.buffer.write(parts.get("err", "").replace("\n", "\r\n").encode())
            sys.stdout.flush()
            sys.stderr.flush()
            sys.exit(int(parts.get("exit", "0")))
    print(f"no answer is recorded for this script:\n{body}", file=sys.stderr)
    sys.exit(97)


def agent(folder: Path, count: int) -> None:
    """Takes the script and its plan, prints the recorded stream, and answers pings until it is told to stop."""
    (folder / "task.json").write_bytes(sys.stdin.buffer.read(count))
    begin, _, end = (folder / "agent.stream").read_text().partition("== end\n")
    sys.stdout.write(begin)
    sys.stdout.flush()
    for line in sys.stdin.buffer:
        if line == b"stop\n":
            break
        number = line.removeprefix(b"ping ").strip().decode()
        sys.stdout.write(f"p {number} {time.monotonic():.9f} {time.time():.9f}\n")
        sys.stdout.flush()
    sys.stdout.write(end)
    sys.stdout.flush()
    sys.exit(0)


def hang(seconds: int) -> None:
    """Print something, then nothing, until the watchdog's time has passed."""
    print("still alive at", datetime.date(2026, 11, 22), flush=True)
    select.select([], [], [], seconds)
    sys.exit(124)


def wrong(why: str) -> None:
    print(f"not as Windows wants it: {why}", file=sys.stderr)
    sys.exit(96)


main()
