"""LifeKeeper for Windows, through PowerShell (facts, cluster managers, section 3). Shape only: never run on the product."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from harness.config import cluster_manager_config
from harness.core.deadline import Deadline
from harness.hosts.windows.script_protocol import MISSING, Row, ScriptAnswer
from harness.hosts.windows.script_runner import ScriptFailed, advice, ask
from harness.hosts.windows.windows_jobs import run_to_its_end
from harness.managers.manager import Answer, ClusterState, NodeState, Question, SwitchRefused
from harness.managers.parse.lcdstatus_parse import parse
from harness.managers.rules.lifekeeper_switchover_rules import by_flags, by_settings
from harness.managers.switchover_readiness import NodeOutput, by_state, last_words
from harness.managers.unlisted_members import of_lifekeeper
from harness.managers.windows_base import NOT_ASKED, OnWindows

DEFAULT_ROOT = r"C:\LK"  # LKW-01
COMMAND, PROGRAM, SETTINGS = "lifekeeper-command", "lifekeeper-program", "lifekeeper-settings"
SAFETY_CHECK = re.compile(r"\bSAFETY CHECK\b|\bCOMM_DOWN\b")
DOTTED = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])", re.ASCII)


def state_of(node: str, row: Row) -> NodeState:
    """What `lcdstatus -q` and the service's state say of `node`. No row makes it raise."""
    service = str(row.get("Service") or "")
    if service not in ("", "Running"):
        stopped = service == "Stopped"
        by_itself = (
            "; after it lost quorum it stops by itself for QUORUM_QUARANTINE_SECS, 300 by default (facts WCLU-24)" if stopped else ""
        )
        return NodeState(node, False, {}, (), f"the service LifeKeeper is {service}{by_itself}", stopped=stopped)
    return parse(node, str(row.get("Text") or ""))


def machines_left(to: str, state: ClusterState, nodes: Sequence[str]) -> tuple[int, int] | None:
    """How many machines `to` would see alive, itself included, were the other node lost, and how many it knows: a witness has a path as
    well (WCLU-13, WCLU-27). None where it tells none. Pure."""
    target = state.nodes.get(to)
    if target is None or not target.running or not target.comm_paths:
        return None
    alive: dict[str, bool] = {}
    for path in target.comm_paths:
        name = _short(path.peer)
        alive[name] = alive.get(name, False) or path.alive
    lost = {_short(node) for node in nodes if node != to}
    return 1 + sum(is_alive for name, is_alive in alive.items() if name not in lost), 1 + len(alive)


def _short(name: str) -> str:
    return name.partition(".")[0].lower()


def address_in(row: str) -> str | None:
    """The address in an IP resource's row of `ins_list`: its id is the address; else the one in its info that is no netmask (LKW-06)."""
    fields = row.strip("\r\n").split("\x01")
    if len(fields) > 5:
        addresses = [dotted for field in (fields[4], fields[5]) for dotted in DOTTED.findall(field) if not dotted.startswith("255.")]
        return addresses[0] if addresses else None
    return None


