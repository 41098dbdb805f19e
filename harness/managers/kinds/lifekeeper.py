"""LifeKeeper for Linux, over its commands (facts, cluster managers, section 2)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded
from harness.hosts.detached_jobs import run_to_its_end
from harness.hosts.host import Command, CommandResult, Host, HostUnreachable
from harness.hosts.root_rights import ROOT, as_root, read_by_root
from harness.managers.data_mirror import check_mirror
from harness.managers.linux_base import OnLinux
from harness.managers.manager import Answer, ClusterState, NodeState, Question, SwitchRefused
from harness.managers.parse.lcdstatus_parse import parse
from harness.managers.rules.boot_start_rules import at_boot_line, by_units
from harness.managers.rules.lifekeeper_disk_rules import fenced_by, mirrored_by
from harness.managers.rules.lifekeeper_switchover_rules import by_flags, by_policies, by_settings
from harness.managers.switchover_readiness import Case, NodeOutput, by_state, last_words
from harness.managers.unlisted_members import of_lifekeeper, own_tags, unrelated_in_lifekeeper

SETTINGS = "/etc/default/LifeKeeper"  # LKL-01
READ_SETTINGS = f"test ! -e {SETTINGS} || {read_by_root('cat', SETTINGS)}"
# The same for a look, which wants to know whether a file without settings was read.
TELL_SETTINGS = f"if [ -e {SETTINGS} ]; then {read_by_root('cat', SETTINGS)} && echo && echo '# read'; else echo '# absent'; fi"

# syslog time, host, program[pid], then LEVEL:kit:action:tag:code:message (LKL-62)
LOG_LINE = re.compile(r"^\S+ +\d+ [\d:]+ \S+ [^\s:]+: ?(?P<level>[A-Z]+):(?P<kit>[^:]*):(?P<action>[^:]*):(?P<tag>[^:]*):(?P<code>\d{6}):")
ALARMING = {"EMERG", "FATAL", "ERROR"}
ACTS = {"restore", "remove", "recover", "delete"}


def notices(line: str) -> bool:
    """By form alone, because the product's texts are not known: an error, or an action on a resource that begins (LKL-62, LKL-34)."""
    match = LOG_LINE.match(line)
    return match is not None and (match["level"] in ALARMING or match["action"] in ACTS)


def address_in(row: str) -> str | None:
    """The address in an IP resource's row of `ins_list`: field 6, info, holds node, interface, address and hexadecimal mask
    (LKL-13, LKL-19); what separates these is not known, so the address is found by its form."""
    fields = row.strip("\n").split("\x01")
    match = re.search(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])", fields[5]) if len(fields) > 5 else None
    return match[0] if match else None


