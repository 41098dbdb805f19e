"""The agent's first part (the parts are sent as one script, see agent.py): connections tried without pause."""
# ruff: noqa: PTH123, UP031

import binascii
import collections
import errno
import os
import re
import select
import socket
import time

MAX_ANSWER_BYTES = 16384  # bytes of an answer that are kept for the regular expression; who says more without an answer in it gives none
MAX_HTTP_ANSWER_BYTES = 65536  # bytes of a whole HTTP answer on a kept connection; a longer one is not read to its end ten times a second
ANSWERED, REFUSED, SILENT, RESET, UNREACHABLE, SKIPPED = "arsxuk"
TROUBLE = select.EPOLLERR | select.EPOLLHUP
INCOMING = select.EPOLLIN | select.EPOLLRDHUP | TROUBLE
OUTCOME_OF = {
    errno.ECONNREFUSED: REFUSED,
    errno.ETIMEDOUT: SILENT,  # the kernel gave up before our limit
    errno.ECONNRESET: RESET,
    errno.EPIPE: RESET,
    errno.EADDRNOTAVAIL: SKIPPED,
    errno.EADDRINUSE: SKIPPED,
    errno.EMFILE: SKIPPED,
    errno.ENFILE: SKIPPED,
    errno.ENOBUFS: SKIPPED,
    errno.ENOMEM: SKIPPED,
}
mono = time.monotonic


def text_of(path, default=""):
    """A file's text, or the default."""
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return default


class Ports:
    """Local ports in turn: none is used again soon, so that a port tells attempts apart on the wire."""

    def __init__(self, without):
        low, high = map(int, text_of("/proc/sys/net/ipv4/ip_local_port_range", "32768 60999").split())
        reserved = set(without)
        for piece in text_of("/proc/sys/net/ipv4/ip_local_reserved_ports").strip().split(","):
            first, _, last = piece.partition("-")
            if first:
                reserved.update(range(int(first), int(last or first) + 1))
        self.low, self.high, self.reserved = low, high, reserved
        self.next = low + int(binascii.hexlify(os.urandom(4)), 16) % (high - low + 1)

    def bind(self, sock):
        """Binds a socket to the next free port of its own."""
        # reusable, so that a service which starts on that very port meanwhile is not turned away because of us
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for _ in range(256):
            port, self.next = self.next, self.next + 1 if self.next < self.high else self.low
            if port in self.reserved:
                continue
            try:
                sock.bind(("", port))
                return port
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        raise OSError(errno.EADDRNOTAVAIL, "no port left")


class Attempt:
    """One connection: on its way, or (pinned) the one that stands."""

    __slots__ = ("at", "connected", "heard", "port", "series", "sock")


