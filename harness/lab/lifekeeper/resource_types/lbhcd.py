"""lbhcd of the stand-in: takes every connection of the balancer's probe, closes it at once, and notices when none comes.

Runs as its own process, started by path with the standard library only. LKL-58, LKL-59; a backlog that a probe cannot
fill (PRB-27). Its argument is a JSON object: bind, port, reply, hc_timeout (null: do not watch), flag, control.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time

BACKLOG = 512
CONTROL_TIMEOUT_S = 1.0


def main() -> None:
    """Listens with the settings of the first argument (JSON) until it is ended."""
    settings = json.loads(sys.argv[1])
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        listener = socket.create_server((settings["bind"], settings["port"]), backlog=BACKLOG)
    except OSError as error:
        say(f"port {settings['port']} of {settings['bind']} cannot be listened on ({error.strerror})")
        sys.exit(1)
    say("listening")
    serve(listener, settings)


def serve(listener: socket.socket, settings: dict) -> None:
    """Accept for ever; the flag is wanted from `hc_timeout` seconds of silence on until the next connection."""
    patience, reply = settings["hc_timeout"], settings["reply"].encode()
    first_probe_told, flag_set = False, False
    last = time.monotonic()
    while True:
        if patience is not None:
            # Once silent, look in at every quarter of the time, so that a control socket that was away hears of it.
            wait = patience / 4 if flag_set else last + patience - time.monotonic()
            listener.settimeout(max(0.001, wait))
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            flag_set = ask(settings["control"], "flg_create", settings["flag"]) or flag_set
            continue
        with contextlib.suppress(OSError), connection:  # a probe that is gone again has still been here
            if reply:
                if reply.startswith(b"HTTP/"):  # the request is read first: closing with it unread would reset the answer
                    connection.settimeout(CONTROL_TIMEOUT_S)
                    connection.recv(65536)
                connection.sendall(reply)
        last = time.monotonic()
        if not first_probe_told:
            say("probed")
            first_probe_told = True
        if flag_set:
            flag_set = not ask(settings["control"], "flg_remove", settings["flag"])


def ask(control: str, command: str, flag: str) -> bool:
    """Have the stand-in's daemon set or clear the flag; False when it is away, to be tried again."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(CONTROL_TIMEOUT_S)
            line.connect(control)
            line.sendall("\0".join((command, "-f", flag)).encode())
            line.shutdown(socket.SHUT_WR)
            return bool(line.recv(1))
    except OSError:
        return False


def say(word: str) -> None:
    """Tell the one that started us; it stops listening once restore is over."""
    with contextlib.suppress(OSError):
        os.write(1, f"{word}\n".encode())


if __name__ == "__main__":
    main()
