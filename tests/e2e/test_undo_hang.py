"""*Service hang* stops the service's processes, and never what undoes it or the way by which it is done."""

from __future__ import annotations

import pytest
from namespaced_host import own_machine

from harness.core.deadline import Deadline
from harness.disrupt.service.service_hang import hang_script
from harness.hosts.deadman.deadman_switch import MARK, Deadman, remains
from harness.hosts.host import CommandFailed


@pytest.fixture
def here():
    with own_machine() as host:
        yield host


def test_what_is_marked_as_ours_goes_on(here):
    """A process of ours in the family of the service (as everything is of process 1's)."""
    family = here.start(["sh", "-c", f"{MARK}=x/y sleep 71 & sleep 72 & echo $$; wait"])
    pid = int(next(family.lines()))
    deadman = Deadman(here, "hang", longest=60)
    try:
        deadman.do(hang_script(pid), limit=120)
        states = dict(line.split()[::-1] for line in here.check("ps -eo stat=,args= | awk '/sleep 7[12]/ { print $1, $3 }'").splitlines())
        assert states["72"].startswith("T") and not states["71"].startswith("T"), states
        assert deadman.undo(Deadline(120)) is True
    finally:
        family.close()
    Deadline(120).wait_for(lambda: not remains(here), what="nothing of it being left")


def test_process_1_is_not_stopped(here):
    """It is where the shell that does it comes from, or the whole machine's."""
    deadman = Deadman(here, "hang", longest=60)
    with pytest.raises(CommandFailed, match=r"is the way by which it would be done|is everybody's"):
        deadman.do(hang_script(1), limit=120)
    assert "T" not in here.check("ps -eo stat=")
    assert deadman.undo(Deadline(120)) is True and remains(here) == []
