"""Network security groups: the default rules per NIC, custom ones before them, subnet and NIC both (facts NSG-01 to NSG-11)."""

from __future__ import annotations

from ipaddress import IPv4Network

from harness.config.cluster_config import Cluster, Design
from harness.lab.lab_config import NsgRule
from harness.lab.topology import Nic, Topology

Rules = dict[str, list[NsgRule]]


class Nsg:
    """Turns the rules in force into one nftables table; a change replaces the table in one transaction.

    Established flows pass before any rule, so a change meets new flows only (NSG-03).
    """

    def __init__(self, cluster: Cluster, topology: Topology, rules: Rules, floating_destination: str) -> None:
        self._cluster = cluster
        self._topology = topology
        self._match_vip = floating_destination == "VIP"
        self.rules: Rules = {key: list(value) for key, value in rules.items()}

    @property
    def places(self) -> list[str]:
        """Where rules can be attached: NICs and subnets."""
        return self._topology.nsg_places

    def ruleset(self) -> str:
        """The whole table in nft's language, a chain for each NIC and direction."""
        nics = self._topology.nics
        chains = "\n".join(self._chain(nic, direction) for nic in nics for direction in ("inbound", "outbound"))
        inbound = ", ".join(f'"{n.leg}" : jump {n.leg}_inbound' for n in nics)
        outbound = ", ".join(f'"{n.leg}" : jump {n.leg}_outbound' for n in nics)
        return f"""
table ip nsg
delete table ip nsg
table ip nsg {{
  set vnet {{ type ipv4_addr; flags interval; elements = {{ {self._virtual_network()} }}; }}
{chains}
  chain forward {{
    type filter hook forward priority 0;
    ct state established,related accept
    iifname vmap {{ {outbound} }}
    oifname vmap {{ {inbound} }}
  }}
  chain probes {{
    type filter hook output priority 0;
    ct state established,related accept
    oifname vmap {{ {inbound} }}
  }}
}}
"""

    def _chain(self, nic: Nic, direction: str) -> str:
        """One chain per NSG that applies, and one that asks them in turn; a lone NSG is that chain itself.

        Few chains, because the kernel's time for a switch of the balancer grows with all the chains there are.
        """
        name = f"{nic.leg}_{direction}"
        places = [p for p in (nic.subnet_name, nic.key) if p == nic.key or p in self.rules]
        if direction == "outbound":  # NIC, then subnet; inbound the other way round; both must admit the packet (NSG-09)
            places.reverse()
        if len(places) == 1:
            return self._write_chain(name, self._rules(nic.key, nic, direction))
        chains = [self._write_chain(f"{name}_{i}", self._rules(place, nic, direction)) for i, place in enumerate(places)]
        return "\n".join([*chains, self._write_chain(name, [f"jump {name}_{i}" for i in range(len(places))])])

    @staticmethod
    def _write_chain(chain: str, rules: list[str]) -> str:
        body = "\n    ".join(rules)
        return f"  chain {chain} {{\n    {body}\n  }}"

    def _rules(self, place: str, nic: Nic, direction: str) -> list[str]:
        custom = sorted((r for r in self.rules.get(place, []) if r.direction == direction), key=lambda r: r.priority)
        return [line for rule in custom for line in self._compile(rule, nic)] + self._defaults(direction)

    def _defaults(self, direction: str) -> list[str]:
        vnet = self._prefixes("VirtualNetwork")
        if direction == "inbound":
            return [f"ip saddr {vnet} ip daddr {vnet} return", f"ip saddr {self._prefixes('AzureLoadBalancer')} return", "counter drop"]
        return [f"ip saddr {vnet} ip daddr {vnet} return", f"ip daddr != {vnet} return", "counter drop"]

    def _compile(self, rule: NsgRule, nic: Nic) -> list[str]:
        verdict = "return" if rule.access == "allow" else "counter drop"
        source = self._match("saddr", rule.source)
        transport = self._transport(rule)
        destination = self._match("daddr", rule.destination)
        if not self._means_the_vms_own_address(rule, nic):
            return [f"{source} {destination} {transport} {verdict}"]
        assert isinstance(rule.destination, IPv4Network)
        lines = [f"{source} ip daddr != {self._cluster.vip} {destination} {transport} {verdict}"]
        if nic.address in rule.destination:
            lines.append(f"{source} ip daddr {self._cluster.vip} {transport} {verdict}")
        return lines

    def _means_the_vms_own_address(self, rule: NsgRule, nic: Nic) -> bool:
        """Under floating IP the packet carries the VIP, but a rule's destination is held against the VM's own address (NSG-04; OQ-15)."""
        floating = self._cluster.design is Design.FLOATING and nic.pooled and rule.direction == "inbound"
        return floating and not self._match_vip and isinstance(rule.destination, IPv4Network)

    def _match(self, field: str, value: str | IPv4Network) -> str:
        if value == "*":
            return ""
        if value == "Internet":
            return f"ip {field} != {self._prefixes('VirtualNetwork')}"
        return f"ip {field} {self._prefixes(value)}"

    def _prefixes(self, value: str | IPv4Network) -> str:
        if value == "VirtualNetwork":
            return "@vnet"  # one set for all rules: the kernel's time for a switch grows with the sets as well
        return f"{self._cluster.load_balancer.probe.source}/32" if value == "AzureLoadBalancer" else str(value)

    def _virtual_network(self) -> str:
        """The VNet's prefixes and the host's own address, which the tag includes (NSG-07)."""
        return f"{self._cluster.subnet1}, {self._cluster.subnet2}, {self._cluster.load_balancer.probe.source}/32"

    @staticmethod
    def _transport(rule: NsgRule) -> str:
        if not rule.ports:
            return "" if rule.protocol == "*" else f"ip protocol {rule.protocol}"
        protocol = "{ tcp, udp }" if rule.protocol == "*" else rule.protocol
        return f"ip protocol {protocol} th dport {{ {', '.join(map(str, rule.ports))} }}"
