"""Asking all hosts at once. A collector that fails, hangs or floods is noted, and the rest goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from harness import __version__
from harness.cluster.capture_sources import CaptureSources
from harness.collect import collectors
from harness.collect.bundle import CLUSTER, FORMAT, INDEX, Bundle, truncate
from harness.collect.collectors import Collector
from harness.collect.index_html import page_of
from harness.collect.known_secrets import known_secrets, without_secrets
from harness.collect.linux_host_script import SCRIPT_TIMEOUT_S, script
from harness.config.cluster_config import Cluster, Machine
from harness.core.deadline import Deadline
from harness.core.errors import HarnessError
from harness.core.redaction.redactor import Redactor
from harness.core.terminal import CLEANER
from harness.core.text.host_text import one_line
from harness.hosts.host import Host, HostUnreachable
from harness.hosts.host_facts import HostFacts, facts_of
from harness.hosts.interrupt_shield import result_or_interrupt
from harness.hosts.ssh.ssh_host import give_up
from harness.hosts.windows import powershell
from harness.hosts.windows.script_protocol import ScriptAnswer
from harness.hosts.windows.script_runner import ask
from harness.hosts.windows.windows_host import moment
from harness.managers.manager import MAX_LOG_LENGTH, ClusterState, Manager, Question
from harness.managers.probe_responder_resources import favoured
from harness.remote.host_capabilities import COMPILED, FULL
from harness.remote.recording import pcapng_writer

LOGIN_TIMEOUT_S = 10.0  # to log in to a host and run `true` there
HOST_TIMEOUT_S = 90.0  # for all collectors of one host together; captures come on top
MAX_CAPTURE_S = 60.0
MAX_LOOK_BYTES = 1024 * 1024  # bytes of what a host's script for the diagnosis printed
MAX_EVENTS = 2000  # of each log of a Windows host: the newest
MAX_PACKETS = 50_000  # of one host's capture


@dataclass(frozen=True)
class Span:
    """The time window of logs, seconds since the epoch on the harness's clock, and how long to capture (0: not)."""

    begin: float
    end: float
    capture_s: float = 0.0


