"""The connection worker's first part (the parts are sent as one script, see connection_worker.py): one connection tried."""

import collections
import errno
import socket
import struct
import time

MAX_PORTS_REMEMBERED = 8192  # local ports that are not used again soon, of some 28,000
MAX_TRIES_FOR_A_PORT = 16


def source_for(destination, port):
    """The address that the kernel would use, asked of a UDP socket, which sends nothing."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.connect((destination, port))
        return sock.getsockname()[0]
    except OSError:
        return None
    finally:
        sock.close()


class RecentPorts:
    """The local ports of the last attempts, whoever asked for them: a port that comes back at once tells two attempts apart no more.

    At most a quarter of those that the kernel gives out, of which it draws from one half before the other: else a free one would take
    many sockets to find.
    """

    def __init__(self):
        self.ports, self.uses = collections.OrderedDict(), 0  # each with the number of its use, the last at the end
        low, high = 32768, 60999
        try:
            with open("/proc/sys/net/ipv4/ip_local_port_range") as file:  # noqa: PTH123
                low, high = map(int, file.read().split())
        except (OSError, ValueError):
            pass  # not a Linux kernel's; the usual range is the smallest
        self.most = min(MAX_PORTS_REMEMBERED, (high - low + 1) // 4)

    def last_use(self, port):
        """The number of its last use, larger for later ones; 0 where it is not remembered."""
        return self.ports.get(port, 0)

    def add(self, port):
        """Remembers one, and forgets the oldest."""
        self.uses += 1
        self.ports[port] = self.uses
        self.ports.move_to_end(port)
        if len(self.ports) > self.most:
            self.ports.popitem(last=False)


def bound(source, recent, destination_port):
    """A socket on a port that no recent attempt had, for the port is what tells attempts apart on the wire; where none is found, on that of
    the drawn ones which was used longest ago. Never on the destination's own port: an attempt at this very host would connect to itself,
    and look answered."""
    drawn = {}  # sockets by port
    chosen = None
    try:
        while chosen is None:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                # bound before connecting, so that the port is known however the attempt ends
                sock.bind((source or "", 0))
            except OSError as error:
                sock.close()
                if error.errno != errno.EADDRINUSE or not set(drawn) - {destination_port}:
                    raise
                sock = None  # there is no other port
            else:
                drawn[sock.getsockname()[1]] = sock
            usable = [port for port in drawn if port != destination_port]
            fresh = [port for port in usable if not recent.last_use(port)]
            if fresh or (usable and (sock is None or len(drawn) >= MAX_TRIES_FOR_A_PORT)):
                chosen = min(usable, key=recent.last_use)
        recent.add(chosen)
        return drawn.pop(chosen), chosen
    finally:
        for sock in drawn.values():
            sock.close()


class Attempt:
    """One connection try."""

    def __init__(self, plan, recent):
        self.plan = plan
        self.recent = recent
        self.sock = None
        self.address = plan["source"]
        self.port = None
        self.host_time = time.time()
        self.started = time.monotonic()

    def start(self):
        """Returns an errno when it is already decided, else None."""
        target = (self.plan["destination"], self.plan["port"])
        try:
            self.sock, self.port = bound(self.plan["source"], self.recent, self.plan["port"])
            self.host_time, self.started = time.time(), time.monotonic()
            code = self.sock.connect_ex(target)
            address = self.sock.getsockname()[0]
        except OSError as error:
            return error.errno
        self.address = address if address != "0.0.0.0" else (self.plan["source"] or source_for(*target))
        return None if code == errno.EINPROGRESS else code

    def result(self):
        """The errno that the kernel has for it; 0: connected."""
        return self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def line(self, code):
        """code None: given up after its own limit."""
        return {
            "gave_up": code is None,
            "errno": errno.errorcode.get(code, str(code)) if code else None,
            "local_address": self.address,
            "local_port": self.port,
            "host_time": self.host_time,
            "mono": self.started,
            "seconds": time.monotonic() - self.started,
        }

    def close(self, reset=False):
        """Closes the socket, with a reset where that is asked for."""
        if self.sock is not None:
            if reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()
