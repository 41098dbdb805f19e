"""Runs where a network has an interface for each link to a host, such as in a lab's fabric: reports what passes those interfaces, each
packet as the host at the link's other end sees it, in the lines that packet_capture.py prints there, behind the host's name and a blank.

Sent as one script: capture_socket.py, link_capture.py, one after the other. Python 3.6 or newer, standard library only.
The one argument is JSON: ports, flags, snap and buffer as packet_capture.py has them, and links (by the name of the interface here:
the host at the other end, and the name that the interface has there). Lines that are about all hosts have no name before them.
"""
# ruff: noqa: F821, UP031

import ctypes
import errno
import json
import os
import socket
import struct
import sys
import time

OUTGOING = 4  # as the kernel sees a packet that goes out of an interface
MAX_PACKET, MAX_CONTROL = 65536, 128


class Vector(ctypes.Structure):
    """iovec of recvmsg(2)."""

    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Message(ctypes.Structure):
    """msghdr of recvmsg(2)."""

    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(Vector)),
        ("vectors_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class Receiver:
    """recvmsg(2) with the index of the packet's interface. Python's own gives the interface's name, asked for when the packet is read,
    and nothing where the interface has gone since: a link goes with the power of its host, whose last packets are still to be read."""

    def __init__(self, sock):
        self.number = sock.fileno()
        self.data, self.control = ctypes.create_string_buffer(MAX_PACKET), ctypes.create_string_buffer(MAX_CONTROL)
        self.name = ctypes.create_string_buffer(20)  # sockaddr_ll
        self.vector = Vector(ctypes.addressof(self.data), MAX_PACKET)
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.recvmsg.restype = ctypes.c_ssize_t

    def receive(self):
        """Its bytes, when it was seen (epoch seconds), the interface's index and the kernel's kind of it. Raises OSError."""
        message = Message(ctypes.addressof(self.name), 20, ctypes.pointer(self.vector), 1, ctypes.addressof(self.control), MAX_CONTROL, 0)
        size = self.libc.recvmsg(self.number, ctypes.byref(message), socket.MSG_DONTWAIT)
        if size < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        _, _, index, _, kind = struct.unpack_from("=HHiHB", self.name)
        return ctypes.string_at(self.data, size), self._stamp(message), index, kind

    def _stamp(self, message):
        head = struct.calcsize("@Nii")
        if message.control_length < head + struct.calcsize("@ll"):
            return time.time()
        seconds, nanoseconds = struct.unpack_from("@ll", self.control, head)
        return seconds + nanoseconds / 1e9


class Links:
    """Whose interface an index is. A link that is made anew, as with a host's power, has the old name and a new index."""

    def __init__(self, by_name):
        self.by_name = by_name
        self.by_index = {index: by_name.get(name) for index, name in socket.if_nameindex()}

    def find(self, index):
        """The host at the other end and its interface; None for an interface that is no link. Raises OSError for one that has gone before
        it was known."""
        if index not in self.by_index:
            self.by_index[index] = self.by_name.get(socket.if_indextoname(index))
        return self.by_index[index]


def drain(receiver, links, out, until):
    """Report what is queued, up to packets younger than `until`; returns how many were of links that nobody knows any more."""
    unknown = 0
    while True:
        try:
            data, at, index, kind = receiver.receive()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EINTR):
                return unknown
            out.add({"note": str(error)})  # such as an interface that went down; the socket lives on
            continue
        try:
            link = links.find(index)
        except OSError:
            link = None
            unknown += 1
        if link is not None:
            host, interface = link
            # What goes out here comes in there, for that host: links have two ends only.
            out.add({"t": at, "if": interface, "k": "host" if kind == OUTGOING else "outgoing", "raw": data.hex()}, host + " ")
        if at > until:
            return unknown


def main():
    """Captures as the plan says."""
    plan = json.loads(sys.argv[1])
    out = Out()
    try:
        sock = opened(plan)
    except OSError as error:
        out.add({"error": "cannot capture packets at the network: %s" % error.strerror})
        out.flush()
        return
    receiver, links = Receiver(sock), Links(plan["links"])
    out.add({"ready": time.time(), "host": socket.gethostname()})
    out.flush()
    watch(sock, out, lambda until: drain(receiver, links, out, until))


main()
