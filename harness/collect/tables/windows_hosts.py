"""What is gathered from Windows hosts, by scripts with a contract; each row of an answer is a line of JSON. Never run on Windows."""

from __future__ import annotations

from harness.collect.collectors import WINDOWS, Collector, CollectorTable

LONG_S = 120.0  # Windows tells a thousand rules of a firewall in a minute (WNET-38)


def _asked(
    name: str,
    title: str,
    script: str = "",
    seconds: float = 30.0,
    *,
    nodes_only: bool = False,
    managers: tuple[str, ...] = (),
    logs: tuple[str, ...] = (),
) -> Collector:
    return Collector(
        name, title, "", WINDOWS, seconds, nodes_only=nodes_only, managers=managers, newest=bool(logs), script=script or name, logs=logs
    )


class Windows(CollectorTable):
    """What is asked of a Windows host."""

    rows = (
        _asked("os", "Windows version and uptime", "operating-system"),
        _asked("versions", "Versions of what is installed"),
        _asked("addresses", "Addresses"),
        _asked("adapters", "Network adapters, those that are gone too"),
        _asked("routes", "Routes and neighbours"),
        _asked("sockets", "Listeners and connections", "connections"),
        _asked("listeners", "Listeners with their programs"),
        _asked("weak-host", "Weak-host settings and metrics", "interfaces"),
        _asked("ports", "Dynamic and excluded ports, port proxies, keepalive", "tcp-settings"),
        _asked("firewall", "Firewall: profiles, NICs and every rule", seconds=LONG_S),
        _asked("events", "Event log of the time window, whoever wrote it", logs=("System", "Application")),
        _asked("clock", "Clock and its source", "time-source"),
        _asked("processes", "Processes, by name only"),
        _asked("cluster", "Failover cluster", "wsfc-state", nodes_only=True, managers=("wsfc",)),
        _asked("lifekeeper-settings", "LifeKeeper's settings", nodes_only=True, managers=("lifekeeper-windows",)),
    )
