#!/usr/bin/env python3
"""In the place of QEMU: speaks QMP on the socket that it inherits, and notes what it was started with and told. It runs no machine."""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import struct
import sys
from pathlib import Path

TUNGETIFF = 0x800454D2


def main() -> None:
    """Until it is told to quit, or is killed."""
    words = " ".join(sys.argv[1:])
    record = Path(os.environ["FAKE_QEMU_RECORD"])
    taps = [fcntl.ioctl(int(fd), TUNGETIFF, bytes(40)) for fd in re.findall(r"tap,id=\w+,fd=(\d+)", words)]
    started = {
        "taps": [struct.unpack("16s", tap[:16])[0].rstrip(b"\0").decode() for tap in taps],
        "links": sorted(name for _, name in socket.if_nameindex()),  # of the network namespace that it is in
        "initrd": Path(re.findall(r"-initrd (\S+)", words)[0]).read_bytes().decode(),
        "overlay": os.fstat(int(re.findall(r"-add-fd fd=(\d+)", words)[0])).st_nlink,
    }
    note(record, "started", started)
    line = socket.socket(fileno=int(re.findall(r"socket,id=monitor,fd=(\d+)", words)[0]))
    if os.environ.get("FAKE_QEMU_FAILS"):
        sys.exit("qemu: no such machine")
    line.sendall(b'{"QMP": {"version": {}, "capabilities": []}}\r\n')
    for text in line.makefile("rb"):
        request = json.loads(text)
        note(record, request["execute"], request.get("arguments", {}))
        line.sendall(json.dumps({"return": {}, "id": request.get("id")}).encode() + b"\r\n")
        if request["execute"] == "system_powerdown":
            sys.exit(0)


def note(record: Path, what: str, data: object) -> None:
    """One line of the record."""
    with record.open("a") as file:
        file.write(json.dumps([what, data]) + "\n")


if __name__ == "__main__":
    main()
