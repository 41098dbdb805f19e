"""The internal load balancer's data path: forwarding policy in the fabric, not a hop (facts ILB-01).

`nat` (floating IP off) rewrites the destination to the member's private address; `floating` (on) leaves the packet as
it is and routes it down the member's leg. Established flows are pinned by connection tracking, so replacing the rules
in one transaction moves new flows only (FLOW-05).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.config.cluster_config import Cluster, Design
from harness.lab.lab_config import ExtraRule, LabSettings
from harness.lab.linux.nft import Nft
from harness.lab.topology import Nic, Topology

ADMIN_STATES = ("none", "up", "down")
SEED = 0x6C6B  # of the distribution's hash; any number does


@dataclass
class Member:
    """One pool member: what the probe says of it, what an operator says, and what the balancer makes of both."""

    nic: Nic
    probe_up: bool = False
    probe_reason: str = "Down_Probe_TcpProbeTimeout"
    admin: str = "none"
    in_pool: bool = True

    @property
    def up(self) -> bool:
        """Eligible for new flows (facts FLOW-09 to FLOW-11)."""
        return {"up": True, "down": False, "none": self.probe_up}[self.admin]

    @property
    def reason(self) -> str:
        """The platform's own name for it (facts API-03, API-04)."""
        return {"up": "Up_Admin", "down": "Down_Admin", "none": self.probe_reason}[self.admin]


# Nothing goes through this chain. When the last rule with NAT goes, as in a switch to nobody, the kernel takes connection tracking out
# and waits for every processor, and so does the next switch, which needs it again: 7 to 20 ms instead of 0.3.
KEEPS_TRACKING = "chain keeps_tracking { dnat to 127.0.0.1; }"


