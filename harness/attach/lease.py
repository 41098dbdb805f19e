"""One run at a time per cluster: a folder on every node that says who disturbs it, until when, and that ends by itself.

The folder is made by mkdir, which only one can; taking, renewing and giving back are done under a lock on a folder beside it, which only
root may open, so that two who find an old lease cannot both take it, and nobody else can hold it. Times
are the node's own, since its boot: no clock that somebody sets moves them.
"""

from __future__ import annotations

import getpass
import math
import os
import re
import secrets
import shlex
import socket
import threading
import time
from collections.abc import Collection, Mapping

from harness.attach import windows_lease
from harness.config.cluster_config import Cluster
from harness.core.errors import DeadlineExceeded, HarnessError, Unusable
from harness.hosts.host import Host
from harness.hosts.root_rights import ROOT

FOLDER = "/run/lkharness-lease"
LEASE_DURATION_S = 30  # a harness that was killed holds a cluster for no longer, unless what it armed lasts longer
LEASE_MARGIN_S = 10
MAX_LEASE_S = 3600  # what says more is no lease: the script takes it for one of before a boot
RENEWAL_INTERVAL_S = 7.0
COMMAND_TIMEOUT_S = 10.0

# By its input, line by line, for everybody may read arguments: verb, folder, token, holder, term. Says `mine`, `gone`,
# `held <seconds left> <holder>`. Who gives back removes the folder of the lock while he holds it: who waited for it looks again.
_SCRIPT = r"""
read -r verb; read -r folder; read -r token; read -r holder; read -r term
command -v flock >/dev/null || { echo "flock is not installed; install the package util-linux" >&2; exit 3; }
umask 077
lock=$folder.lock again=0
until [ "$lock" -ef /proc/self/fd/9 ]; do
  again=$((again + 1))
  mkdir "$lock" 2>/dev/null
  is=$(stat -c '%u %a' "$lock" 2>/dev/null)
  [ -n "$is" ] || [ $again -ge 20 ] || continue  # removed since by who gives back
  [ ! -L "$lock" ] && [ "$is" = "$(id -u) 700" ] && [ $again -lt 20 ] &&
    exec 9<"$lock" && flock -w 5 9 && continue
  echo "$lock cannot be locked; it must be a folder of this account's own, with mode 700" >&2; exit 3
done
read -r now rest </proc/uptime; now=${now%.*}
write() {
  { echo "$token"; echo "$holder"; echo "$1"; echo "$((now + term))"; date -u +%Y-%m-%dT%H:%M:%SZ; } >"$folder/new" &&
    mv -f "$folder/new" "$folder/lease" || { echo "$folder cannot be written to" >&2; exit 3; }
  echo mine; exit 0
}
theirs= who= since= until=
[ -r "$folder/lease" ] && { read -r theirs; read -r who; read -r since; read -r until; } <"$folder/lease"
case $until in *[!0-9]*|"") until=0 ;; esac
if [ "$verb" = give ]; then
  [ "$theirs" = "$token" ] && rm -rf "$folder"
  [ -e "$folder" ] || rmdir "$lock"
  echo gone; exit 0
fi
[ -d "$folder" ] && [ "$theirs" = "$token" ] && write "$since"
if [ -d "$folder" ] && [ "$until" -gt "$now" ] && [ "$until" -le $((now + LONGEST)) ]; then
  echo "held $((until - now)) $who, since $since"; exit 0
fi
rm -rf "$folder"
mkdir "$folder" || exit 3
write "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
""".replace("LONGEST", str(MAX_LEASE_S))

INSTALLED = "/opt/lkharness/bin/lease"  # where a host's administrator may put it, root's own, so that sudoers can name it
_BY_ROOT = f"""
if [ -n "{ROOT}" ] && [ -x {INSTALLED} ]; then exec {ROOT} {INSTALLED}; fi
exec {ROOT} sh -c "$1" lkharness-lease
"""


def installed() -> str:
    """The program for INSTALLED: the same, for the one folder whatever it is told."""
    script = _SCRIPT.replace("read -r folder;", f"read -r folder; folder={FOLDER};", 1)
    return f"#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n{script.lstrip()}"


class LeaseHeld(Unusable):
    """Somebody else has the cluster; the message says who, and for how long."""