class New:
    """Open loop: every tick has a connection of its own, which no slow one delays."""

    def __init__(self, agent, number, plan):
        self.agent, self.number = agent, number
        self.target = (plan["destination"], plan["port"])
        self.period, self.limit = plan["period"], plan["limit"]
        self.say = binascii.a2b_base64(plan.get("say") or "")
        expect = binascii.a2b_base64(plan.get("expect") or "")
        self.expect = re.compile(expect).search if expect else None
        again = binascii.a2b_base64(plan.get("again") or "")
        self.again = re.compile(again).search if again else None
        self.open = collections.deque()  # in the order of their start, hence of their end; ended ones leave at the front
        self.first, self.count, self.next = 0.0, 0, 0.0

    def schedule(self, first):
        """Sets the first tick."""
        self.first = self.next = first

    def tick(self):
        """One attempt begins."""
        self.begin()

    def renew(self):
        """Every connection is a new one."""

    def begin(self):
        """Start a connection; one that cannot be started is a sample as well."""
        agent, sock, port, at = self.agent, None, 0, mono()
        if agent.sockets >= agent.max_open:
            return self.record(at, 0.0, SKIPPED, 0, "%d sockets are open already" % agent.sockets)
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, agent.rst)
            port = agent.ports.bind(sock)
            at = mono()
            code = sock.connect_ex(self.target)
        except OSError as error:
            code = error.errno
        if code not in (0, errno.EINPROGRESS):
            if sock is not None:
                sock.close()
            return self.record(at, mono() - at, OUTCOME_OF.get(code, UNREACHABLE), port, detail_of(code))
        attempt = Attempt()
        attempt.series, attempt.sock, attempt.at, attempt.port, attempt.connected, attempt.heard = self, sock, at, port, False, b""
        self.open.append(attempt)
        agent.add(attempt)

    def happened(self, attempt, mask):
        """Something happened to an attempt's socket."""
        if not attempt.connected:
            if mask & TROUBLE:
                code = attempt.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    return self.lost(attempt, code)
            elif not mask & select.EPOLLOUT:
                return None
            attempt.connected = True
            if not self.speak(attempt):
                return None
        if mask & INCOMING:
            self.hear(attempt)

    def speak(self, attempt):
        """Say our part; False when that ended it."""
        try:
            if self.say:
                attempt.sock.send(self.say)
        except OSError as error:
            self.lost(attempt, error.errno)
            return False
        if self.expect is None:
            self.answered(attempt)
            return False
        return True

    def hear(self, attempt):
        """Reads an answer."""
        while attempt.sock is not None:  # to the last byte: the descriptor is edge-triggered
            try:
                data = attempt.sock.recv(4096)
            except BlockingIOError:
                return
            except OSError as error:
                return self.lost(attempt, error.errno)
            if not data:
                return self.lost(attempt, 0)
            attempt.heard += data
            self.weigh(attempt)

    def weigh(self, attempt):
        """Does what was heard count as the answer?"""
        if self.expect(attempt.heard):
            self.answered(attempt)
        elif self.again and self.again(attempt.heard):
            attempt.heard = b""
            self.speak(attempt)
        elif len(attempt.heard) > MAX_ANSWER_BYTES:
            self.end(attempt, SILENT, "said %s, and more than %d bytes of it" % (words_of(attempt.heard), MAX_ANSWER_BYTES))

    def answered(self, attempt):
        """The answer was right."""
        self.end(attempt, ANSWERED)

    def lost(self, attempt, code):
        """The connection broke, with this errno or with none."""
        outcome = OUTCOME_OF.get(code, UNREACHABLE) if code else RESET
        detail = detail_of(code) if code else "closed after %s" % words_of(attempt.heard) if attempt.heard else "closed without a word"
        self.end(attempt, outcome, detail)

    def end(self, attempt, outcome, detail=""):
        """Notes how an attempt ended."""
        self.record(attempt.at, mono() - attempt.at, outcome, attempt.port, detail)
        self.agent.close(attempt)

    def record(self, at, took, outcome, port, detail=""):
        """Writes one sample."""
        agent = self.agent
        agent.lines.append(
            "s %d %d %d %s %d %s\n" % (self.number, (at - agent.t0) * 1000000, took * 1000000, outcome, port, detail.replace("\n", " "))
        )
        agent.samples += 1

    def expire(self, now):
        """Abandon what has reached its limit; returns when the next one will."""
        queue = self.open
        while queue:
            attempt = queue[0]
            if attempt.sock is not None:
                if now < attempt.at + self.limit:
                    return attempt.at + self.limit
                self.end(attempt, SILENT, silence_of(attempt))
            queue.popleft()
        return now + 3600


