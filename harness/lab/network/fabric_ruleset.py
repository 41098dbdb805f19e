"""The fabric's own packet rules: what no VNet carries, spoofed sources, hosts without power, and the order of it all.

Chains by hook priority, because the order is the behaviour:
    -450  fragments, before connection tracking puts them together again (facts ILB-17)
    -300  source addresses that are not the NIC's
    -150  new flows from the frontend's address; idle timers; MSS
       0  forward: power, cuts, lost flows (in silence: harness.lab.network.tcp_reset sends the resets, where enabled), then the NSGs
"""

from __future__ import annotations

from harness.config.cluster_config import Cluster, Design
from harness.lab.lab_config import LabSettings
from harness.lab.network.fabric import STUB, own_addresses
from harness.lab.network.tcp_reset import idle_seconds
from harness.lab.topology import Topology


def ruleset(cluster: Cluster, topology: Topology, settings: LabSettings) -> str:
    """The `fabric` table. The sets `dark` (legs without power) and `cuts` (address pairs that do not reach each other) start empty."""
    return f"""
table ip fabric {{
  set dark {{ type ifname; }}
  set cuts {{ type ipv4_addr . ipv4_addr; }}
  set blocked_probes {{ type ipv4_addr; }}
  ct timeout idle {{ protocol tcp; l3proto ip; policy = {{ established : {idle_seconds(cluster.load_balancer)} }}; }}

{_chains_of_what_comes(cluster, topology, settings)}{_chains_of_what_goes_on(cluster, topology, settings)}}}
"""


def _chains_of_what_comes(cluster: Cluster, topology: Topology, settings: LabSettings) -> str:
    """Before routing: fragments, whose source an address is, and what new flows are like."""
    vip = cluster.vip
    pool = ", ".join(f'"{n.leg}"' for n in topology.members)
    assigned = ", ".join(f'"{n.leg}" . {n.address}' for n in topology.nics)
    unknowns = settings.unknowns
    vip_new_flow = "" if unknowns.new_flow_from_vip == "pass" else f"ip saddr {vip} ct direction original counter drop"
    clamp = f"ip daddr {vip} tcp flags syn tcp option maxseg size set 1418" if unknowns.mss_clamp == "on" else ""
    return f"""\
  chain fragments {{
    type filter hook prerouting priority -450;
    ip daddr {vip} ip frag-off & 0x3fff != 0 counter drop
  }}
  chain sources {{
    type filter hook prerouting priority -300;
    iifname "{STUB}*" drop
    iifname @dark counter drop
    iifname . ip saddr {{ {assigned} }} accept
    iifname {{ {pool} }} ip saddr {vip} accept
    {_probe_answers_of_the_other_nic(cluster, topology, settings)}
    counter drop
  }}
  chain flows {{
    type filter hook prerouting priority -150;
    {vip_new_flow}
    {_idle_rule(cluster, settings)}
    {clamp}
  }}
"""


def _chains_of_what_goes_on(cluster: Cluster, topology: Topology, settings: LabSettings) -> str:
    """What is forwarded, what the fabric sends of its own, and what it takes."""
    return f"""\
  chain late {{
    type filter hook forward priority -10;
    oifname "{STUB}*" counter drop
    iifname @dark counter drop
    oifname @dark counter drop
    ip saddr . ip daddr @cuts counter drop
    {_hairpin_rule(cluster, topology, settings)}
    ct state invalid counter drop
    ip protocol != {{ tcp, udp, icmp }} counter drop
    udp sport 65330 counter drop
    udp dport {{ 67, 68 }} counter drop
  }}
  chain own {{
    type filter hook output priority -10;
    oifname "lo" accept
    ip protocol icmp counter drop
    oifname @dark counter drop
    ip daddr @blocked_probes counter drop
  }}
  chain to_fabric {{
    type filter hook input priority 0;
    iifname "lo" accept
    {_probe_answers(cluster, topology, settings)}
    ip daddr {{ {", ".join(map(str, own_addresses(cluster)))} }} counter drop
  }}
"""


def idle_applies(cluster: Cluster, settings: LabSettings) -> bool:
    """Whether flows to the frontend have an idle timeout at all (OQ-01)."""
    return cluster.design is Design.NAT or settings.unknowns.idle_under_floating == "applies"


def _idle_rule(cluster: Cluster, settings: LabSettings) -> str:
    if not idle_applies(cluster, settings):
        return ""
    return f'ip daddr {cluster.vip} ip protocol tcp ct timeout set "idle"'


def _hairpin_rule(cluster: Cluster, topology: Topology, settings: LabSettings) -> str:
    """A floating-IP hairpin comes back unchanged, or is swallowed on the way (OQ-18)."""
    if settings.unknowns.hairpin_under_floating == "return":
        return ""
    return "\n    ".join(f'iifname "{n.leg}" oifname "{n.leg}" ip daddr {cluster.vip} counter drop' for n in topology.members)


def _probe_answers_of_the_other_nic(cluster: Cluster, topology: Topology, settings: LabSettings) -> str:
    """Where they count, such answers must also get past the check of source addresses (OQ-10)."""
    if settings.unknowns.probe_answer_through_other_nic == "drop":
        return ""
    other_nics = [f'"{nic.leg}" . {m.address}' for m in topology.members for nic in topology.of(m.host) if nic is not m]
    return f"ip daddr {cluster.load_balancer.probe.source} iifname . ip saddr {{ {', '.join(other_nics)} }} accept"


def _probe_answers(cluster: Cluster, topology: Topology, settings: LabSettings) -> str:
    """Answers to probes count only through the NIC that was probed, whichever it is (facts FAB-12, PRB-23; OQ-10)."""
    if settings.unknowns.probe_answer_through_other_nic == "accept":
        return "ct state established,related accept"
    own_leg = ", ".join(f'"{n.leg}" . {n.address}' for n in topology.nics)
    return f"iifname . ip saddr {{ {own_leg} }} ct state established,related accept"
