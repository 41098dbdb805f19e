"""A real PostgreSQL in the lab: find it, prepare its data directory, start, stop and check it.

    python -m harness.lab.services.postgres prepare --cache DIR --data DIR --password-file F
    python -m harness.lab.services.postgres start   --data DIR --node NAME --port 5432 --bind '*' --log F --socket-dir /run/postgresql
    python -m harness.lab.services.postgres check   --data DIR --port 5432 --socket-dir /run/postgresql
    python -m harness.lab.services.postgres stop    --data DIR
    python -m harness.lab.services.postgres restart …as start

start, stop, restart and check are the restore, remove, recover and quickCheck of a `gen` resource (LKL-34). Exit 0 is good, 1 is not,
2 is bad use, 4 means that this machine skip_reason something; one sentence on standard error says what.
"""

from __future__ import annotations

import argparse
import functools
import os
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from harness.core.deadline import Deadline
from harness.core.errors import HarnessError, Unusable
from harness.lab.linux import linux_syscalls
from harness.lab.services import node_process
from harness.lab.services.postgres_ping import Faulty, ask

PID_LINE, STATUS_LINE = 0, 7  # of postmaster.pid


def start(
    data: Path, node: str, *, port: int = 5432, bind: str = "*", log: Path | None = None, socket_dir: Path, limit: float = 60.0
) -> node_process.Process:
    """Start the server in the background and wait until it accepts, crash recovery included. One that already runs is left alone.

    Raises Faulty with the last line of the log, Unusable when this machine has no server.
    """
    deadline = Deadline(limit)
    running = postmaster(data) or begin(data, node, port=port, bind=bind, log=log, socket_dir=socket_dir)
    return wait_until_it_accepts(running, data, node, log, deadline.remaining())


def begin(
    data: Path, node: str, *, port: int, bind: str, log: Path | None, socket_dir: Path, dies_with_us: bool = False
) -> node_process.Process:
    """Start the server in the background, without waiting. `dies_with_us`: it is killed when this process, or the thread that calls, ends.

    Raises Faulty, Unusable.
    """
    from harness.lab.services import postgres_account as account
    from harness.lab.services.postgres_template import server_binaries

    binary = server_binaries() / "postgres"
    clear_remains_of_a_crash(data, port, socket_dir)
    if not (data / "PG_VERSION").exists():
        raise Faulty(f"{data} holds no database: is the shared disk mounted on {node}?")
    _make_socket_dir(socket_dir)
    command = [str(binary), "-D", str(data), "-p", str(port), "-c", f"listen_addresses={bind}"]
    command += ["-c", f"unix_socket_directories={socket_dir}", "-c", f"cluster_name={node}"]

    def become() -> NoReturn:
        account.become()
        if dies_with_us:  # after the change of account, which takes it back
            linux_syscalls.end_with_parent()
        os.execv(command[0], command)

    return node_process.start_in_background(become, log)


def _make_socket_dir(socket_dir: Path) -> None:
    from harness.lab.services import postgres_account as account

    if not socket_dir.exists():
        socket_dir.mkdir(parents=True)
        owner = account.ids()
        if owner is not None:
            os.chown(socket_dir, *owner)


def wait_until_it_accepts(started: node_process.Process, data: Path, node: str, log: Path | None, limit: float) -> node_process.Process:
    """Within `limit` seconds; raises Faulty, DeadlineExceeded. The postmaster itself writes into its pid file when it takes connections;
    that costs no connection and no log line."""

    deadline = Deadline(limit)

    def accepts_or_ended() -> str:
        if not started.alive:
            return "ended"
        lines = _pid_file(data)
        is_ours = len(lines) > STATUS_LINE and lines[PID_LINE].strip() == str(started.pid)
        return lines[STATUS_LINE].strip() if is_ours else "starting"

    state = accepts_or_ended()
    if state not in ("ready", "ended"):
        try:
            state = deadline.wait_for(
                accepts_or_ended, what=f"{node}: PostgreSQL accepting connections", every=0.01, until={"ready", "ended"}.__contains__
            )
        except HarnessError:
            end(data, Deadline(5.0))
            raise
    if state == "ended":
        raise Faulty(f"{node}: PostgreSQL did not start; its log says: {node_process.last_line(log, 'FATAL: ')}")
    return started


