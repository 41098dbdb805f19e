"""*shared disk full*, as text on a machine of its own: which disk may be filled, and that the file goes from the disk, wherever that is."""

from __future__ import annotations

import pytest
from namespaced_host import own_machine

from harness.core.deadline import Deadline
from harness.disrupt.service.service_hang import FAMILY
from harness.disrupt.service.shared_disk_full import _NODES_OWN, _WHERE, reason_not_to_fill, removal
from harness.hosts.deadman.deadman_switch import Deadman, Script, UndoFailed, remains

LATE_S = 20.0


@pytest.fixture
def here():
    with own_machine() as host:
        host.check("mkdir '/run/the disk' /run/elsewhere && mount -t tmpfs none '/run/the disk'")
        yield host


FILE = "'/run/the disk/.lkharness-abc'"


def test_the_file_goes_when_the_disk_comes(here):
    """The undoing comes while the disk is mounted nowhere: an empty mount point is no proof; it is not undone, and says so."""
    deadman = Deadman(here, "full", longest=60)
    deadman.do(Script(f": >{FILE}", *removal("/run/the disk", FILE)), limit=120)
    here.check("mount --bind '/run/the disk' /run/elsewhere && umount '/run/the disk'")
    with pytest.raises(UndoFailed, match=r"/run/the disk is not mounted here.*remove /run/the disk/.lkharness-abc"):
        deadman.undo(Deadline(0.3))
    assert here.run("[ -e /run/elsewhere/.lkharness-abc ]").ok
    here.check("mount --bind /run/elsewhere '/run/the disk'")
    assert deadman.undo(Deadline(LATE_S)) is True
    assert "note: /run/the disk/.lkharness-abc is not on the disk" in deadman.undo_output
    assert not here.run("[ -e /run/elsewhere/.lkharness-abc ]").ok
    nothing_remains(here)


def test_the_host_itself_goes_on_until_it_has_seen_the_disk(here):
    deadman = Deadman(here, "full", longest=0.5)
    deadman.do(Script(f": >{FILE}", *removal("/run/the disk", FILE)), limit=120)
    here.check("mount --bind '/run/the disk' /run/elsewhere && umount '/run/the disk'")

    def waiting() -> bool:
        return any("is not mounted here" in line for line in remains(here))

    Deadline(LATE_S).wait_for(waiting, what="its saying why it goes on", every=0.05)
    here.check("mount --bind /run/elsewhere '/run/the disk'")
    nothing_remains(here)
    assert not here.run("[ -e /run/elsewhere/.lkharness-abc ]").ok


def nothing_remains(host) -> None:
    Deadline(LATE_S).wait_for(lambda: remains(host), until=lambda left: left == [], what="nothing being left", every=0.05)


def test_who_does_not_have_the_disk_ends_when_it_is_told(here):
    """By the run, or by its watchdog, when the other node has removed the file."""
    here.check("umount '/run/the disk'")
    deadman = Deadman(here, "full", longest=60)
    deadman.do(Script(":", *removal("/run/the disk", FILE)), limit=120)
    deadman.mark_settled()
    assert deadman.undo(Deadline(LATE_S)) is True and "note:" not in deadman.undo_output
    nothing_remains(here)  # its shell ends a moment after its word


def where(host, pid: int) -> list[str]:
    return host.check(_WHERE.format(pid=pid, own=" ".join(_NODES_OWN), family=FAMILY.format(pid=pid)), limit=LATE_S).splitlines()


def test_only_a_disk_of_the_databases_own_is_filled(here):
    """Its own; then with somebody else's files; then on a file system of the node."""
    database = here.start(["sh", "-c", "cd '/run/the disk' && echo $$ && exec sleep 61"])
    pid = int(next(database.lines()))
    assert where(here, pid)[0] == "/run/the disk" and reason_not_to_fill(where(here, pid)) == ""
    other = here.start(["sh", "-c", "exec 3>'/run/the disk/journal' && echo $$ && exec sleep 62"])
    theirs = int(next(other.lines()))
    assert reason_not_to_fill(where(here, pid)) == f"sleep ({theirs}) has files on /run/the disk, too"
    own = here.start(["sh", "-c", "cd /run && echo $$ && exec sleep 63"])
    assert "holds the node's own /run" in reason_not_to_fill(where(here, int(next(own.lines()))))
    for process in (database, other, own):
        process.close()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (["/data", "", "", ""], ""),
        (["/var", "/var /var/log ", "", ""], "holds the node's own /var, /var/log"),
        (["/data", "", "fstab", ""], "mounted at boot by /etc/fstab"),
        (["/data", "", "", "mysqld (7) "], "mysqld (7) has files on /data, too"),
    ],
)
def test_why_not(said, why):
    assert why in reason_not_to_fill(said) and bool(reason_not_to_fill(said)) == bool(why)
