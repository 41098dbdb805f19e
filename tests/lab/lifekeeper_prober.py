"""Plays the balancer's probe: connects to every ADDRESS:PORT again and again, until its input ends.

Usage: lifekeeper_prober.py SECONDS ADDRESS:PORT...
"""

import contextlib
import select
import socket
import sys


def main() -> None:
    every, targets = float(sys.argv[1]), [target.split(":") for target in sys.argv[2:]]
    while not select.select([sys.stdin], [], [], every)[0]:
        for address, port in targets:
            with contextlib.suppress(OSError):
                socket.create_connection((address, int(port)), timeout=every).close()


main()