class LifeKeeperWindows(OnWindows):
    """Reads each node over its own connection; drives from the node that is to act."""

    name = "LifeKeeper for Windows"
    source = "LifeKeeper"  # LKW-15
    service = "LifeKeeper"
    out_settings = None

    def notices(self, line: str) -> bool:
        """Also the safety check, with which a failover begins or is dropped (LKW-10, LKW-11), at whatever level it is logged."""
        return super().notices(line) or SAFETY_CHECK.search(line.partition(": ")[2]) is not None

    def state(self, *, limit: float = 20.0) -> ClusterState:
        return ClusterState(self._each(lambda node: self._node_state(node, limit)))

    def _node_state(self, node: str, limit: float) -> NodeState:
        try:
            answer = self._command(node, "lcdstatus", ["-q"], limit)
        except NOT_ASKED as error:
            return NodeState(node, False, {}, (), str(error))
        if answer.error == MISSING:
            return NodeState(node, False, {}, (), f"lcdstatus cannot be asked on {node}: {answer.why}")
        if not answer.ok:
            return NodeState(node, False, {}, (), f"lcdstatus could not be run there: {answer.why}{advice(answer)}")
        return state_of(node, answer.rows[0])

    def may_switch_over(self, to: str, question: Question = Question.TOLD, *, limit: float = 20.0) -> Answer:
        """From both nodes' states, flags and settings, asked at once. The safety check (LKW-10) needs all paths dead, and then the answer
        is no."""
        deadline, manager = Deadline(limit), self._cluster.manager
        with ThreadPoolExecutor(max_workers=3) as pool:
            state = pool.submit(self.state, limit=limit)
            flags = pool.submit(self._each, lambda node: self._flags(node, deadline))
            settings = pool.submit(self._each, lambda node: self._settings(node, deadline))
        case = by_state(to, state.result(), question).add(by_flags(to, flags.result(), question, manager.harmless_flags))
        return case.add(by_settings(settings.result(), question, manager.quorum, machines_left(to, state.result(), self._names))).answer

    def _flags(self, node: str, deadline: Deadline) -> NodeOutput:
        try:
            answer = self._command(node, "flg_list", [], max(0.1, deadline.remaining()))
        except NOT_ASKED as error:
            return NodeOutput(None, str(error))
        if not answer.ok:
            return NodeOutput(None, answer.why)
        row = answer.rows[0]
        if row["Exit"] != 0:
            return NodeOutput(None, f"exit {row['Exit']:.0f}: {last_words(row['Errors'], row['Text'])}")
        return NodeOutput(row["Text"])

    def _settings(self, node: str, deadline: Deadline) -> NodeOutput:
        """A file that is not there settles nothing otherwise than by default."""
        try:
            answer = ask(self._hosts[node], SETTINGS, self._root, limit=max(0.1, deadline.remaining()))
        except NOT_ASKED as error:
            return NodeOutput(None, str(error))
        return NodeOutput("".join(row["Text"] for row in answer.rows)) if answer.ok else NodeOutput(None, answer.why)

    def unlisted_members(self, *, limit: float = 10.0) -> list[str]:
        sentences = []
        for node, table in self._each(lambda node: self._table(node, limit)).items():
            if table.text is None:
                sentences.append(f"{node}: what else the cluster has besides what its file names could not be read: {table.why}")
            else:
                sentences += of_lifekeeper(table.text, node, self._cluster.manager.resource, self._names)
        return list(dict.fromkeys(sentences))

    def _table(self, node: str, limit: float) -> NodeOutput:
        try:
            answer = self._command(node, "lcdstatus", ["-q"], limit)
        except NOT_ASKED as error:
            return NodeOutput(None, str(error))
        return NodeOutput(str(answer.rows[0].get("Text") or "")) if answer.ok else NodeOutput(None, answer.why)

    def switch_over(self, to: str, *, deadline: Deadline) -> None:
        self._act(to, self._cluster.manager.resource, "restore", [], deadline)

    def switch_over_lines(self, to: str) -> list[str]:
        return [f"perform_action -t {self._cluster.manager.resource} -a restore"]

    def take_out_lines(self, tag: str, node: str) -> list[str]:
        return [f"perform_action -s -t {tag} -a remove"]

    def stays_in(self, tag: str, node: str, *, limit: float = 20.0) -> str:
        return ""  # `-s` limits it to the tag (LKL-28)

    def take_out(self, tag: str, node: str, *, deadline: Deadline) -> None:
        self._act(node, tag, "remove", ["-s"], deadline)

    def put_back(self, tag: str, node: str, *, deadline: Deadline) -> None:
        self._act(node, tag, "restore", ["-s"], deadline)

    def clear_failure(self, tag: str, node: str, *, deadline: Deadline) -> None:
        """By taking it out once more; what clears OSF besides a good restore is not known (facts, section 9)."""
        self._act(node, tag, "remove", ["-s"], deadline)

    def _act(self, node: str, tag: str, action: str, options: list[str], deadline: Deadline) -> None:
        """perform_action (LKW-05), followed to its end; what its exit code means is not known, so the state afterwards is what counts.
        Raises StillRunning when it takes longer than the deadline; it then goes on."""
        host, words = self._hosts[node], [*options, "-t", tag, "-a", action]
        line = f"perform_action {' '.join(words)}"
        program_answer = ask(host, PROGRAM, {"Command": "perform_action", **self._root}, limit=max(deadline.within(20.0), 5.0))
        if not program_answer.ok:
            raise SwitchRefused(f"{node}: `{line}` was not run: {program_answer.why}{advice(program_answer)}")
        program = program_answer.rows[0]
        result = run_to_its_end(host, program["Program"], [*program["Words"], *words], program["Folder"], line, deadline)
        resource = self._node_state(node, max(deadline.within(20.0), 5.0)).resources.get(tag)
        if resource is None or resource.active is not (action == "restore"):
            ending = f"exit {result.exit}); it said: {last_words(result.out, result.err)}"
            raise SwitchRefused(f"{node}: `{line}` left {tag} {resource or 'unknown'} ({ending}")

    def address_of(self, tag: str, node: str) -> str | None:
        answer = self._command(node, "ins_list", ["-t", tag], 20.0)
        if not answer.ok:
            raise ScriptFailed(node, COMMAND, answer)
        return address_in(answer.rows[0]["Text"])

    def has_in_service(self, tag: str, node: str, *, limit: float = 20.0) -> bool | None:
        """By `ins_list`, whose seventh field is the state (LKL-19)."""
        try:
            answer = self._command(node, "ins_list", ["-t", tag], limit)
        except NOT_ASKED:
            return None
        fields = answer.rows[0]["Text"].strip("\r\n").split("\x01") if answer.ok else []
        return None if len(fields) < 7 else fields[6] in ("ISP", "ISU")

    @property
    def _root(self) -> dict[str, str]:
        """What the cluster file says; else the host's own %LKROOT%, else the default. The field's own default is a folder of Linux, and has
        been written out where the file was handed on, as to the watchdog."""
        root = self._cluster.manager.root
        return {} if root == cluster_manager_config.Manager.model_fields["root"].default else {"Root": str(root)}

    def _command(self, node: str, name: str, words: Sequence[str], limit: float) -> ScriptAnswer:
        return ask(self._hosts[node], COMMAND, {"Command": name, "Words": list(words), **self._root}, limit=limit)
