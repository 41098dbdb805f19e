"""What is gathered from Windows hosts, by scripts with a contract; each row of an answer is a line of JSON. Never run on Windows."""

from __future__ import annotations

from harness.collect.collectors import WINDOWS, Collector, CollectorTable

FIREWALL_TIMEOUT_S = 120.0  # Windows tells a thousand rules of a firewall in a minute (WNET-38)


def _question(
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
        _question("os", "Windows version and uptime", "operating-system"),
        _question("versions", "Versions of what is installed"),
        _question("addresses", "Addresses"),
        _question("adapters", "Network adapters, those that are gone too"),
        _question("routes", "Routes and neighbours"),
        _question("sockets", "Listeners and connections", "connections"),
        _question("listeners", "Listeners with their programs"),
        _question("weak-host", "Weak-host settings and metrics", "interfaces"),
        _question("ports", "Dynamic and excluded ports, port proxies, keepalive", "tcp-settings"),
        _question("firewall", "Firewall: profiles, NICs and every rule", seconds=FIREWALL_TIMEOUT_S),
        _question("events", "Event log of the time window, whoever wrote it", logs=("System", "Application")),
        _question("clock", "Clock and its source", "time-source"),
        _question("processes", "Processes, by name only"),
        _question("cluster", "Failover cluster", "wsfc-state", nodes_only=True, managers=("wsfc",)),
        _question("lifekeeper-settings", "LifeKeeper's settings", nodes_only=True, managers=("lifekeeper-windows",)),
    )
