"""The agent's second part (the parts are sent as one script, see agent.py): what changes at the host, and how well ticks were kept."""
# ruff: noqa: F821, PTH116, PTH123, UP031

import binascii
import errno
import os
import select
import socket
import struct

MAX_LATENESS_S = 0.002
LONGEST_LINE, MOST_AT_ONCE = 2000, 65536  # bytes of one line of a log, and of the log at one look
LOG_A_SECOND = 4 * MOST_AT_ONCE  # bytes: a program that fills its log must not fill the harness's memory with it
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR, NLMSG_ERROR, NLMSG_DONE = 20, 21, 22, 2, 3
RTMGRP_IPV4_IFADDR, REQUEST_DUMP, IFA_ADDRESS, IFA_LOCAL = 0x10, 0x301, 1, 2
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, LISTEN = 4, 20, 10
CONNECTED = sum(1 << state for state in (1, 3, 4, 5, 8, 9, 11))  # ESTABLISHED, SYN_RECV, both FIN_WAIT, CLOSE_WAIT, LAST_ACK, CLOSING


class Watch:
    """Tells when the VIP comes or goes, when somebody begins or ends to listen on a port, and what is added to a log."""

    def __init__(self, agent, plan):
        self.agent, self.every, self.next = agent, plan.get("every") or 0.05, 0.0
        self.vip, self.held_by = plan.get("vip"), None  # interfaces by index; None: not known yet
        self.link, self.fd = None, -1
        self.ports = frozenset(plan.get("ports") or [])
        self.heard_on = None
        self.log = Log(agent, plan["log"]) if plan.get("log") else None
        self.listeners = Listeners(self.ports) if self.ports else None
        self.connections = self.watched_connections(plan.get("connections") or [])
        if self.vip:
            self.follow_addresses()

    # --- the VIP

    def follow_addresses(self):
        """Has the kernel tell each change of an address."""
        try:
            self.link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
            self.link.bind((0, RTMGRP_IPV4_IFADDR))
            self.fd, self.own = self.link.fileno(), self.link.getsockname()[0]
            self.agent.epoll.register(self.fd, select.EPOLLIN)
            self.ask_addresses()
        except OSError as error:
            self.agent.event("unwatched", "whether the VIP is here cannot be watched: %s" % error.strerror, what="vip")

    def ask_addresses(self):
        """Ask for all there are; the answers come in as changes do."""
        self.asked = set()
        self.link.send(struct.pack("=IHHIIBBBBI", 24, RTM_GETADDR, REQUEST_DUMP, 1, 0, socket.AF_INET, 0, 0, 0, 0))

    def address_changed(self):
        """Reads what the kernel tells."""
        try:
            while True:
                self.addresses(self.link.recv(65536))
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                self.agent.epoll.unregister(self.fd)
                self.agent.event("unwatched", "whether the VIP is here is no longer known: %s" % error.strerror, what="vip")
            else:
                self.ask_addresses()  # changes were dropped: look at all of them again

    def addresses(self, data):
        """Takes the kernel's messages apart."""
        while len(data) >= 16:
            length, kind = struct.unpack_from("=IH", data)
            if kind in (RTM_NEWADDR, RTM_DELADDR) and self.is_vip(data[24:length]):
                (index,) = struct.unpack_from("=I", data, 20)
                self.vip_at(index, kind == RTM_NEWADDR, answer=struct.unpack_from("=I", data, 12)[0] == self.own)
            elif kind == NLMSG_DONE:
                self.vip_is_at(self.asked)
            elif kind == NLMSG_ERROR:
                self.agent.event("unwatched", "whether the VIP is here cannot be asked", what="vip")
            data = data[(length + 3) & ~3 :]

    def is_vip(self, attributes):
        """Whether a message is about the VIP."""
        found = {}
        while len(attributes) >= 4:
            length, kind = struct.unpack_from("=HH", attributes)
            found[kind] = attributes[4:length]
            attributes = attributes[max(4, (length + 3) & ~3) :]
        return found.get(IFA_LOCAL, found.get(IFA_ADDRESS)) == socket.inet_aton(self.vip)

    def vip_at(self, index, here, answer):
        """Notes that the VIP came to an interface, or left it."""
        if answer:
            self.asked.add(index)
        elif self.held_by is not None:
            self.vip_is_at(self.held_by | {index} if here else self.held_by - {index})
        if not answer:  # a change that overtook the answer to our question
            (self.asked.add if here else self.asked.discard)(index)

    def vip_is_at(self, indexes):
        """Tells where the VIP is, when that changed."""
        before, self.held_by = self.held_by, set(indexes)
        if before is None or bool(before) != bool(indexes):
            where = ", ".join(sorted(filter(None, map(name_of, indexes)))) if indexes else ""
            data = {"address": self.vip, "interface": where}
            if before is None:
                data["initial"] = True
            self.agent.event("vip-up" if indexes else "vip-down", where, **data)

    # --- listeners, connections and the log

    def watched_connections(self, ports):
        """What tells new connections to these ports; None where nothing can."""
        try:
            return Connections(ports) if ports else None
        except OSError as error:
            return self.agent.event("unwatched", "who connects here cannot be watched: %s" % error.strerror, what="connections")

    def look_for_connections(self):
        """Tells new connections."""
        try:
            for port, address, peer_port, peer in self.connections.new():
                self.agent.event("connected", "", port=port, address=address, peer=peer, peer_port=peer_port)
        except OSError as error:
            self.connections = None
            self.agent.event("unwatched", "who connects here can no longer be watched: %s" % error.strerror, what="connections")

    def look(self, now):
        """One look at connections, listeners and the log."""
        self.next = now + self.every
        if self.connections:
            self.look_for_connections()
        if self.listeners:
            self.look_for_listeners()
        if self.log:
            self.log.look()

    def look_for_listeners(self):
        """Tells listeners that came or went."""
        try:
            seen = self.listeners.now()
        except OSError as error:
            self.listeners = None
            return self.agent.event("unwatched", "who listens here cannot be watched: %s" % error.strerror, what="listeners")
        before, self.heard_on = self.heard_on, seen
        first = {"initial": True} if before is None else {}
        for port, address in sorted(seen - (before or set())):
            self.agent.event("listener-up", "%s:%d" % (address, port), port=port, address=address, **first)
        for port, address in sorted((before or set()) - seen):
            self.agent.event("listener-down", "%s:%d" % (address, port), port=port, address=address)
        if before is None:
            for port in sorted(self.ports - {port for port, _ in seen}):
                self.agent.event("listener-down", "nobody listens on %d" % port, port=port, address="", initial=True)


