"""The file system that holds the database is filled to the last block."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, Inconclusive, Unusable
from harness.disrupt.bases.host_fault_base import SBIN, OnHost
from harness.disrupt.bases.listening_process import listener_process
from harness.disrupt.disruption import BY_FAILURE, Effect, Step, both
from harness.disrupt.move_permission import demand_lease, hindrances, manager_reasons, mirror_reasons
from harness.disrupt.service.service_hang import FAMILY
from harness.expectations import outage_budget
from harness.hosts.deadman.deadman_switch import RUN, Deadman, Script
from harness.hosts.host import HostUnreachable
from harness.hosts.root_rights import as_root
from harness.services import service_registry

if TYPE_CHECKING:
    from harness.cluster.cluster_under_test import ClusterUnderTest
    from harness.hosts.host import Host
    from harness.managers.manager import ClusterState

# Where the listener works is its data directory. Then, a line each: where its file system is mounted; what of the node's own lies on it;
# whether the node mounts it by itself at boot; and who else has files there, seen twice.
_WHERE = """
d=$(readlink /proc/{pid}/cwd) && its=$(stat -c %d "$d") || exit 1
place=$(df -P "$d" | awk 'NR == 2 {{ for (i = 6; i <= NF; i++) printf "%s%s", (i > 6 ? " " : ""), $i }}')
printf '%s\\n' "$place"
for own in {own}; do [ "$(stat -Lc %d $own 2>/dev/null)" != "$its" ] || printf '%s ' $own; done; echo
awk -v m="$place" '$1 !~ /^#/ && $2 == m && $4 !~ /(^|,)noauto(,|$)/ {{ print "fstab"; exit }}' /etc/fstab 2>/dev/null | tr -d '\\n'; echo
family=" $({family} | tr '\\n' ' ')"
others() {{
  stat -Lc '%d %n' /proc/[0-9]*/cwd /proc/[0-9]*/fd/* 2>/dev/null |
    awk -v d="$its" '$1 == d {{ split($2, x, "/"); print x[3] }}' | sort -u |
    while read -r p; do case $family in *" $p "*) ;; *) echo "$p" ;; esac; done
}}
first=$(others)
[ -z "$first" ] || sleep 1
[ -z "$first" ] || for p in $(others); do
  case " $(echo $first) " in *" $p "*) printf '%s (%s) ' "$(cat /proc/$p/comm 2>/dev/null)" "$p" ;; esac
done
echo
"""
_NODES_OWN = (
    "/",
    "/boot",
    "/etc",
    "/home",
    "/opt",
    "/root",
    "/run",
    "/tmp",
    "/usr",
    "/var",
    "/var/lib",
    "/var/log",
    "/var/log/audit",
    "/var/tmp",
)
# On the node that has it mounted the file goes, and is seen to have gone. A file that is not there where no disk is mounted proves nothing,
# so a node without the disk goes on, until it has it, or is told that the other node has seen to it.
_MOUNTED = """
mounted() {{ awk -v m={mounted} '$2 == m {{ found = 1 }} END {{ exit !found }}' /proc/mounts; }}
mounted || {{ echo {not_mounted} >&2; exit 1; }}
"""
_REMOVE = (
    _MOUNTED
    + """
rm -f {file}
[ ! -e {file} ] && echo "note: "{file_said}" is not on the disk"
"""
)
_REMOVED = _MOUNTED + "[ ! -e {file} ]"
_FREE = "df -Pk {place} | awk 'NR == 2 {{ print $4 }}'"
# What root alone may use (reserved blocks) is not counted as free, and so stays free. Somebody else may take some meanwhile: less, then.
# Where the disk has gone meanwhile, the node's own would be filled, below the place where it was, and nobody would look there again.
_FILL = (
    _MOUNTED
    + """
umask 077
for spare in 0 64 1024 8192; do
  free=$({free})
  [ "$free" -gt $spare ] || {{ : >{file}; exit 0; }}
  fallocate -l $(((free - spare) * 1024)) {file} 2>"$d/why" && exit 0
  rm -f {file}
done
cat "$d/why" >&2; exit 1
"""
)


class SharedDiskFull(OnHost):
    """What a full disk does to a database is its own affair: it may refuse writes, or stop and be found dead; no fact says more (to
    LifeKeeper such a disk may be ISU: LKL-15). So nothing is demanded while it lasts; afterwards everything must have recovered."""

    on_windows = "which volume nothing but the database lives on is not found out there"
    name = "shared disk full"
    sentence = "the file system with the database's files is filled to the last block"
    needs = BY_FAILURE
    failures = 1
    expects = both(Effect.ANY, Effect.ANY, Effect.ANY)

    def __init__(self, subject: ClusterUnderTest) -> None:
        super().__init__(subject)
        self._place = ""
        self._database = next((s for s in subject.cluster.services if service_registry.kind(s.kind).data_on_shared_disk), None)

    def allowance(self) -> outage_budget.Allowance:
        return outage_budget.service_crash(self._subject.cluster)

    @property
    def lasts_s(self) -> float:
        return 2.0 + self._subject.cluster.manager.check_interval_s

    def skip_reason(self) -> str | None:
        if self._database is None:
            return "the cluster has no database such as PostgreSQL, whose data directory would tell where the shared disk is"
        return self._needs("fallocate", "util-linux")

    def steps(self) -> list[Step]:
        self._place = self._find_place(Deadline(10.0))
        peer = self._subject.cluster.peer_of(self._node).name
        return [*super().steps(), Step(peer, "undo", self._removal()[0])]

    def _find_place(self, deadline: Deadline) -> str:
        """Where the database's file system is mounted. Raises Unusable when anything but the database lives on it."""
        assert self._database is not None, "skip_reason says so"
        pid = listener_process(self._subject, self._node, self._database.port).pid
        script = _WHERE.format(pid=pid, own=" ".join(_NODES_OWN), family=FAMILY.format(pid=pid))
        lines = self._subject.hosts[self._node].check(as_root(script), limit=deadline.within(20.0)).splitlines()
        if why := reason_not_to_fill(lines):
            raise Unusable(f"{self._node}: {why}; filling it would break more than the database")
        return lines[0]

    def begin(self, deadline: Deadline) -> None:
        self._place = self._find_place(deadline)
        # After a failover the file is on the other node, so both see to it that it goes.
        peer = self._subject.cluster.peer_of(self._node).name
        self._arm(peer).do(Script(":", *self._removal()), limit=deadline.within(30.0))
        super().begin(deadline)

    @property
    def _file(self) -> str:
        return shlex.quote(f"{self._place.rstrip('/')}/.lkharness-{RUN}")

    def _removal(self) -> tuple[str, str]:
        return removal(self._place, self._file)

    @property
    def _on_its_way_s(self) -> float:
        """How long a file system may be mounted on neither node, while everything moves."""
        timers = self._subject.cluster.manager
        return timers.check_interval_s + timers.takeover_s

    @property
    def longest_s(self) -> float:
        """The disk may be on its way for some time, and is waited for."""
        return super().longest_s + self._on_its_way_s

    def _arm(self, host: str) -> Deadman:
        """That waiting is within the stated time. The node that has the disk undoes it for both."""
        deadman = super()._arm(host)
        deadman.longest, deadman.one_for_all = super().longest_s, True
        return deadman

    def script(self, id: str) -> Script:
        return Script(filling(self._place, self._file), *self._removal())

    def took_effect(self, deadline: Deadline) -> None:
        full = f"[ $({_free_space_line(self._place)}) -lt 1024 ]"  # in KiB
        deadline.wait_for(lambda: self._holds_on_target(full, deadline), what=f"{self._place} on {self._node} being full")

    def _remove(self, deadline: Deadline) -> bool:
        """On the node that has the disk, and seen there; then the other need not wait for it. False where no node has it."""
        hosts = [self._subject.hosts[node.name] for node in self._subject.cluster.nodes]

        def is_removed() -> bool:
            return any(self._is_removed(host, deadline) for host in hosts)

        try:
            Deadline(deadline.within(self._on_its_way_s)).wait_for(is_removed, what=f"{self._place} being mounted", every=0.5)
        except DeadlineExceeded as error:  # so it is not undone, which `OnHost.undo` says
            self._subject.timeline.note(self._node, "disk", f"{self.name}: each node goes on looking by itself: {error}")
            return False
        for deadman in self._armed:
            deadman.mark_settled()
        return True

    def _is_removed(self, host: Host, deadline: Deadline) -> bool:
        """Is the disk mounted there, and the file removed?"""
        undo, check = removal(self._place, self._file)
        try:
            completed = host.run(as_root(SBIN + f"{undo}\n{check}"), limit=max(deadline.within(10.0), 2.0))
        except (HostUnreachable, DeadlineExceeded):
            return False
        return completed.ok and "note: " in completed.out

    def undo(self, deadline: Deadline) -> None:
        """When the disk has brought everything down on both nodes, start it again: no cluster does that by itself (facts LKL-42).

        Raises Inconclusive where it must not be started here: another node may be in the middle of it.
        """
        was_begun = bool(self._armed)  # else nothing was done, or it is undone: no disk is to be waited for
        try:
            if was_begun and not self._remove(deadline):
                self._wait_until_in_service(deadline)  # which is what mounts it
                self._remove(deadline)
        finally:
            super().undo(deadline)
        if was_begun:
            self._wait_until_in_service(deadline)

    def _wait_until_in_service(self, deadline: Deadline) -> None:
        timers = self._subject.cluster.manager
        try:
            soon = Deadline(deadline.within(timers.check_interval_s + timers.takeover_s))
            soon.wait_for(self._subject.state, until=lambda s: s.active is not None, what="the cluster being in service again", every=0.3)
        except DeadlineExceeded:
            self._start_again(deadline)

    def _start_again(self, deadline: Deadline) -> None:
        """Where every node is heard, nothing is on its way on any, the copy of the data is complete and the cluster still this run's."""
        subject, manager = self._subject, self._subject.manager

        def is_at_rest(state: ClusterState) -> bool:
            return state.active is not None or not hindrances(state, self._node)

        try:
            state = deadline.wait_for(subject.state, until=is_at_rest, what="a cluster that may be started again", every=0.5)
        except DeadlineExceeded:
            state = subject.state()
        if state.active is not None:
            return
        demand_lease(subject, deadline)
        reasons = hindrances(state, self._node) or manager_reasons(subject, state, self._node)[0] or mirror_reasons(subject, self._node)
        if reasons:
            raise Inconclusive(
                f"{self.name} is undone, but the cluster is in service on neither node, and was not started again on {self._node}, because "
                f"{'; '.join(reasons)}; what starts it: on {self._node}, as root, `{manager.by_hand_line(self._node)}`"
            )
        manager.switch_over(self._node, deadline=deadline)


def removal(place: str, file: str) -> tuple[str, str]:
    """The undoing and its check, for either node. `file` is quoted for the shell."""
    said = shlex.quote(
        f"{place} is not mounted here, so whether the file that fills it is still on it is not known; where it is mounted, "
        f"remove {shlex.split(file)[0]}, then this folder"
    )
    words = {"mounted": _in_mounts(place), "not_mounted": said, "file": file, "file_said": file}
    return _REMOVE.format(**words), _REMOVED.format(**words)


def filling(place: str, file: str) -> str:
    """What fills it, where it is still mounted. `file` is quoted for the shell."""
    said = shlex.quote(f"{place} is not mounted here any more, so it was not filled")
    return _FILL.format(mounted=_in_mounts(place), not_mounted=said, free=_free_space_line(place), file=file)


def _in_mounts(place: str) -> str:
    """As /proc/mounts has it and awk reads it, quoted for the shell."""
    return shlex.quote(place.replace("\\", "\\\\").replace(" ", "\\\\040"))


def _free_space_line(place: str) -> str:
    return _FREE.format(place=shlex.quote(place))


def reason_not_to_fill(lines: Sequence[str]) -> str:
    """Why a file system must not be filled, from what `_WHERE` printed; empty when it may. Pure."""
    place, own_places, fstab, others = ([*lines, "", "", "", ""])[:4]
    if own_places.strip():
        return f"the database lies on a file system that holds the node's own {', '.join(own_places.split())}"
    if fstab.strip():
        return f"{place}, where the database lies, is mounted at boot by /etc/fstab, so it is not the cluster's alone"
    if others.strip():
        return f"{others.strip()} has files on {place}, too"
    return ""