def postmaster(data: Path) -> node_process.Process | None:
    """The living postmaster of this data directory in this pid namespace."""
    lines = _pid_file(data)
    if not lines or not lines[PID_LINE].strip().isdigit():
        return None
    process = node_process.find(int(lines[PID_LINE]))
    return process if process and _works_in(process.pid, data) else None


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _works_in(pid: int, data: Path) -> bool:
    """Every PostgreSQL process stands in its data directory; no other process with that pid does."""
    try:
        entry = node_process.PROC / str(pid)
        return (entry / "comm").read_text().strip() == "postgres" and data.samefile(entry / "cwd")
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # gone, or another user's and so none of ours
        return False


def _processes_of(data: Path) -> list[node_process.Process]:
    """Every PostgreSQL process of this data directory in this pid namespace, with or without a postmaster."""
    pids = [int(entry.name) for entry in node_process.PROC.iterdir() if entry.name.isdigit()]
    return [process for pid in pids if _works_in(pid, data) and (process := node_process.find(pid))]


def clear_remains_of_a_crash(data: Path, port: int, socket_dir: Path) -> list[str]:
    """Remove what a dead server left behind and would stop the next one. Returns what was removed.

    postmaster.pid on the shared disk may come from the other node, which crashed. Its pid means nothing here, because each node has a
    pid namespace of its own, but a process of ours may happen to have that number, and PostgreSQL would then refuse to start. Taking
    the file away is safe only because the shared disk is reserved: the cluster manager mounts it on one node at a time, after the other
    has let go of it or is dead, and `postmaster` has just shown that no server of this node uses it. Without that reservation two
    servers could write to one database.
    """
    for orphan in _processes_of(data):  # children of a killed postmaster still hold its shared memory, if only for a moment
        node_process.send(orphan, signal.SIGKILL)
        node_process.wait_until_gone(orphan, Deadline(5.0))
    removed_files = []
    for stale in (data / "postmaster.pid", socket_dir / f".s.PGSQL.{port}.lock"):
        if stale.name == "postmaster.pid" or not _names_a_postgres(stale):
            try:
                stale.unlink()
            except FileNotFoundError:
                continue
            removed_files.append(str(stale))
    return removed_files


def _names_a_postgres(lock: Path) -> bool:
    """Does a socket's lock file name a living server, of whatever database? A zombie, which nobody has reaped yet, is none."""
    try:
        pid = int(lock.read_text().split()[0])
        return node_process.find(pid) is not None and (node_process.PROC / str(pid) / "comm").read_text().strip() == "postgres"
    except (FileNotFoundError, ProcessLookupError, IndexError, ValueError):
        return False


def stop(data: Path, *, limit: float = 20.0) -> str:
    """Stop the server: fast first, then immediate, then by force; after it nothing uses the disk. Returns how it ended.

    The first step has `limit` seconds. Raises Faulty when something is left even so. A server that does not run is fine.
    """
    running = postmaster(data)
    if running is None:
        orphans = _processes_of(data)
        ended = [node_process.send(orphan, signal.SIGKILL) and node_process.wait_until_gone(orphan, Deadline(5.0)) for orphan in orphans]
        return f"did not run; {len(ended)} processes of a crashed server ended" if ended else "did not run"
    for number, outcome, seconds in ((signal.SIGINT, "stopped fast", limit), (signal.SIGQUIT, "stopped at once", 5.0)):
        if not node_process.send(running, number) or node_process.wait_until_gone(running, Deadline(seconds)):
            return outcome
    return end(data, Deadline(5.0))


