"""Runs on a host as root: reports the TCP packets that its interfaces see, one JSON line each, until its input ends.

Sent as one script: capture_socket.py, packet_capture.py, one after the other. Python 3.6 or newer, standard library only.
The one argument is JSON: ports (a list: every TCP and UDP packet from or to one of them is reported too, beside all with one
of the flags), flags (a mask: FIN 1, SYN 2, RST 4), snap (bytes kept of each), buffer (bytes of receive buffer), and maybe
interface (only what that one sees is reported).
A line `mark N` on standard input is answered when all that was captured before it has been printed.
"""
# ruff: noqa: F821, UP031

import json
import socket
import struct
import sys
import time


def stamp(ancillary):
    """The kernel's time of a packet, in seconds since 1970."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("ll", data[: struct.calcsize("ll")])
            return seconds + nanoseconds / 1e9
    return time.time()


def drain(sock, out, until):
    """Report what is queued, up to packets younger than `until` (epoch seconds)."""
    while True:
        try:
            data, ancillary, _, origin = sock.recvmsg(65535, 128)
        except BlockingIOError:
            return 0
        except OSError as error:
            out.add({"note": str(error)})  # such as an interface that went down; the socket lives on
            continue
        at = stamp(ancillary)
        out.add({"t": at, "if": origin[0], "k": KINDS.get(origin[2], str(origin[2])), "raw": data.hex()})
        if at > until:
            return 0


def main():
    """Captures as the plan says."""
    plan = json.loads(sys.argv[1])
    out = Out()
    try:
        sock = opened(plan)
    except OSError as error:
        out.add({"error": "cannot capture packets: %s; it needs root (ssh.sudo)" % error.strerror})
        out.flush()
        return
    out.add({"ready": time.time(), "host": socket.gethostname()})
    out.flush()
    watch(sock, out, lambda until: drain(sock, out, until))


main()
