"""A user of the node with a shell and no rights: gains nothing by what an undoing leaves there, stops nothing, and is no finding."""

from __future__ import annotations

import os

import pytest
from namespaced_host import NOBODY, as_nobody, own_machine

from harness.core.deadline import Deadline
from harness.hosts.deadman import deadman_scripts as scripts
from harness.hosts.deadman.deadman_switch import FOLDER, MARK, RUN, Deadman, Script, remains
from harness.hosts.host import CommandFailed

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="another user's commands need root")
LATE_S = 15.0


@pytest.fixture
def here():
    with own_machine() as host:
        host.check("mount -t tmpfs -o mode=1777 none /var/tmp && chmod 755 /run && mkdir -m 700 /run/things")
        yield host


@pytest.fixture
def nobody(here):
    host = as_nobody(here)
    assert host.check("id -u").strip() == str(NOBODY)
    return host


THING = Script("touch /run/things/done", "rm -f /run/things/done", "[ ! -e /run/things/done ]")


def there(here) -> bool:
    return here.run("[ -e /run/things/done ]").ok


def test_arguments_tell_no_name_and_no_text(here, nobody):
    """Neither the run, nor the disruption, nor what is done and undone stands where everybody can read it, now or while it is armed."""
    deadman = Deadman(here, "a thing", longest=60)
    deadman.do(Script(f"ps -eo args= >/run/things/seen; {THING.act}", THING.undo, THING.check), limit=120)
    seen = here.check("cat /run/things/seen") + nobody.check("ps -eo args=")
    assert "deadman" in seen  # so that it would have been seen
    for word in (RUN, "a-thing", "things/done"):
        assert word not in seen.replace("/run/things/seen", ""), seen
    assert deadman.undo(Deadline(120)) is True


def test_a_folder_of_somebody_elses_is_not_obeyed(here, nobody):
    """He who has guessed the name makes the folder wherever he can, with an undoing of his own: the harness runs its own text."""
    deadman = Deadman(here, "a thing", longest=60)
    deadman.do(THING, limit=120)
    for base in ("/var/tmp/lkharness", "/tmp/lkharness"):
        for where in (f"{base}/{deadman.of}", f"{base}/{deadman.token}"):
            nobody.run(f"mkdir -p {where} && echo 'id >/run/things/stolen' >{where}/undo && echo : >{where}/check && : >{where}/lock")
    assert not nobody.run(f"echo x >{FOLDER}/{deadman.token}/undo || mv {FOLDER} /run/x || ls {FOLDER}").ok
    try:
        assert deadman.undo(Deadline(120)) is True
        assert not there(here) and not here.run("[ -e /run/things/stolen ]").ok
        assert remains(here) == []
    finally:
        here.run("rm -rf /tmp/lkharness")


@pytest.mark.parametrize("made", [f"install -d -o {NOBODY} -m 700 {FOLDER}", f"install -d -m 777 {FOLDER}", f"ln -s /run/things {FOLDER}"])
def test_nothing_is_armed_in_a_folder_that_is_not_roots_alone(here, made):
    here.check(made)
    with pytest.raises(CommandFailed, match=r"could not be armed: /run/lkharness is not a folder of root's own with mode 0700"):
        Deadman(here, "a thing", longest=60).do(THING, limit=120)
    assert not there(here)


def test_a_run_folder_that_others_may_write_to_is_not_used(here):
    here.check("chmod 777 /run")
    with pytest.raises(CommandFailed, match="could not be armed"):
        Deadman(here, "a thing", longest=60).do(THING, limit=120)
    assert not there(here)


def test_what_another_user_made_is_nothing_of_ours(here, nobody):
    """Folders, links to what only root may read, fifos, processes with our mark and escape sequences: no line, and no wait."""
    nobody.check("mkdir -p /var/tmp/lkharness/a/b /var/tmp/lkharness/c/d && ln -s /etc/shadow /var/tmp/lkharness/a/b/failed")
    nobody.check("mkfifo /var/tmp/lkharness/c/d/failed")
    strangers = [
        nobody.start(["env", f"{MARK}=x\x1b]0;title\x07", "sleep", "60"]),
        # hidden from /proc's owner by the kernel, which calls root the owner of what may not be dumped
        nobody.start(["env", f"{MARK}={RUN}/y", "python3", "-c", UNDUMPABLE]),
    ]
    try:
        Deadline(LATE_S).wait_for(lambda: here.run("pgrep -f undumpable").ok and here.run("pgrep -x sleep -u nobody").ok, what="both there")
        assert remains(here, limit=LATE_S) == []
    finally:
        for process in strangers:
            process.close()


UNDUMPABLE = "import ctypes, time; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); 'undumpable'; time.sleep(60)"


def test_a_folder_that_somebody_removed_is_no_proof(here):
    """Root himself cleans /run, and the thing is still done: it is seen, and undone."""
    deadman = Deadman(here, "a thing", longest=60)
    deadman.do(THING, limit=120)
    here.check(f"rm -rf {FOLDER}")
    assert deadman.undo(Deadline(120)) is True
    assert not there(here)


def test_half_a_script_does_nothing(here):
    """A connection that is lost while the text is on its way: not even the undoing begins, wherever it is cut off."""
    whole = scripts.undoing_input("0" * 16, "r/n", "touch /run/things/cut", ":")
    words = ["sh", "-c", scripts.BY_INPUT, "cut"]
    for cut in range(0, len(whole) - 2, 37):
        here.run(words, input=whole[:cut])
    assert not here.run("[ -e /run/things/cut ]").ok
