"""The connection worker's first part (the parts are sent as one script, see connection_worker.py): one connection tried."""

import collections
import errno
import socket
import struct
import time

MAX_PORTS_REMEMBERED = 8192  # local ports that are not used again, of some 28,000: with more, a free one would take long to find
MAX_TRIES_FOR_A_PORT = 64


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
    """The local ports of the last attempts, whoever asked for them: a port that comes back at once tells two attempts apart no more."""

    def __init__(self):
        self.order, self.ports = collections.deque(), set()

    def __contains__(self, port):
        return port in self.ports

    def add(self, port):
        """Remembers one, and forgets the oldest."""
        if port in self.ports:
            return
        self.order.append(port)
        self.ports.add(port)
        if len(self.order) > MAX_PORTS_REMEMBERED:
            self.ports.discard(self.order.popleft())


def bound(source, recent, destination_port):
    """A socket on a port that no recent attempt had, for the port is what tells attempts apart on the wire; where all that are left were
    had, on the first one drawn. Never on the destination's own port: an attempt at this very host would connect to itself, and look
    answered."""
    drawn = []
    chosen = None
    try:
        while chosen is None:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            drawn.append(sock)
            sock.setblocking(False)
            try:
                # bound before connecting, so that the port is known however the attempt ends
                sock.bind((source or "", 0))
            except OSError as error:
                had = [s for s in drawn[:-1] if s.getsockname()[1] != destination_port]
                if error.errno != errno.EADDRINUSE or not had:
                    raise
                chosen = had[0]  # no other port is left
                break
            port = sock.getsockname()[1]
            if port != destination_port and (port not in recent or len(drawn) >= MAX_TRIES_FOR_A_PORT):
                chosen = sock
        port = chosen.getsockname()[1]
        recent.add(port)
        return chosen, port
    finally:
        for sock in drawn:
            if sock is not chosen:
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
