"""Commands that change a Windows cluster: started outside of every session, followed to their end. On Linux: `harness.hosts.detached_jobs`.

Reading has limits, doing has none on the host: a question that ends at its limit takes what it has started with it, and a switchover that
is killed half way leaves the services on neither node. A deadline here is the harness's own; when it has passed, or a connection is lost,
the command goes on to its end. What is not collected removes itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import cache

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Unusable
from harness.core.text.host_text import cut_at_word
from harness.hosts.detached_jobs import JobLost, StillRunning
from harness.hosts.host import CommandResult, Host, HostUnreachable, NotReadable
from harness.hosts.shell_command import shorten
from harness.hosts.windows.script_contract import ENGINE
from harness.hosts.windows.script_protocol import Row
from harness.hosts.windows.script_runner import advice, ask, rows_of

START, STATE, REMOVE = "job-start", "job-state", "job-remove"
START_TIMEOUT_S = 90.0  # until the started process has said that it runs; the script itself waits 60 s for that
LOOK_TIMEOUT_S = 20.0  # for one look; where no PowerShell stays a look starts one, which takes seconds
LOOK_INTERVAL_S = 0.25
UNDER_WAY = ("starting", "running")


@cache
def runner() -> str:
    """The script that the started process runs."""
    return (ENGINE / "job.ps1").read_text(encoding="utf-8")


def run_to_its_end(host: Host, program: str, words: Sequence[str], folder: str, line: str, deadline: Deadline) -> CommandResult:
    """Run a program that changes a cluster, in `folder`; its output is `out`, both streams together. `line` is what it is for people.

    Raises StillRunning when it has not ended within the deadline (nobody ends it then), JobLost, HostUnreachable when nobody knows whether
    it was started, Unusable when it was not.
    """
    name = secrets.token_hex(6)
    _start(host, name, {"Line": line, "Program": program, "Words": list(words), "Folder": folder, "Runner": runner()}, line)
    unseen = ""

    def read_end() -> Row | None:
        nonlocal unseen
        try:
            rows = rows_of(host, STATE, {"Name": name}, limit=max(deadline.within(LOOK_TIMEOUT_S), 5.0))
        except (HostUnreachable, DeadlineExceeded) as error:  # it may be heard of again; the command does not mind
            unseen = f" ({error})"
            return None
        unseen = ""
        state = rows[0]["State"] if rows else "gone"
        if state == "gone":
            raise JobLost(f"{host.name}: `{shorten(line)}` was started there, and neither ended nor runs; was the host reset?")
        if state == "failed":
            raise Unusable(f"{host.name}: `{shorten(line)}` could not be run: {_one_line(rows[0]['Text'])}")
        if state == "ended":
            return rows[0]
        if state not in UNDER_WAY:
            raise NotReadable(f"{host.name}: what became of `{shorten(line)}` cannot be read: {state}")
        return None

    try:
        job = deadline.wait_for(read_end, until=lambda row: row is not None, what=f"the end of `{shorten(line)}`", every=LOOK_INTERVAL_S)
    except DeadlineExceeded:
        raise StillRunning(
            f"{host.name}: `{shorten(line)}` has not ended within {deadline.seconds:.0f} s; it was not ended, and goes on there{unseen}"
        ) from None
    assert job is not None  # that is what was waited for
    _forget(host, name)
    return CommandResult(host.name, line, int(job["Exit"]), str(job["Text"] or ""), "", deadline.anchor, deadline.elapsed())


def unfinished_commands(host: Host, *, limit: float = LOOK_TIMEOUT_S) -> list[str]:
    """The commands that change the cluster and still run on this host, whoever of this account started them there."""
    return [str(row["Line"] or row["Name"]) for row in rows_of(host, STATE, {}, limit=limit) if row["State"] in UNDER_WAY]


def _start(host: Host, name: str, what: dict[str, object], line: str) -> None:
    """A job has one name, so that a look tells whether it was started, though the answer was lost."""
    unknown = f"whether `{shorten(line)}` was started there is unknown"
    try:
        answer = ask(host, START, {"Name": name, **what}, limit=START_TIMEOUT_S)
    except (HostUnreachable, DeadlineExceeded) as error:
        try:
            if rows_of(host, STATE, {"Name": name}, limit=LOOK_TIMEOUT_S):
                return
        except (HostUnreachable, DeadlineExceeded, NotReadable) as second:
            raise HostUnreachable(f"{error}; {unknown}") from second
        raise HostUnreachable(f"{error}; {unknown}") from error
    if not answer.ok:
        raise Unusable(f"{host.name}: `{shorten(line)}` was not started: {answer.why}{advice(answer)}")


def _forget(host: Host, name: str) -> None:
    """What it has kept goes; where the host is not heard of, it goes by itself."""
    try:
        ask(host, REMOVE, {"Name": name}, limit=LOOK_TIMEOUT_S)
    except (HostUnreachable, DeadlineExceeded):
        return


def _one_line(text: object) -> str:
    return cut_at_word(" ".join(str(text or "nothing was said").split()), 400)