def end(data: Path, deadline: Deadline) -> str:
    """Kill every process of the server. Raises Faulty when one survives."""
    processes = _processes_of(data)
    for process in processes:
        node_process.send(process, signal.SIGKILL)
    stuck_pids = [process.pid for process in processes if not node_process.wait_until_gone(process, deadline)]
    if stuck_pids:
        raise Faulty(f"PostgreSQL in {data} cannot be killed: {stuck_pids} are stuck in the kernel, most likely in the disk")
    return "killed"


def check(data: Path, *, port: int = 5432, socket_dir: Path, limit: float = 5.0) -> str:
    """Its process is there and a query on its socket is answered. Raises Faulty otherwise."""
    running = postmaster(data)
    if running is None:
        raise Faulty(f"PostgreSQL does not run: no living server uses {data}")
    path = str(socket_dir / f".s.PGSQL.{port}")
    deadline = Deadline(limit)
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(limit)
            peer.connect(path)
            ask(peer, deadline)
    except TimeoutError:
        raise Faulty(f"PostgreSQL (pid {running.pid}) did not answer on {path} within {limit:g} s") from None
    except OSError as error:
        raise Faulty(f"PostgreSQL (pid {running.pid}) cannot be reached on {path}: {error.strerror or error}") from error
    return f"PostgreSQL runs with pid {running.pid} and answers"


def prepare(cache: Path, data: Path, password: str) -> None:
    """Put a fresh database at `data`, copied from the cache's template, which is made first when it is not there."""
    from harness.lab.services.postgres_template import copy_template, ensure_template

    copy_template(ensure_template(cache, password), data)


@functools.cache
def _options() -> argparse.ArgumentParser:
    assert __doc__
    parser = argparse.ArgumentParser(prog="postgres", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["prepare", "start", "stop", "restart", "check"])
    parser.add_argument("--data", type=Path, required=True, help="the data directory, on the shared disk")
    parser.add_argument("--node", default="", help="becomes cluster_name, by which the server tells its node")
    parser.add_argument("--port", type=int, default=5432)
    parser.add_argument("--bind", default="*", help="listen_addresses (default: any)")
    parser.add_argument("--log", type=Path, help="the server's log is appended here")
    parser.add_argument("--socket-dir", type=Path, default=Path("/run/postgresql"))
    parser.add_argument("--limit", type=float, help="seconds (start 60, stop 20, check 5)")
    parser.add_argument("--cache", type=Path, help="where templates are kept (prepare)")
    parser.add_argument("--password-file", type=Path, help="first line: the password of role harness (prepare)")
    return parser


def _act(options: argparse.Namespace) -> str:
    limit = {"limit": options.limit} if options.limit else {}
    if options.action == "prepare":
        prepare(options.cache, options.data, options.password_file.read_text().splitlines()[0])
        return f"{options.data} holds a fresh database"
    if options.action == "check":
        return check(options.data, port=options.port, socket_dir=options.socket_dir, **limit)
    outcome = stop(options.data, **limit) if options.action in ("stop", "restart") else ""
    if options.action == "stop":
        return f"PostgreSQL {outcome}"
    running = start(
        options.data, options.node, port=options.port, bind=options.bind, log=options.log, socket_dir=options.socket_dir, **limit
    )
    return f"PostgreSQL runs with pid {running.pid}"


def main(arguments: list[str] | None = None) -> int:
    """Prepares, starts, stops, restarts or checks a server; returns the exit code."""
    parser = _options()
    options = parser.parse_args(arguments)
    if options.action == "prepare" and not (options.cache and options.password_file):
        parser.error("prepare needs --cache and --password-file")
    if options.action in ("start", "restart") and not options.node:
        parser.error(f"{options.action} needs --node")
    try:
        print(_act(options))
    except HarnessError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    except OSError as error:
        print(Unusable(f"{error.filename or options.data}: {error.strerror}"), file=sys.stderr)
        return int(Unusable.exit_code)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
