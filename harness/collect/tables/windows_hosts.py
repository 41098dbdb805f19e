"""What is gathered from Windows hosts: shapes from memory, never run there."""

from __future__ import annotations

from harness.collect.collectors import WINDOWS, Collector, CollectorTable


class Windows(CollectorTable):
    """What is asked of a Windows host."""

    rows = (
        Collector(
            "os",
            "Windows version and uptime",
            "Get-CimInstance Win32_OperatingSystem|fl Caption,Version,BuildNumber,LastBootUpTime",
            WINDOWS,
            30.0,
        ),
        Collector("addresses", "Addresses and adapters", "Get-NetIPAddress|ft -auto;Get-NetAdapter|ft -auto", WINDOWS, 30.0),
        Collector("routes", "Routes and neighbours", "Get-NetRoute|ft -auto;Get-NetNeighbor|ft -auto", WINDOWS, 30.0),
        Collector(
            "sockets",
            "Listeners and connections",
            "Get-NetTCPConnection|ft -auto LocalAddress,LocalPort,RemoteAddress,RemotePort,State,OwningProcess",
            WINDOWS,
            30.0,
        ),
        Collector(
            "weak-host",
            "Weak-host settings",
            "Get-NetIPInterface|ft -auto InterfaceAlias,AddressFamily,WeakHostSend,WeakHostReceive,Forwarding",
            WINDOWS,
            30.0,
        ),
        Collector(
            "firewall",
            "Firewall",
            "Get-NetFirewallProfile -PolicyStore ActiveStore|ft -auto Name,Enabled,DefaultInboundAction",
            WINDOWS,
            30.0,
        ),
        Collector("clock", "Clock and its source", "[DateTime]::UtcNow.ToString('o');w32tm /query /status", WINDOWS, 30.0),
        Collector("processes", "Processes, by name only", "Get-Process|ft -auto Id,ProcessName,StartTime", WINDOWS, 30.0),
        Collector(
            "cluster",
            "Failover cluster",
            "Get-ClusterNode|ft -auto;Get-ClusterResource|ft -auto",
            WINDOWS,
            30.0,
            nodes_only=True,
            managers=("wsfc",),
        ),
    )
