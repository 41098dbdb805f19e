"""Runs on the origin host for as long as the harness asks it things: makes connections, many requests at once, in one loop.

Sent as one script: connection_attempt.py, connection_worker.py, one after the other. Python 3.6 or newer, standard library only.
The one argument is JSON: sockets (the most open together, over all requests) and window (bytes
of a connection under way, each way, until they are acknowledged). It ends when its input ends.

Requests come as JSON lines, each with an id of its own; everything said about a request carries that id:
  attempts  destination, port, count, limit and spacing (seconds), source (an address, or null), reset (close with RST),
            at_once (the most sockets of this request). One line for each attempt as it ends.
  connect   destination, port, limit, lifetime (seconds for everything), source. One line that says how it went, then
            `data` (base64) and `eof` both ways; `took` (bytes) acknowledges.
  ping      nothing more.
  close     ends the request of that id, whatever it does.
The last line of each is {"end": monotonic seconds}, on the same clock as "mono" and "now"; "why" where it ended early.
"""
# ruff: noqa: F821

import binascii
import heapq
import json
import os
import resource
import select
import socket
import sys
import time

CHUNK = 65536
MAX_ATTEMPTS_PER_TURN = 64  # attempts that one request starts in one go, so that others get their turn
SPARE_DESCRIPTORS = 100  # descriptors for everything but connections, and for ports that were had before


class Attempts:
    """A request for `count` attempts."""

    def __init__(self, loop, number, plan):
        self.loop, self.number, self.plan = loop, number, plan
        self.begin = time.monotonic()
        self.launched = 0
        self.alarm = None  # the attempt that a timer is set for
        self.pending = set()
        self.stopped = False

    def go(self):
        """Start what is due and finds a place; called whenever that may have changed."""
        begun = 0
        while not self.stopped and self.launched < self.plan["count"] and len(self.pending) < self.plan["at_once"]:
            due = self.begin + self.launched * self.plan["spacing"]
            if begun == MAX_ATTEMPTS_PER_TURN or time.monotonic() < due:
                if self.alarm != self.launched:
                    self.alarm = self.launched
                    self.loop.at(max(due, time.monotonic()), self.go)
                return
            if not self.loop.place_for(self):
                return
            begun += 1
            self.launched += 1
            self.launch()
        if not self.pending and self.launched == self.plan["count"]:
            self.loop.end(self.number)

    def launch(self):
        """Starts one more."""
        attempt = Attempt(self.plan, self.loop.recent)
        code = attempt.start()
        if code is not None:
            self.report(attempt, code)
            return
        self.pending.add(attempt)
        self.loop.watch(attempt.sock.fileno(), select.POLLOUT, lambda: self.decided(attempt, attempt.result()))
        self.loop.at(attempt.started + self.plan["limit"], lambda: self.decided(attempt, None))

    def decided(self, attempt, code):
        """One has its outcome."""
        if attempt in self.pending:
            self.pending.discard(attempt)
            self.loop.watch(attempt.sock.fileno(), 0)
            self.report(attempt, code)
            self.go()

    def report(self, attempt, code):
        """Tells the harness of an outcome."""
        self.loop.say(self.number, attempt.line(code))
        attempt.close(reset=self.plan["reset"] and code == 0)
        self.loop.leave_place()

    def stop(self):
        """Gives up those that have none yet."""
        self.stopped = True
        for attempt in self.pending:
            self.loop.watch(attempt.sock.fileno(), 0)
            attempt.close()
            self.loop.leave_place()
        self.pending = set()


class Connection:
    """A request for one connection that bytes are then carried over."""

    def __init__(self, loop, number, plan):
        self.loop, self.number, self.plan = loop, number, plan
        self.attempt = None
        self.sock = None  # once it stands
        self.out = bytearray()
        self.taken = 0  # bytes sent on and not acknowledged yet
        self.unread = 0  # bytes handed over whose acknowledgement has not come
        self.peer_ended = self.we_ended = False
        self.tried = self.stopped = False
        loop.at(time.monotonic() + plan["lifetime"], lambda: loop.end(number, "its lifetime is over"))

    def go(self):
        """Starts to connect, when there is a place."""
        if self.attempt is not None or self.stopped or not self.loop.place_for(self):
            return
        self.attempt = Attempt(self.plan, self.loop.recent)
        code = self.attempt.start()
        if code is not None:
            self.decided(code)
            return
        self.loop.watch(self.attempt.sock.fileno(), select.POLLOUT, lambda: self.decided(self.attempt.result()))
        self.loop.at(self.attempt.started + self.plan["limit"], lambda: self.decided(None))

    def decided(self, code):
        """It is connected, or why not."""
        if self.tried or self.stopped:
            return
        self.tried = True
        self.loop.say(self.number, dict(self.attempt.line(code), now=time.monotonic()))
        if code != 0:
            self.loop.end(self.number)
            return
        self.sock = self.attempt.sock
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.attend()

    @property
    def may_read(self):
        """Not more than the harness has room for: else one peer that talks much could fill this host's memory."""
        return not self.peer_ended and self.unread < self.loop.window

    def attend(self):
        """Wait for what can go on now, and for nothing else."""
        if self.peer_ended and self.we_ended and not self.out:
            self.loop.end(self.number)
        elif not self.stopped:
            events = (select.POLLIN if self.may_read else 0) | (select.POLLOUT if self.out else 0)
            self.loop.watch(self.sock.fileno(), events, self.carry)

    def carry(self):
        """Reads and writes what can be now."""
        try:
            if self.out:
                self.write()
            if self.may_read:
                self.read()
        except OSError as error:
            self.loop.end(self.number, error.strerror or str(error))  # the connection broke
        else:
            self.attend()

    def write(self):
        """Sends on what the harness gave."""
        try:
            sent = self.sock.send(self.out[:CHUNK])
        except BlockingIOError:
            return
        del self.out[:sent]
        self.taken += sent
        if self.taken >= self.loop.window // 4:
            self.loop.say(self.number, {"took": self.taken})
            self.taken = 0
        self.end_output()

    def read(self):
        """Tells the harness what the peer said."""
        try:
            data = self.sock.recv(CHUNK)
        except BlockingIOError:
            return
        self.unread += len(data)
        self.peer_ended = not data
        self.loop.say(self.number, {"data": binascii.b2a_base64(data, newline=False).decode()} if data else {"eof": True})

    def end_output(self):
        """Ends our direction when everything was sent."""
        if self.we_ended and not self.out:
            self.sock.shutdown(socket.SHUT_WR)

    def told(self, order):
        """What the harness says about it while it stands."""
        if self.sock is None:
            return
        try:
            if order["do"] == "data":
                self.out += binascii.a2b_base64(order["data"])
            elif order["do"] == "eof":
                self.we_ended = True
                self.end_output()
            elif order["do"] == "took":
                self.unread -= order["bytes"]
        except OSError as error:
            self.loop.end(self.number, error.strerror or str(error))
        else:
            self.carry()

    def stop(self):
        """Closes the connection."""
        self.stopped = True
        if self.attempt is not None:
            if self.attempt.sock is not None:
                self.loop.watch(self.attempt.sock.fileno(), 0)
            self.attempt.close()
            self.loop.leave_place()
        del self.out[:]