@dataclass
class HostReport:
    """What one host gave, for index.json."""

    name: str
    address: str
    reached: bool = False
    why: str = ""
    files: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, str]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class Gathering:
    """One gathering of evidence. Use `gather`."""

    def __init__(
        self, cluster: Cluster, hosts: Mapping[str, Host], manager: Manager, span: Span, bundle: Bundle, host_s: float = HOST_TIMEOUT_S
    ) -> None:
        self.host_s = host_s
        windows = {m.name for m in cluster.machines if m.platform == "windows"}
        self.captures = CaptureSources(cluster, hosts, lambda name: COMPILED if name in windows else FULL)
        self.cluster, self.hosts, self.manager, self.span, self.bundle = cluster, hosts, manager, span, bundle
        self.reports = {m.name: HostReport(m.name, str(m.address)) for m in cluster.machines}
        self.state: dict[str, Any] = {}
        self.given_up = False

    def all(self) -> None:
        """Asks every host at once, and the manager beside them."""
        machines = self.cluster.machines
        with ThreadPoolExecutor(len(machines) + 1) as pool:
            try:
                for future in [pool.submit(self._state), *(pool.submit(self._host, m) for m in machines)]:
                    result_or_interrupt(future)
            except BaseException:  # Ctrl-C: nobody waits for what hosts may still have to say
                self.given_up = True
                for host in self.hosts.values():
                    host.close()
                raise
            finally:
                self.captures.close()
                for host in self.hosts.values():  # in a run the host is asked again, for other things
                    give_up(host, None)

    def _state(self) -> None:
        with self._recording_faults(self.reports[self.cluster.nodes[0].name], "manager-state"):
            self._demand_time_left()
            state = self.manager.state()
            self.state = _state(state)
            self.state["unrelated_resources"] = sorted(self.manager.unrelated_resources())
        if self.state:
            self._ask_failover(state)

    def _ask_failover(self, state: ClusterState) -> None:
        """What the manager says of the next failover, for the diagnosis of the bundle."""
        report = self.reports[self.cluster.nodes[0].name]
        state = state.without(self.state["unrelated_resources"])
        active = state.leading or favoured(self.cluster, state)
        target = self.cluster.peer_of(active).name if active else self.cluster.nodes[0].name
        questions = (Question.LOST, Question.FAILED) if active else (Question.LOST,)
        answers = self.state["may_move"] = {}
        for question in questions:
            with self._recording_faults(report, f"failover: {question}"):
                self._demand_time_left()
                answers[str(question)] = asdict(self.manager.may_switch_over(target, question))
        if active:
            with self._recording_faults(report, "failover: what it leaves behind"):
                self.state["left_behind"] = self.manager.unlisted_members()
            if self.manager.needs_fencing:
                with self._recording_faults(report, "failover: fencing"):
                    self.state["fencing"] = asdict(self.manager.fencing())

    def _host(self, machine: Machine) -> None:
        report, host = self.reports[machine.name], self.hosts[machine.name]
        try:
            host.check(["true"] if machine.platform == "linux" else powershell.script_of(["true"]), limit=LOGIN_TIMEOUT_S)
        except HarnessError as error:
            give_up(host, error)
            report.why = one_line(str(error))
            return
        report.reached = True
        deadline = Deadline(getattr(host, "patience_s", self.host_s))  # one that is read by Azure's run-command takes some 20 s for each
        facts = facts_of(machine, host)
        for name, read in _fact_readers(facts).items():
            with self._recording_faults(report, name):
                self._demand_time_left(deadline)
                report.facts[name] = read()
        ahead = (report.facts.get("clock_offset") or {}).get("ahead_s", 0.0)
        for row in collectors.of_machine(self.cluster, machine):
            with self._recording_faults(report, row.name):
                self._demand_time_left(deadline)
                self._collect(report, host, row, deadline, ahead)
        if machine.platform == "linux":
            with self._recording_faults(report, "look"):
                self._demand_time_left(deadline)
                self._collect_for_check(report, machine, host)
        if machine.name != self.cluster.client.name:
            with self._recording_faults(report, "manager-log"):
                self._demand_time_left(deadline)
                self._log(report, ahead)
        if self.span.capture_s:
            with self._recording_faults(report, "capture"):
                self._demand_time_left()
                self._capture(report, machine)

    def _collect(self, report: HostReport, host: Host, row: Collector, deadline: Deadline, ahead: float) -> None:
        began = time.monotonic()
        if row.script:
            parameters = window_parameters(row, self.span.begin + ahead, self.span.end + ahead)
            answer = ask(host, row.script, parameters, limit=max(0.5, deadline.within(row.seconds)))
            text, note = truncate(lines_of(answer), row.most, newest=row.newest)
            note = "; ".join(filter(None, [note, "" if answer.ok else answer.why]))
            self._keep(report, f"{row.name}.txt", row.title, text, note, time.monotonic() - began)
            return
        line = collectors.line_for(row, self.cluster, self.span.begin + ahead, self.span.end + ahead)
        result = host.run(line, limit=max(0.5, deadline.within(row.seconds)))
        output = result.out + (f"\n# errors\n{result.err}" if result.err.strip() else "")
        text, note = truncate(output, row.most, newest=row.newest)
        if row.name == "sysctls":
            report.facts["sysctls"] = dict(
                pair for text_line in text.splitlines() if len(pair := text_line.replace("/", ".").split(" = ", 1)) == 2
            )
        last_line = text.rstrip().rpartition("\n")[2]
        exit = last_line.removeprefix(collectors.EXITED) if last_line.startswith(collectors.EXITED) else str(result.exit)
        if exit != "0":
            note = "; ".join(filter(None, [note, f"its command exited {exit}"]))
        self._keep(report, f"{row.name}.txt", row.title, text, note, time.monotonic() - began)

    def _collect_for_check(self, report: HostReport, machine: Machine, host: Host) -> None:
        """What `check` reads of the host, in its shape, for `check BUNDLE`."""
        began = time.monotonic()
        result = host.run(script(self.cluster, machine, self.manager), limit=SCRIPT_TIMEOUT_S)
        text, note = truncate(result.out, MAX_LOOK_BYTES)
        self._keep(report, "look.txt", "What the diagnosis reads", text, note, time.monotonic() - began)

    def _log(self, report: HostReport, ahead: float) -> None:
        began = time.monotonic()
        window = self.manager.log_between(report.name, self.span.begin + ahead, self.span.end + ahead, most=MAX_LOG_LENGTH)
        self._keep(
            report, "manager.log", "The cluster manager's log in the time window", window.text, window.left_out, time.monotonic() - began
        )

    def _capture(self, report: HostReport, machine: Machine) -> None:
        """Headers only: what connections carry is nobody's business, and may hold secrets."""
        ports = [self.cluster.load_balancer.probe.port, *(s.port for s in self.cluster.services)]
        seconds = min(self.span.capture_s, MAX_CAPTURE_S)
        capture = self.captures.begin(machine.name, ports=ports)
        try:
            capturing = Deadline(seconds)
            # Asking for marks all along notices at once when the host is gone.
            capturing.wait_for(
                capture.mark, until=lambda n: n >= MAX_PACKETS or capturing.expired, what=f"{machine.name}: its capture", every=0.5
            )
            packets = [p.headers for p in capture.packets(0, MAX_PACKETS)]
            loss = (capture.drop_reason or f"the kernel dropped {capture.dropped} packets") if capture.dropped else ""
        finally:
            capture.stop()
        note = "; ".join(
            filter(
                None,
                [
                    f"stopped at its limit of {MAX_PACKETS} packets" if len(packets) >= MAX_PACKETS else "",
                    loss,
                    capture.unproven,
                    "" if capture.loopback else "what stays inside the host is not captured there",
                ],
            )
        )
        name = f"hosts/{report.name}/capture.pcapng"
        self._list_file(
            report,
            name,
            f"Packets of {seconds:g} s, headers only",
            self.bundle.packets(name, pcapng_writer.encode(packets, host=report.name)),
            note,
            seconds,
        )

    def _keep(self, report: HostReport, file: str, title: str, text: str, note: str, seconds: float) -> None:
        name = f"hosts/{report.name}/{file}"
        self._list_file(report, name, title, self.bundle.text(name, text), note, seconds)

    @staticmethod
    def _list_file(report: HostReport, name: str, title: str, size: int | None, note: str, seconds: float) -> None:
        if size is None:
            report.faults.append({"name": name, "why": "left out: the bundle has reached its limit of size"})
            return
        report.files.append({"path": name, "title": title, "bytes": size, "note": note, "seconds": round(seconds, 3)})

    def _demand_time_left(self, deadline: Deadline | None = None) -> None:
        """Raises HostUnreachable for what is not asked any more."""
        if self.given_up:
            raise HostUnreachable("not asked: the gathering was given up")
        if deadline is not None and deadline.expired:
            raise HostUnreachable(f"not asked: this host had used up its {deadline.seconds:g} s")

    @contextmanager
    def _recording_faults(self, report: HostReport, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever it is: the other evidence must not be lost for it
            reason = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
            report.faults.append({"name": name, "why": one_line(reason)})


def gather(
    cluster: Cluster,
    data: dict[str, Any],
    hosts: Mapping[str, Host],
    manager: Manager,
    span: Span,
    make: Callable[[Redactor], Bundle],
    *,
    host_s: float = HOST_TIMEOUT_S,
    observe: Callable[[], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Gather everything into the bundle that `make` opens; returns its index. `data` is the cluster file as it was written; no host is
    asked for anything more after `host_s` seconds. `observe` tries paths and watches packets, once the hosts have told of their sockets,
    which it may fill; what it returns is in the index under `observed`, or why there is nothing.

    Raises Unusable when the bundle itself cannot be written, and for nothing that a host does.
    """
    secrets, notes = known_secrets(cluster, data)
    CLEANER.knows(secrets)  # what is said of it at the terminal, too
    redactor = Redactor(secrets)
    began = time.time()
    with make(redactor) as bundle:
        gathering = Gathering(cluster, hosts, manager, span, bundle, host_s)
        gathering.all()
        observed = _observe(observe) if any(report.reached for report in gathering.reports.values()) else {}
        bundle.data(CLUSTER, without_secrets(data, redactor))
        index = {
            "format": FORMAT,
            "harness": __version__,
            "cluster": cluster.name,
            "taken": {"begin": began, "end": time.time()},
            "window": {"begin": span.begin, "end": span.end},
            "capture_s": span.capture_s,
            "manager": {"kind": cluster.manager.kind, **gathering.state},
            "hosts": [asdict(report) for report in gathering.reports.values()],
            **observed,
            "notes": [*(f"left out, because nobody has agreed to it: {ask}" for ask in cluster.left_out), *notes, *collectors.faults()],
        }
        index = redactor.clean_data(index)
        index["secrets_removed"] = redactor.removed
        bundle.data(INDEX, index)
        bundle.page("index.html", page_of(index))
    return index


def _observe(observe: Callable[[], dict[str, Any]] | None) -> dict[str, Any]:
    if observe is None:
        return {}
    try:
        return {"observed": observe()}
    except HarnessError as error:  # what hosts say of themselves is evidence all the same
        return {"observed": {"why": one_line(str(error))}}


def window_parameters(row: Collector, begin: float, end: float) -> dict[str, object]:
    """The parameters of a row's script: none, or the time window by the host's clock and the logs. Pure."""
    if not row.logs:
        return {}
    return {"Begin": moment(begin), "End": moment(end), "Logs": list(row.logs), "Most": MAX_EVENTS}


def lines_of(answer: ScriptAnswer) -> str:
    """A script's rows, a line of JSON each, and its warnings. Pure."""
    warnings = "".join(f"# warning: {warning}\n" for warning in answer.warnings)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in answer.rows) + warnings


def _fact_readers(facts: HostFacts) -> dict[str, Callable[[], Any]]:
    """What programs read of a host: the bundle's lab is made of it."""

    def offset() -> dict[str, float]:
        ahead, error = facts.offset()
        return {"ahead_s": round(ahead, 6), "error_s": round(error, 6)}

    return {
        "clock_offset": offset,
        "hostname": facts.hostname,
        "boot_id": facts.boot_id,
        "addresses": lambda: [asdict(a) for a in facts.addresses()],
        "listeners": lambda: [asdict(listener) for listener in facts.listeners()],
    }


def _state(state: ClusterState) -> dict[str, Any]:
    return {
        "active": state.active,
        "leading": state.leading,
        "whole": state.healthy,
        "said": str(state),
        "nodes": {
            name: {
                "running": s.running,
                "why": s.why,
                "stopped": s.stopped,
                "resources": {tag: str(r) for tag, r in s.resources.items()},
                "comm_paths": [asdict(p) for p in s.comm_paths],
            }
            for name, s in state.nodes.items()
        },
    }
