"""One connection that a host's sshd makes at our word: how it ended, as far as SSH tells."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from harness.core.deadline import Deadline
from harness.hosts.ssh.forwarding import ChannelOpening, Forwarding

MAX_ANSWER_BYTES = 16384
OUTCOMES = (
    ("refused", "refused"),
    ("timed out", "silent"),
    ("unreachable", "unreachable"),
    ("no route", "unreachable"),
    ("not permitted", "unreachable"),
    ("reset", "reset"),
)  # sshd's words, which are its kernel's


@dataclass(frozen=True)
class AttemptResult:
    """`outcome` is a sample's; `ended` when that was known, on the harness's monotonic clock."""

    outcome: str
    ended: float
    detail: str = ""


def speak(
    forwarding: Forwarding,
    opening: ChannelOpening,
    say: bytes,
    expect: bytes,
    deadline: Deadline,
    *,
    again: bytes = b"",
    keep: bool = False,
) -> AttemptResult:
    """Wait for the connection, and for the answer that `expect` describes; then close it (`keep`: not when it stands)."""
    if not opening.ended.wait(deadline.remaining()):
        forwarding.give_up(opening)
        return AttemptResult("silent", time.monotonic())
    if opening.refusal:
        return result_of_refusal(opening)
    try:
        return _talk(opening, say, expect, again, deadline)
    finally:
        if not keep:
            opening.channel.close()


def result_of_refusal(opening: ChannelOpening) -> AttemptResult:
    """The outcome for sshd's reason not to open the connection."""
    now, reason = time.monotonic(), opening.refusal.casefold()
    if opening.forbidden:
        return AttemptResult("skipped", now, f"sshd may not connect there ({opening.refusal})")
    for words, outcome in OUTCOMES:
        if words in reason:
            return AttemptResult(outcome, now, "" if outcome in ("refused", "reset") else opening.refusal)
    return AttemptResult("skipped", now, f"sshd could not try: {opening.refusal}")


def _talk(opening: ChannelOpening, say: bytes, expect: bytes, again: bytes, deadline: Deadline) -> AttemptResult:
    channel, received = opening.channel, b""
    try:
        if say:
            channel.sendall(say)
        while expect and not re.search(expect, received):
            channel.settimeout(max(0.001, deadline.remaining()))
            data = channel.recv(MAX_ANSWER_BYTES)
            if not data:
                return AttemptResult("reset", time.monotonic(), "closed after another answer" if received else "closed without a word")
            received = (received + data)[-MAX_ANSWER_BYTES:]
            if again and re.search(again, received):
                received = b""
                channel.sendall(say)
    except TimeoutError:
        detail = f"said {received[:40]!a}" if received else "accepted, but not answered"
        return AttemptResult("silent", time.monotonic(), detail)
    except OSError:
        return AttemptResult("reset", time.monotonic(), "closed without a word")
    return AttemptResult("answered", time.monotonic())