class Balancer:
    """Keeps the nftables table `balancer` in step with the members' health."""

    def __init__(self, cluster: Cluster, topology: Topology, settings: LabSettings, nft: Nft, note: Callable[..., None]) -> None:
        self._cluster = cluster
        self._settings = settings
        self._nft = nft
        self._note = note
        self.members = [Member(nic) for nic in topology.members]
        self.no_healthy_backends: str = settings.no_healthy_backends
        self.switch_seconds: list[float] = []
        self._applied_names: list[str] | None = None
        self._forgetting: set[asyncio.Task] = set()

    def member(self, host: str) -> Member:
        """The pool's member of that host; raises StopIteration for a host that is none."""
        return next(m for m in self.members if m.nic.host == host)

    def eligible(self) -> list[Member]:
        """Who gets new flows now."""
        pool = [m for m in self.members if m.in_pool]
        healthy = [m for m in pool if m.up]
        if not healthy and self.no_healthy_backends == "AllProbedUp":
            return [m for m in pool if m.admin != "down"]
        return healthy

    def reason(self, member: Member) -> str:
        """Azure's reason code for a member's state (`Up_Probe_AllDownIsUp`, `NA` …)."""
        if not member.up and member in self.eligible():
            return "Up_Probe_AllDownIsUp"
        return member.reason if member.in_pool else "NA"

    def start(self) -> None:
        """Puts the balancer's frame of nftables rules into the fabric, with no member yet."""
        self._nft.run(self._frame())
        self._applied_names = []

    def apply(self) -> None:
        """Put the members' present state on the data path; costs about 0.1 ms once the verdict is in."""
        members = self.eligible()
        names = [m.nic.host for m in members]
        if names == self._applied_names:
            return
        self._applied_names = names
        delay = self._settings.unknowns.verdict_to_data_path_s  # OQ-17: every verdict takes its own time to arrive
        if delay:
            asyncio.get_running_loop().call_later(delay, self._switch, members)
        else:
            self._switch(members)

    def _switch(self, members: list[Member]) -> None:
        began = time.perf_counter()
        self._nft.run("flush chain ip balancer dispatch\n" + self._dispatch(members))
        took = time.perf_counter() - began
        self.switch_seconds.append(took)
        names = [m.nic.host for m in members]
        self._note("balancer", "switch", f"new flows go to {' and '.join(names) or 'nobody'}", members=names, seconds=took)
        self._forget_unpinned_flows()

    def _forget_unpinned_flows(self) -> None:
        """UDP flows and handshakes without an answer are not pinned: their next packet is dispatched anew (FLOW-06, TIME-10)."""
        vip = str(self._cluster.vip)
        for flow_filter in (["-p", "udp"], ["-p", "tcp", "--state", "SYN_SENT"]):
            self._forget("--orig-dst", vip, *flow_filter)

    def forget_established(self, member: Member) -> None:
        """Forget one member's TCP flows, so that their next packet is lost; harness.lab.network.tcp_reset resets both ends (OQ-04 at
        `reset`)."""
        floating = self._cluster.design is Design.FLOATING
        its_own = ["--mark", str(member.nic.mark)] if floating else ["--reply-src", str(member.nic.address)]
        self._forget("--orig-dst", str(self._cluster.vip), "-p", "tcp", *its_own)

    def _forget(self, *flow_filter: str) -> None:
        task = asyncio.get_running_loop().create_task(_conntrack("-D", *flow_filter))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    def _frame(self) -> str:
        if self._cluster.design is Design.NAT:
            arrive = f"type nat hook prerouting priority dstnat; ip daddr {self._cluster.vip} jump dispatch;"
            return f"table ip balancer {{\n  chain dispatch {{ }}\n  chain arrive {{ {arrive} }}\n  {KEEPS_TRACKING}\n}}\n"
        return f"""
table ip balancer {{
  chain dispatch {{ }}
  {KEEPS_TRACKING}
  chain arrive {{
    type filter hook prerouting priority mangle;
    ip daddr {self._cluster.vip} ct state new jump dispatch
    ct direction original ct mark != 0 meta mark set ct mark
  }}
  chain backend_ports {{
    type nat hook prerouting priority dstnat;
    {self._floating_port_rewrites()}
  }}
}}
"""

    def _floating_port_rewrites(self) -> str:
        if self._settings.unknowns.backend_port_under_floating == "ignore":
            return ""
        rewrites = [r for r in self._settings.rules if r.backend_port not in (None, r.port)]
        return "\n    ".join(f"ip daddr {self._cluster.vip} {r.protocol} dport {r.port} dnat to :{r.backend_port}" for r in rewrites)

    def _dispatch(self, members: list[Member]) -> str:
        if not members:
            return ""  # unmatched: on to the stub, in silence (facts ILB-03)
        lines = [self._rule(rule, members) for rule in self._rules()]
        if self._cluster.load_balancer.ha_ports:
            lines += [self._target(f"ip protocol {p}", members, None) for p in ("tcp", "udp")]
            if self._settings.unknowns.icmp_on_ha_ports == "pass":
                lines.append(self._target("ip protocol icmp", members[:1], None))
        return "".join(f"add rule ip balancer dispatch {line}\n" for line in lines)

    def _rules(self) -> list[ExtraRule]:
        if self._cluster.load_balancer.ha_ports:
            return []  # one rule for every port, beside which no other may stand (ILB-18, ILB-20)
        return [*(ExtraRule(port=s.port) for s in self._cluster.services), *self._settings.rules]

    def _rule(self, rule: ExtraRule, members: list[Member]) -> str:
        port = None if rule.backend_port in (None, rule.port) else rule.backend_port
        return self._target(f"{rule.protocol} dport {rule.port}", members, port)

    def _target(self, match: str, members: list[Member], port: int | None) -> str:
        count = len(members)
        if self._cluster.design is Design.FLOATING:
            marks = ", ".join(f"{i} : {m.nic.mark}" for i, m in enumerate(members))
            pick = f"{self._hash(match, count)} map {{ {marks} }}" if count > 1 else str(members[0].nic.mark)
            return f"{match} meta mark set {pick} ct mark set meta mark"
        suffix = f":{port}" if port else ""
        if count == 1:
            return f"{match} dnat to {members[0].nic.address}{suffix}"
        addresses = ", ".join(f"{i} : {m.nic.address}" for i, m in enumerate(members))
        return f"{match} dnat to {self._hash(match, count)} map {{ {addresses} }}{suffix}"

    def _hash(self, match: str, count: int) -> str:
        """The distribution mode's key (facts FLOW-01, FLOW-02). The rule's match settles the protocol.

        One seed for all rules: by default every rule has its own, and SourceIP would part a client's ports and protocols.
        """
        if self._cluster.load_balancer.distribution != "Default":
            protocol = " . ip protocol" if self._cluster.load_balancer.distribution == "SourceIPProtocol" else ""
            return f"jhash ip saddr . ip daddr{protocol} mod {count} seed {SEED}"
        ports = "th" if "protocol" in match else match.split()[0]
        return f"jhash ip saddr . {ports} sport . ip daddr . {ports} dport mod {count} seed {SEED}"

    def describe(self) -> list[dict]:
        """Per member: the verdict on it and why, for `lab status`."""
        return [
            {
                "node": m.nic.host,
                "address": str(m.nic.address),
                "healthy": m in self.eligible(),
                "reason": self.reason(m),
                "admin_state": m.admin,
                "in_pool": m.in_pool,
            }
            for m in self.members
        ]


async def _conntrack(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "conntrack", *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    await process.wait()  # exits 1 when there was nothing to forget, which is fine
