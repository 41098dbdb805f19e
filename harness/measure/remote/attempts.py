"""Runs on the origin host, fed to `python3 -`: opens connections and prints one JSON line for each.

Python 3.6 or newer, standard library only. The one argument is JSON: destination, port, count, limit and spacing
(seconds), source (an address, or null), reset (close with RST), at_once (the most sockets open together).
Last comes a line {"end": monotonic seconds}, on the same clock as each line's "mono".
"""

import errno
import json
import select
import socket
import struct
import sys
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
    """A socket on a port that no earlier attempt of this run had: the port is what tells attempts apart on the wire."""
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
        return self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def report(self, code):
        """code None: given up after its own limit."""
        seconds = time.monotonic() - self.started
        line = {
            "gave_up": code is None,
            "errno": errno.errorcode.get(code, str(code)) if code else None,
            "local_address": self.address,
            "local_port": self.port,
            "host_time": self.host_time,
            "mono": self.started,
            "seconds": seconds,
        }
        if self.sock is not None:
            if self.plan["reset"] and code == 0:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()
        print(json.dumps(line), flush=True)


def main():
    plan = json.loads(sys.argv[1])
    limit, spacing = plan["limit"], plan["spacing"]
    begin = time.monotonic()
    poll = select.poll()
    pending, used = {}, set()
    launched = 0
    while launched < plan["count"] or pending:
        while launched < plan["count"] and len(pending) < plan["at_once"] and time.monotonic() >= begin + launched * spacing:
            attempt = Attempt(plan, used)
            launched += 1
            code = attempt.start()
            if code is not None:
                attempt.report(code)
                continue
            pending[attempt.sock.fileno()] = attempt
            poll.register(attempt.sock, select.POLLOUT)
        waits = [a.started + limit for a in pending.values()]
        if launched < plan["count"] and len(pending) < plan["at_once"]:
            waits.append(begin + launched * spacing)
        if not waits:
            continue
        for fd, _ in poll.poll(max(0.0, min(waits) - time.monotonic()) * 1000 + 0.5):
            poll.unregister(fd)
            attempt = pending.pop(fd)
            attempt.report(attempt.result())
        now = time.monotonic()
        for fd in [fd for fd, a in pending.items() if now >= a.started + limit]:
            poll.unregister(fd)
            pending.pop(fd).report(None)
    print(json.dumps({"end": time.monotonic()}), flush=True)


main()
