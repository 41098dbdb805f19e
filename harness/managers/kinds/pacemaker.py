"""Pacemaker with Corosync, over its standard tools (facts, cluster managers, section 4)."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError, Unusable
from harness.hosts.detached_jobs import run_to_its_end
from harness.hosts.host import CommandResult, HostUnreachable
from harness.hosts.linux.linux_host import TOOLS
from harness.hosts.root_rights import ROOT, as_root
from harness.hosts.shell_command import CommandTookTooLong
from harness.managers.data_mirror import check_mirror
from harness.managers.linux_base import OnLinux
from harness.managers.manager import (
    Answer,
    NodeState,
    PeerPort,
    Question,
    ResourceState,
    SwitchRefused,
    answer,
)
from harness.managers.pacemaker_survey import survey_commands
from harness.managers.parse.corosync_parse import is_knet, link_port
from harness.managers.parse.pacemaker_parse import (
    Reading,
    fail_counts,
    failures_until_ban,
    hand_move_ids,
    node_state,
    notices,
    read,
    timed_moves,
)
from harness.managers.probe_responder_resources import has_responder_name
from harness.managers.rules import pacemaker_out_of_service_rules as take_out
from harness.managers.rules.boot_start_rules import at_boot_line, by_units
from harness.managers.rules.pacemaker_attribute_rules import held_against
from harness.managers.rules.pacemaker_fencing_rules import fenced_by, fences_by_watchdog, lacks_devices
from harness.managers.rules.pacemaker_health_rules import by_health
from harness.managers.rules.pacemaker_placement_rules import by_placement
from harness.managers.rules.pacemaker_switchover_rules import (
    NOW,
    QUORUM,
    by_cib,
    by_clones,
    by_cluster,
    by_failures,
    by_fencing,
    by_quorum,
    by_simulation,
    fenced_off,
    fences_failures,
    health_counts,
    moves_nothing,
    would_lines,
)
from harness.managers.switchover_readiness import Case, NodeOutput, by_state, last_words
from harness.managers.unlisted_members import of_pacemaker, own_tags, unrelated_in_pacemaker

SBIN = f"export {TOOLS.strip()}; "
MONITOR = f"{{ {ROOT} crm_mon --output-as=xml -1 || {ROOT} crm_mon --as-xml -1; }} 2>&1"  # PCM-01
CUT = "-- links --"
LOOK = f"{MONITOR}; echo '{CUT}'; {ROOT} corosync-cfgtool -s 2>&1; true"
CIB = f"{ROOT} cibadmin -Q; {NOW}"
CLEAN = f"cibadmin --delete-all --force --xpath \"//meta_attributes[starts-with(@id,'{take_out.OURS}')]\""
CLEANED = f"cib=$(cibadmin -Q) && ! printf '%s' \"$cib\" | grep -q 'id=\"{take_out.OURS}'"
MAX_OUT_S = 900  # after which what takes a resource out ends by itself, whatever became of everybody: longer than any such disruption
CONSTRAINT_MARGIN_S = 30.0  # by how much a move's constraint outlasts the move, should nobody be left to take it away


class Pacemaker(OnLinux):
    """Asks each node itself; drives from the node that is to act. What it puts into the CIB has an end or a name of its own."""

    name = "Pacemaker"
    log = Path("/var/log/pacemaker/pacemaker.log")
    notices = staticmethod(notices)
    packages = ("pacemaker", "corosync")
    boot_unit = "pacemaker"
    peer_port = ("udp", 5405)  # of link 0; see `port_between`
    misses_probes = False  # azure-lb's monitor only sees whether its process is there (facts PCM-08)
    needs_fencing = True
    process_names = (
        *("corosync", "pacemakerd", "pacemaker-based", "pacemaker-contr", "pacemaker-execd", "pacemaker-sched", "pacemaker-attrd"),
        *("pacemaker-fence", "cib", "crmd", "lrmd", "pengine", "attrd", "stonithd"),  # the last six as Pacemaker 1.1 calls them
    )
    # The one daemon whose end pacemakerd always mends without a word to the cluster. Without its controller, CIB manager or executor a
    # node is fenced; and pacemakerd 2.1.5 now and then finds the cluster gone while it mends the fencer or the attribute manager ("Not
    # respawning … subdaemon until cluster returns"), and then leaves them dead for ever.
    usual_daemons = mended_daemons = ("pacemaker-schedulerd",)
    out_settings = (f"{CLEAN}; crm_resource --wait --timeout=20s; true", CLEANED)

    @classmethod
    def port_between(cls, ends: Collection[str], settings: Mapping[str, str], names: Mapping[str, Collection[str]]) -> PeerPort | None:
        """By corosync.conf: each of its links has a port of its own. Knet sends from it, too (seen with 3.1.7)."""
        protocol, first = cls.peer_port
        port = link_port(ends, settings, names, first)
        return None if port is None else PeerPort(protocol, port, is_knet(settings))

    def _node_state(self, node: str, limit: float) -> NodeState:
        me, peer = self._cluster.node(node), self._cluster.peer_of(node)
        pairs = {str(me.address): str(peer.address), str(me.second_address): str(peer.second_address)}
        try:
            result = self._hosts[node].run(SBIN + LOOK, limit=limit)
        except (HostUnreachable, DeadlineExceeded) as error:
            return NodeState(node, False, {}, (), str(error))
        monitor, _, links = result.out.partition(CUT)
        return node_state(node, monitor, links, peer.name, pairs)

    def survey_commands(self) -> dict[str, str]:
        return survey_commands()

    def switch_over(self, to: str, *, deadline: Deadline) -> None:
        """By `crm_resource --move`, whose constraint is taken away as soon as everything is there, and ends by itself otherwise."""
        resource, peer = self._cluster.manager.resource, self._cluster.peer_of(to).name
        if constraints := self._find_hand_moves(to, deadline):
            raise SwitchRefused(
                f"{', '.join(constraints)} is in force for {resource}; take it away with `crm_resource -r {resource} --clear`"
            )
        before = self._node_state(to, deadline.within(10.0))
        if any(s is ResourceState.FAILED for s in before.resources.values()) or before.has_something:
            what_failed = f"crm_resource --cleanup -r {shlex.quote(resource)} -N {shlex.quote(to)}"  # it would not be tried again
            self._do(to, what_failed, deadline)
        lifetime = f"PT{math.ceil(deadline.remaining() + CONSTRAINT_MARGIN_S)}S"
        words = f"crm_resource --move -r {shlex.quote(resource)} -N {shlex.quote(to)} --lifetime {lifetime}"
        result = self._do(to, words, deadline)
        if not result.ok and result.exit != 108:  # PCM-06: it is there already
            raise SwitchRefused(f"{to}: `{words}` exited {result.exit} and said: {last_words(result.err, result.out)}")
        try:
            self._wait(lambda: self._node_state(to, deadline.within(10.0)).has_everything, f"everything on {to}", deadline)
        finally:
            self._do(to, f"crm_resource --clear -r {shlex.quote(resource)}", deadline)
        if constraints := self._find_hand_moves(to, deadline):
            raise SwitchRefused(f"{to}: the constraint {', '.join(constraints)} could not be taken away")
        self._run(to, "crm_resource --wait --timeout=10s", deadline)
        if self._node_state(to, deadline.within(10.0)).has_something:
            return
        raise SwitchRefused(f"everything went back to {peer} when the move's constraint was gone; is resource-stickiness set?")

    def switch_over_lines(self, to: str) -> list[str]:
        """The cleanup runs only where something failed; the lifetime is counted from then."""
        resource, node = shlex.quote(self._cluster.manager.resource), shlex.quote(to)
        return [
            f"crm_resource --clear --expired -r {resource}",
            f"crm_resource --cleanup -r {resource} -N {node}",
            f"crm_resource --move -r {resource} -N {node} --lifetime PT…S",
            f"crm_resource --clear -r {resource}",
        ]

    def unlisted_members(self, *, limit: float = 10.0) -> list[str]:
        names = [n.name for n in self._cluster.nodes]
        monitor, rules = self._ask_monitor(names[0], limit), self._output_of(names[0], CIB, limit)
        if monitor.text is None or rules.text is None:
            return [f"{names[0]} could not be asked what else the cluster has besides what its file names"]
        return of_pacemaker(monitor.text, rules.text, self._cluster.manager.resource, names)

    def unrelated_resources(self, *, limit: float = 10.0) -> frozenset[str]:
        return self._unrelated_in(self._output_of(self._cluster.nodes[0].name, CIB, limit))

    def _unrelated_in(self, cib: NodeOutput) -> frozenset[str]:
        return unrelated_in_pacemaker(cib.text or "", own_tags(self._cluster), self._cluster.load_balancer.probe.port)

    def _own_tags(self, reading: Reading) -> set[str]:
        """What the file names, and what may answer its probe."""
        port = str(self._cluster.load_balancer.probe.port)
        return own_tags(self._cluster) | {t for t in reading.resources if port in t or has_responder_name(t)}

    def fail_counts(self, *, limit: float = 10.0) -> dict[str, dict[str, int]]:
        node = self._cluster.nodes[0].name
        counts = fail_counts(self._hosts[node].run(SBIN + MONITOR, limit=limit).out)
        if counts is None:
            raise Unusable(f"{node}: how many failures Pacemaker counts could not be read")
        return counts

    def end_own_move(self, node: str, *, deadline: Deadline) -> None:
        """By its lifetime, which `switch_over` gives it and a person who moves something by hand hardly ever does."""
        resource = self._cluster.manager.resource
        if timed_moves(self._run(node, "cibadmin -Q -o constraints", deadline).out, resource):
            self._do(node, f"crm_resource --clear -r {shlex.quote(resource)}", deadline)

    def by_hand_line(self, to: str) -> str:
        resource, node = shlex.quote(self._cluster.manager.resource), shlex.quote(to)
        move = f"crm_resource --move -r {resource} -N {node} --lifetime PT300S"
        return f"{move} && crm_resource --wait; crm_resource --clear -r {resource}"

    def may_switch_over(self, to: str, question: Question = Question.TOLD, *, limit: float = 10.0) -> Answer:
        """From both nodes' states, the cluster's configuration, and what Pacemaker itself would do; nothing is changed."""
        resource, active = self._cluster.manager.resource, self._cluster.peer_of(to).name
        node_lost, deadline = question is Question.LOST, Deadline(limit)
        with ThreadPoolExecutor(max_workers=6) as pool:
            state = pool.submit(self.state, limit=limit)
            reading_future = pool.submit(self._read_monitor, to, limit)
            cib_future = pool.submit(self._output_of, to, CIB, limit)
            quorum = pool.submit(self._output_of, to, QUORUM, limit) if node_lost else None
            cib = cib_future.result()
            unrelated = self._unrelated_in(cib)  # what is another application's may be in service anywhere, and stays there
            reading = reading_future.result().without(unrelated)
            spared = moves_nothing(cib, self._own_tags(reading)) if question is Question.FAILED else ()
            in_service = [tag for tag, element in reading.resources.items() if element.find("node") is not None and tag not in spared]
            lines = would_lines(question, resource, active, to, in_service)
            would = [pool.submit(self._output_of, to, line, max(deadline.remaining(), 0.1)) for line in lines]
            fences = node_lost or (question is Question.FAILED and fences_failures(cib, reading))
            fencing = pool.submit(self.fencing, limit=max(deadline.remaining(), 0.1)) if fences else None
        ours = by_cluster(to, reading, health=health_counts(cib), attributes=held_against(to, cib))
        case = by_state(to, state.result().without(unrelated), question).add(ours)
        simulated = by_simulation(to, [simulation.result() for simulation in would], reading)
        case.add(by_cib(cib, reading, resource, question)).add(simulated)
        if simulated.against:
            case.add(by_failures(to, cib, reading)).add(by_placement(to, cib, reading))
            case.add(by_health(to, cib) if not any("'s health is red" in why for why in case.against) else Case())
        if simulated.unknown:  # else Pacemaker has said so itself
            case.add(by_clones(to, cib, reading))
        case.add(by_quorum(active, to, quorum.result(), reading) if quorum else Case())
        return case.add(by_fencing(fencing.result(), reading) if fencing else Case()).answer

    def fencing(self, *, limit: float = 10.0) -> Answer:
        """A device that is started, covers both nodes and has not failed, by each node's own word; without any, SBD's watchdog."""
        line = "; ".join(f"echo '{CUT}'; {ROOT} stonith_admin -l {shlex.quote(name)} 2>&1" for name in self._names) + "; true"

        def ask_node(node: str) -> NodeOutput:
            deadline = Deadline(limit)
            try:
                monitor, devices = self._ask_monitor(node, limit), self._output_of(node, line, max(deadline.remaining(), 0.1))
            except HarnessError as error:  # such as a line that sudoers lacks: one answer less, and no look is lost to it
                return NodeOutput(None, str(error))
            if monitor.text is None or devices.text is None:
                return monitor if monitor.text is None else devices
            return NodeOutput(f"{monitor.text}\n{devices.text}", devices.why)

        def ask_cib(node: str) -> NodeOutput:
            try:
                return self._output_of(node, CIB, limit)
            except HarnessError as error:
                return NodeOutput(None, str(error))

        outputs = self._each(ask_node)
        watchdog = lacks_devices(outputs, CUT) and any(fences_by_watchdog(cib) for cib in self._each(ask_cib).values())
        return fenced_by(outputs, self._names, CUT, watchdog)

    def mirror(self, to: str, *, limit: float = 10.0) -> Answer:
        """DRBD's resources copy data; what their state is, the cluster file's command tells."""
        reading = self._read_monitor(to, limit)
        copiers = answer([], [f"{to}: {reading.why}"]) if reading.why else tuple(sorted(reading.copies))
        return check_mirror(self._cluster, self._hosts, to, copiers, limit)

    def starts_at_boot(self, *, limit: float = 10.0) -> Answer:
        """Pacemaker's unit starts Corosync's. A node that is fenced by power off, or that SBD keeps out, does not come back."""
        line = at_boot_line(["pacemaker"], sbd=True)
        configured = self._cluster.manager.starts_at_boot
        if configured is not None:
            return by_units({}, [], configured)
        units = by_units(self._each(lambda node: self._output_of(node, line, limit)), ["pacemaker"])
        if not fenced_off(self._output_of(self._names[0], f"{ROOT} cibadmin -Q", limit)):
            return units
        off = "a node that is fenced is left without power (stonith-action)"
        return answer([off, *(units.because if units.no else ())], units.because)

    def failures_left(self, *, limit: float = 10.0) -> dict[str, tuple[int, int]]:
        node = self._cluster.nodes[0].name
        return failures_until_ban(self._hosts[node].run(SBIN + MONITOR, limit=limit).out)

    def _output_of(self, node: str, line: str, limit: float, stdin: bytes | None = None) -> NodeOutput:
        result = self._try(node, line, limit, stdin)
        return NodeOutput(None, f"{node} could not be asked") if result is None else NodeOutput(result.out, last_words(result.err))

    def _read_monitor(self, node: str, limit: float) -> Reading:
        monitor = self._ask_monitor(node, limit)
        return Reading(monitor.why) if monitor.text is None else read(monitor.text)

    def _ask_monitor(self, node: str, limit: float) -> NodeOutput:
        """Its crm_mon, by the same line as the state, so that one look asks it once."""
        unasked = NodeOutput(None, f"{node} could not be asked")
        try:
            return NodeOutput(self._hosts[node].run(SBIN + LOOK, limit=limit).out.partition(CUT)[0])
        except CommandTookTooLong as error:  # crm_mon may have answered before corosync-cfgtool hung
            monitor, cut, _ = error.out.partition(CUT)
            return NodeOutput(monitor) if cut else unasked
        except (HostUnreachable, DeadlineExceeded):
            return unasked

    def take_out_lines(self, tag: str, node: str) -> list[str]:
        plan = self._plan_take_out(tag, node, 20.0)
        return [] if plan.why else [take_out.line(tag, plan.unmanaged, MAX_OUT_S)]

    def stays_in(self, tag: str, node: str, *, limit: float = 20.0) -> str:
        why = self._plan_take_out(tag, node, limit).why
        return f"{node}: {tag} cannot be taken out alone: {why}" if why else ""

    def _plan_take_out(self, tag: str, node: str, limit: float) -> take_out.Alone:
        """Asked in the same moment as it is done: what depends on what may have been changed since the plan."""
        deadline = Deadline(limit)

        def simulate(cib: str) -> NodeOutput:
            return self._output_of(node, take_out.ASK, max(deadline.remaining(), 0.1), cib.encode())

        return take_out.alone(tag, self._output_of(node, f"{ROOT} cibadmin -Q", limit), simulate)

    def take_out(self, tag: str, node: str, *, deadline: Deadline) -> None:
        """Told to stop, while what would be stopped with it is not managed. Raises SwitchRefused, with nothing done, where Pacemaker says
        that it would not do that (as where others are ordered after it, in one group); what was set is taken away again."""
        plan = self._plan_take_out(tag, node, deadline.within(20.0))
        if plan.why:
            raise SwitchRefused(f"{node}: {tag} cannot be taken out alone: {plan.why}")
        try:
            result = self._do(node, take_out.line(tag, plan.unmanaged, MAX_OUT_S), deadline)
            if not result.ok:
                raise SwitchRefused(f"{node}: taking {tag} out exited {result.exit}; it said: {last_words(result.err, result.out)}")
            self._wait(lambda: self._state_of(tag, node, deadline) is ResourceState.STANDBY, f"{tag} out of service on {node}", deadline)
        except BaseException:
            self._do(node, CLEAN, Deadline(10.0))
            raise

    def put_back(self, tag: str, node: str, *, deadline: Deadline) -> None:
        self._do(node, CLEAN, deadline)
        self._wait(lambda: self._state_of(tag, node, deadline).active, f"{tag} back in service on {node}", deadline)

    def _state_of(self, tag: str, node: str, deadline: Deadline) -> ResourceState:
        return self._node_state(node, deadline.within(10.0)).resources.get(tag, ResourceState.UNKNOWN)

    def address_of(self, tag: str, node: str) -> str | None:
        result = self._hosts[node].run(f"{SBIN}{ROOT} crm_resource -r {shlex.quote(tag)} --get-parameter ip")
        match = re.search(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])", result.out)
        return match[0] if result.ok and match else None

    def clear_failure(self, tag: str, node: str, *, deadline: Deadline) -> None:
        self._do(node, f"crm_resource --cleanup -r {shlex.quote(tag)} -N {shlex.quote(node)}", deadline)

        def clear() -> bool:
            return self._state_of(tag, node, deadline) is not ResourceState.FAILED

        self._wait(clear, f"{tag} standing by on {node}", deadline)

    def in_service_test(self, tag: str) -> str:
        """By `crm_resource --locate`, whose line is documented (PCM-04)."""
        return f'crm_resource -W -r {shlex.quote(tag)} 2>/dev/null | grep -Eq "is running on: $(crm_node -n)( |\\$)"'

    def put_back_line(self, tag: str) -> str:
        return f"{CLEAN}; crm_resource --wait --timeout=20s"

    def daemon_pids_line(self) -> str:
        """By the whole name: the kernel's own word for a process is cut off after 15 letters."""
        pattern = f"(^|/)({'|'.join(re.escape(name) for name in self.daemons(self._cluster.manager.daemons))})$"
        return f"ps -eo pid=,args= | awk -v n={shlex.quote(pattern)} '$2 ~ n {{ print $1 }}'"

    def _find_hand_moves(self, node: str, deadline: Deadline) -> list[str]:
        self._do(node, f"crm_resource --clear --expired -r {shlex.quote(self._cluster.manager.resource)}", deadline)
        return hand_move_ids(self._run(node, "cibadmin -Q -o constraints", deadline).out, [self._cluster.manager.resource])

    def _wait(self, check, what: str, deadline: Deadline) -> None:
        try:
            deadline.wait_for(check, what=what, every=0.1)
        except DeadlineExceeded as late:
            raise SwitchRefused(f"{late}; the cluster says: {self.state()}") from late

    def _do(self, node: str, line: str, deadline: Deadline) -> CommandResult:
        """What changes something; nothing on the node ends it."""
        return run_to_its_end(self._hosts[node], SBIN + line, Deadline(max(deadline.remaining(), 5.0)))

    def _run(self, node: str, line: str, deadline: Deadline) -> CommandResult:
        """What only reads or waits, while something is being done."""
        return self._hosts[node].run(as_root(SBIN + line), limit=max(deadline.remaining(), 5.0))

    def _try(self, node: str, line: str, limit: float, stdin: bytes | None = None) -> CommandResult | None:
        more = {} if stdin is None else {"input": stdin}
        try:
            return self._hosts[node].run(SBIN + line, limit=limit, **more)
        except (HostUnreachable, DeadlineExceeded):
            return None