def name_of(index):
    """An interface's name; empty when it has gone."""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return ""  # the interface has gone meanwhile


class Listeners:
    """Who listens on `ports`: asked of the kernel's socket diagnosis, which looks at listeners alone; where that is missing, read from
    /proc, for which the kernel walks all its connections (2 ms each time on a machine with few of them)."""

    def __init__(self, ports):
        self.ports, self.families = ports, [socket.AF_INET, socket.AF_INET6]
        try:
            self.diagnosis = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
            self.diagnosis.settimeout(1.0)
        except OSError:
            self.diagnosis = None

    def now(self):
        """{(port, address)}; addresses of IPv6 as such, so that 0.0.0.0 and :: are two listeners."""
        if self.diagnosis is not None:
            try:
                return set().union(*map(self.told, self.families))
            except OSError:
                self.diagnosis = None  # no such module in this kernel
        return set().union(*map(self.read, list(self.families)))

    def told(self, family):
        """The listeners of one family, by the kernel's socket diagnosis."""
        return {(port, address) for port, address, _, _ in diagnosed(self.diagnosis, family, 1 << LISTEN) if port in self.ports}

    def read(self, family):
        """The same, read from /proc."""
        seen = set()
        try:
            with open("/proc/net/tcp" if family == socket.AF_INET else "/proc/net/tcp6", "rb", 4096) as lines:
                next(lines, None)
                for line in lines:  # those that listen come first; the many others need not be read
                    words = line.split(None, 4)
                    if words[3] != b"0A":
                        break
                    address, _, port = words[1].partition(b":")
                    if int(port, 16) in self.ports:
                        seen.add((int(port, 16), readable(address, family)))
        except OSError as error:
            if family == socket.AF_INET or error.errno != errno.ENOENT:
                raise
            self.families.remove(family)  # without IPv6 there is no such file
        return seen


