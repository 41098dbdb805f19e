"""DHCP as Azure's, and its name server, for guests that ask: dnsmasq in the fabric, on the legs of those guests only.

A guest gets its NIC's own address for ever, 168.63.129.16 as server and name server, and on its first NIC the gateway and the routes
to the platform's addresses (facts FAB-11, FAB-12, WNET-98). Names are those of the lab's hosts; there is no way out for others.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from harness.config.azure_config import METADATA_ADDRESS
from harness.config.cluster_config import Cluster
from harness.core.errors import Unusable
from harness.lab.topology import Nic, Topology

PROGRAM, PACKAGE = "dnsmasq", "dnsmasq-base"
DOMAIN = "internal.cloudapp.net"  # of names that Azure gives to the machines of a VNet, behind a part of its own
WIRE_SERVER_OPTION = 245  # the platform's address once more, as agents for Azure look for it
SERVER_PORT, CLIENT_PORT, NAMES_PORT = 67, 68, 53


def nics_of(topology: Topology, hosts: list[str]) -> list[Nic]:
    """The NICs that ask."""
    return [nic for host in hosts for nic in topology.of(host)]


def address_lines(cluster: Cluster, nics: list[Nic]) -> list[str]:
    """A leg answers for the platform's address, which is the server's: dnsmasq serves no interface that has none. As `ip` takes it."""
    return [f"address replace {cluster.load_balancer.probe.source}/32 dev {nic.leg}" for nic in nics]


def configuration(cluster: Cluster, topology: Topology, hosts: list[str]) -> str:
    """dnsmasq's configuration for these hosts."""
    server, nics = cluster.load_balancer.probe.source, nics_of(topology, hosts)
    lines = [
        *("keep-in-foreground", "no-hosts", "no-resolv", "no-poll", "no-ping", "leasefile-ro", "user=", "group=", "pid-file="),
        *("dhcp-authoritative", "dhcp-ignore=tag:!known", "log-facility=-"),
        *(f"domain={DOMAIN}", "expand-hosts", f"local=/{DOMAIN}/", "bogus-priv"),
        *(f"host-record={m.name},{m.name}.{DOMAIN},{m.address}" for m in cluster.machines),
        f"dhcp-option=option:dns-server,{server}",
        f"dhcp-option-force={WIRE_SERVER_OPTION},{':'.join(f'{byte:02x}' for byte in server.packed)}",
    ]
    for subnet in sorted({nic.subnet for nic in nics}):
        lines.append(f"dhcp-range={subnet.network_address},static,{subnet.netmask},infinite")
        # By the legs' address: by its name it would be the leg that is there now, and not the one that comes with the guest's next power.
        lines.append(f"shared-network={server},{subnet.network_address}")
    for nic in nics:
        lines.append(f"interface={nic.leg}")
        if nic is topology.of(nic.host)[0]:
            routes = f"0.0.0.0/0,{nic.gateway},{server}/32,{nic.gateway},{METADATA_ADDRESS}/32,{nic.gateway}"
            lines += [
                f"dhcp-host={nic.mac},set:{nic.leg},{nic.address},{nic.host},infinite",
                f"dhcp-option=tag:{nic.leg},option:router,{nic.gateway}",
                f"dhcp-option=tag:{nic.leg},option:classless-static-route,{routes}",
            ]
        else:
            lines += [f"dhcp-host={nic.mac},set:{nic.leg},{nic.address},infinite", f"dhcp-option=tag:{nic.leg},option:router"]
    return "\n".join(lines) + "\n"


def ruleset(cluster: Cluster, nics: list[Nic]) -> str:
    """What the fabric takes of them beside: questions to the server, from a NIC that has no address yet, too; no security group is asked
    (facts NSG-11)."""
    legs, server = ", ".join(f'"{nic.leg}"' for nic in nics), cluster.load_balancer.probe.source
    to_server = f"udp sport {CLIENT_PORT} udp dport {SERVER_PORT}"
    return f"""
insert rule ip fabric sources iifname {{ {legs} }} ip saddr 0.0.0.0 ip daddr 255.255.255.255 {to_server} accept
insert rule ip fabric sources iifname @dark counter drop
insert rule ip fabric to_fabric iifname {{ {legs} }} ip daddr {{ {server}, 255.255.255.255 }} {to_server} accept
insert rule ip fabric to_fabric iifname {{ {legs} }} ip daddr {server} meta l4proto {{ tcp, udp }} th dport {NAMES_PORT} accept
"""


def demand() -> None:
    """Raises Unusable where there is no dnsmasq."""
    if shutil.which(PROGRAM) is None:
        raise Unusable(f"guests with DHCP need {PROGRAM}; fix it with: apt-get install -y --no-install-recommends {PACKAGE}")


async def run(configuration_text: str, file: Path) -> None:
    """Serve in this process's network namespace, for as long as the lab lives: it ends with the lab's first process. Raises OSError when it
    ends before, and says why on standard error, the lab's log."""
    file.write_text(configuration_text)
    process = await asyncio.create_subprocess_exec(PROGRAM, f"--conf-file={file}", stdin=asyncio.subprocess.DEVNULL)
    raise OSError(f"{PROGRAM} ended with {await process.wait()}")
