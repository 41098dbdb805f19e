"""The agent's last part where it is a flight recorder (the parts are sent as one script, see agent.py): it measures for weeks, at a low
rate, and keeps what matters.

It lies in its folder as `program`, beside its `plan`, and is started as `program FOLDER`, also when its host has booted. The plan is
agent.py's, and besides: `fast` of each series (seconds from one attempt to the next while something is wrong), `until` (when it ends,
seconds since 1970), `again` (seconds until a worker that was killed is replaced), and `recorder`:
  before, after (seconds kept around it), calm (seconds at the fast
  rate after a failure), longest_fast, longest (seconds of one incident, at the fast rate and in all), ring, incident, kept, journal (bytes
  at most: in memory, of one incident, of all of them, of half the journal), free (bytes of the disk that are left to others), tell
  (seconds from one line of the journal to the next).

What it sees is held in memory for `before` seconds. An attempt that is not answered as soon as usual raises the rate at once, before it
is known whether it fails; one that fails, an address or a listener that comes or goes, and a file `mark` keep all of it, as incident-WHEN
(with .part at its end while it goes on). Files have agent.py's lines. `journal` has the events and how many attempts there were.
"""
# ruff: noqa: F821, PTH123, PTH207, UP031

import glob

ROLE = ("vip-up", "vip-down", "listener-up", "listener-down")
SUSPECT_AFTER, SUSPECT_MIN_S = 4, 0.03  # an attempt that takes so many times as long as usual, and at least so long, raises the rate …
SUSPECT_S, SUSPECT_EVERY_S = 1.0, 20.0  # … for so long, and no more often than this: a slow service must not become a fast meter


class Watched(New):  # type: ignore[name-defined]
    """New connections, with an eye on how they fare."""

    def __init__(self, agent, number, plan):
        New.__init__(self, agent, number, plan)
        self.slow, self.fast = self.period, min(self.period, plan["fast"])
        self.usual, self.failing, self.given_up = 0.005, False, False
        self.counts, self.worst = collections.Counter(), 0.0

    def pace(self, period, now):
        """Attempts come so often from now on, in seconds."""
        if period != self.period:
            self.period, self.count = period, 0
            self.schedule(now)

    def record(self, at, took, outcome, port, detail=""):
        """Writes one sample, and tells the recorder what it may have to keep."""
        New.record(self, at, took, outcome, port, detail)
        self.counts[outcome] += 1
        if outcome == ANSWERED:
            self.usual += (took - self.usual) / 16
            self.worst = max(self.worst, took)
            if self.given_up:
                self.given_up = False
                self.agent.keep("%s is answered again" % self.agent.names[self.number])
            self.failing = False
        elif outcome != SKIPPED:
            self.failing = True
            if not self.given_up:
                self.agent.keep("%s failed: %s" % (self.agent.names[self.number], NAMES[outcome]))

    def expire(self, now):
        """As every series's; and raises the rate for an attempt that waits longer than usual."""
        due = New.expire(self, now)
        attempt = self.open[0] if self.open else None
        if attempt is None or self.given_up:
            return due
        doubtful = attempt.at + max(SUSPECT_MIN_S, SUSPECT_AFTER * self.usual)
        if now < doubtful:
            return min(due, doubtful)
        self.agent.suspect(now)
        return due


MARK_S = 60.0  # an older mark is of the recorder that this host had before; one of a moment ago was meant for who is replaced just now
NAMES = {"r": "refused", "s": "silent", "x": "reset", "u": "unreachable"}


