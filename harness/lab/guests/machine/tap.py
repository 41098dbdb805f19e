"""Taps: the fabric's legs to a machine. What the machine sends comes out of the leg, and what is sent to the leg reaches the machine."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

DEVICE = Path("/dev/net/tun")
TUNSETIFF, TUNSETPERSIST = 0x400454CA, 0x400454CB
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000


def open_leg(name: str) -> int:
    """The open file of a tap of that name, which is made in this process's network namespace and stays there until it is deleted.

    Raises OSError. Source: the kernel's Documentation/networking/tuntap.rst.
    """
    fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
        fcntl.ioctl(fd, TUNSETPERSIST, 1)  # so that legs are taken away in order, whoever closes what first
    except OSError:
        os.close(fd)
        raise
    return fd