def diagnosed(diagnosis, family, states):
    """[(port, address, peer's port, peer's address)] of every TCP socket in one of the states (a mask)."""
    request = struct.pack("=IHHIIBBBBI", 72, SOCK_DIAG_BY_FAMILY, REQUEST_DUMP, 1, 0, family, socket.IPPROTO_TCP, 0, 0, states)
    diagnosis.send(request.ljust(72, b"\0"))
    seen, width = [], 4 if family == socket.AF_INET else 16
    while True:
        data = diagnosis.recv(65536)
        while len(data) >= 16:
            length, kind = struct.unpack_from("=IH", data)
            if kind == NLMSG_DONE:
                return seen
            if kind == NLMSG_ERROR:
                code = -struct.unpack_from("=i", data, 16)[0]
                raise OSError(code, os.strerror(code))
            port, peers = struct.unpack_from(">HH", data, 20)
            ends = [socket.inet_ntop(family, data[at : at + width]) for at in (24, 40)]
            seen.append((port, ends[0], peers, ends[1]))
            data = data[(length + 3) & ~3 :]


class Connections:
    """Who is connected to `ports` at this moment: where packets may not be captured, this tells which node a connection came to.
    What came and went between two looks is not seen."""

    def __init__(self, ports):
        self.ports, self.known = frozenset(ports), set()
        self.diagnosis = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
        self.diagnosis.settimeout(1.0)

    def new(self):
        """Those that were not there at the last look."""
        seen = {row for row in diagnosed(self.diagnosis, socket.AF_INET, CONNECTED) if row[0] in self.ports}
        new, self.known = seen - self.known, seen
        return new


