"""Hosts over SSH. A host connects when it is first used, and again after its connection was lost.

Only the way to a host is tried again (a host that boots refuses, resets or is silent for a while), and every such retry
is in the timeline. A command that may have started is never repeated. A wrong host key is never retried.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential
from tenacity.nap import sleep_using_event

from harness.config.cluster_config import Cluster, Machine
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, DeadlineExceeded, Unusable
from harness.core.timeline import Timeline
from harness.hosts.host import Command, CommandResult, Host, HostUnreachable, WrongHostKey
from harness.hosts.interrupt_shield import run_uninterrupted
from harness.hosts.output_limits import MAX_OUTPUT_BYTES
from harness.hosts.root_rights import ABSENT, is_marked_for_root, refusal_sentence, refusals_line, sudo_lines, sudo_refusal
from harness.hosts.shell_command import as_line
from harness.hosts.shell_detection import SHELLS
from harness.hosts.ssh.forwarding import Forwarding, ForwardingTransport
from harness.hosts.ssh.ssh_connection import MAX_SESSIONS, Connection, NotYet, SessionsTaken, connect, dial_directly
from harness.hosts.ssh.ssh_library import paramiko
from harness.hosts.ssh.ssh_process import SshProcess, close, execute, finish

T = TypeVar("T")


class SshHost(Host):
    """Implements `Host` for `machine`, through another host when one is given. Safe to use from several threads."""

    def __init__(self, machine: Machine, *, timeline: Timeline | None = None, through: SshHost | None = None) -> None:
        self.name = machine.name
        self.machine = machine
        self._shell = SHELLS[machine.platform]
        self._timeline = timeline
        self._dial = through._tunnel if through else dial_directly(machine.name)
        self._connection: Connection | None = None
        self._connecting = threading.Lock()
        self._given_up: HostUnreachable | None = None

    def __repr__(self) -> str:
        return f"SshHost({self.name})"

    def run(self, command: Command, *, limit: float = 10.0, input: bytes | None = None, most: int = MAX_OUTPUT_BYTES) -> CommandResult:
        """Run to the end. Raises HostUnreachable, CommandTookTooLong (a DeadlineExceeded) after `limit` seconds, TooMuchOutput when it
        printed more than `most` bytes on one stream.

        `limit` counts from this call: connecting is part of it. The exit is -1 when a signal ended the command.
        """
        deadline = Deadline(limit)

        def once(to_run: Command, stdin: bytes | None) -> CommandResult:
            channel, connection = self._session(deadline)
            try:
                return self._run_on(channel, to_run, stdin, deadline, most=most)
            finally:
                close(channel)
                connection.slots.release()

        def work() -> CommandResult:
            result = once(command, input)
            return self._demand_sudo(command, result, lambda line: once(line, None)) if self.machine.ssh.sudo else result

        return run_uninterrupted(work, abandon=lambda: setattr(deadline, "seconds", 0.0))

    def _demand_sudo(self, command: Command, result: CommandResult, ask: Callable[[str], CommandResult]) -> CommandResult:
        """The result, where sudo allowed what needed root, or some of it. Raises Unusable, with the line that is lacking, where it allowed
        nothing of it. A program that is not there exits 127, as without sudo."""
        lines = sudo_lines(command)
        refusal = sudo_refusal(result.err) or (None if is_marked_for_root(command) else sudo_refusal(result.out[:4000]))
        if not lines or not refusal:
            return result
        if is_marked_for_root(command) and ABSENT.search(result.err):
            return replace(result, exit=127)
        if not is_marked_for_root(command) and len(ask(refusals_line(lines)).out.splitlines()) < len(lines):
            return result
        raise Unusable(refusal_sentence(self.name, self.machine.ssh.user, refusal, lines))

    def start(self, command: Command) -> SshProcess:
        """Start and stream. The command must end when its input does: sshd ends nothing when the channel closes."""
        return run_uninterrupted(lambda: self._start(command))

    def _start(self, command: Command) -> SshProcess:
        line, shell_line = as_line(command), self._shell.to_stream(command, sudo=self.machine.ssh.sudo)
        deadline = Deadline(2 * self.machine.ssh.connect_limit_s)
        channel, connection = self._session(deadline)
        try:
            execute(channel, self.name, shell_line, line, deadline)
        except BaseException:
            close(channel)
            connection.slots.release()
            raise
        return SshProcess(channel, connection.slots.release, begins=self._shell.begins, clean=self._shell.clean)

    def give_up(self, why: HostUnreachable | None) -> None:
        """Raise this at once wherever the way there would be tried, until None is given: for a look at a cluster, which is over before a
        lost host is back, and would wait `connect_limit_s` for it at each of its questions."""
        self._given_up = why

    def alive(self, *, limit: float = 2.0) -> bool:
        """Does the host run a command for us within `limit` seconds? Not retried; a wrong key is raised, not an answer.

        It does not queue for a session slot, so that eight busy sessions do not make a host look dead.
        """
        return run_uninterrupted(lambda: self._alive(limit))

    def _alive(self, limit: float) -> bool:
        deadline = Deadline(limit)
        current = self._connection
        if current is not None and current.usable and self._answers(current, Deadline(limit / 2)):
            return True
        return self._answers_over_new_connection(deadline)

    def _answers_over_new_connection(self, deadline: Deadline) -> bool:
        """Over a new connection: the host may be up again behind one that died unnoticed. The old one is only given up for a new one
        that works, because a host that is merely slow has streams on it that must not be lost."""
        try:
            fresh = connect(self.machine, self._dial, deadline)
        except WrongHostKey:
            raise
        except HostUnreachable:
            return False
        if not self._answers(fresh, deadline):
            fresh.close()
            return False
        current = self._connection
        if current is not None and current.usable and self._answers(current, Deadline(max(deadline.seconds, 1.0))):
            fresh.close()  # slow, but not dead
            return True
        with self._connecting:
            old, self._connection = self._connection, fresh
        if old is not None:
            old.close()
            self._note("reconnected", f"{self.name}: SSH connection restored")
        else:
            self._note("connected", f"{self.name}: SSH connection up")
        return True

    def close(self) -> None:
        """Disconnect, which ends every session. Using the host again connects again."""
        run_uninterrupted(self._close)

    def _close(self) -> None:
        with self._connecting:
            if self._connection is not None:
                self._connection.close()

    def _answers(self, connection: Connection, deadline: Deadline) -> bool:
        try:
            channel = connection.open_session(deadline.remaining())
        except HostUnreachable:
            return False
        try:
            return self._run_on(channel, ["true"], None, deadline, plain=True).ok
        except (HostUnreachable, DeadlineExceeded):
            return False
        finally:
            close(channel)

    def _run_on(
        self,
        channel: paramiko.Channel,
        command: Command,
        input: bytes | None,
        deadline: Deadline,
        *,
        plain: bool = False,
        most: int = MAX_OUTPUT_BYTES,
    ) -> CommandResult:
        line, sudo = as_line(command), self.machine.ssh.sudo and not plain
        shell_line, data = self._shell.to_run(command, input, sudo=sudo, limit=deadline.seconds)
        execute(channel, self.name, shell_line, line, deadline)
        exit, out, err = finish(channel, self.name, line, data, deadline, clean=self._shell.clean, most=most)
        return CommandResult(self.name, line, exit, out, err, deadline.anchor, deadline.elapsed())

    def _session(self, deadline: Deadline) -> tuple[paramiko.Channel, Connection]:
        """A fresh session and the connection whose slot it holds, trying the way there again while time is left."""
        if self._given_up is not None:
            raise self._given_up
        way_there = Deadline(deadline.within(self.machine.ssh.connect_limit_s))

        def attempt() -> tuple[paramiko.Channel, Connection]:
            connection = self._usable_connection(way_there)
            if not connection.slots.acquire(timeout=deadline.remaining()):
                raise DeadlineExceeded(
                    f"{self.name}: all {MAX_SESSIONS} sessions stayed busy for {deadline.seconds:g} s; close streams you no longer read"
                )
            try:
                # half, so that a connection that has died unnoticed leaves time for a new one
                return connection.open_session(max(way_there.within(way_there.seconds / 2), 0.5)), connection
            except BaseException as error:
                connection.slots.release()
                if isinstance(error, NotYet) and not isinstance(error, SessionsTaken):
                    connection.close()  # so that the next try makes a new one
                raise

        return self._retry(attempt, way_there)

    def forwarding(self, limit: float) -> Forwarding:
        """A further SSH connection, for connections that sshd makes at our word. Raises HostUnreachable; not retried."""
        return run_uninterrupted(lambda: Forwarding(connect(self.machine, self._dial, Deadline(limit), ForwardingTransport)))

    def _tunnel(self, address: str, port: int, deadline: Deadline) -> paramiko.Channel:
        """Dial for a host behind this one."""

        return self._usable_connection(deadline).open_tunnel(address, port, max(0.1, deadline.remaining()))

    def _usable_connection(self, deadline: Deadline) -> Connection:
        """The connection, or a new one: one try. Threads that come meanwhile wait for it."""
        if not self._connecting.acquire(timeout=max(0.01, deadline.remaining())):
            raise HostUnreachable(f"{self.name}: another thread was still connecting after {deadline.seconds:g} s")
        try:
            if self._connection is None or not self._connection.usable:
                again = self._connection is not None
                if self._connection is not None:
                    self._connection.close()
                self._connection = connect(self.machine, self._dial, deadline)
                self._note("reconnected" if again else "connected", f"{self.name}: SSH connection {'restored' if again else 'up'}")
            return self._connection
        finally:
            self._connecting.release()

    def _retry(self, attempt: Callable[[], T], deadline: Deadline) -> T:
        """Call again after a transport error, with growing pauses, until `deadline`; the last error is raised as it is."""

        def no_time_for_another(state: RetryCallState) -> bool:
            return deadline.remaining() <= state.upcoming_sleep

        def note(state: RetryCallState) -> None:
            why = state.outcome.exception() if state.outcome else "no outcome"
            self._note("retry", f"{self.name}: try {state.attempt_number} failed, trying again: {why}")

        return Retrying(
            retry=retry_if_exception_type(NotYet),
            wait=wait_exponential(multiplier=0.05, max=0.5),
            stop=no_time_for_another,
            before_sleep=note,
            sleep=sleep_using_event(threading.Event()),
            reraise=True,
        )(attempt)

    def _note(self, kind: str, text: str) -> None:
        if self._timeline:
            self._timeline.note(self.name, kind, text)


def give_up(host: Host, why: Exception | None) -> None:
    """See `SshHost.give_up`; nothing is done where the way to the host is none by SSH, or the error is not that it is unreachable."""
    if isinstance(host, SshHost) and (why is None or isinstance(why, HostUnreachable)):
        host.give_up(why)


def connect_all(cluster: Cluster, timeline: Timeline | None = None) -> dict[str, SshHost]:
    """A host for every machine of the cluster, by name, with its jump host resolved. Nothing connects before its first use.

    Raises BadUse when jump hosts lead in a circle.
    """
    machines = {m.name: m for m in cluster.machines}
    hosts: dict[str, SshHost] = {}

    def host_of(name: str, on_the_way: tuple[str, ...]) -> SshHost:
        if name in on_the_way:
            raise BadUse(
                f"{name}: its jump hosts lead in a circle ({' → '.join([*on_the_way, name])}); one of them must be reached directly"
            )
        if name not in hosts:
            jump = machines[name].ssh.jump
            through = host_of(jump, (*on_the_way, name)) if jump else None
            hosts[name] = SshHost(machines[name], timeline=timeline, through=through)
        return hosts[name]

    return {name: host_of(name, ()) for name in machines}
