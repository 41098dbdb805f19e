"""What a running lab can be asked to do: power (host_power), NSGs, the balancer's settings, cuts. As an operator of Azure could do."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from harness.lab.control.control_socket import Operation
from harness.lab.lab_config import parse_rules
from harness.lab.network.balancer import ADMIN_STATES
from harness.lab.process.host_power import HostPower


class Operations(HostPower):
    """The operations behind the control socket. Every one is noted in the lab's event record."""

    def table(self) -> dict[str, Operation]:
        """Every operation by the name that `lab` uses for it."""
        return {
            "status": self.status,
            "power": self.power,
            "nsg": self.nsg,
            "admin": self.admin,
            "pool": self.pool,
            "no_healthy_backends": self.no_healthy_backends,
            "cut": self.cut,
            "heal": self.heal,
            "known_cut": self.known_cut,
            "block_probe": self.block_probe,
            "unblock_probe": self.unblock_probe,
            "nft": self.nft,
            "fabric": self.fabric,
            "link": self.link,
            "save_machines": self.save_machines,
        }

    async def status(self) -> dict[str, Any]:
        """Everything that `lab status --json` shows, as of now."""
        lab = self._lab
        return {
            "design": str(lab.cluster.design),
            "profile": lab.settings.profile,
            "vip": str(lab.cluster.vip),
            "hosts": [
                {"name": h.name, "kind": h.kind, "power": h.power, "pid": h.pid, "ssh_port": lab.gates[h.name].port}
                | {"booting": self.is_booting(h.name), "boot_timeout_s": h.boot_timeout_s, "cannot": sorted(h.cannot)}
                | {"silenced": self._silenced.get(h.name)}
                for h in lab.hosts.values()
            ],
            "balancer": lab.balancer.describe(),
            "no_healthy_backends": lab.balancer.no_healthy_backends,
            "shared_disk": lab.storage.holder,
            "probes_sent": {p._member.nic.host: p.sent for p in lab.probers},
            "timings": {**lab.timings, "balancer_switch_s": lab.balancer.switch_seconds[-200:]},
        }

    async def nsg(self, place: str | None = None, rules: list[dict] | None = None) -> dict[str, Any]:
        """Replace the custom rules of a NIC or subnet (`rules=[]` leaves the defaults); without `rules` only tell them."""
        nsg = self._lab.nsg
        if place is not None and place not in nsg.places:
            raise ValueError(f"there is no NIC or subnet {place!r}; there are {', '.join(nsg.places)}")
        if rules is not None:
            if place is None:
                raise ValueError("say which NIC or subnet the rules are for")
            nsg.rules[place] = parse_rules(rules)
            self._lab.nft.run(nsg.ruleset())
            self._lab.note("lab", "nsg", f"rules of {place} set", place=place, rules=rules)
        return {key: [r.model_dump(mode="json") for r in value] for key, value in nsg.rules.items()}

    async def admin(self, node: str, state: str) -> None:
        """Set a pool member's adminState (facts FLOW-09 to FLOW-11)."""
        if state not in ADMIN_STATES:
            raise ValueError(f"adminState can be {', '.join(ADMIN_STATES)}; not {state!r}")
        member = self._member(node)
        member.admin = state
        self._lab.note("balancer", "admin", f"{node}: adminState {state}", node=node, state=state)
        self._lab.balancer.apply()
        if state == "down" and self._lab.settings.unknowns.admin_down_established == "reset":  # OQ-04
            self._lab.balancer.forget_established(member)
            if self._lab.resets:
                self._lab.resets.reset_member(node)

    async def pool(self, node: str, member: bool) -> None:
        """Take a node out of the backend pool, or put it back (facts FLOW-13)."""
        self._member(node).in_pool = member
        self._lab.note("balancer", "pool", f"{node} {'joins' if member else 'leaves'} the pool", node=node)
        self._lab.balancer.apply()

    async def no_healthy_backends(self, behaviour: str) -> None:
        """noHealthyBackendsBehavior (facts FLOW-08)."""
        if behaviour not in ("AllProbedDown", "AllProbedUp"):
            raise ValueError(f"noHealthyBackendsBehavior is AllProbedDown or AllProbedUp; not {behaviour!r}")
        self._lab.balancer.no_healthy_backends = behaviour
        self._lab.balancer.apply()

    async def cut(self, source: str, destination: str) -> None:
        """Drop everything from one address to another, one way."""
        self._lab.nft.run(f"add element ip fabric cuts {{ {source} . {destination} }}")
        self._lab.note("lab", "cut", f"{source} no longer reaches {destination}")

    async def heal(self, source: str, destination: str) -> None:
        """Ends a cut from one address to another."""
        self._lab.nft.run(f"delete element ip fabric cuts {{ {source} . {destination} }}")
        self._lab.note("lab", "heal", f"{source} reaches {destination} again")

    async def known_cut(self, node: str, seconds: float) -> list[float]:
        """Silence one host's links for a known time and return when that began and ended, on this machine's monotonic clock.

        For a meter to be measured against. What a change of the rules itself takes (0.1 ms) is the error of it.
        """
        host = self._host(node)
        if host.power != "on" or not 0 < seconds <= 60:
            raise ValueError(f"a known cut needs a host that is on ({node} is {host.power}) and 0 to 60 seconds, not {seconds:g}")
        self._isolate(node)
        began = time.monotonic()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._reconnect(node)
            ended = time.monotonic()
        self._lab.note("lab", "known-cut", f"{node} was cut off for {ended - began:.6f} s", node=node, begun=began, ended=ended)
        return [began, ended]

    async def block_probe(self, node: str) -> None:
        """Probes of this node get lost on the way, silently."""
        self._lab.nft.run(f"add element ip fabric blocked_probes {{ {self._member(node).nic.address} }}")

    async def unblock_probe(self, node: str) -> None:
        """Lets the balancer's probes reach a node again."""
        self._lab.nft.run(f"delete element ip fabric blocked_probes {{ {self._member(node).nic.address} }}")

    async def fabric(self) -> dict[str, Any]:
        """The fabric's network namespace, as the number of a file that this process has open, and of each of its legs the host at the other
        end and the name that the NIC has there. This process itself may be in a host's namespace for a moment, when somebody logs in."""
        legs = {nic.leg: [nic.host, nic.name] for nic in self._lab.topology.nics}
        return {"netns": self._lab.home, "legs": legs}

    async def nft(self) -> str:
        """The rules in force, for a person to read."""
        return self._lab.nft.run("list ruleset")

    async def link(self, node: str, nic: str, plugged: bool) -> None:
        """Pull the cable of a NIC, or put it in: the host sees that the link is down, which no cut of the fabric's shows it."""
        from harness.lab.guests.machine.virtual_machine import VirtualMachine  # labs without machines come up without

        host = self._host(node)
        if not isinstance(host, VirtualMachine):
            raise ValueError(f"{node} is a guest of kind {host.kind}, whose NICs have no cable to be pulled; a machine's have")
        await host.set_link(nic, plugged=plugged)
        self._lab.note("lab", "link", f"{node}: {nic} {'plugged in' if plugged else 'unplugged'}", node=node, nic=nic, plugged=plugged)

    async def save_machines(self, folder: str) -> list[str]:
        """Write every machine's disk with its memory, and the shared disk, into a folder; they stand still meanwhile. Returns which."""
        from harness.lab.guests.machine import machine_snapshot
        from harness.lab.guests.machine.virtual_machine import VirtualMachine

        machines = [host for host in self._lab.hosts.values() if isinstance(host, VirtualMachine)]
        for host in machines:
            if host.power != "on":
                raise ValueError(f"{host.name} is {host.power}; a snapshot is of machines that run")
        try:
            for host in machines:
                await self._freeze(host)
            for host in machines:
                await host.save(machine_snapshot.disk_of(Path(folder), host.name))
            machine_snapshot.copy(self._lab.machines_disk, Path(folder, machine_snapshot.SHARED_DISK))
        finally:
            for host in machines:
                if host.power == "frozen":
                    await self._thaw(host)
        self._lab.note("lab", "snapshot", "the machines were written to a snapshot, and stood still meanwhile")
        return [host.name for host in machines]

    def _member(self, name: str):
        members = {m.nic.host: m for m in self._lab.balancer.members}
        if name not in members:
            raise ValueError(f"{name!r} is not in the balancer's pool; {' and '.join(members)} are")
        return members[name]