class Lease:
    """Take it with `take`, give it back with `give_back`; in between a thread renews it. `lost` says why it is not ours any more.

    With the `token` of another process's lease it is that one, to `resume` and to give back; `lasts_s`: what it covers. `windows`: the
    nodes that are asked by script.
    """

    def __init__(
        self,
        nodes: Mapping[str, Host],
        run: str,
        *,
        token: str = "",
        lasts_s: float = 0.0,
        folder: str = FOLDER,
        term_s: int = LEASE_DURATION_S,
        renew_s: float = RENEWAL_INTERVAL_S,
        windows: Collection[str] = (),
    ) -> None:
        self._windows = frozenset(windows)
        self._nodes = dict(sorted(nodes.items()))  # every run takes them in the same order, so that none waits for the other
        self.token = token or secrets.token_hex(8)
        self._holder = re.sub(r"[^\w@.:, -]", "?", f"{_user_and_host()}, process {os.getpid()}, run {run}")
        self._folder = folder
        self._term_s = max(term_s, _term_of(lasts_s)) if lasts_s else term_s
        self._renew_s = renew_s
        self._taken_nodes: list[str] = list(self._nodes) if token else []
        self._confirmed_at = 0.0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._other_holder_by_node: dict[str, str] = {}  # node → who has it there
        self.stolen = ""

    @property
    def loss_reason(self) -> str:
        """Why the cluster may no longer be disturbed; empty while it may."""
        if self.stolen:
            return self.stolen
        for name, other_holder in list(self._other_holder_by_node.items()):
            return f"{name}: another run seems to have this cluster: {other_holder}"
        limit_s = min(self._term_s, LEASE_DURATION_S)
        if self._taken_nodes and _now() - self._confirmed_at > limit_s:
            return f"the lease on the cluster could not be renewed for {limit_s} s on any node, so somebody else may have it"
        return ""

    def take(self) -> None:
        """Take it on every node, or on none. Raises LeaseHeld, Unusable, and what the hosts raise."""
        asked_at = _now()
        try:
            for name, host in self._nodes.items():
                if other_holder := self._say(host, "take"):
                    raise LeaseHeld(
                        f"{name}: another run has this cluster: {other_holder}; wait for its end (a lease whose run died ends by itself)"
                    )
                self._taken_nodes.append(name)
        except BaseException:
            self.give_back()
            raise
        self._confirmed_at = asked_at
        self.keep_renewing()

    def cover(self, seconds: float, *, within: bool = False) -> None:
        """From now on it ends, when nobody renews it, after what is armed for `seconds` has undone itself; on the nodes at once.

        `within`: something else stands, whose undoing may come later than this one's, so that the term becomes no shorter. Raises Unusable
        where that could not be written on every node.
        """
        self._term_s = max(_term_of(seconds), self._term_s if within else 0)
        for name, host in self._nodes.items():
            if other_holder := self._say(host, "renew"):
                self._other_holder_by_node.setdefault(name, other_holder)
                raise Unusable(f"{name}: another run has this cluster: {other_holder}")

    @property
    def line(self) -> str:
        """A line of a node's shell that exits 0 only while the lease there is this one, asked under the lock of who takes it."""
        folder = shlex.quote(self._folder)
        token_matches = f'[ "$(head -n 1 {folder}/lease 2>/dev/null)" = {shlex.quote(self.token)} ]'
        return f"( exec 9<{folder}.lock && flock -w 5 9 && {token_matches} )"

    def resume(self) -> bool:
        """Go on with the lease whose `token` this was made with, whose process is dead. False while no node can be asked.

        `stolen` says afterwards when somebody else has it by now.
        """
        self._renew_everywhere()
        if not self._confirmed_at and not self.stolen:
            return False
        self.keep_renewing()
        return True

    def keep_renewing(self) -> None:
        """Renew it from now on, on every node that can be asked. Where it has ended meanwhile, and nobody has it, it is taken anew."""
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def leave_to_another(self) -> None:
        """Renew it no more and leave it as it is: another process that knows its token goes on with it."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def give_back(self) -> list[str]:
        """Remove it where it is ours. Returns what could not be done: there it ends by itself."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        faults = []
        while self._taken_nodes:
            name = self._taken_nodes.pop()
            try:
                self._say(self._nodes[name], "give")
            except HarnessError as error:
                faults.append(f"{name}: the lease could not be removed ({error}); it ends by itself within {self._term_s} s")
        return faults

    def _renew(self) -> None:
        """A node that a disruption took away cannot be asked: the other's lease keeps others away, and it gets its own back."""
        while not self.stolen and not self._ended.wait(self._renew_s):
            self._renew_everywhere()

    def _renew_everywhere(self) -> None:
        """A node that has just booted may be held for a moment by a run that the other node then refuses: who has it twice has it."""
        for name, host in self._nodes.items():
            asked_at = _now()
            try:
                other_holder = self._say(host, "renew")
            except (Unusable, DeadlineExceeded):
                continue  # `lost` tells when this was so on every node for too long
            if other_holder and name in self._other_holder_by_node:
                self.stolen = f"{name}: another run has this cluster now: {other_holder}"
                return
            if other_holder:
                self._other_holder_by_node[name] = other_holder
                continue
            self._other_holder_by_node.pop(name, None)
            self._confirmed_at = asked_at

    def _say(self, host: Host, verb: str) -> str:
        """Empty when it is ours now (or gone); otherwise who has it."""
        if host.name in self._windows:
            terms = {"term_s": self._term_s, "longest_s": MAX_LEASE_S}
            return windows_lease.say(host, verb, self.token, self._holder, **terms, limit=COMMAND_TIMEOUT_S)
        script_input = "\n".join([verb, self._folder, self.token, self._holder, str(self._term_s), ""])
        result = host.run(["sh", "-c", _BY_ROOT, "lkharness-lease", _SCRIPT], limit=COMMAND_TIMEOUT_S, input=script_input.encode())
        reply = result.out.strip()
        if result.ok and reply in ("mine", "gone"):
            return ""
        if result.ok and (match := re.match(r"held (\d+) (.*)", reply)):
            return f"{match[2]}, for another {match[1]} s unless it is renewed"
        last_line = (result.err.strip() or reply or "nothing").splitlines()[-1]
        raise Unusable(
            f"{host.name}: the lease {self._folder}, which keeps two runs from disturbing one cluster, could not be had: {last_line}; "
            "log in as root, or set ssh.sudo"
        )


def on_windows(cluster: Cluster) -> list[str]:
    """The nodes whose lease is kept by script."""
    return [n.name for n in cluster.nodes if n.platform == "windows"]


def _term_of(lasts_s: float) -> int:
    """The term in seconds that covers what is armed for so long."""
    return min(max(LEASE_DURATION_S, math.ceil(lasts_s) + LEASE_MARGIN_S), MAX_LEASE_S)


def _now() -> float:
    """Seconds that go on while this machine sleeps, as the nodes' own count does meanwhile."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _user_and_host() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError, ImportError):  # a user without a name; on Windows without the variables that hold it
        return f"user {os.getuid() if hasattr(os, 'getuid') else 'unknown'}@{socket.gethostname()}"
