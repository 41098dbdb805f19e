"""What the captures of packets on Linux have in common: the filter, the lines that they print, and the loop. A part of other scripts.

A line `mark N` on standard input is answered when all that was captured before it has been printed.
"""

import ctypes
import json
import os
import select
import socket
import struct
import time

SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_ATTACH_FILTER, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 26, 33, 35
ETH_P_ALL = 3
KINDS = {0: "host", 1: "broadcast", 2: "multicast", 3: "otherhost", 4: "outgoing"}

# classic BPF: what the packet is, counted from its IP header because the socket is SOCK_DGRAM
LD_W, LD_H, LD_B, LDX_IHL, IND_H, IND_B = 0x20, 0x28, 0x30, 0xB1, 0x48, 0x50
JEQ, JSET, RET = 0x15, 0x45, 0x06
GATHER_MS = 50  # for how long packets are gathered in the kernel's buffer: each line sent wakes half a dozen processes on its way
PROTOCOL = 0xFFFFF000  # SKF_AD_OFF + SKF_AD_PROTOCOL: the EtherType
IPV4, TCP, UDP = 0x0800, 6, 17


def program(ports, flags, snap):
    """IPv4, first fragment, and: TCP with one of the flags set, or TCP or UDP with one of the ports. Jumps are labels here."""
    code = [
        (LD_W, PROTOCOL),
        (JEQ, IPV4, None, "drop"),
        (LD_H, 6),
        (JSET, 0x1FFF, "drop", None),
        (LDX_IHL, 0),
        (LD_B, 9),
        (JEQ, TCP, None, "not tcp"),
        (IND_B, 13),
        (JSET, flags, "keep", "ports"),
        "not tcp",
        (JEQ, UDP, "ports", "drop"),
        "ports",
    ]
    for offset in (0, 2):
        code += [(IND_H, offset)] + [(JEQ, port, "keep", None) for port in ports]
    code += ["drop", (RET, 0), "keep", (RET, snap)]
    return assembled(code)


def assembled(code):
    """The kernel's bytes for a filter program with labels."""
    places, steps = {}, []
    for step in code:
        if isinstance(step, str):
            places[step] = len(steps)
        else:
            steps.append(step)
    raw = b""
    for here, step in enumerate(steps):
        jumps = [places[label] - here - 1 if label else 0 for label in step[2:]] or [0, 0]
        raw += struct.pack("HBBI", step[0], jumps[0], jumps[1], step[1])
    return raw


def attach(sock, raw):
    """Puts the filter on the socket."""
    held = ctypes.create_string_buffer(raw, len(raw))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(raw) // 8, ctypes.addressof(held)))


def opened(plan):
    """A socket that captures what passes the filter."""
    # protocol 0 captures nothing; only ETH_P_ALL sees outgoing packets, and binding to it starts the capture,
    # so that nothing comes in before the filter stands
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, plan["buffer"])
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, plan["buffer"])
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    attach(sock, program(plan["ports"], plan["flags"], plan["snap"]))
    bind_to_index(sock, socket.if_nametoindex(plan["interface"]) if plan.get("interface") else 0)
    sock.setblocking(False)
    return sock


def bind_to_index(sock, index):
    """bind() to one interface, or with index 0 to all, which Python's own bind cannot express."""
    libc = ctypes.CDLL(None, use_errno=True)
    address = struct.pack("=HHiHBB8s", socket.AF_PACKET, socket.htons(ETH_P_ALL), index, 0, 0, 0, b"")
    if libc.bind(sock.fileno(), address, len(address)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class Out:
    """Lines to standard output, many to a write."""

    def __init__(self):
        self.lines = []

    def add(self, record, prefix=""):
        """Queues one record, behind `prefix`."""
        self.lines.append(prefix + json.dumps(record, separators=(",", ":")))
        if len(self.lines) >= 200:
            self.flush()

    def flush(self):
        """Writes what is queued."""
        data = ("\n".join(self.lines) + "\n").encode() if self.lines else b""
        self.lines = []
        while data:
            data = data[os.write(1, data) :]


def dropped(sock):
    """Packets that the kernel dropped since the last asking: reading resets the count."""
    return struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]


def watch(sock, out, drain):
    """Captures until standard input ends. `drain(until)` reports what is queued, up to packets younger than that (epoch seconds), and
    returns how many it had to leave out because nobody can tell whose they were."""
    either, questions = select.poll(), select.poll()
    either.register(sock, select.POLLIN)
    either.register(0, select.POLLIN)
    questions.register(0, select.POLLIN)
    lost, asked = 0, b""
    while True:
        either.poll()
        if questions.poll(GATHER_MS):
            data = os.read(0, 4096)
            if not data:
                return
            asked += data
            lines = asked.split(b"\n")
            asked = lines.pop()
            for line in lines:
                lost += drain(time.time()) + dropped(sock)
                out.add({"mark": int(line.split()[1]), "dropped": lost})
        else:
            lost += drain(time.time())
        out.flush()