class Incident:
    """One file of what is kept. A disk that is full leaves a hole in it, which is told; without its header no line of it could be read, so
    that goes before the first one for which there is room."""

    def __init__(self, path, least_free, header):
        self.path, self.least_free, self.opened, self.last = path, least_free, mono(), mono()
        self.header = header
        self.fd, self.size, self.lost = None, 0, 0

    def add(self, text):
        """Appends whole lines, all of them or none."""
        data = (self.header + text).encode("utf-8", "replace")
        try:
            if self.fd is None:
                self.fd = os.open(self.path + ".part", SPOOL_FLAGS, 0o600)
            room = os.fstatvfs(self.fd)
            if room.f_bavail * room.f_frsize < self.least_free + len(data):
                raise OSError(errno.ENOSPC, "the disk is nearly full")
            while data:
                data = data[os.write(self.fd, data) :]
            self.size, self.header = os.fstat(self.fd).st_size, ""
        except OSError:
            self.lost += len(text)
            if self.fd is not None:
                os.ftruncate(self.fd, self.size)

    def close(self):
        """Ends it under its own name; one in which nothing is leaves no file."""
        if self.fd is not None:
            os.close(self.fd)
            closed(self.path + ".part")


def closed(part):
    """Gives a file its own name; one in which nothing is goes."""
    if os.stat(part).st_size:
        os.rename(part, part[: -len(".part")])
    else:
        os.unlink(part)


def close_parts(folder):
    """Closes what a worker left open that did not end itself."""
    for part in glob.glob(os.path.join(glob.escape(folder), "incident-*.part")):
        closed(part)


