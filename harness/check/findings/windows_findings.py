"""What a Windows node's own settings do to this cluster's packets, ports and connections, as findings. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from harness.check.node_facts import WindowsFacts
from harness.config.cluster_config import Cluster, Design, Node
from harness.core.finding import Finding, Weight
from harness.hosts.linux.linux_parse import InterfaceAddress, Listener
from harness.hosts.windows.script_protocol import Row
from harness.hosts.windows.windows_parse import ClusterAddress, WeakHost, WindowsAddress

DEFAULT_KEEPALIVE_S = 7200.0  # WNET-64
MIN_TEMP_FREE_BYTES = 50 * 1024 * 1024  # below that PowerShell itself may not start as it should (WHST-43)


def findings(
    cluster: Cluster, node: Node, facts: WindowsFacts, addresses: Sequence[InterfaceAddress] | None, listeners: Sequence[Listener] | None
) -> Iterator[Finding]:
    """Every finding of this node."""
    yield from _about(node, facts)
    yield from _adapters(node, facts, addresses or ())
    yield from _ports(cluster, node, facts.settings or [], listeners)
    yield from _port_proxies(cluster, node, facts.settings or [])
    if facts.settings is not None:
        yield from _keepalive(cluster, node, facts.settings)
    yield from _source(cluster, node, addresses or ())
    if facts.cluster_address is not None:
        yield from _probe_port(cluster, node, facts.cluster_address, addresses or (), listeners)
    yield from _weak_host(cluster, node, facts.weak_hosts or [], addresses or ())


def _about(node: Node, facts: WindowsFacts) -> Iterator[Finding]:
    about = facts.about
    if facts.why_alone:
        says = f"each question costs the node a process of PowerShell of its own, so that looking at it loads it: {facts.why_alone}"
        yield Finding(Weight.NOTE, node.name, "PowerShell", says, "see why none stays; measure with care until then")
    if about is None:
        return
    if about.elevated is False:
        says = "the account is no administrator there, so services, the event log and the firewall tell it only part"
        yield Finding(Weight.UNKNOWN, node.name, "rights", says, "log in as a member of Administrators", ("WHST-117",))
    if about.temp_free is not None and about.temp_free < MIN_TEMP_FREE_BYTES:
        says = f"{about.temp_free // 1024} KiB are free for temporary files; a new PowerShell may then start in constrained language"
        yield Finding(Weight.FAULT, node.name, "TEMP", says, "make room on that drive", ("WHST-43",))


def _adapters(node: Node, facts: WindowsFacts, addresses: Sequence[InterfaceAddress]) -> Iterator[Finding]:
    """A NIC that was replaced, as when Azure moves the machine, has another name; what names the old one means nothing then."""
    for adapter in facts.adapters or []:
        held_addresses = [a.address for a in addresses if a.interface == adapter.name]
        if adapter.gone and held_addresses:
            keeps = f"{adapter.name} ({adapter.device}) is gone and keeps {', '.join(held_addresses)}"
            says = f"{keeps}: that address cannot be given to the NIC in its place"
            do = "remove the adapter that is not there (Device Manager, hidden devices; or pnputil), and set the address on the new one"
            yield Finding(Weight.FAULT, node.name, "adapter", says, do, ("WNET-101",))
    if facts.firewall is None or not facts.firewall.nics:
        return
    here = {str(nic.get("InterfaceAlias")).lower() for nic in facts.firewall.nics}
    for rule in facts.firewall.rules:
        aliases = [alias for alias in rule.get("InterfaceAlias") or () if alias.lower() != "any"]
        if aliases and not any("*" in alias or "?" in alias or alias.lower() in here for alias in aliases):
            says = f"the rule “{rule.get('Name')}” of the firewall is for {', '.join(aliases)}, and no NIC of that name has an address"
            do = "name the NIC that is there now; a NIC that was replaced has another name"
            yield Finding(Weight.NOTE, node.name, "adapter", says, do, ("WNET-09", "WNET-101"))


def _needed_ports(cluster: Cluster) -> dict[int, str]:
    """The ports that the cluster lives by, and what each is for."""
    probe = cluster.load_balancer.probe.port
    return {probe: "the probe's port"} | {s.port: f"the port of {s.name}" for s in cluster.services if s.port != probe}


def _ports(cluster: Cluster, node: Node, settings: Sequence[Row], listeners: Sequence[Listener] | None) -> Iterator[Finding]:
    excluded = [row for row in settings if row["K"] == "excluded"]
    listening_ports = {listener.port for listener in listeners or ()}
    for port, what in _needed_ports(cluster).items():
        blocks = [row for row in excluded if _within(port, row)]
        if blocks and port not in listening_ports and not any(row["Name"] == "*" for row in blocks):
            says = f"{port}, {what}, lies in a range that Windows has given away ({_range(blocks[0])}): who wants it gets error 10013"
            do = "end what reserved that range (WinNAT, Hyper-V), and exclude the port for its service by netsh before that starts"
            yield Finding(Weight.NOTE, node.name, "excluded ports", says, do, ("WNET-68", "WNET-69"))
        dynamic = [row for row in settings if row["K"] == "dynamic" and _within(port, row)]
        if dynamic and not blocks:
            says = f"{port}, {what}, lies among the dynamic ports ({_range(dynamic[0])}): an outgoing connection may hold it"
            do = f"exclude it (netsh int ipv4 add excludedportrange tcp {port} 1 persistent), or choose another port"
            yield Finding(Weight.NOTE, node.name, "dynamic ports", says, do, ("WNET-67",))


def _port_proxies(cluster: Cluster, node: Node, settings: Sequence[Row]) -> Iterator[Finding]:
    for row in settings:
        what = _needed_ports(cluster).get(int(row["ListenPort"])) if row["K"] == "portproxy" else None
        if what is not None:
            there = f"{row['ConnectAddress']}:{row['ConnectPort']:g}"
            says = f"a port proxy takes {row['ListenAddress']}:{row['ListenPort']:g}, {what}, and connects to {there} instead"
            do = "see who made it (netsh interface portproxy show all); the service sees the proxy as its client, a probe asks the proxy"
            yield Finding(Weight.FAULT, node.name, "port proxy", says, do, ("WNET-78",))


def _keepalive(cluster: Cluster, node: Node, settings: Sequence[Row]) -> Iterator[Finding]:
    configured = [float(row["Milliseconds"]) / 1000 for row in settings if row["K"] == "keepalive" and row["Name"] == "KeepAliveTime"]
    after, idle = configured[0] if configured else DEFAULT_KEEPALIVE_S, cluster.load_balancer.idle_timeout_s
    if after >= idle:
        says = f"a program's keepalive begins after {after:g} s, and the balancer forgets an idle connection after {idle:g} s"
        do = "set KeepAliveTime below that, or the times in the program itself"
        yield Finding(Weight.NOTE, node.name, "keepalive", says, do, ("WNET-64",))


def _source(cluster: Cluster, node: Node, addresses: Sequence[InterfaceAddress]) -> Iterator[Finding]:
    """Windows sends from the numerically lowest address of a NIC, whichever is the first."""
    vip, own_address = str(cluster.vip), str(node.address)
    nic = next((a.interface for a in addresses if a.address == own_address), None)
    here = [a for a in addresses if a.address == vip and a.interface == nic]
    if not here or int(ip_address(vip)) >= int(ip_address(own_address)):
        return
    skipped = here[0].skip_as_source if isinstance(here[0], WindowsAddress) else None
    if skipped is False:
        says = f"the VIP {vip} is lower than {own_address} on {nic} and not marked SkipAsSource, so what the node sends comes from the VIP"
        do = f"Set-NetIPAddress -IPAddress {vip} -SkipAsSource $true, and have the cluster manager do so whenever it adds it"
        yield Finding(Weight.FAULT, node.name, "source address", says, do, ("WNET-76", "WNET-47"))


def _probe_port(
    cluster: Cluster, node: Node, set_: ClusterAddress, addresses: Sequence[InterfaceAddress], listeners: Sequence[Listener] | None
) -> Iterator[Finding]:
    """The cluster itself answers the probe, at the port that its IP resource had when that last came online (WCLU-97)."""
    wanted, tag = cluster.load_balancer.probe.port, cluster.ip_resource.tag
    do = f"Get-ClusterResource '{tag}' | Set-ClusterParameter ProbePort {wanted}, then take it offline and start the role again"
    owns = any(a.address == str(cluster.vip) for a in addresses)
    if set_.probe_port is None:
        says = f"{tag} has no ProbePort, so the cluster answers the probe on no node"
        yield Finding(Weight.FAULT, node.name, "ProbePort", says, do, ("WCLU-96",))
    elif set_.probe_port != wanted:
        says = f"{tag} has ProbePort {set_.probe_port}, and the balancer asks port {wanted}"
        yield Finding(Weight.FAULT, node.name, "ProbePort", says, do, ("WCLU-96",))
    elif owns and listeners is not None and all(listener.port != wanted for listener in listeners):
        says = f"{tag} has ProbePort {wanted}, and nobody listens there though {node.name} has the VIP: it is set and not in force"
        yield Finding(Weight.FAULT, node.name, "ProbePort", says, "take it offline and start the role again", ("WCLU-97",))
    if set_.mask not in (None, "255.255.255.255"):
        says = f"{tag} has the mask {set_.mask}: behind a balancer it is 255.255.255.255"
        yield Finding(Weight.NOTE, node.name, "subnet mask", says, f"set SubnetMask of {tag}, and start the role again", ("WCLU-96",))


def _weak_host(cluster: Cluster, node: Node, settings: Sequence[WeakHost], addresses: Sequence[InterfaceAddress]) -> Iterator[Finding]:
    """With floating IP a packet for the VIP comes by the NIC and is for another interface's address; strong host drops it."""
    if cluster.design is not Design.FLOATING:
        return
    nic = next((a.interface for a in addresses if a.address == str(node.address)), None)
    holder = next((a.interface for a in addresses if a.address == str(cluster.vip)), None)
    if nic is None or holder is None or holder == nic:
        return
    by = {setting.interface: setting for setting in settings}
    lacks = [f"{nic}: WeakHostReceive"] if nic in by and by[nic].receive is False else []
    if holder in by:
        lacks += [f"{holder}: WeakHost{word}" for word, on in (("Receive", by[holder].receive), ("Send", by[holder].send)) if on is False]
    if lacks:
        says = f"floating IP needs weak host where the VIP is on another interface, and these are off: {', '.join(lacks)}"
        do = "Set-NetIPInterface -InterfaceAlias … -WeakHostReceive Enabled (-WeakHostSend Enabled)"
        yield Finding(Weight.FAULT, node.name, "weak host", says, do, ("WNET-75", "DSN-16"))


def _within(port: int, row: Row) -> bool:
    return int(row["First"]) <= port <= int(row["Last"])


def _range(row: Row) -> str:
    return f"{row['First']:g} to {row['Last']:g}"
