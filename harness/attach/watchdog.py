"""What puts an attached cluster back when the harness that disturbs it is killed: a watchdog process on the same machine.

The hosts undo their own disruptions; that everything is on the node where it was found, and that the lease is gone, nobody but somebody
who can log in everywhere can see to. The watchdog waits on a pipe that the harness holds. Words on it say what is being done; its end
without a farewell says that the harness is dead, however it died. What the watchdog does then it writes to put-back.txt in the run's
folder. It outlives the terminal and the process group of the harness, and not the machine.

    python -m harness.attach.watchdog        a WatchdogConfig on the first line of its input, then one Word a line
"""

from __future__ import annotations

import math
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel, ValidationError

from harness.attach.initial_state import RecordedState
from harness.attach.lease import Lease, on_windows
from harness.attach.pending_host_undos import HostUndoings, pending_undos
from harness.attach.power_restoration import follow_power_commands, give_power
from harness.attach.restore import put_back
from harness.attach.watchdog_control_group import choose_control_group
from harness.cluster.cluster_audit import no_command_runs, nothing_of_ours
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.config.cluster_config import Cluster
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, DeadlineExceeded, HarnessError
from harness.core.redaction.output_redaction import Cleaner
from harness.core.timeline import Timeline
from harness.core.verdict import Verdict, all_of, failed, passed
from harness.disrupt.bases.power_command import RunningProcess
from harness.disrupt.disruption import HARNESS, POWER_COMMAND_TIMEOUT_S, Disruption, Step, clear_failures
from harness.expectations import outage_budget
from harness.hosts.deadman.deadman_switch import ArmedUndo
from harness.measure.write_durability import takes_tokens
from harness.services.token_table import TABLE

FILE = "put-back.txt"
END_TIMEOUT_S = 10.0  # of a farewell
POWER_RETRY_INTERVAL_S = 10.0
PUT_BACK_RETRY_INTERVAL_S = 5.0
MAX_UNDO_S = 3600.0  # beyond the stated time, for what still stands: a node without power is worse than a watchdog that stays


class WatchdogConfig(BaseModel):
    """Whose cluster it is, and the lease that is held on it."""

    cluster: Cluster
    run: str
    token: str
    secrets: list[str] = []  # what must not get into its file; told on the pipe, and kept nowhere
    takes_unproven: bool = False  # has the operator said that what the manager cannot tell is no reason to leave it?


class WatchdogMessage(BaseModel):
    """`active`: the node that has everything, before anything is done, and `before`, how everything is then. `longest_s`: after that many
    seconds it is undone, by the hosts or by `commands`, which undo it on this machine in `command_s` each, to be given after `after_s`,
    when who should have undone it by then has not; `unseen`: at once, because every host may answer while it lasts. `armed`: what hosts
    undo by themselves, and `undone`, which of it (by token) the run has seen undone. `process`: a power command that was begun on this
    machine, and goes on when the harness dies. `settled`: the cluster is as it was found, and nothing is left but the lease, which may be
    gone already."""

    farewell: bool = False
    settled: bool = False
    active: str = ""
    before: RecordedState | None = None
    longest_s: float = 0.0
    commands: list[list[str]] = []
    command_s: float = POWER_COMMAND_TIMEOUT_S
    after_s: float = 0.0
    unseen: bool = False
    armed: list[ArmedUndo] = []
    undone: list[str] = []
    process: RunningProcess | None = None


def longest_s(cluster: Cluster, disruption_s: float) -> float:
    """How long after the harness was killed a disrupted cluster is as it was found, at the latest; seconds.

    The host's own undoing, a node's boot and a takeover until it is healthy; then the same once more for moving everything back, and the
    balancer, which follows.
    """
    timers = cluster.manager
    return disruption_s + timers.boot_s + 2 * timers.takeover_s + outage_budget.switchover(cluster).seconds


