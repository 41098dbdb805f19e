"""First process of a test node: private /run, reaps orphans, and ends (with everything in it) when its input ends."""

import os
import signal
import subprocess
import sys
import threading


def main() -> None:
    subprocess.run(["mount", "-t", "tmpfs", "node-run", "/run"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    threading.Thread(target=end_with_input, daemon=True).start()
    print("ready", flush=True)
    while True:
        signal.sigwait([signal.SIGCHLD])
        while reap():
            pass


def reap() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


main()
