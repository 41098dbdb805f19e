"""Runs on an agent's host, behind agent_folder.py: prints what the agent saw (`do`: follow), asks it to end (stop), or ends it and removes
all it left (clean).

Python 3.6 or newer, standard library only. The one argument is JSON: do, folders (follow has one), and `offset`,
from which byte of the spool on to follow.
Follow prints a line `h running|dead|gone`, then the spool's lines, live, and last `x`, when the agent has ended and all was printed.
It answers each line `ping N` with `p N MONOTONIC WALL` at once, on `renew` has the agent's kept connections made anew,
and ends with its input, or when no ping came for a minute.
Stop and clean print one JSON line, {} or {error}.
"""
# ruff: noqa: F821, PTH106, PTH116, PTH118, PTH119, PTH123, PTH208, SIM105, UP031

import fcntl
import json
import os
import select
import signal
import sys
import time

PREFIX = "lkharness-agent-"
LOOK_S, BLOCK = 0.02, 65536
ALIVE_EVERY_S, PATIENCE_S, END_S = 0.3, 60.0, 3.0
mono = time.monotonic


class NobodyReads(Exception):
    """The harness has gone."""


def say(data):
    """Writes to the harness; raises NobodyReads when it takes nothing."""
    poll = select.poll()
    poll.register(1, select.POLLOUT)
    while data:
        if not poll.poll(PATIENCE_S * 1000):
            raise NobodyReads
        try:
            data = data[os.write(1, data) :]
        except BlockingIOError:
            pass
        except OSError as error:
            raise NobodyReads from error


class Follower:
    """Passes an agent's spool on as it grows."""

    def __init__(self, folder, offset):
        self.folder, self.offset = folder, offset
        self.spool = None
        self.asked, self.heard = b"", mono()
        self.input = select.poll()
        self.input.register(0, select.POLLIN)

    def run(self):
        """Follows until the agent has ended and everything was passed on."""
        os.set_blocking(1, False)
        try:
            self.spool = os.open(os.path.join(self.folder, "spool"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.flock(self.followers(), fcntl.LOCK_SH)  # until the end of this process: an agent that nobody follows ends
        except OSError:
            return say(b"h gone\nx\n")
        say(b"h running\n" if alive(self.spool) else b"h dead\n")
        look_at = 0.0
        while self.answer(LOOK_S):
            if self.pass_on():
                continue
            if mono() >= look_at:
                look_at = mono() + ALIVE_EVERY_S
                if not alive(self.spool):
                    while self.pass_on():  # what it wrote last
                        pass
                    return say(b"x\n")

    def followers(self):
        """The file whose lock says that somebody follows."""
        return os.open(os.path.join(self.folder, "followers"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def answer(self, wait):
        """Answer pings for `wait` seconds at most; False when the harness has gone."""
        if not self.input.poll(wait * 1000):
            return mono() - self.heard < PATIENCE_S
        data = os.read(0, 4096)
        lines = (self.asked + data).split(b"\n")
        self.asked, self.heard = lines.pop(), mono()
        for line in lines:
            word, _, number = line.partition(b" ")
            if word == b"ping":
                say(b"p %s %.9f %.9f\n" % (number, mono(), time.time()))
            elif word == b"renew":
                os.close(os.open(os.path.join(self.folder, "renew"), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        return bool(data)

    def pass_on(self):
        """Print what is new, whole lines only; False when nothing is."""
        data = os.pread(self.spool, BLOCK, self.offset)
        data = data[: data.rfind(b"\n") + 1]
        say(data)
        self.offset += len(data)
        return bool(data)


def stop(folder):
    """Asks an agent to end."""
    ask_to_end(opened(folder))


def ask_to_end(place):
    """Leaves the file in an agent's folder that asks it to end."""
    os.close(os.open("stop", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=place))


def holders(spool):
    """Who holds the agent's lock on its spool, by the kernel's word. What the spool says of itself is not asked."""
    wanted, found = os.fstat(spool), []
    with open("/proc/locks") as locks:
        rows = [line.split() for line in locks]
    for row in rows:  # number, FLOCK, ADVISORY, WRITE, pid, device:inode, from, to; one that waits has an arrow after its number
        if row[1] == "FLOCK" and row[3] == "WRITE" and row[5].rpartition(":")[2] == str(wanted.st_ino):
            found.append(int(row[4]))
    return [pid for pid in found if pid > 0 and has_open(pid, wanted)]


def has_open(pid, wanted):
    """Whether a process has that file open."""
    try:
        for name in os.listdir("/proc/%d/fd" % pid):
            try:
                if os.path.samestat(os.stat("/proc/%d/fd/%s" % (pid, name)), wanted):
                    return True
            except FileNotFoundError:
                pass  # closed meanwhile
    except OSError:
        pass  # it has ended, or is another user's and so no agent of ours
    return False


def until(done):
    """Waits until that is so, END_S seconds at most; returns whether it is."""
    end = mono() + END_S
    while not done():
        if mono() >= end:
            return False
        select.select([], [], [], 0.01)
    return True


def clean(folder):
    """Ends an agent and removes its folder, whatever state they are in."""
    place = opened(folder)
    ask_to_end(place)
    try:
        spool = os.open("spool", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=place)
    except FileNotFoundError:
        spool = None
    if spool is not None and not until(lambda: not alive(spool)):
        for pid in holders(spool):  # the agent, stopped or hung: it is ended by force
            os.kill(pid, signal.SIGKILL)
        until(lambda: not alive(spool))
    for name in os.listdir(place):
        os.unlink(name, dir_fd=place)
    os.rmdir(folder)
    if not until(lambda: not alive(place)):
        raise OSError("the agent's guard does not end; end what still runs of it by hand")


def main():
    """Follows, stops or cleans, as the plan says."""
    plan = json.loads(sys.argv[1])
    for folder in plan["folders"]:
        if not os.path.basename(folder).startswith(PREFIX):
            raise SystemExit("%s is no folder of an agent" % folder)
    if plan["do"] == "follow":
        try:
            Follower(plan["folders"][0], plan["offset"]).run()
        except NobodyReads:
            pass
        return
    trouble = []
    for folder in plan["folders"]:
        try:
            (clean if plan["do"] == "clean" else stop)(folder)
        except FileNotFoundError:
            pass  # it is gone already, or another one was taken
        except OSError as error:
            trouble.append("%s: %s" % (folder, error))
    print(json.dumps({"error": "; ".join(trouble)} if trouble else {}))


main()
