"""Runs on the origin host: makes ONE connection, says how it went, then carries bytes both ways.

Python 3.6 or newer, standard library only. The one argument is JSON: destination, port, limit (seconds for the
connection), lifetime (seconds for everything: it ends by itself if the harness is gone), source (an address, or null).
Prints one JSON line, then raw bytes. Ends when its input ends or the peer closes.
"""

import errno
import json
import os
import select
import socket
import sys
import time

CHUNK = 65536


def connect(plan):
    """Returns (socket or None, the line that reports it)."""
    target = (plan["destination"], plan["port"])
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    address, port = plan["source"], None
    host_time, started = time.time(), time.monotonic()
    try:
        # bound before connecting, so that the port is known however the attempt ends
        sock.bind((plan["source"] or "", 0))
        port = sock.getsockname()[1]
        code = sock.connect_ex(target)
        address = sock.getsockname()[0]
        if code == errno.EINPROGRESS:
            poll = select.poll()
            poll.register(sock, select.POLLOUT)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if poll.poll(plan["limit"] * 1000) else None
    except OSError as error:
        code = error.errno
    line = {
        "gave_up": code is None,
        "errno": errno.errorcode.get(code, str(code)) if code else None,
        "local_address": (plan["source"] or source_for(*target)) if address in (None, "0.0.0.0") else address,
        "local_port": port,
        "host_time": host_time,
        "mono": started,
        "now": time.monotonic(),
        "seconds": time.monotonic() - started,
    }
    if code == 0:
        return sock, line
    sock.close()
    return None, line


def source_for(destination, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.connect((destination, port))
        return sock.getsockname()[0]
    except OSError:
        return None
    finally:
        sock.close()


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data) :]


def send_all(sock, data, end):
    """A peer that does not read stops this relay at its lifetime's end, not later."""
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    while data:
        if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
            raise OSError(errno.ETIMEDOUT, "the peer does not read")
        data = data[sock.send(data) :]


def carry(sock, end):
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(sock, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll(max(0.0, end - time.monotonic()) * 1000)]
        if not ready:
            return
        if sock.fileno() in ready:
            data = sock.recv(CHUNK)
            if not data:
                return
            write_all(1, data)
        if 0 in ready:
            data = os.read(0, CHUNK)
            if not data:
                return
            send_all(sock, data, end)


def main():
    plan = json.loads(sys.argv[1])
    end = time.monotonic() + plan["lifetime"]
    sock, line = connect(plan)
    write_all(1, json.dumps(line).encode() + b"\n")
    if sock is None:
        return
    try:
        carry(sock, end)
    except OSError:
        pass  # the connection broke or the harness has gone: either way the end of the stream tells it
    finally:
        sock.close()


main()
