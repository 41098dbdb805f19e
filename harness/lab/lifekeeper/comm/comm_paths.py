"""All paths to the peer together: who is heard, what the peer last said of itself, and control messages (LKL-35 to LKL-37)."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from harness.core.deadline import Deadline
from harness.lab.lifekeeper.comm.comm_path import Line, Path
from harness.lab.lifekeeper.config.stand_in_settings import Config
from harness.lab.lifekeeper.config.tunables import Tunables
from harness.lab.lifekeeper.log import Code, Journal, Log

Answer = dict[str, Any]


class NoContact(Exception):
    """The peer is not reachable on any ALIVE path, or was lost while it was asked."""


class Comm:
    """`tell` gets "silence" (all paths DEAD now), "contact" (the first one ALIVE) and "new-peer" (the peer was restarted)."""

    def __init__(self, config: Config, tunables: Tunables, log: Log, journal: Journal, tell: Callable[[str], None]) -> None:
        self.config, self.tunables, self.log, self.journal, self._tell = config, tunables, log, journal, tell
        limit = config.timers.connect_limit_s
        ordered = sorted(config.comm_paths, key=lambda ends: ends.priority)
        self.paths = [Path(ends, config.comm_port, tunables.LCMHBEATTIME, limit) for ends in ordered]
        self.instance = uuid.uuid4().hex
        self.about_me: Callable[[], Answer] = dict
        self.answer_call: Callable[[str, Answer], Answer] = lambda _op, _args: {"error": "not ready"}
        self.peer: Answer = {}
        self.changed = threading.Condition()
        self._stopping = threading.Event()

    def start(self, *, presume_alive: bool) -> None:
        """`presume_alive`: the daemon was restarted in mid-life, so a peer that is silent from now on is a loss (LKL-02)."""
        if presume_alive:
            for path in self.paths:
                path.alive, path.last_heard = True, time.monotonic()
        for path in self.paths:
            self._thread(f"listen {path}", self._listen, path)
            self._thread(f"beat {path}", path.beat, self._stopping, self._heartbeat, self.heard)
        self._thread("judge", self._judge)

    def stop(self) -> None:
        """Ends the heartbeats; the threads end by themselves."""
        self._stopping.set()

    def contact(self) -> bool:
        """Whether at least one path to the peer is alive."""
        return any(path.alive for path in self.paths)

    def peer_state(self, tag: str) -> str | None:
        """The peer's state of a resource as of its last heartbeat; None without contact."""
        return self.peer.get("states", {}).get(tag) if self.contact() else None

    def heard(self, path: Path, message: Answer) -> None:
        """Takes a heartbeat of the peer in: when it came, and what the peer says of itself."""
        if message.get("node") != self.config.peer:
            return
        with self.changed:
            path.last_heard = time.monotonic()
            was, self.peer = self.peer.get("instance"), message
            came_alive = self._came_alive(path)
            self.changed.notify_all()
        if came_alive:
            self._tell("contact")
        elif was is not None and was != message.get("instance"):
            self._tell("new-peer")

    def _came_alive(self, path: Path) -> bool:
        """Mark the path ALIVE; True when it ends a silence."""
        if path.alive:
            return False
        first = not self.contact()
        path.alive = True
        self._note_path(path, Code.PATH_ALIVE, "ALIVE")
        return first

    def call(self, op: str, limit: float | None = None, **args: Any) -> Answer:
        """Ask the peer over the best ALIVE path. Raises NoContact when there is none or all go DEAD meanwhile."""
        deadline = Deadline(self.config.timers.call_limit_s if limit is None else limit)
        for path in [p for p in self.paths if p.alive]:
            try:
                line = path.connect()
                line.send({"call": op, "node": self.config.node, "args": args}, path.connect_limit)
            except OSError:
                continue  # not taken: the next path in order of priority may do
            try:
                return self._await_answer(line, op, deadline)
            finally:
                line.close()
        message = f"no contact with {self.config.peer}: all communication paths are DEAD"
        self.log.write(Code.NO_CONTACT, message, action=op)
        raise NoContact(message)

    def _await_answer(self, line: Line, op: str, deadline: Deadline) -> Answer:
        while True:
            try:
                return line.receive(deadline.within(self.tunables.LCMHBEATTIME))
            except TimeoutError:
                if self.contact() and not deadline.expired:
                    continue
                why = "took longer than it may" if self.contact() else "was lost"
                raise NoContact(f"{self.config.peer} {why} while it was asked to {op}") from None
            except OSError as error:
                raise NoContact(f"{self.config.peer} was lost while it was asked to {op} ({error})") from error

    def _heartbeat(self) -> Answer:
        return {"node": self.config.node, "instance": self.instance, **self.about_me()}

    def _listen(self, path: Path) -> None:
        """Accept on this path's own address, which may come up later than we do."""
        warned = False
        while not self._stopping.is_set():
            try:
                listener = socket.create_server((path.ends.local, path.port), backlog=64)
            except OSError as error:
                if not warned:
                    self.log.write(Code.PATH_UNUSABLE, f"{path.ends.local}:{path.port} cannot be listened on yet ({error.strerror})")
                warned = True
                self._stopping.wait(path.interval)
                continue
            with listener:
                while not self._stopping.is_set():
                    connection, (address, *_) = listener.accept()
                    if address != path.ends.peer:
                        connection.close()
                        continue
                    self._thread(f"serve {path}", self._serve, path, Line(connection))

    def _serve(self, path: Path, line: Line) -> None:
        """Answer heartbeats with our own, and one control message with its result."""
        patience = 2 * self.tunables.dead_time
        try:
            while not self._stopping.is_set():
                message = line.receive(patience)
                if message.get("node") != self.config.peer:
                    self.log.write(Code.PATH_UNUSABLE, f"{path}: {message.get('node')} spoke, but the peer is {self.config.peer}")
                    return
                if "call" in message:
                    line.send(self.answer_call(message["call"], message.get("args", {})), patience)
                    return
                self.heard(path, message)
                line.send(self._heartbeat(), path.interval)
        except OSError:
            pass  # the peer closed, or is gone: silence is judged in one place, by the heartbeats that do not come
        finally:
            line.close()

    def _judge(self) -> None:
        """Mark paths DEAD. After a pause of this very process (a frozen node) it first lets waiting heartbeats in."""
        step = self.tunables.LCMHBEATTIME / 4
        looked = time.monotonic()
        grace_until = 0.0
        while not self._stopping.wait(step):
            now = time.monotonic()
            if now - looked > step + self.tunables.LCMHBEATTIME:
                grace_until = now + 2 * self.tunables.LCMHBEATTIME
            looked = now
            if now >= grace_until:
                self._bury(now)

    def _bury(self, now: float) -> None:
        with self.changed:
            silent = [p for p in self.paths if p.alive and now - p.last_heard > self.tunables.dead_time]
            for path in silent:
                path.alive = False
                self._note_path(path, Code.PATH_DEAD, "DEAD")
            all_dead = bool(silent) and not self.contact()
            self.changed.notify_all()
        if all_dead:
            self._tell("silence")

    def _note_path(self, path: Path, code: Code, state: str) -> None:
        self.log.write(code, f"communication to {self.config.peer} by {path} is {state}")
        self.journal.note("path", path=str(path), priority=path.ends.priority, state=state)

    @staticmethod
    def _thread(name: str, work: Callable[..., None], *args: Any) -> None:
        threading.Thread(target=work, args=args, name=name, daemon=True).start()
