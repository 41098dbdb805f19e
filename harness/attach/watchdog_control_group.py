"""Where the watchdog lives, so that what ends its run does not end it: a control group of its own, or the log-in's.

Two things end processes as a group: whatever runs them (a job that is cancelled, a unit that stops, a container), and the log-out. A scope
below the user's own service manager is out of the first's reach; but systemd stops that manager, and all that is in it, ten seconds after
the user's last session (UserStopDelaySec), unless he lingers, whatever KillUserProcesses says. A session's own scope, on the other hand,
stays where KillUserProcesses is no, with what is left in it (logind.conf(5), loginctl(1), user@.service(5)). Nothing is changed to find
out: logind is asked, and `true` is run where the watchdog would be.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.core.files import own_uid

SYSTEMD = Path("/run/systemd/system")
OWN_GROUPS = Path("/proc/self/cgroup")
QUESTION_TIMEOUT_S = 10.0
SESSION = re.compile(r"/session-[^/]+\.scope(/|$)", re.MULTILINE)
KILL_USER_PROCESSES = (
    *("busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1"),
    *("org.freedesktop.login1.Manager", "KillUserProcesses"),
)
MOVED_BACK = "then nothing is moved back and no power is given back; the hosts still undo their own part"
SHARED = (
    "The watchdog of this run shares its control group: what ends that as a whole (a cancelled job, a container or unit that is stopped) "
    f"ends both, and {MOVED_BACK}."
)
LINGERING_HELPS = "It would have one of its own if your account lingered (`loginctl enable-linger`, once)."
ENDS_WITH_LOG_OUT = (
    "The watchdog of this run ends with your last log-out from this machine (a session that drops is one): systemd then ends all that is "
    f"yours, and {MOVED_BACK}. `loginctl enable-linger` (once, for your account) lets it live on."
)


@dataclass(frozen=True)
class ControlGroup:
    """`words`: what the watchdog's command begins with to live there; `ended_by`: what would end it with its run, a sentence for the plan,
    empty where nothing is known that would."""

    words: list[str]
    ended_by: str = ""


def choose_control_group() -> ControlGroup:
    """The one that outlives the run where there is one, else the one that outlives more, with what it does not outlive."""
    if not SYSTEMD.is_dir():
        return ControlGroup([], SHARED)
    if own_uid() == 0:
        words = _tried("systemd-run", "--scope", "--quiet", "--collect")
        return ControlGroup(words, "" if words else SHARED)
    own_scope = _tried("systemd-run", "--user", "--scope", "--quiet", "--collect")
    if own_scope and _lingers():
        return ControlGroup(own_scope)
    if _session_outlives_log_out():
        return ControlGroup([], f"{SHARED} {LINGERING_HELPS}" if own_scope else SHARED)
    return ControlGroup(own_scope, ENDS_WITH_LOG_OUT) if own_scope else ControlGroup([], _both())


def _both() -> str:
    """Where nothing of systemd's can be had: within a session the log-out ends it, too, else the group alone."""
    return f"{SHARED} {ENDS_WITH_LOG_OUT}" if SESSION.search(_own_groups()) else SHARED


def _lingers() -> bool:
    """Does the user's service manager outlive his last session, by logind's own word?"""
    return _answer("loginctl", "show-user", str(own_uid()), "--property", "Linger", "--value") == "yes"


def _session_outlives_log_out() -> bool:
    """Is this process in a session's own scope, which logind leaves alone at the log-out?"""
    return bool(SESSION.search(_own_groups())) and _answer(*KILL_USER_PROCESSES) == "b false"


def _own_groups() -> str:
    try:
        return OWN_GROUPS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _tried(*words: str) -> list[str]:
    """The words, when `true` could be run behind them; else none."""
    return list(words) if _answer(*words, "true") is not None else []


def _answer(*words: str) -> str | None:
    """What a command printed; None when it could not be run, did not end in time or exited otherwise than with 0."""
    try:
        completed = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=QUESTION_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return completed.stdout.decode(errors="replace").strip() if completed.returncode == 0 else None