class LifeKeeper(OnLinux):
    """Reads each node over its own connection; drives from the node that is to act."""

    name = "LifeKeeper"
    log = Path("/var/log/lifekeeper.log")  # LKL-01
    notices = staticmethod(notices)
    out_settings = None
    packages = ("steeleye-lk",)  # its core (docs of SIOS: `rpm -q steeleye-lk`)
    boot_unit = "lifekeeper"
    peer_port = ("tcp", 7365)  # LKL-36
    process_names = ("lcm", "lcd", "lkcheck", "lkscsid", "lkvmhad", "eventslcm", "ttymonlcm", "lcdremexec")
    usual_daemons = ("lcm", "lcd", "lkcheck")  # LKL-02
    mended_daemons = process_names  # all of them are the supervisor's (LKL-02)

    def __init__(self, cluster: cluster_config.Cluster, hosts: Mapping[str, Host]) -> None:
        super().__init__(cluster, hosts)
        self._bin = cluster.manager.root / "bin"

    def _node_state(self, node: str, limit: float) -> NodeState:
        return self._node_state_in(node, self._read_node_status(node, limit))

    def _read_status(self, limit: float) -> dict[str, CommandResult | str]:
        """What lcdstatus prints on every node, or why a node could not be asked."""
        return self._each(lambda node: self._read_node_status(node, limit))

    def _read_node_status(self, node: str, limit: float) -> CommandResult | str:
        try:
            return self._hosts[node].run(self._read_command("lcdstatus", "-q"), limit=limit)
        except (HostUnreachable, DeadlineExceeded) as error:
            return str(error)

    def _state_in(self, status: Mapping[str, CommandResult | str]) -> ClusterState:
        return ClusterState({node: self._node_state_in(node, result) for node, result in status.items()})

    def _node_state_in(self, node: str, result: CommandResult | str) -> NodeState:
        if isinstance(result, str):
            return NodeState(node, False, {}, (), result)
        if result.exit == 127:
            return NodeState(node, False, {}, (), f"there is no {self._bin}/lcdstatus on {node}; is LifeKeeper installed there?")
        return parse(node, result.out + result.err)

    def survey_commands(self) -> dict[str, str]:
        """Flags are read while the instances are; that they were is told too, because no flag at all may be what is wrong."""
        instances, flags = (shlex.quote(str(self._bin / tool)) for tool in ("ins_list", "flg_list"))
        both = f"{{ {ROOT} {flags} && echo '# asked'; }} | {{ {ROOT} {instances}; echo '@@ flags'; cat; }}"
        return {"instances": both, "settings": TELL_SETTINGS}

    def switch_over(self, to: str, *, deadline: Deadline) -> None:
        self._act(to, self._cluster.manager.resource, "restore", [], deadline)

    def switch_over_lines(self, to: str) -> list[str]:
        return [shlex.join(self._action_command(self._cluster.manager.resource, "restore", []))]

    def unlisted_members(self, *, limit: float = 10.0) -> list[str]:
        resource, sentences = self._cluster.manager.resource, []
        for name, output in self._ask_each(self._read_command("lcdstatus", "-q"), limit).items():
            sentences += [output.why] if output.text is None else of_lifekeeper(output.text, name, resource, self._names)
        return list(dict.fromkeys(sentences))

    def unrelated_resources(self, *, limit: float = 10.0) -> frozenset[str]:
        return self._unrelated_in(self._read_status(limit))

    def _unrelated_in(self, status: Mapping[str, CommandResult | str]) -> frozenset[str]:
        printed = [result.out for result in status.values() if not isinstance(result, str) and result.ok]
        return unrelated_in_lifekeeper(printed, own_tags(self._cluster), self._cluster.load_balancer.probe.port)

    def fail_counts(self, *, limit: float = 10.0) -> dict[str, dict[str, int]]:
        """LifeKeeper counts none: a resource is marked as failed, or it is not (LKL-14)."""
        return {}

    def end_own_move(self, node: str, *, deadline: Deadline) -> None:
        """A move leaves nothing in force here."""

    def by_hand_line(self, to: str) -> str:
        return self.switch_over_lines(to)[0]

    def take_out_lines(self, tag: str, node: str) -> list[str]:
        return [shlex.join(self._action_command(tag, "remove", ["-s"]))]

    def _read_command(self, tool: str, *words: str) -> Command:
        """A command of LifeKeeper's that only reads; what it answers, root alone is told."""
        return as_root([str(self._bin / tool), *words])

    def _action_command(self, tag: str, action: str, options: list[str]) -> list[str]:
        return [str(self._bin / "perform_action"), *options, "-t", tag, "-a", action]

    def may_switch_over(self, to: str, question: Question = Question.TOLD, *, limit: float = 10.0) -> Answer:
        """From both nodes' states, flags, policies and settings (LKL-22, LKL-23, LKL-33, LKL-45); nothing is changed."""
        manager = self._cluster.manager
        with ThreadPoolExecutor(max_workers=4) as pool:
            reading = pool.submit(self._read_status, limit)
            flags = pool.submit(self._ask_each, self._read_command("flg_list"), limit)
            settings = pool.submit(self._ask_each, READ_SETTINGS, limit)
            policies = (
                None if question is Question.TOLD else pool.submit(self._ask_each, self._read_command("lkpolicy", "--get-policies"), limit)
            )
        status = reading.result()
        ours = self._state_in(status).without(self._unrelated_in(status))  # what is another application's stays where it is
        case = by_state(to, ours, question).add(by_flags(to, flags.result(), question, manager.harmless_flags))
        case.add(by_policies(policies.result()) if policies else Case())
        return case.add(by_settings(settings.result(), question, manager.quorum)).answer

    def fencing(self, *, limit: float = 10.0) -> Answer:
        """A split ends with one side only where a shared disk's reservation decides, or a quorum mode that stops the other (LKL-40)."""
        manager = self._cluster.manager
        instances = self._ask_each(self._read_command("ins_list", "-f|"), limit)
        modes = self._ask_each(READ_SETTINGS, limit)
        return fenced_by(instances, modes, manager)

    def mirror(self, to: str, *, limit: float = 10.0) -> Answer:
        """No fact tells how a copy's state is read on Linux, so the cluster file names the command (WCLU-39)."""
        copiers = mirrored_by(self._ask_each(self._read_command("ins_list", "-f|"), limit), self._cluster.manager)
        return check_mirror(self._cluster, self._hosts, to, copiers, limit)

    def starts_at_boot(self, *, limit: float = 10.0) -> Answer:
        """Its unit is lifekeeper.service (LKL-02)."""
        if self._cluster.manager.starts_at_boot is not None:
            return by_units({}, [], self._cluster.manager.starts_at_boot)
        return by_units(self._ask_each(at_boot_line(["lifekeeper"]), limit), ["lifekeeper"])

    def failures_left(self, *, limit: float = 10.0) -> dict[str, tuple[int, int]]:
        """LifeKeeper counts none, and tries each step once (LKL-42)."""
        return {}

    def _ask_each(self, command: Command, limit: float) -> dict[str, NodeOutput]:
        """What every node says to a command that only reads, asked at once."""
        return self._each(lambda node: self._ask(node, command, limit))

    def _ask(self, node: str, command: Command, limit: float) -> NodeOutput:
        """What a command that only reads printed, or why that cannot be used."""
        try:
            result = self._hosts[node].run(command, limit=limit)
        except (HostUnreachable, DeadlineExceeded) as error:
            return NodeOutput(None, str(error))
        if result.exit == 127:
            return NodeOutput(None, f"there is no {command[0] if not isinstance(command, str) else command}")
        if not result.ok:
            return NodeOutput(None, f"`{result.command}` exited {result.exit} and said: {last_words(result.err, result.out)}")
        return NodeOutput(result.out)

    def stays_in(self, tag: str, node: str, *, limit: float = 20.0) -> str:
        return ""  # `-s` limits it to the tag (LKL-28)

    def take_out(self, tag: str, node: str, *, deadline: Deadline) -> None:
        self._act(node, tag, "remove", ["-s"], deadline)

    def put_back(self, tag: str, node: str, *, deadline: Deadline) -> None:
        self._act(node, tag, "restore", ["-s"], deadline)

    def _act(self, node: str, tag: str, action: str, options: list[str], deadline: Deadline) -> None:
        """perform_action, followed to its end; what its exit code means is not known, so the state afterwards is what counts (facts,
        section 9). Raises StillRunning when it takes longer than the deadline; it then goes on."""
        command = self._action_command(tag, action, options)
        result = run_to_its_end(self._hosts[node], command, deadline)
        wanted = action == "restore"
        state = self._node_state(node, max(deadline.within(10.0), 5.0)).resources.get(tag)
        if state is None or state.active is not wanted:
            message = (result.err.strip() or result.out.strip() or "nothing").splitlines()[-1]
            raise SwitchRefused(f"{node}: `{' '.join(command)}` left {tag} {state or 'unknown'} (exit {result.exit}); it said: {message}")

    def address_of(self, tag: str, node: str) -> str | None:
        result = self._hosts[node].run(self._read_command("ins_list", "-t", tag))
        return address_in(result.out)

    def clear_failure(self, tag: str, node: str, *, deadline: Deadline) -> None:
        """By taking it out once more; what clears OSF besides a good restore is not known (facts, section 9): the audit will say."""
        self._act(node, tag, "remove", ["-s"], deadline)

    def in_service_test(self, tag: str) -> str:
        """By `ins_list`, whose seventh field is the state (LKL-19); the separator is given, because byte 0x01 is awkward in a shell."""
        return f"{shlex.quote(str(self._bin / 'ins_list'))} '-f|' -t {shlex.quote(tag)} | cut -d '|' -f 7 | grep -Eqx 'ISP|ISU'"

    def put_back_line(self, tag: str) -> str:
        return shlex.join([str(self._bin / "perform_action"), "-s", "-t", tag, "-a", "restore"])

    def daemon_pids_line(self) -> str:
        """By their names (LKL-02), and by pid files where the cluster file names any: a file that outlived its daemon may name anybody, so
        what it names must bear the name of a daemon of LifeKeeper's."""
        manager = self._cluster.manager
        files = " ".join(shlex.quote(str(f)) for f in manager.daemon_pid_files)
        names = self.daemons(manager.daemons)
        by_name = f"ps -eo pid=,comm= | {_pids_of(names)}"
        if not files:
            return by_name
        in_files = f"for p in $(cat {files} </dev/null 2>/dev/null | grep -Ex '[0-9]{{1,10}}'); do ps -o pid=,comm= -p $p; done"
        return f"{by_name}; {in_files} | {_pids_of([*names, *self.process_names])}"


def _pids_of(names: Sequence[str]) -> str:
    """A filter of `ps`'s lines PID NAME: prints the pids of processes of these names."""
    pattern = "|".join(re.escape(name) for name in names) or "$"
    return f"awk -v n={shlex.quote(f'^({pattern})$')} '$2 ~ n {{ print $1 }}'"
