"""The flight recorders of one cluster: a plan for each host, started, asked, marked and removed together."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import Any

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.cluster.connection_sensitive_services import demand_bearable
from harness.core.errors import BadUse, HarnessError, Unusable
from harness.core.time_span import DAY_S
from harness.hosts.host import HostUnreachable
from harness.hosts.root_rights import SUDO
from harness.measure.meter import ATTEMPT_TIMEOUT_S, series_plan
from harness.recorder import boot_unit
from harness.recorder.boot_unit import BootUnit
from harness.remote.agents.agent_launch import AgentSeries, AgentWatch, bearable
from harness.remote.agents.recorder_link import RecorderLink, RecorderOptions, RecorderPlan, name_of
from harness.remote.host_capabilities import Kind
from harness.remote.recording.recording import NEW, Series
from harness.services import service_registry
from harness.services.service_kind import Hello

LOW_PERIOD_S, FAST_PERIOD_S = 0.1, 0.01  # of the first service from the client; of that service from any host, while something is wrong
OTHER_PERIOD_S = 0.25  # of everything else: a service that forks for each connection must not be what the recorder wears down
LOOK_S = 0.25  # from one look at listeners and the log to the next
LOOK_TIMEOUT_S = 20.0
Plan = dict[AgentSeries, float]  # of one host: each series with its fast period in seconds


def series_of(subject: ClusterUnderTest, host: str) -> list[Series]:
    """New connections from one host to every service, as often as that bears."""
    cluster, low = subject.cluster, LOW_PERIOD_S if host == subject.cluster.client.name else OTHER_PERIOD_S
    wished = [(s, low if i == 0 else OTHER_PERIOD_S, service_registry.hello(s, cluster)) for i, s in enumerate(cluster.services)]
    periods = [(s, bearable(low_period_s(period, hello), hello)) for s, period, hello in wished]
    return [Series(f"{host}/{s.name}/new", host, s.name, NEW, s.port, period, ATTEMPT_TIMEOUT_S) for s, period in periods]


def low_period_s(wished_s: float, hello: Hello) -> float:
    """How far attempts are apart for weeks: a service that does something for each connection (forks, counts, logs) is never asked more
    often than the others. Pure."""
    return max(wished_s, OTHER_PERIOD_S) if hello.least_period_s > FAST_PERIOD_S else wished_s


def fast_period_s(subject: ClusterUnderTest, series: Series) -> float:
    """How far its attempts are apart while something is wrong: only the first service is asked more often then."""
    first = subject.cluster.services[0]
    if series.service != first.name:
        return series.period_s
    return bearable(FAST_PERIOD_S, service_registry.hello(first, subject.cluster))


class Recorders:
    """Every host that has Python has one. What fails on one host is told, and does not keep the others from theirs."""

    def __init__(self, subject: ClusterUnderTest, *, places: tuple[str, ...] | None = None) -> None:
        self.subject, self.name = subject, name_of(subject.cluster)
        more = {} if places is None else {"places": places}
        links = {name: RecorderLink(host, subject.python(name), self.name, **more) for name, host in subject.hosts.items()}
        self.links, self.faults = links, dict[str, str]()

    def able(self) -> tuple[dict[str, Plan], list[str]]:
        """What each host would record, and why some do not. Raises Unusable when none can, Unbearable where a service would refuse a host
        that connects as a recorder does."""
        demand_bearable(self.subject, many=True)
        plans, reasons = {}, []
        services = {s.name: s for s in self.subject.cluster.services}
        for name in self.links:
            capabilities = self.subject.capabilities(name)
            if capabilities.full:
                plans[name] = {
                    series_plan(self.subject.cluster, series, services[series.service]): fast_period_s(self.subject, series)
                    for series in series_of(self.subject, name)
                }
            else:
                on_windows = capabilities.kind in (Kind.POWERSHELL, Kind.COMPILED)
                why = "does not run on Windows" if on_windows else "needs a Python 3.6 or newer on it"
                reasons.append(f"{name}: nothing is recorded there, because the recorder {why}")
        if not plans:
            raise Unusable("no host of this cluster can run the flight recorder: it needs Linux with a Python 3.6 or newer")
        return plans, reasons

    def start(self, plans: dict[str, Plan], days: float, options: RecorderOptions | None = None) -> list[str]:
        """Install and start one on each host; what is not as wished, in sentences. When one cannot be installed, none stays."""
        until = time.time() + days * DAY_S
        results = self._each(lambda link: self._start_one(link, plans[link.name], until, options or RecorderOptions()), tuple(plans))
        if self.faults:
            faults = list(self.faults.values())
            leftovers = self._each(self._remove_one, tuple(results)) if results else {}
            faults += [*self.faults.values(), *(sentence for sentence in leftovers.values() if sentence)]
            raise Unusable(f"no flight recorder was started: {'; '.join(faults)}")
        return [sentence for sentence in results.values() if sentence]

    def _start_one(self, link: RecorderLink, all_series: Plan, until: float, options: RecorderOptions) -> str:
        cluster, is_node = self.subject.cluster, link.name != self.subject.cluster.client.name
        ports = (*(s.port for s in cluster.services), cluster.load_balancer.probe.port) if is_node else ()
        log = str(self.subject.manager.log or "") if is_node else ""
        watch = AgentWatch(vip=str(cluster.vip) if is_node else "", ports=ports, log=log, every_s=LOOK_S)
        plan = RecorderPlan(list(all_series), watch, {s.id: fast for s, fast in all_series.items()}, until, options=options)
        if link.status() is not None:
            raise BadUse(f"{link.name}: a flight recorder of this cluster is there already")
        try:
            link.install(plan, begin=False)
            return self._install_unit(link)
        except HarnessError as error:
            try:
                leftover = self._remove_one(link)
            except HarnessError as removal_error:
                leftover = str(removal_error)
            if leftover:
                raise Unusable(f"{error}; and what was installed could not be removed: {leftover}") from error
            raise

    def _install_unit(self, link: RecorderLink) -> str:
        status = link.status() or {}
        host, user = self.subject.hosts[link.name], str(status["user"])
        unit = BootUnit(self.name, str(status["folder"]), str(status["python"]), user, SUDO if status.get("root") == SUDO else "")
        fault = boot_unit.install(host, unit)
        if (link.status() or {}).get("alive"):
            return fault
        lasts = boot_unit.outlives_logout(host, user)
        link.start()
        return "; ".join(filter(None, (fault, lasts)))

    def resume(self) -> dict[str, str]:
        """Start those that are there and do not run; host → what was done."""

        def resume_one(link: RecorderLink) -> str:
            status = link.status()
            if status is None:
                return "no recorder is there"
            if status["alive"]:
                return "it runs"
            fault = self._install_unit(link)  # by its unit where one can be had: what runs outside of it does not see it removed
            return f"started again; {fault}" if fault else "started again"

        return self._each(resume_one)

    def status(self) -> dict[str, dict[str, Any] | None]:
        """How each fares; None where there is none."""
        return self._each(lambda link: link.status())

    def mark(self, text: str) -> list[str]:
        """Have all keep what they hold; the hosts that do."""
        return [name for name, there in self._each(lambda link: link.mark(text)).items() if there]

    def remove(self) -> list[str]:
        """End all, and remove everything of them; what is left, in sentences."""
        leftovers = self._each(self._remove_one)
        return [*self.faults.values(), *(sentence for sentence in leftovers.values() if sentence)]

    def _remove_one(self, link: RecorderLink) -> str:
        fault = boot_unit.remove(self.subject.hosts[link.name], BootUnit(self.name))
        if fault:  # a unit whose folder is gone would run what somebody else puts there
            return f"{fault}; so the recorder stays until that is removed"
        link.remove()
        return ""

    def _never_had_one(self, link: RecorderLink) -> bool:
        """Whether a host of which nothing can be asked has no recorder either: it has no Python, and no folder of one."""
        try:
            if self.subject.capabilities(link.name).full:
                return False
            folder_test = " || ".join(f"[ -e {shlex.quote(folder)} ]" for folder in link.folders)
            return not self.subject.hosts[link.name].run(folder_test, limit=LOOK_TIMEOUT_S).ok
        except HarnessError:
            return False

    def _each(self, work: Callable[[RecorderLink], Any], names: tuple[str, ...] | None = None) -> dict[str, Any]:
        """What `work` returns on each host, at once; `faults` has a sentence for each that failed."""
        self.faults = {}

        def work_on(link: RecorderLink) -> Any:
            try:
                return [work(link)]
            except HarnessError as error:
                if isinstance(error, HostUnreachable) or not isinstance(error, Unusable) or not self._never_had_one(link):
                    self.faults[link.name] = str(error)
                return []

        links = [self.links[name] for name in names or self.links]
        results = self.subject.together(*(lambda link=link: work_on(link) for link in links))
        return {link.name: result[0] for link, result in zip(links, results, strict=True) if result}
