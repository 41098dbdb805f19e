"""Runs on a host: measures connections without pause, tells what changes there, and lives on when the harness's connection is lost.

Sent as one script: agent_attempts.py, agent_monitors.py, agent.py, agent_start.py, one after the other; for weeks without a harness
flight_recorder.py takes the last one's place. Python 3.6 or newer, standard library only, no root.
The one argument is JSON:
  series [{id, destination, port, kind new|pinned, period, limit, http, say, expect, again (base64, the last two regular expressions)}],
  watch {vip, ports, log, every}, lifetime, orphan (it ends when nobody has followed it for so many seconds),
  keep (seconds that the spool outlives its writer), max_open,
  folders (full names of which the first that can be made is taken; the last part begins with lkharness-agent-).
It goes into the background, prints one JSON line, {folder, pid} or {error}, and writes what it sees to a file, the spool.

Lines of the spool, times in µs since `t0`: a {header}; s TRACK AT TOOK OUTCOME PORT DETAIL; v {event}; n AT TICKS LATE WORST STEAL LOAD;
e {at, reason, final, samples}. agent_control.py prints it.
"""
# ruff: noqa: F821, PTH120, PTH102, PTH106, PTH108, PTH110, PTH112, PTH118, PTH123, PTH208, SIM105, UP031

import fcntl
import json
import os
import resource
import select
import signal
import struct
import sys
import time

LINES = 200  # one write to the spool for so many

SPOOL_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
NOT_BEGUN = 4  # how a worker exits that could not begin
MIN_FREE_BYTES = 4096  # bytes kept free, so that a full disk can still be told


class Ended(Exception):
    """The agent's end, and its reason. After a final one it makes no sense to start another."""

    def __init__(self, reason, final=True):
        Exception.__init__(self, reason)
        self.final = final