def readable(address, family):
    """/proc shows addresses as hexadecimal words in the machine's byte order."""
    raw = binascii.unhexlify(address)
    words = struct.unpack("=%dI" % (len(raw) // 4), raw)
    return socket.inet_ntop(family, struct.pack(">%dI" % len(words), *words))


def cut(line):
    """A line that is too long ends at its last blank: what is in the middle of a secret would not be known for one."""
    if len(line) <= LONGEST_LINE:
        return line
    return line[:LONGEST_LINE].rpartition(b" ")[0] or b"(%d bytes without a blank left out here)" % len(line)


class Log:
    """A file that grows, is replaced, cut short, or not there yet. Read from its end on, later ones from their beginning."""

    def __init__(self, agent, path):
        self.agent, self.path = agent, path
        self.fd, self.inode, self.rest, self.told = None, None, b"", None
        self.refused, self.pipe = False, None  # what root's tail prints, where the log is closed to this account
        self.second, self.left, self.out = 0.0, 0, 0  # when the allowance is given anew, what is left of it, and what was left out
        self.reopen(os.SEEK_END)

    def reopen(self, where):
        """Opens the log, at its beginning or its end."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.EACCES and self.told is None and self.by_root():
                return False
            if self.told != error.errno and self.fd is None:
                self.told = error.errno
                lacking = "; sudo does not allow `tail -n 0 -F %s`" % self.path if self.refused else ""
                told = "%s: %s%s; it is read as soon as it can be" % (self.path, error.strerror, lacking)
                self.agent.event("unwatched", told, what="log")
            return False
        if self.fd is not None:
            os.close(self.fd)
        self.fd, self.inode, self.rest, self.told = fd, os.fstat(fd).st_ino, b"", None
        os.lseek(fd, 0, where)
        return True

    def by_root(self):
        """Has root follow a log that is closed to this account, where sudo allows it; it ends when nobody reads what it prints."""
        words = os.environ.get("LKHARNESS_ROOT", "").split()
        import subprocess

        follow = ["tail", "-n", "0", "-F", self.path]
        with open(os.devnull, "r+b") as null:
            self.refused = bool(words) and subprocess.call([*words, "-l", *follow], stdin=null, stdout=null, stderr=null) != 0
            if self.refused or not words:
                return False
            self.tail = subprocess.Popen([*words, *follow], stdin=null, stdout=subprocess.PIPE, stderr=null)
        self.pipe = self.tail.stdout.fileno()
        os.set_blocking(self.pipe, False)
        return True

    def look_by_root(self):
        """Tells what root's tail has printed since; what there is no allowance for waits in the pipe."""
        now = mono()
        if now >= self.second:
            self.second, self.left = now + 1.0, LOG_A_SECOND
        try:
            data = os.read(self.pipe, MOST_AT_ONCE) if self.left > 0 else b""
        except BlockingIOError:
            return
        self.left -= len(data)
        self.take(data)

    def look(self):
        """Tells what was appended."""
        if self.pipe is not None:
            return self.look_by_root()
        if self.fd is None and not self.reopen(os.SEEK_SET):
            return
        try:
            self.leave_out_a_flood()
            data = os.read(self.fd, MOST_AT_ONCE)
            if data:
                self.left -= len(data)
                return self.take(data)
            if os.fstat(self.fd).st_size < os.lseek(self.fd, 0, os.SEEK_CUR):
                os.lseek(self.fd, 0, os.SEEK_SET)
            elif os.stat(self.path).st_ino != self.inode:
                self.reopen(os.SEEK_SET)
        except FileNotFoundError:
            pass  # between two files: the next look may find the new one
        except OSError as error:
            if self.told != error.errno:
                self.told = error.errno
                self.agent.event("unwatched", "%s: %s" % (self.path, error.strerror), what="log")

    def leave_out_a_flood(self):
        """Counts the lines of each second beyond LOG_A_SECOND, which are left out."""
        now = mono()
        if now >= self.second:
            self.second, self.left = now + 1.0, LOG_A_SECOND
            if self.out:
                self.agent.event("log", "(%d bytes of %s left out here: it grew too fast)" % (self.out, self.path))
                self.out = 0
        if self.left <= 0:
            here, self.rest = os.lseek(self.fd, 0, os.SEEK_CUR), b""
            self.out += max(0, os.lseek(self.fd, 0, os.SEEK_END) - here)

    def take(self, data):
        """Takes the bytes apart into lines."""
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()[: LONGEST_LINE + 1]  # one more, so that it is known for too long
        for line in lines:
            if line.strip():
                self.agent.event("log", cut(line).decode("utf-8", "replace").rstrip())


class Noise:
    """How well the ticks were kept, each second."""

    def __init__(self, agent):
        self.agent, self.next, self.cores = agent, mono() + 1.0, os.sysconf("SC_NPROCESSORS_ONLN")
        self.ticks, self.late, self.worst, self.spent = 0, 0, 0.0, self.times()

    def tick(self, series, now):
        """Account for the tick that is due, and for those before it that nobody attended to: they are not made up."""
        behind = now - series.next
        missed = int(behind / series.period)
        series.count += missed + 1
        series.next = series.first + series.count * series.period
        self.ticks += missed + 1
        self.late += missed + (behind - missed * series.period > max(MAX_LATENESS_S, series.period / 2))
        if behind > self.worst:
            self.worst = behind

    @staticmethod
    def times():
        """(stolen, all) processor time so far."""
        values = list(map(int, text_of("/proc/stat").partition("\n")[0].split()[1:9])) or [0]
        return values[7] if len(values) > 7 else 0, sum(values)

    def tell(self, now):
        """Writes how the last second went."""
        spent = self.times()
        steal = (spent[0] - self.spent[0]) / float(max(1, spent[1] - self.spent[1]))
        load = float((text_of("/proc/loadavg").split() or [0])[0]) / self.cores
        row = ((now - self.agent.t0) * 1000000, self.ticks, self.late, self.worst * 1000000, steal, load)
        self.agent.lines.append("n %d %d %d %d %.4f %.3f\n" % row)
        self.ticks, self.late, self.worst, self.spent = 0, 0, 0.0, spent
        self.next = now + 1.0
