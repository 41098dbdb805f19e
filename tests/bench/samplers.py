"""Runs on the client: measures one address in the three ways in which people do it, all at once, until its input ends.

Python 3.6 or newer, standard library only. The one argument is JSON: destination, port. It prints {"nc": the program or null}, then for
each attempt {"m": method, "n": its number, "at": its start, "end": its end, "ok"}, in seconds on this host's monotonic clock.

nc      while :; do nc -z -w1 HOST PORT && date || echo FAIL; sleep 1; done        (the real netcat-openbsd)
closed  while True: connect (timeout 5 s), log, sleep 10 ms                        (the usual script)
open    every second a connect of its own (timeout 5 s), each logged when it ends
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

NC_EVERY_S, CLOSED_GAP_S, OPEN_EVERY_S, LIMIT_S = 1.0, 0.01, 1.0, 5.0
over = threading.Event()
printing = threading.Lock()


def tell(record):
    line = (json.dumps(record) + "\n").encode()
    with printing:
        os.write(1, line)


def logged(method, number, attempt):
    at = time.monotonic()
    ok = attempt()
    tell({"m": method, "n": number, "at": at, "end": time.monotonic(), "ok": ok})


def connect(target):
    try:
        socket.create_connection(target, LIMIT_S).close()
        return True
    except OSError:
        return False


def one_after_the_other(method, attempt, gap):
    number = 0
    while not over.is_set():
        logged(method, number, attempt)
        number += 1
        over.wait(gap)


def each_on_its_own(method, attempt, period):
    number, first = 0, time.monotonic()
    while not over.wait(first + number * period - time.monotonic()):
        threading.Thread(target=logged, args=(method, number, attempt), daemon=True).start()
        number += 1


def netcat():
    """OpenBSD's; others understand -w and -z differently."""
    for name in ("nc.openbsd", "nc"):
        path = shutil.which(name)
        if path:
            said = subprocess.run([path, "-h"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
            if b"OpenBSD" in said:
                return path
    return None


def main():
    plan = json.loads(sys.argv[1])
    target, program = (plan["destination"], plan["port"]), netcat()
    words = [program, "-z", "-w1", target[0], str(target[1])]

    def by_nc():
        return subprocess.call(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0

    def by_connect():
        return connect(target)

    tell({"nc": program})
    work = [(one_after_the_other, ("closed", by_connect, CLOSED_GAP_S)), (each_on_its_own, ("open", by_connect, OPEN_EVERY_S))]
    if program:
        work.append((one_after_the_other, ("nc", by_nc, NC_EVERY_S)))
    for way, arguments in work:
        threading.Thread(target=way, args=arguments, daemon=True).start()
    while os.read(0, 4096):
        pass
    over.set()
    os._exit(0)


main()