class Agent:
    """Everything that one process measures, in one loop."""

    rst = struct.pack("ii", 1, 0)  # closed with RST: no TIME_WAIT, and the port is free again at once
    flush_s = 0.05
    reserves = True  # a little of the disk, to tell that it is full
    first = True  # scheduled before others, where that is allowed

    def __init__(self, plan, folder, guard):
        self.folder, self.guard, self.t0 = folder, guard, mono()
        self.end = self.t0 + plan["lifetime"]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard > soft or hard == resource.RLIM_INFINITY:
            soft = 65536 if hard == resource.RLIM_INFINITY else hard
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.max_open = max(1, min(plan["max_open"], soft - 32))
        self.epoll, self.by_fd, self.sockets = select.epoll(), {}, 0
        self.lines, self.samples, self.stopping = [], 0, ""
        self.series = [self.kind(t["kind"])(self, i, t) for i, t in enumerate(plan["series"])]
        watch = plan.get("watch") or {}
        self.ports = Ports(set(watch.get("ports") or []) | {t["port"] for t in plan["series"]})
        self.spool = os.open(os.path.join(folder, "spool"), SPOOL_FLAGS, 0o600)
        fcntl.flock(self.spool, fcntl.LOCK_EX)  # held as long as this process lives: that is how others know
        # every follower holds a lock on it as long as it lives: that is how this process knows that somebody reads
        self.followers = os.open(os.path.join(folder, "followers"), SPOOL_FLAGS, 0o600)
        self.orphan, self.followed, self.look_at = plan["orphan"], self.t0, self.t0
        self.size, self.stored, self.reserve = 0, 0, os.path.join(folder, "reserve")
        if self.reserves:
            with open(self.reserve, "wb") as reserve:
                reserve.write(b"." * MIN_FREE_BYTES)
        header = {"t0": self.t0, "wall": time.time(), "pid": os.getpid(), "nice": os.nice(0), "series": [t["id"] for t in plan["series"]]}
        self.lines.append("a %s\n" % json.dumps(header))
        self.watch = Watch(self, watch)
        self.noise = Noise(self)
        self.flush()

    def kind(self, name):
        """What measures a series of that kind."""
        return Pinned if name == "pinned" else New

    def add(self, attempt):
        """Watches an attempt's socket."""
        fd = attempt.sock.fileno()
        self.by_fd[fd] = attempt
        self.sockets += 1
        self.epoll.register(fd, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)  # one call for its whole life

    def close(self, attempt):
        """Closes an attempt's socket."""
        del self.by_fd[attempt.sock.fileno()]
        attempt.sock.close()
        attempt.sock = None
        self.sockets -= 1

    def event(self, kind, text="", **data):
        """Writes an event."""
        record = {"at": int((mono() - self.t0) * 1000000), "kind": kind, "text": text, "data": data}
        self.lines.append("v %s\n" % json.dumps(record))

    def flush(self):
        """Appends what was written to the spool; raises Ended when it is full or gone."""
        data = "".join(self.lines).encode("utf-8", "replace")
        del self.lines[:]
        try:
            while data:
                written = os.write(self.spool, data)
                data = data[written:]
            self.size, self.stored = os.fstat(self.spool).st_size, self.samples
        except OSError as error:
            os.ftruncate(self.spool, self.size)  # to its last whole line
            self.samples = self.stored
            if os.path.exists(self.reserve):
                os.unlink(self.reserve)
            raise Ended("its spool cannot be written: %s" % error.strerror) from error

    def run(self):
        """The loop; ends by Ended."""
        poll, by_fd, all_series, lines = self.epoll.poll, self.by_fd, self.series, self.lines
        start = mono()
        for i, series in enumerate(all_series):
            series.schedule(start + series.period * i / len(all_series))  # not all in one moment
        ready, flush_at = [self.epoll], start + self.flush_s
        due = start
        while True:
            wait = due - mono()
            # select, because epoll itself counts in milliseconds
            if wait <= 0 or select.select(ready, [], [], wait)[0]:
                for fd, mask in poll(0):
                    attempt = by_fd.get(fd)
                    if attempt is not None:
                        attempt.series.happened(attempt, mask)
                    elif fd == self.watch.fd:
                        self.watch.address_changed()
            now = mono()
            due = min(flush_at, self.watch.next, self.noise.next)
            for series in all_series:
                due = min(due, series.expire(now))
                if now >= series.next:
                    self.noise.tick(series, now)
                    series.tick()
                due = min(due, series.next)
            if now >= flush_at or len(lines) >= LINES:
                flush_at = now + self.flush_s
                self.flush()
                self.go_on(now)
            if now >= self.watch.next:
                self.watch.look(now)
            if now >= self.noise.next:
                self.noise.tell(now)

    def go_on(self, now):
        """Raises Ended when the agent has to end."""
        if self.stopping:
            raise Ended(self.stopping, final=False)
        if now >= self.end:
            raise Ended("its lifetime is over")
        if not os.path.isdir(self.folder):
            raise Ended("its folder was removed", final=False)
        if os.path.exists(os.path.join(self.folder, "stop")):
            raise Ended("it was asked to stop")
        renew = os.path.join(self.folder, "renew")
        if os.path.exists(renew):
            os.unlink(renew)
            for series in self.series:
                series.renew()
        if now >= self.look_at:
            self.look_at = now + min(1.0, self.orphan / 4)
            if self.is_followed():
                self.followed = now
            elif now - self.followed > self.orphan:
                raise Ended("nobody followed it for %g s" % self.orphan, final=False)

    def is_followed(self):
        """Whether a follower holds its lock."""
        try:
            fcntl.flock(self.followers, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self.followers, fcntl.LOCK_UN)
        return False

    def finish(self, reason, final):
        """Writes how every series ended, and why the agent does."""
        for attempt in list(self.by_fd.values()):
            self.close(attempt)
        at = int((mono() - self.t0) * 1000000)
        self.lines.append("e %s\n" % json.dumps({"at": at, "reason": reason, "final": final, "samples": self.samples}))
        try:
            self.flush()
        except Ended:
            pass  # nobody can be told any more: the follower says that it is dead
        os.close(self.spool)
        os.close(self.followers)


def pause(seconds):
    """Waits so many seconds."""
    select.select([], [], [], seconds)