class Pinned(New):
    """One long connection with a heartbeat. While there is none, every tick tries a new one, and the first that answers stays.

    A server may end it in good order, after a whole answer: that is no evidence of anything, and no sample. The next connection is.
    """

    def __init__(self, agent, number, plan):
        New.__init__(self, agent, number, plan)
        self.line, self.waiting, self.http = None, False, bool(plan.get("http"))
        self.why, self.stale = "connected", False  # how the next one comes about; a stale one is replaced at the next tick

    def renew(self):
        """Let another connection take the place of the one that stands: who answers it will have been seen from its beginning."""
        self.stale = True

    def tick(self):
        """One heartbeat, or a new connection."""
        line = self.line
        if self.stale and not self.waiting:
            self.stale = False
            if line is not None:
                self.part("reconnected because a recording began")
                line = None
        if line is None:
            self.begin()
        elif not self.waiting:  # else the last heartbeat is neither answered nor given up
            line.at, line.heard, self.waiting = mono(), b"", True
            self.speak(line)

    def part(self, why):
        """Close the connection that stands; nothing is recorded."""
        self.agent.close(self.line)
        self.line, self.waiting, self.why = None, False, why

    def weigh(self, attempt):
        if attempt is self.line and not self.waiting:
            attempt.heard = b""  # nobody asked: such as a notice that it will be closed
        elif self.http and self.expect(attempt.heard):
            state = state_of(attempt.heard)
            if state == UNFINISHED and len(attempt.heard) <= MAX_HTTP_ANSWER_BYTES:
                return
            self.answered(attempt)
            if state != KEPT and attempt is self.line:
                self.part("reconnected after the server ended it" if state == ENDED else "reconnected because its answer is too long")
        else:
            New.weigh(self, attempt)

    def answered(self, attempt):
        """A heartbeat, or an opening, was answered."""
        if attempt is not self.line:
            if self.line is not None:  # it was overtaken, and is answered all the same
                New.answered(self, attempt)
                return
            self.record(attempt.at, mono() - attempt.at, ANSWERED, attempt.port, self.why)
            self.line, self.why = attempt, "reconnected"
            for other in self.open:
                # one that began later is no longer wanted and says nothing; an earlier one has the rest of its time to be answered
                if other.sock is not None and other.at > attempt.at:
                    self.agent.close(other)
            earlier = [other for other in self.open if other.sock is not None and other is not attempt]
            self.open.clear()
            self.open.extend(earlier)
        elif self.waiting:
            self.record(attempt.at, mono() - attempt.at, ANSWERED, attempt.port)
        attempt.heard, self.waiting = b"", False

    def end(self, attempt, outcome, detail=""):
        """Notes how an attempt ended; another connection follows."""
        if attempt is self.line:
            if not self.waiting:
                attempt.at, detail = mono(), (detail + " between heartbeats").strip()
            self.line, self.waiting = None, False
        New.end(self, attempt, outcome, detail)

    def lost(self, attempt, code):
        """The established connection broke."""
        # A web server may end it in the moment in which it is asked once more: nobody was refused anything, and the next one tells.
        crossed = self.http and not attempt.heard
        if attempt is self.line and not code and (crossed or not self.waiting):
            self.part("reconnected after the server ended it")
        else:
            New.lost(self, attempt, code)

    def expire(self, now):
        due = New.expire(self, now)
        if self.waiting and now >= self.line.at + self.limit:
            self.end(self.line, SILENT, silence_of(self.line))
        return min(due, self.line.at + self.limit) if self.waiting else due


UNFINISHED, KEPT, ENDED = "unfinished", "kept", "ended"  # an HTTP answer: and its connection


def state_of(heard):
    """Is an HTTP answer whole, and may its connection be used again?"""
    head, _, body = heard.partition(b"\r\n\r\n")
    head = head.lower() + b"\r\n"
    tokens = b",".join(re.findall(rb"\r\nconnection:([^\r]*)", head))
    ends = b"close" in tokens or (head.startswith(b"http/1.0") and b"keep-alive" not in tokens)
    length = re.search(rb"\r\ncontent-length:[ \t]*(\d+)", head)
    if head[9:12] in (b"204", b"304"):
        whole = True
    elif re.search(rb"\r\ntransfer-encoding:[^\r]*chunked", head):
        whole = all_chunks(body)
    elif length:
        whole = len(body) >= int(length.group(1))
    else:
        return ENDED  # its end would be the connection's
    return UNFINISHED if not whole else ENDED if ends else KEPT


def all_chunks(body):
    """The end of a chunked HTTP body, or None while it lacks something."""
    at = 0
    while True:
        end = body.find(b"\r\n", at)
        if end < 0:
            return False
        try:
            size = int(body[at:end].partition(b";")[0], 16)
        except ValueError:
            return False
        if size <= 0:
            return body.find(b"\r\n\r\n", end) >= 0
        at = end + 2 + size + 2


WHO = re.compile(rb"(?is)\AHTTP/1\.\d .*?\r\nServer:[ \t]*([^\r\n]{1,60})")
ORA = re.compile(rb"\(ERR=(\d{1,5})\)")
SQLSTATE = re.compile(rb"(?s)\AE.{4}(?:[^\x00]+\x00)*?C([0-9A-Z]{5})\x00")  # of an error by PostgreSQL, whatever its language


def words_of(heard):
    """The beginning of what was said, and who sent it or which error it is, where that can be told."""
    words, who, error, state = "%r" % heard[:40], WHO.search(heard), ORA.search(heard), SQLSTATE.search(heard)
    if who:
        words += " by Server: %s" % who.group(1).decode("ascii", "replace")
    elif error:
        words += " (ORA-%05d)" % int(error.group(1))
    elif state:
        words += " (SQLSTATE %s)" % state.group(1).decode("ascii")
    return words


def detail_of(code):
    """An errno's name, unless the outcome says it."""
    return "" if code in (errno.ECONNREFUSED, errno.ECONNRESET) else errno.errorcode.get(code, str(code))


def silence_of(attempt):
    """What an attempt without an answer had come to."""
    if attempt.heard:
        return "said %s" % words_of(attempt.heard)
    return "accepted, but not answered" if attempt.connected else ""
