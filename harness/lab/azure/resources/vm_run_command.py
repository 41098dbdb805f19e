"""Run-command: a script run in the host by its agent, and the tail of what it said."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from harness.lab.azure.state.http_types import Problem, lab_cannot
from harness.lab.control import nsenter

if TYPE_CHECKING:
    from harness.lab.azure.state.azure_state import AzureState

MAX_OUTPUT_LENGTH = 4096  # characters of output that are kept, of each stream
SCRIPT_TIMEOUT_S = 5400.0  # the platform ends a script after 90 minutes
LINUX, WINDOWS = "RunShellScript", "RunPowerShellScript"


def script_of(body: Any) -> str:
    """The script of a request. Raises Problem."""
    parameters = body if isinstance(body, dict) else {}
    command, script_lines = parameters.get("commandId"), parameters.get("script")
    if command == WINDOWS:
        raise Problem(400, "BadRequest", f"The command '{WINDOWS}' is for Windows; the lab's hosts run Linux: use {LINUX}.")
    if command != LINUX:
        raise Problem(404, "NotFound", f"The entity {command!r} was not found in this RunCommand service; the lab knows {LINUX}.")
    if not isinstance(script_lines, list) or not script_lines or not all(isinstance(line, str) for line in script_lines):
        raise Problem(400, "InvalidParameter", "Required parameter 'script' is missing (null), or no list of lines.")
    if parameters.get("parameters"):
        raise lab_cannot("run-command with parameters; write them into the script")
    return "\n".join(script_lines) + "\n"


# The agent writes the script into a file and runs that, so that it can be in any language and its input is empty.
RUN = """
f=$(mktemp) || exit 1
cat >"$f"; chmod 700 "$f"
case "$(head -c 2 "$f")" in "#!") "$f" </dev/null ;; *) sh "$f" </dev/null ;; esac
c=$?; rm -f "$f"; exit $c
"""


def run(fabric: AzureState, host: str, script: str) -> dict[str, Any]:
    """Run it to its end, whatever its exit code: on Linux one status holds both streams, and success means only that it was run."""
    command_line = nsenter.command(fabric.lab, host, ["sh", "-c", RUN])
    try:
        completed = subprocess.run(command_line, capture_output=True, input=script.encode(), timeout=SCRIPT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise Problem(409, "VMExtensionProvisioningTimeout", "The script did not end within 90 minutes.") from None
    if fabric.power(host) == "off":
        raise Problem(409, "OperationNotAllowed", f"The VM '{host}' lost its power while the script ran.")
    stdout, stderr = (stream.decode("utf-8", "replace")[-MAX_OUTPUT_LENGTH:] for stream in (completed.stdout, completed.stderr))
    message = f"Enable succeeded: \n[stdout]\n{stdout}\n[stderr]\n{stderr}"
    status = {"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded", "message": message}
    return {"value": [status]}