class Watchdog:
    """The harness's side, made right before the lease is taken.

    `tell_found` when the plan is made, `tell_disruption` before every disruption, `dismiss` at the end.
    """

    def __init__(self, config: WatchdogConfig, folder: Path) -> None:
        self._file = folder / FILE
        with self._file.open("ab") as log:  # for what Python itself would say; the rest it opens anew
            self._process = subprocess.Popen(
                [*choose_control_group().words, sys.executable, "-m", "harness.attach.watchdog", str(self._file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=Path(__file__).resolve().parents[2],
                start_new_session=True,  # what kills the harness's group or hangs up its terminal is not meant for it
            )
        self._tell(config)

    def tell_found(self, active: str, before: RecordedState | None = None) -> None:
        """Raises HarnessError when it has ended."""
        self._tell(WatchdogMessage(active=active, before=before))

    def tell_disruption(self, disruption: Disruption) -> float:
        """After how many seconds it is undone at the latest. Raises HarnessError when the cluster would be disturbed without a watchdog."""
        self._tell(message := message_for(disruption))
        return message.longest_s

    def tell_armed(self, armed: ArmedUndo) -> None:
        """Before a host is armed. Raises HarnessError when there is no watchdog any more."""
        self._tell(WatchdogMessage(armed=[armed]))

    def tell_undone(self, token: str) -> None:
        """Tells the watchdog that one disturbance was undone."""
        with suppress(HarnessError):  # it is dead, which the next thing that it must be told says
            self._tell(WatchdogMessage(undone=[token]))

    def tell_power_command(self, process: tuple[int, str]) -> None:
        """A power command has been begun."""
        with suppress(HarnessError):  # as above
            self._tell(WatchdogMessage(process=RunningProcess(*process)))

    def leave_to_it(self) -> None:
        """End without a farewell: it does what it would do if this process were killed."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it is dead already, which its log or the lease's end tells
            self._process.stdin.close()

    def tell_settled(self) -> None:
        """Before the lease is given back: were the run killed from now on, only the lease would be the watchdog's to end."""
        with suppress(HarnessError):  # it is dead already; the lease ends by itself if this process is killed too
            self._tell(WatchdogMessage(settled=True))

    def dismiss(self) -> None:
        """Tells the watchdog that the run is over and everything undone."""
        with suppress(HarnessError):  # it is dead already, and nothing is left for it to do
            self._tell(WatchdogMessage(farewell=True))
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if not self._file.stat().st_size:
            self._file.unlink()

    def _tell(self, message: BaseModel) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(message.model_dump_json().encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise HarnessError("the process that would put the cluster back if this one were killed has ended") from error


def shared_fates(cluster: Cluster) -> list[str]:
    """What would end the watchdog, or take from it what it needs, together with the run; sentences for the plan."""
    ended_by = choose_control_group().ended_by
    sentences = [ended_by] if ended_by else []
    agent = os.environ.get("SSH_AUTH_SOCK")
    if agent and os.environ.get("SSH_CONNECTION") and any(m.ssh.key is None for m in cluster.machines):
        sentences.append(
            f"It logs in by the SSH agent at {agent}; if the session you are in forwards that, it ends with it, and nothing is moved back "
            "then; name a key in the cluster file (ssh.key) to be independent of it."
        )
    return sentences


def message_for(disruption: Disruption) -> WatchdogMessage:
    """What the watchdog must know of a disruption: the power commands that bring a node back are not the host's own to give."""
    duration_s, steps = disruption.longest_s, disruption.steps()
    return WatchdogMessage(
        longest_s=undone_s(disruption, steps),
        commands=[shlex.split(step.command) for step in _local_undo_steps(steps)],
        command_s=disruption.command_s,
        after_s=0.0 if math.isinf(duration_s) else duration_s,
        unseen=disruption.undo_blindly,
    )


def undone_s(disruption: Disruption, steps: Sequence[Step]) -> float:
    """How long after its run was killed it is undone, at the latest: by a host itself, or by the commands that the watchdog gives."""
    duration_s = disruption.longest_s
    return len(_local_undo_steps(steps)) * disruption.command_s if math.isinf(duration_s) else duration_s


def _local_undo_steps(steps: Sequence[Step]) -> list[Step]:
    return [s for s in steps if s.host == HARNESS and s.phase == "undo"]


def watch(lines: TextIO) -> tuple[WatchdogConfig, list[WatchdogMessage]] | None:
    """Listen until the pipe ends. What is to be put back then, the last word last; None after a farewell, or when nothing was said."""
    try:
        config = WatchdogConfig.model_validate_json(lines.readline())
    except ValidationError:  # killed while it was being written: nothing had been disturbed
        return None
    messages = []
    for line in lines:
        try:
            messages.append(WatchdogMessage.model_validate_json(line))
        except ValidationError:  # likewise half a word: it is written before the thing is done
            break
    return None if messages and messages[-1].farewell else (config, messages)


def put_all_back(config: WatchdogConfig, messages: Sequence[WatchdogMessage], log: TextIO) -> int:
    """Keep the lease, undo what this machine has to, wait for what the hosts undo themselves, move everything back, end the lease."""

    cleaner = Cleaner(config.secrets)

    def say(text: str) -> None:
        text = cleaner.for_terminal(text)
        with suppress(OSError):  # a full disk may be what killed the run
            print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}", file=log, flush=True)

    cluster = config.cluster
    say(f"run {config.run} was killed")
    lasts_s = max((message.longest_s for message in messages), default=0.0)
    deadline = Deadline(longest_s(cluster, lasts_s))
    subject = ClusterUnderTest(cluster, Timeline())
    nodes = {n.name: subject.hosts[n.name] for n in cluster.nodes}
    lease = Lease(nodes, config.run, token=config.token, lasts_s=lasts_s, windows=on_windows(cluster))
    subject.lost, subject.stolen = lambda: lease.loss_reason, lambda: lease.stolen
    subject.takes_unproven = config.takes_unproven
    try:
        if messages and messages[-1].settled:  # the lease may be gone, and is not taken anew
            say("everything had been undone")
            return 0
        active = next((message.active for message in messages if message.active), "")
        if not any(message for message in messages if not message.active):
            say("nothing had been disturbed")
            return 0
        _resume_lease(lease, deadline, say)
        if lease.stolen:
            say(f"it is left as it is: {lease.stolen}")
            return 1
        processes = [message.process for message in messages if message.process]
        back = commands_of(message for message in messages if message.commands)
        follow_power_commands(processes, back, max(message.command_s for message in messages), say)
        give_power(unseen := commands_of(message for message in messages if message.unseen), say)
        since_killed = Deadline(0.0)

        def power() -> None:  # `on` does no harm to a node that is on
            due = [message for message in reversed(messages) if since_killed.elapsed() >= message.after_s]
            give_power(commands_of(due) | unseen, say)

        armed = pending_undos(
            (undo for message in messages for undo in message.armed), (token for message in messages for token in message.undone)
        )
        undoings = HostUndoings(armed, subject.hosts, since_killed, say, waited_for=frozenset(nodes))
        _wait_for_the_hosts(subject, Deadline(deadline.seconds + MAX_UNDO_S, anchor=deadline.anchor), power, undoings, say)
        if deadline.expired:
            say("it was undone late")
            deadline = Deadline(longest_s(cluster, 0.0))
        for service in cluster.services:
            if takes_tokens(service):
                say(f"the table {TABLE} may be in the database of {service.name}, where the run wrote; DROP TABLE {TABLE} removes it")
        before = next((message.before for message in messages if message.active), None)
        return _put_back(lease, lambda: put_back(subject, active, before, patience_s=deadline.remaining()), deadline, say)
    except HarnessError as error:
        say(f"it could not be put back: {error}")
        return 1
    finally:
        for fault in lease.give_back():
            say(fault)
        say("the lease is given back")
        subject.close()


def _put_back(lease: Lease, attempt: Callable[[], Verdict], deadline: Deadline, say: Callable[[str], None]) -> int:
    """Again and again until it is as it was found, because what is in its way may end: an action that goes on, a lock, a boot."""
    last_verdict: Verdict | None = None

    def once() -> Verdict:
        nonlocal last_verdict
        verdict = failed(f"it is left as it is: {lease.stolen}") if lease.stolen else attempt()
        if verdict != last_verdict:
            say(f"{verdict.outcome}: {verdict.reason}")
        last_verdict = verdict
        return verdict

    try:
        return 0 if deadline.wait_for(once, until=lambda v: bool(v) or bool(lease.stolen), what="", every=PUT_BACK_RETRY_INTERVAL_S) else 1
    except DeadlineExceeded:
        say("it could not be put back in the stated time; a person must do it")
        return 1


def _resume_lease(lease: Lease, deadline: Deadline, say: Callable[[str], None]) -> None:
    """The lease is still the run's; a node that a disruption took away cannot be asked yet, and the other's is enough."""
    try:
        deadline.wait_for(lease.resume, what="a node being reached", every=0.5)
    except DeadlineExceeded as error:
        say(f"no node can be asked for its lease: {error}")
        lease.keep_renewing()  # they may come back, and nothing is changed on them without it


def commands_of(messages: Iterable[WatchdogMessage]) -> dict[tuple[str, ...], float]:
    """Each once, with its limit in seconds. What Azure did may last behind a later word, because another disruption was within it."""
    return {tuple(command): message.command_s for message in messages for command in message.commands}


def _wait_for_the_hosts(
    subject: ClusterUnderTest, deadline: Deadline, power: Callable[[], object], undoings: HostUndoings, say: Callable[[str], None]
) -> None:
    """Until each host that was armed has undone its own, nothing of ours is left on it or on a node, and no node runs a command that
    changes the cluster: what is moved sooner would be moved under a disruption.

    Behind the last armed term what is left, or cannot be asked, is said and holds nothing up, but for what a node was to undo and did not,
    and for what still runs there: a client that is off, or a file of another run, is no reason to leave everything on the wrong node.

    A node that cannot be asked is given its power back, where that is the watchdog's to do; and again, because the dead harness's
    command may still be taking it away.
    """
    retry_pause = Deadline(0.0)
    nodes = [node.name for node in subject.cluster.nodes]
    hosts = list(dict.fromkeys([*nodes, *undoings.hosts]))

    def undone() -> Verdict:
        nonlocal retry_pause
        if retry_pause.expired and not all(subject.hosts[name].alive() for name in nodes):
            power()
            retry_pause = Deadline(POWER_RETRY_INTERVAL_S)
        quiet, clean = _judge(lambda: no_command_runs(subject)), _judge(lambda: nothing_of_ours(subject, hosts))
        pending = undoings.go_on(nothing_left=bool(quiet) and bool(clean))
        if quiet and pending and not clean and undoings.terms_over:
            clean = _judge(lambda: nothing_of_ours(subject, hosts))  # the round before may have been the one that undid it
            if not clean:
                say(f"it goes on, all the same, because every armed term is over: {clean.reason}")
                clean = passed(clean.reason)
        return all_of([quiet, clean, pending])

    deadline.wait_for(undone, what="the hosts' own undoing", every=0.5)


def _judge(look: Callable[[], Verdict]) -> Verdict:
    """A node on its way down or up says anything. Raises BadUse."""
    try:
        return look()
    except BadUse:
        raise
    except HarnessError as error:
        return failed(str(error))


def wait_until_healthy(subject: ClusterUnderTest, deadline: Deadline) -> None:
    """What failed because it was disturbed is marked as failed, and such a node does not stand by until that is cleared."""

    def is_healthy() -> bool:
        try:
            clear_failures(subject, deadline)
            return subject.state().healthy
        except BadUse:
            raise
        except HarnessError:
            return False

    deadline.wait_for(is_healthy, what="the cluster being healthy", every=0.5)


def main() -> int:
    """The watchdog's process; the exit code is 0 when nothing is left to do."""
    config_and_messages = watch(sys.stdin)
    if config_and_messages is None:
        return 0
    os.umask(0o077)
    with Path(sys.argv[1]).open("a", encoding="utf-8") as log:
        return put_all_back(*config_and_messages, log)


if __name__ == "__main__":
    sys.exit(main())
