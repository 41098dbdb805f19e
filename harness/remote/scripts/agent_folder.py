"""The first part of what is asked of an agent's folder on its host (sent as one script with what asks): is it an agent's, does it live?"""
# ruff: noqa: UP031

import fcntl
import os


def alive(spool):
    """The agent holds a lock on its spool as long as it lives."""
    try:
        fcntl.flock(spool, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(spool, fcntl.LOCK_UN)
    return False


class Foreign(OSError):
    """A folder that bears an agent's name and is somebody else's: nothing in it is believed or touched."""


def opened(folder):
    """The folder of an agent of ours: made by this user, for nobody else. Most places for one are everybody's to write to."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    found = os.fstat(place)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(place)
        raise Foreign("it is not an agent's own (user %d, mode %o), and was left alone" % (found.st_uid, found.st_mode & 0o7777))
    return place
