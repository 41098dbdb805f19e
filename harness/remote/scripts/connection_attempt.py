"""The connection worker's first part (the parts are sent as one script, see connection_worker.py): one connection tried."""

import errno
import socket
import struct
import time


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


def bound(source, used):
    """A socket on a port that no earlier attempt of the request had: the port is what tells attempts apart on the wire."""
    rejected = []
    try:
        while True:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            rejected.append(sock)
            sock.setblocking(False)
            # bound before connecting, so that the port is known however the attempt ends
            sock.bind((source or "", 0))
            port = sock.getsockname()[1]
            if port not in used or len(rejected) == 64:
                used.add(port)
                rejected.remove(sock)
                return sock, port
    finally:
        for sock in rejected:
            sock.close()


class Attempt:
    """One connection try."""

    def __init__(self, plan, used):
        self.plan = plan
        self.used = used
        self.sock = None
        self.address = plan["source"]
        self.port = None
        self.host_time = time.time()
        self.started = time.monotonic()

    def start(self):
        """Returns an errno when it is already decided, else None."""
        target = (self.plan["destination"], self.plan["port"])
        try:
            self.sock, self.port = bound(self.plan["source"], self.used)
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
