"""The monitor hook of `ocf:heartbeat:anything`, which by itself looks at the process only: a shell script that makes a service speak.

An interpreter started every second for every service would cost more than all of Pacemaker.
"""

from __future__ import annotations

from harness.lab.services.service_control import DIALOGUES

PATH = "/opt/lab/bin/answers"
# Of the answers that DIALOGUES expects, for grep. TDS writes its texts in UTF-16, and grep knows no zero byte.
PATTERNS = {
    "tns": "grep -aq '(ERR=0)'",
    "http": r"grep -aq '^HTTP/1\.[01] 200 '",
    "echo": "grep -aq '^lab-echo '",
    "tds": r"LC_ALL=C tr -d '\000' | grep -aq 'Stand-in'",
}
SCRIPT = """#!/bin/sh
# answers PROTOCOL PORT SECONDS [start]: exit 0 when a service of the lab on this host answers in its own protocol within that time.
# One that has just been started is asked again and again, until the agent's own time for a start is over.
ask() {
  case "$1" in
@CASES
  esac
}
until ask "$@"; do
  [ "$4" = start ] || { echo "nothing on port $2 answers as a $1 service within $3 s"; exit 1; }
  sleep 0.1
done
"""


def script() -> str:
    """The script's text; what is said goes through printf in octal, because it may hold any byte."""
    return SCRIPT.replace("@CASES", "\n".join(_case(protocol, say) for protocol, (say, _) in DIALOGUES.items()))


def _case(protocol: str, request_bytes: bytes) -> str:
    octal = "".join(f"\\{byte:03o}" for byte in request_bytes)
    return f"""    {protocol}) printf '{octal}' | nc -N -w "$3" 127.0.0.1 "$2" | {PATTERNS[protocol]} ;;"""