class Loop:
    """Everything that is waited for, and what is called when it comes."""

    KINDS = {"attempts": Attempts, "connect": Connection}  # noqa: RUF012

    def __init__(self, places, window):
        self.places, self.window = places, window
        self.recent = RecentPorts()
        self.poll = select.poll()
        self.calls = {}  # by descriptor
        self.timers, self.turn = [], 0
        self.requests, self.waiting = {}, []  # by id; those that found no place
        self.heard, self.out = b"", bytearray()

    def watch(self, fd, events, call=None):
        """No events: no more, because poll tells of a hang-up even when asked for nothing, again and again."""
        if events:
            self.poll.register(fd, events)
            self.calls[fd] = call
        elif self.calls.pop(fd, None):
            self.poll.unregister(fd)

    def at(self, when, call):
        """Calls this at that moment of the monotonic clock."""
        self.turn += 1
        heapq.heappush(self.timers, (when, self.turn, call))

    def place_for(self, request):
        """Is a socket free? If not, the request's `go` is called when there is one."""
        if self.places > 0:
            self.places -= 1
            return True
        if request not in self.waiting:
            self.waiting.append(request)
        return False

    def leave_place(self):
        """A socket is free again: those that wait may try."""
        self.places += 1
        waiting, self.waiting = self.waiting, []
        for request in waiting:
            self.at(time.monotonic(), request.go)

    def say(self, number, record):
        """Queues a record for the harness."""
        self.out += json.dumps(dict(record, id=number), separators=(",", ":")).encode() + b"\n"

    def end(self, number, why=None):
        """Ends a request, and tells why where there is a reason."""
        request = self.requests.pop(number, None)
        if request is not None:
            request.stop()
            self.say(number, {"end": time.monotonic(), "why": why})

    def hear(self):
        """Reads orders of the harness."""
        data = os.read(0, 4 * CHUNK)
        if not data:
            raise SystemExit  # the harness has gone, and every socket goes with us
        lines = (self.heard + data).split(b"\n")
        self.heard = lines.pop()
        for line in lines:
            self.obey(json.loads(line.decode()))

    def obey(self, order):
        """Carries one order out."""
        number, do = order["id"], order["do"]
        try:
            if do in self.KINDS:
                self.requests[number] = self.KINDS[do](self, number, order)
                self.requests[number].go()
            elif do == "ping":
                self.say(number, {"end": time.monotonic()})
            elif do == "close":
                self.end(number)
            elif number in self.requests:
                self.requests[number].told(order)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            self.end(number, "it cannot be done: %s: %s" % (type(error).__name__, error))  # noqa: UP031

    def flush(self):
        """As much as fits now: a harness that does not read holds nobody up."""
        try:
            while self.out:
                del self.out[: os.write(1, self.out[: 4 * CHUNK])]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            raise SystemExit from None  # nobody reads any more: the harness has gone
        self.watch(1, select.POLLOUT if self.out else 0, self.flush)

    def run(self):
        """The loop; ends when the harness has gone."""
        self.watch(0, select.POLLIN, self.hear)
        while True:
            self.flush()
            now = time.monotonic()  # before looking: a host that stood still must not give up what was answered meanwhile
            limit = max(0.0, self.timers[0][0] - now) * 1000 if self.timers else None
            ready = [(fd, self.calls[fd]) for fd, _ in self.poll.poll(limit)]
            for fd, call in ready:
                if self.calls.get(fd) is call:  # else closed a moment ago, and the number may be another socket's by now
                    call()
            while self.timers and self.timers[0][0] <= now:
                heapq.heappop(self.timers)[2]()


def main():
    """Takes orders until standard input ends."""
    plan = json.loads(sys.argv[1])
    os.set_blocking(1, False)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    loop = Loop(min(plan["sockets"], most - SPARE_DESCRIPTORS) if most > 0 else plan["sockets"], plan["window"])
    loop.say(0, {"ready": time.monotonic()})
    loop.run()


main()
