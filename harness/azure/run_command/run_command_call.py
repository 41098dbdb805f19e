"""A script run in a virtual machine by Azure's run-command, which keeps only the tail of what it says."""

from __future__ import annotations

import re
import secrets
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from harness.azure.client import error_mapping
from harness.azure.client.polling import pause, result_of
from harness.azure.client.retry_policy import silence_s
from harness.azure.client.sdk_clients import Clients
from harness.azure.inventory import resource_parser
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Unusable
from harness.core.text.host_text import cut_start_at_word

QUEUE_TIMEOUT_S = 900.0  # for the scripts of ours that are before it on the same machine
_TURNS: dict[str, threading.Lock] = {}
_TURNS_LOCK = threading.Lock()
MAX_OUTPUT_LENGTH = 4096  # characters of each stream that Azure keeps
MAX_ARGUMENT_BYTES = 100_000  # bytes; Linux takes no word of a command over 128 KiB
LINUX, WINDOWS = "RunShellScript", "RunPowerShellScript"

# Nothing is written where it can be helped: a host that is read this way may be out of room.
_AS_A_WORD = """\
script=$(cat <<'{word}'
{script}
{word}
)
{bound}sh -c "$script" </dev/null
code=$?"""

# By the interpreter that its first line names, as the kernel would, but also where files in the temporary folder may not be executed.
_FROM_A_FILE = """\
file=$(mktemp) || exit 1
cat >"$file" <<'{word}'
{script}
{word}
interpreter=$(head -n 1 "$file" | sed -n 's/^#! *//p')
set -f
{bound}${{interpreter:-sh}} "$file" </dev/null
code=$?
rm -f "$file"
"""


@dataclass(frozen=True)
class ScriptOutput:
    """What is left of a script's output: its exit code, and both streams' tails. `cut`: the beginning of its output is lost."""

    exit: int
    out: str
    err: str
    cut: bool


@contextmanager
def wait_for_turn(clients: Clients, machine: str) -> Iterator[None]:
    """A machine takes one run-command at a time ("Run scripts in your Linux VM by using action Run Commands"): ours wait for each other."""
    key = f"{clients.azure.subscription}/{clients.azure.resource_group}/{machine}".lower()
    with _TURNS_LOCK:
        machine_lock = _TURNS.setdefault(key, threading.Lock())
    if not machine_lock.acquire(timeout=QUEUE_TIMEOUT_S):
        raise Unusable(f"{machine}: other scripts of this harness kept its run-command busy for {QUEUE_TIMEOUT_S:g} s")
    try:
        yield
    finally:
        machine_lock.release()


def run(
    clients: Clients,
    machine: str,
    script: str,
    deadline: Deadline,
    variables: Mapping[str, str] | None = None,
    *,
    ends_after_s: float | None = None,
) -> ScriptOutput:
    """Run it as root, with these variables, once: a request whose answer gets lost is not sent again, because the script may have run.

    With `ends_after_s` the host itself ends it then: one that hangs would keep everybody from the machine's run-command for 90 minutes.
    Where somebody else's script runs in the machine (409), or Azure is asked too often (429), it is sent again until the deadline: those
    are refusals, so nothing has run.
    Raises Unusable when the script's own end mark is not in what came back, and what `translate_errors` makes of a refusal.
    """
    mark = secrets.token_hex(8)
    doing = f"running a script in {machine}"
    body: Any = {"commandId": LINUX, "script": wrap_script(script, mark, variables or {}, ends_after_s).split("\n")}
    while True:
        try:
            with error_mapping.translate_errors(doing):
                poller = clients.compute.virtual_machines.begin_run_command(clients.azure.resource_group, machine, body, retry_total=0)
            break
        except error_mapping.Throttled as error:  # a refusal, too
            silence = silence_s(error, clients.azure.poll_s)
            if silence >= deadline.remaining():
                raise
        except HarnessError as error:
            if not _is_busy(error):
                raise
            silence = clients.azure.poll_s
            if deadline.expired:
                raise Unusable(
                    f"{doing}: another run-command is in progress there, and was for {deadline.seconds:g} s; Azure runs one at a time, for "
                    "90 minutes at most, and one that hangs blocks all until then"
                ) from error
        pause(silence, deadline)
    payload = resource_parser.payload(result_of(poller, deadline, doing))
    return parse_output(split_streams(payload.get("value") or []), mark, machine)


def _is_busy(error: HarnessError) -> bool:
    """azure-docs 43356: 409 Conflict, "Run command extension execution is in progress"; azure-cli 19137: the same right after a success."""
    return error_mapping.status_of(error) == 409 and "in progress" in str(error)


def wrap_script(script: str, mark: str, variables: Mapping[str, str] = MappingProxyType({}), ends_after_s: float | None = None) -> str:
    """Ends with a mark and the exit code, whatever the script does; begins with a mark, so that a lost beginning is noticed."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    time_limit = f"timeout -k 5 {ends_after_s:.0f} " if ends_after_s else ""
    as_file = script.startswith("#!") or len(script.encode()) > MAX_ARGUMENT_BYTES
    return f"""{exports}printf '%s\\n' 'begin {mark}'
{(_FROM_A_FILE if as_file else _AS_A_WORD).format(bound=time_limit, script=script, word=f"lkharness_{mark}")}
printf '\\n%s %s\\n' 'end {mark}' "$code"
printf '\\n%s\\n' 'end {mark}' >&2
"""


def split_streams(statuses: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Standard output and error of an answer: a status for each, told apart by its code, or one that holds both (on Linux)."""
    code_and_text = [(str(status.get("code") or "").lower(), str(status.get("message") or "")) for status in statuses]
    out, err = ([text for code, text in code_and_text if f"/{stream}/" in code] for stream in ("stdout", "stderr"))
    if out or err:
        return "\n".join(out), "\n".join(err)
    message = "\n".join(text for _, text in code_and_text)
    match = re.search(r"\[stdout\]\n(?P<out>.*?)\n\[stderr\]\n(?P<err>.*)\Z", message, re.DOTALL)
    return (match["out"], match["err"]) if match else (message, "")


def parse_output(both_streams: tuple[str, str], mark: str, machine: str) -> ScriptOutput:
    """What `streams` found, without the marks. Raises Unusable when the end is not there."""
    out, err = both_streams
    end_mark = re.search(rf"\n?end {mark} (\d+)\s*\Z", out)
    if end_mark is None:
        last_words = cut_start_at_word((out + err).strip(), 200) or "none"
        raise Unusable(
            f"{machine}: the script's end is not in what run-command brought back; its last words: {last_words}; "
            "without a way out to Azure (port 443) a machine runs scripts and returns nothing: see whether it has one (facts ILB-23)"
        )
    script_out = out[: end_mark.start()]
    complete = script_out.startswith(f"begin {mark}\n")
    script_out = script_out.removeprefix(f"begin {mark}\n")
    return ScriptOutput(int(end_mark[1]), script_out, re.sub(rf"\n?end {mark}\s*\Z", "", err), not complete)