def make_folder(candidates):
    """A folder of our own that nobody could have prepared: mkdir does not follow links and fails when the name is taken."""
    reasons = []
    for folder in candidates:
        try:
            os.mkdir(folder, 0o700)
            return folder
        except OSError as error:
            reasons.append("%s: %s" % (os.path.dirname(folder), error.strerror))
    raise Ended("no folder can be written here (%s)" % "; ".join(reasons))


def remove(folder):
    """Removes the agent's folder."""
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    os.rmdir(folder)


def linger(folder, plan):
    """Leave the spool to be read, at most `keep` seconds (a recorder: until so long after its end), then remove it."""
    keep = plan["keep"] if "until" not in plan else max(0.0, plan["until"] + plan["keep"] - time.time())
    end = mono() + keep
    while mono() < end and os.path.isdir(folder):
        pause(0.05 if keep < 3600 else 1.0)
    if os.path.isdir(folder):
        remove(folder)


def detach():
    """Lets go of the streams of the SSH session."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)


def first_in_line():
    """Be scheduled before others where that is allowed. Where it is not, the ticks that come late tell how much it mattered."""
    try:
        os.nice(-20)
    except OSError:
        pass  # the spool's header says which it was


def worker(kind, plan, folder, guard, tell):
    """The process that measures; whether it began."""
    if kind.first:
        first_in_line()
    try:
        agent = kind(plan, folder, guard)
    except (Ended, OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        os.write(tell, json.dumps({"error": "%s: %s" % (type(error).__name__, error)}).encode())
        return False
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(agent, "stopping", "a signal ended it"))
    os.write(tell, json.dumps({"folder": folder, "pid": os.getpid()}).encode())
    os.close(tell)
    try:
        agent.run()
    except Ended as end:
        agent.finish(str(end), end.final)
    except Exception as error:  # whatever it is: the harness is told, and it is a fault of this script
        agent.finish("it broke: %s: %s" % (type(error).__name__, error), True)
    if os.getppid() != guard and not (
        "until" in plan and agent.stopping
    ):  # a recorder that a signal ended goes on when it is started again
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        linger(folder, plan)
    return True


def background(kind, plan, folder, tell):
    """The guard, in a session of its own: starts the worker, and removes the spool however that ends. Its lock on the folder says
    that it is still there."""
    os.setsid()
    os.chdir("/")
    os.umask(0o077)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    detach()
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a recorder that is started twice runs once
    guard, begun = os.getpid(), False
    while True:
        pid = os.fork()
        if pid == 0:
            os.close(held)
            os._exit(0 if worker(kind, plan, folder, guard, tell) else NOT_BEGUN)
        os.close(tell)
        status = os.waitpid(pid, 0)[1]
        begun = begun or not os.WIFEXITED(status) or os.WEXITSTATUS(status) != NOT_BEGUN
        if "until" in plan and not begun:
            return  # who started it is told, and may start it again
        if not begins_again(plan, folder):
            break
        tell = os.open(os.devnull, os.O_WRONLY)
    linger(folder, plan)


def begins_again(plan, folder):
    """Whether another worker takes the place of one that ended, however it did: a recorder's only, a while later, until its time is over
    or somebody ends it."""
    if "until" not in plan:
        return False
    at = mono() + plan["again"]
    while time.time() < plan["until"] and os.path.isdir(folder) and not os.path.exists(os.path.join(folder, "stop")):
        if mono() >= at:
            return True
        pause(0.1)
    return False


def main():
    """Makes the folder, and leaves the agent in the background."""
    plan = json.loads(sys.argv[1])
    try:
        folder = make_folder(plan["folders"])
    except Ended as error:
        print(json.dumps({"error": str(error)}))
        return
    start(Agent, plan, folder)


def start(kind, plan, folder):
    """Leaves an agent of that kind in the background, and prints where it is; whether there is one."""
    told, tell = os.pipe()
    if os.fork() == 0:
        try:
            os.close(told)
            background(kind, plan, folder, tell)
        finally:
            os._exit(0)
    os.close(tell)
    said = b""
    while True:
        data = os.read(told, 4096)
        if not data:
            break
        said += data
    print(said.decode() or json.dumps({"error": "it ended before it began; is there memory left?"}))
    return b'"error"' not in (said or b'"error"')
