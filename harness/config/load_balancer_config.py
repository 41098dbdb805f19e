"""The load balancer's and the IP resource's part of a cluster file."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Annotated, Literal

from pydantic import Field

from harness.config.config_types import Part, Port, Seconds


class Probe(Part):
    """The health probe (facts PRB-04, PRB-05, PRB-07)."""

    protocol: Literal["tcp", "http"] = "tcp"
    port: Port = 12345
    path: str = "/"
    interval_s: Seconds = 5.0
    threshold: Annotated[int, Field(ge=1, le=100)] = 1
    source: IPv4Address = IPv4Address("168.63.129.16")


class LoadBalancer(Part):
    """The internal load balancer: its frontend, probe and what its rules have in common."""

    frontend: IPv4Address = IPv4Address("10.20.1.200")
    probe: Probe = Probe()
    idle_timeout_s: Seconds = 240.0
    tcp_reset: bool = False
    distribution: Literal["Default", "SourceIP", "SourceIPProtocol"] = "Default"
    ha_ports: bool = False


VIP_PREFIX = 32  # a wider one routes the frontend's subnet out of the NIC that holds it (facts FAB-14)


class IpResource(Part):
    """The cluster's IP resource: the frontend's address, held by the active node on its Subnet#2 NIC (facts DSN-06, FAB-14)."""

    address: IPv4Address = IPv4Address("10.20.1.200")
    prefix: Annotated[int, Field(ge=1, le=32)] = VIP_PREFIX
    tag: str = "ip-10.20.1.200"