class FlightRecorder(Agent):  # type: ignore[name-defined]
    """An agent that nobody follows."""

    flush_s, first, reserves = 1.0, False, False

    def __init__(self, plan, folder, guard):
        self.options, self.incident = plan["recorder"], None
        self.names = [series["id"] for series in plan["series"]]
        self.ring, self.held, self.until = collections.deque(), 0, plan["until"]
        self.raised_until, self.quiet_until, self.tell_at = 0.0, 0.0, mono() + plan["recorder"]["tell"]
        for name in ("spool", "followers", "reserve", "renew"):  # of the one that this host had before it went down
            if os.path.exists(os.path.join(folder, name)):
                os.unlink(os.path.join(folder, name))
        mark = os.path.join(folder, "mark")
        if os.path.exists(mark) and time.time() - os.stat(mark).st_mtime > MARK_S:
            os.unlink(mark)
        close_parts(folder)
        self.place = folder
        Agent.__init__(self, dict(plan, lifetime=max(0.0, plan["until"] - time.time())), folder, guard)
        self.note("a %s\n" % json.dumps(self.header("it began")))

    def kind(self, name):
        """What measures a series: new connections only."""
        return Watched

    def header(self, why):
        """What relates the lines behind it to the wall clock."""
        return {"t0": self.t0, "mono": mono(), "wall": time.time(), "series": self.names, "why": why}

    # --- what is held, and what is kept

    def flush(self):
        """Holds what was seen in memory, and adds it to the incident that goes on."""
        text = "".join(line for line in self.lines if not line.startswith("a "))
        del self.lines[:]
        if not text:
            return
        now = mono()
        self.ring.append((now, text))
        self.held += len(text)
        while self.held > self.options["ring"] or now - self.ring[0][0] > self.options["before"] + self.flush_s:
            self.held -= len(self.ring.popleft()[1])
            if not self.ring:
                break
        if self.incident is not None:
            self.incident.add(text)

    def event(self, kind, text="", **data):
        """Writes an event; one that tells of a role keeps what is held."""
        Agent.event(self, kind, text, **data)
        if kind != "log":
            self.note(self.lines[-1])
        if kind in ROLE and not data.get("initial"):
            self.keep(("%s %s" % (kind, text)).strip())

    def keep(self, why):
        """Begins an incident with what is held, or goes on with the one that there is; at the fast rate."""
        now = mono()
        if self.incident is None:
            self.flush()
            path = os.path.join(self.place, "incident-%013d" % (time.time() * 1000))
            self.incident = Incident(path, self.options["free"], "a %s\n" % json.dumps(self.header(why)))
            for _, text in self.ring:
                self.incident.add(text)
        self.incident.last = now
        if now - self.incident.opened < self.options["longest_fast"]:
            self.raise_rate(now, self.options["calm"])

    def suspect(self, now):
        """An attempt takes long: look closely, for a moment."""
        if now >= self.raised_until and now >= self.quiet_until:
            self.quiet_until = now + SUSPECT_EVERY_S
            self.raise_rate(now, SUSPECT_S)

    def raise_rate(self, now, seconds):
        """Attempts come at the fast rate for so many seconds."""
        self.raised_until = max(self.raised_until, now + seconds)
        for series in self.series:
            series.pace(series.fast, now)

    # --- once a second

    def go_on(self, now):
        """As every agent; and the recorder's own work of each second."""
        Agent.go_on(self, now)
        if time.time() >= self.until:  # a host that slept has a monotonic clock that did not go on
            raise Ended("its time is over")
        mark = os.path.join(self.place, "mark")
        if os.path.exists(mark):
            text = text_of(mark)[:200].strip()
            os.unlink(mark)
            self.event("mark", text)
            self.keep("mark %s" % text)
        if now >= self.raised_until:
            for series in self.series:
                series.pace(series.slow, now)
        if self.incident is not None:
            self.look_at_incident(now)
        if now >= self.tell_at:
            self.tell_at = now + self.options["tell"]
            self.tell()

    def look_at_incident(self, now):
        """Ends an incident that is over, or as large or long as one may be; the oldest make room for it."""
        one, most = self.incident, self.options
        over = now - one.last > most["after"] or now - one.opened > most["longest"] or one.size > most["incident"]
        if over:
            for series in self.series:
                series.given_up = series.failing
            self.end_incident()
        kept = sorted(glob.glob(os.path.join(glob.escape(self.place), "incident-*")))
        sizes = {path: os.stat(path).st_size for path in kept}
        for path in kept[:-1]:
            if sum(sizes.values()) <= most["kept"]:
                break
            os.unlink(path)
            del sizes[path]
            self.note("v %s\n" % json.dumps({"at": 0, "kind": "dropped", "text": os.path.basename(path), "data": {}}))

    def end_incident(self):
        """Closes the incident that goes on."""
        one, self.incident = self.incident, None
        if one is not None:
            if one.lost:
                self.event("unwatched", "%d bytes of an incident were not kept: the disk is full" % one.lost, what="disk")
            one.close()

    def tell(self):
        """A line of the journal: attempts since the last one, by outcome, and the processor time so far."""
        rows = {}
        for series in self.series:
            rows[self.names[series.number]] = {"counts": dict(series.counts), "worst_s": round(series.worst, 4)}
            series.counts.clear()
            series.worst = 0.0
        used = resource.getrusage(resource.RUSAGE_SELF)
        told = {"wall": time.time(), "series": rows, "cpu_s": round(used.ru_utime + used.ru_stime, 3), "up_s": round(mono() - self.t0, 1)}
        self.note("m %s\n" % json.dumps(told))

    def note(self, line):
        """Appends to the journal, whose older half goes when it is full."""
        path = os.path.join(self.place, "journal")
        try:
            if os.path.exists(path) and os.stat(path).st_size > self.options["journal"]:
                os.rename(path, path + ".old")
            journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            try:
                data = line.encode("utf-8", "replace")
                before = os.fstat(journal).st_size
                if os.write(journal, data) != len(data):
                    os.ftruncate(journal, before)  # whole lines only: the next one would be lost with a half one
            finally:
                os.close(journal)
        except OSError:
            pass  # a full disk; what is seen is held in memory all the same

    def finish(self, reason, final):
        """Ends the incident, and says why it ends itself."""
        for attempt in list(self.by_fd.values()):
            self.close(attempt)
        self.flush()
        self.end_incident()
        self.tell()
        self.note("e %s\n" % json.dumps({"wall": time.time(), "reason": reason}))
        os.close(self.spool)
        os.close(self.followers)


def record():
    """Starts the recorder whose folder is the one argument."""
    folder = sys.argv[1]
    with open(os.path.join(folder, "plan")) as file:
        plan = json.load(file)
    if not start(FlightRecorder, plan, folder):
        sys.exit(1)  # systemd tries again


record()
