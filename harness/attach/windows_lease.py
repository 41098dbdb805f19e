"""The lease on a Windows node: asked of its script, which keeps it in a folder that only administrators get into. Shape only."""

from __future__ import annotations

from harness.core.errors import Unusable
from harness.hosts.host import Host
from harness.hosts.windows.script_runner import advice, ask

SCRIPT = "lease"
MAX_HOLDER_LENGTH = 300  # characters; the record on the host has room for so much


def say(host: Host, verb: str, token: str, holder: str, *, term_s: int, longest_s: int, limit: float) -> str:
    """Empty when it is ours now (or gone); otherwise who has it. Raises Unusable, and what `ask` raises."""
    parameters = {"Verb": verb, "Token": token, "Holder": holder[:MAX_HOLDER_LENGTH], "Term": term_s, "Longest": longest_s}
    script_answer = ask(host, SCRIPT, parameters, limit=limit)
    if not script_answer.ok:
        raise Unusable(
            f"{host.name}: the lease, which keeps two runs from disturbing one cluster, could not be had: {script_answer.why}"
            f"{advice(script_answer) or '; log in as an administrator'}"
        )
    row = script_answer.rows[0]
    if row["State"] in ("mine", "gone"):
        return ""
    return f"{row['Holder']}, since {row['Since']}, for another {row['Left'] or 0:.0f} s unless it is renewed"
