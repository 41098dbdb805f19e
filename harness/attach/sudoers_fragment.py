"""The lines of sudoers for each level of what the harness does on a host. They are not written down anywhere: what the product would run
there is run against a host that answers nothing, and what it asked root for is what the lines allow.

*look* is what `check` and `collect` ask, who prove each path by packets; *measure* adds the lease, and that the manager's log is followed;
*disturb* is a shell, so everything: what a disruption does and how it is undone are scripts, and no rule tells a good one from a bad one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime

from harness.attach import lease
from harness.collect import collectors
from harness.collect.linux_host_script import script
from harness.config.cluster_config import Cluster, Machine
from harness.core.errors import BadUse, HarnessError
from harness.hosts.deadman.deadman_switch import remains
from harness.hosts.host import Command, CommandFailed, CommandResult, Process
from harness.hosts.linux.linux_host import LinuxHost
from harness.hosts.root_rights import sudo_lines
from harness.managers.manager import Manager, Question
from harness.managers.manager_registry import manager_of
from harness.remote.script_transport import INSTALLABLE, installed_program

LEVELS = ("look", "measure", "disturb")
SHELL = "sh"
FOLDERS = {"ss": ("/usr/bin", "/usr/sbin"), "tail": ("/usr/bin",), "cat": ("/usr/bin",), "grep": ("/usr/bin",), "sh": ("/usr/bin", "/bin")}
FOLDERS["pcs"] = ("/usr/sbin",)
ELSEWHERE = ("/usr/sbin",)  # where the tools are that look at what is root's
PROGRAMS = {INSTALLABLE["packet_capture"]: lambda: installed_program("packet_capture"), lease.INSTALLED: lease.installed}
"""Those of ours that an administrator installs on each host, root's own and mode 0755, with their texts."""
PLAIN_NAME = re.compile(r"(?!ALL$)[A-Za-z_][A-Za-z0-9_.-]{0,63}")
MEANS_SOMETHING = re.compile(r"([,:=\\*?\[\]!#\"])")  # to sudoers, so that it is written with a backslash


class SilentHost:
    """Implements `Host`: nothing is there, every command prints nothing, and each is remembered."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.commands: list[Command] = []

    def run(self, command: Command, *, limit: float = 10.0, input: bytes | None = None) -> CommandResult:
        """Remember it."""
        self.commands.append(command)
        return CommandResult(self.name, str(command), 0, "", "", 0.0, 0.0)

    def check(self, command: Command, *, limit: float = 10.0, input: bytes | None = None) -> str:
        """Remember it."""
        return self.run(command, limit=limit, input=input).out

    def start(self, command: Command) -> Process:
        """Nothing is streamed here."""
        raise CommandFailed(self.run(command))

    def alive(self, *, limit: float = 2.0) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """There is nothing to close."""


def root_commands(cluster: Cluster, machine: Machine, level: str) -> list[str]:
    """What sudo is asked for on this machine up to this level, each once, as a line of shell without the program's folder."""
    commands = [*look_commands(cluster, machine), INSTALLABLE["packet_capture"]]
    if level in ("measure", "disturb"):
        commands.append(lease.INSTALLED)
        commands += [f"tail -n 0 -F {shlex.quote(str(log))}" for log in _logs(cluster, machine)]
    return [*commands, SHELL] if level == "disturb" else commands


def look_commands(cluster: Cluster, machine: Machine) -> list[str]:
    """What looking asks root for, on a node by the cluster manager's adapter, too."""
    hosts = {m.name: SilentHost(m.name) for m in cluster.machines}
    host, is_node = hosts[machine.name], machine.name != cluster.client.name
    manager = manager_of(cluster, hosts)
    host.run(script(cluster, machine, manager))
    for row in collectors.of_machine(cluster, machine):
        host.run(collectors.line_for(row, cluster, 0.0, 0.0))
    facts = LinuxHost(host)
    questions = [facts.listeners, facts.firewall, lambda: remains(host)]
    for question in [*questions, *(_manager_questions(cluster, manager, machine.name) if is_node else [])]:
        with suppress(HarnessError):  # it complains of the silence; what it asked is known by then
            question()
    privileged_lines = dict.fromkeys(line for command in host.commands for line in sudo_lines(command))
    return [line for line in privileged_lines if line != SHELL]


def _manager_questions(cluster: Cluster, manager: Manager, node: str) -> list:
    """Everything that a cluster manager's adapter asks without changing anything."""
    tags = dict.fromkeys([cluster.ip_resource.tag, *(s.tag for s in cluster.services)])
    return [
        manager.state,
        manager.unlisted_members,
        manager.fail_counts,
        manager.fencing,
        manager.failures_left,
        manager.starts_at_boot,
        lambda: manager.mirror(cluster.peer_of(node).name),
        *(lambda q=q: manager.may_switch_over(node, q) for q in Question),
        *(lambda t=t: manager.address_of(t, node) for t in tags),
        lambda: manager.recent_log(node),
        lambda: manager.log_between(node, 0.0, 1.0),
    ]


def _logs(cluster: Cluster, machine: Machine) -> list:
    """The logs that a measurement follows there."""
    log = manager_of(cluster, {m.name: SilentHost(m.name) for m in cluster.machines}).log
    return [log] if log and machine.name != cluster.client.name else []


def fragment(cluster: Cluster, machine: Machine, level: str, until: datetime | None = None) -> str:
    """The file for /etc/sudoers.d of one machine. `until`: when the right to disturb ends."""
    user, commands = machine.ssh.user, root_commands(cluster, machine, level)
    for name in (user, machine.name):
        if not PLAIN_NAME.fullmatch(name):  # `ALL`, `%group` and a new line would grant to others
            raise BadUse(f"{name!r} cannot stand in a sudoers file; write a name of letters, digits, dots and dashes into the cluster file")
    alias = f"LKHARNESS_{level.upper()}"
    named_commands = [line for line in commands if line != SHELL]
    rows = [f"# {machine.name}: what `lkharness` asks root for, level {level}; for /etc/sudoers.d, mode 0440"]
    rows += [f"Cmnd_Alias {alias} = \\\n    " + ", \\\n    ".join(sudoers_commands(named_commands)), f"{user} ALL=(root) NOPASSWD: {alias}"]
    if SHELL in commands:
        time_limit = f" NOTAFTER={until:%Y%m%d%H%M%SZ}" if until else ""
        rows += ["# A shell: this account is root then.", f"{user} ALL=(root){time_limit} NOPASSWD: {', '.join(sudoers_commands([SHELL]))}"]
    return "\n".join(rows) + "\n"


def sudoers_commands(lines: Iterable[str]) -> list[str]:
    """Commands as sudoers has them: with the program's whole name, and exactly these words, none where there are none. Pure."""
    return [command for line in lines for command in _commands(shlex.split(line))]


def _commands(words: Sequence[str]) -> list[str]:
    program, arguments = words[0], words[1:]
    if any(re.search(r"\s", word) for word in words):
        raise ValueError(f"sudoers cannot tell words with spaces from several words: {words}")
    folders = [""] if "/" in program else [f"{folder}/" for folder in FOLDERS.get(program, ELSEWHERE)]
    open_ended = program in (SHELL, *PROGRAMS)
    arguments_text = " ".join(map(_escape, arguments)) if arguments else "" if open_ended else '""'
    return [f"{folder}{_escape(program)} {arguments_text}".rstrip() for folder in folders]


def _escape(word: str) -> str:
    return MEANS_SOMETHING.sub(r"\\\1", word)
