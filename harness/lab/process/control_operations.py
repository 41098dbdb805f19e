"""What a running lab can be told: power, NSGs, the balancer's settings, cuts. Each is what an operator of Azure could do."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from harness.lab.control.control_socket import Operation
from harness.lab.guests.guest_host import Host
from harness.lab.lab_config import parse_rules
from harness.lab.network import fabric
from harness.lab.network.balancer import ADMIN_STATES

if TYPE_CHECKING:
    from harness.lab.process.lab_process import Lab


async def has_booted(host: Host) -> None:
    """Wait, without keeping anything else waiting, until a host that was connected has booted. Raises OSError when it did not."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    news = host.news
    loop.add_reader(news, told.set)
    try:
        await told.wait()
    finally:
        loop.remove_reader(news)
    host.booted()


class Operations:
    """The operations behind the control socket. Every one is noted in the lab's event record."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._silenced: dict[str, list[float]] = {}  # when each host was last cut off the wire: before and after, seconds since the epoch
        self._reboots: set[str] = set()  # hosts that halted by themselves or were reset, and are not yet on again
        self._timers: dict[str, asyncio.Task] = {}  # what gives a host its power back, or thaws it, if nobody does before

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
        }

    async def status(self) -> dict[str, Any]:
        """Everything that `lab status --json` shows, as of now."""
        lab = self._lab
        return {
            "design": str(lab.cluster.design),
            "profile": lab.settings.profile,
            "vip": str(lab.cluster.vip),
            "hosts": [
                {"name": h.name, "power": h.power, "pid": h.pid, "ssh_port": lab.gates[h.name].port, "silenced": self._silenced.get(h.name)}
                for h in lab.hosts.values()
            ],
            "balancer": lab.balancer.describe(),
            "no_healthy_backends": lab.balancer.no_healthy_backends,
            "shared_disk": lab.storage.holder,
            "probes_sent": {p._member.nic.host: p.sent for p in lab.probers},
            "timings": {**lab.timings, "balancer_switch_s": lab.balancer.switch_seconds[-200:]},
        }

    async def power(self, node: str, to: str, seconds: float | None = None) -> str:
        """`off` (silent on the wire), `on`, `reboot`, `freeze`, `thaw`.

        With `seconds` the lab itself undoes off and freeze after that time, unless somebody has said something else about the
        host's power meanwhile; a reboot then is that long without power. `on` and `thaw` leave a host alone that needs neither.
        """
        host = self._host(node)
        steps = {"off": self._power_off, "on": self._start_up, "reboot": self._power_off, "freeze": self._freeze, "thaw": self._thaw}
        if to not in steps:
            raise ValueError(f"power can be {', '.join(steps)}; not {to!r}")
        if seconds is not None and (to in ("on", "thaw") or not seconds > 0):
            raise ValueError("a time is for off, reboot and freeze, and more than nothing")
        if to == "thaw" and host.power != "frozen":
            return host.power  # it may even be on its way up, which is not to be disturbed
        self._reboots.discard(node)
        if timer := self._timers.pop(node, None):
            timer.cancel()
        self._lab.note(
            "lab", "power", f"{node}: power {to}" + (f" for {seconds:g} s" if seconds else ""), node=node, to=to, seconds=seconds
        )
        await steps[to](host)
        if to == "reboot":
            self._lab.keep(self._reboot(host, seconds))
        elif seconds:
            self._timers[node] = self._lab.keep(self._back_after(host, seconds))
        return host.power

    async def _back_after(self, host: Host, seconds: float) -> None:
        """Undo what a host's power was told, because nobody else did in time."""
        await asyncio.sleep(seconds)
        del self._timers[host.name]
        self._lab.note("lab", "power", f"{host.name}: its time {'frozen' if host.power == 'frozen' else 'off'} is over", node=host.name)
        if host.power == "frozen":
            await self._thaw(host)
        elif host.power == "off" and host.name not in self._reboots:
            await self._reboot(host, 0.0)

    async def _power_off(self, host: Host) -> None:
        if host.power == "off":
            return
        lab = self._lab
        # The link first: otherwise the dying kernel says goodbye with FIN and RST.
        self._isolate(host.name)
        lab.gates[host.name].stall()
        host.kill()
        lab.gates[host.name].drop_upstream()
        fabric.detach(lab.topology, host.name)
        host.forget_network()

    async def _start_up(self, host: Host) -> None:
        """Power on; a host that halts itself while it boots (it finds its disk reserved elsewhere) boots again, as a machine would."""
        for last in (False, False, True):
            try:
                return await self._power_on(host)
            except OSError as error:
                self._lab.note("lab", "halt", f"{host.name} halted while it booted: {error}", node=host.name)
                if last:
                    raise

    async def _power_on(self, host: Host) -> None:
        if host.power == "on":
            return
        if host.power == "frozen":
            raise ValueError(f"{host.name} is frozen; thaw it, or cut its power first")
        lab = self._lab
        pid = host.power_on()
        fabric.attach(lab.cluster, lab.topology, host.name, pid)
        self._reconnect(host.name)
        for prober in lab.probers:
            if prober._member.nic.host == host.name:
                prober.judge.booted()
        host.connect()
        try:
            await has_booted(host)
        except OSError:
            if host.pid == pid:
                await self._power_off(host)
            raise
        self.watch(host)
        lab.gates[host.name].resume_forwarding()

    def watch(self, host: Host) -> None:
        """Notice when a running host halts by itself, and let it come back as a machine that reboots does."""
        assert host.pid is not None
        loop, pid, end = asyncio.get_running_loop(), host.pid, os.pidfd_open(host.pid)

        def ended() -> None:
            loop.remove_reader(end)
            os.close(end)
            if host.pid == pid:  # otherwise its power was cut
                self._lab.note("lab", "halt", f"{host.name} halted by itself and reboots", node=host.name)
                self._lab.keep(self._reboot(host))

        loop.add_reader(end, ended)

    async def _reboot(self, host: Host, seconds: float | None = None) -> None:
        """Off, for long enough that the peer misses it (no machine boots faster than that), and on again, until it stays on."""
        manager = self._lab.cluster.manager
        self._reboots.add(host.name)
        while host.name in self._reboots:
            await self._power_off(host)
            await asyncio.sleep(2 * manager.heartbeat_s * manager.heartbeats_missed if seconds is None else seconds)
            if host.name in self._reboots:  # otherwise somebody has decided about its power meanwhile
                await self._boot_again(host)

    async def _boot_again(self, host: Host) -> None:
        try:
            await self._power_on(host)
        except OSError as error:
            self._lab.note("lab", "halt", f"{host.name} halted while it booted, and tries again: {error}", node=host.name)
            return
        self._reboots.discard(host.name)
        self._lab.note("lab", "power", f"{host.name} is up again", node=host.name, to="on")

    async def _freeze(self, host: Host) -> None:
        if host.power != "on":
            raise ValueError(f"{host.name} is {host.power}; only a running host can be frozen")
        self._isolate(host.name)
        self._lab.gates[host.name].stall()
        host.freeze()

    async def _thaw(self, host: Host) -> None:
        if host.power != "frozen":
            raise ValueError(f"{host.name} is {host.power}, not frozen")
        host.thaw()
        self._reconnect(host.name)
        self._lab.gates[host.name].resume_forwarding()

    def _isolate(self, name: str) -> None:
        legs = ", ".join(f'"{n.leg}"' for n in self._lab.topology.of(name))
        before = time.time()
        self._lab.nft.run(f"add element ip fabric dark {{ {legs} }}")
        self._silenced[name] = [before, time.time()]

    def _reconnect(self, name: str) -> None:
        legs = ", ".join(f'"{n.leg}"' for n in self._lab.topology.of(name))
        self._lab.nft.run(f"delete element ip fabric dark {{ {legs} }}")

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
        begun = time.monotonic()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._reconnect(node)
            ended = time.monotonic()
        self._lab.note("lab", "known-cut", f"{node} was cut off for {ended - begun:.6f} s", node=node, begun=begun, ended=ended)
        return [begun, ended]

    async def block_probe(self, node: str) -> None:
        """Probes of this node get lost on the way, silently."""
        self._lab.nft.run(f"add element ip fabric blocked_probes {{ {self._member(node).nic.address} }}")

    async def unblock_probe(self, node: str) -> None:
        """Lets the balancer's probes reach a node again."""
        self._lab.nft.run(f"delete element ip fabric blocked_probes {{ {self._member(node).nic.address} }}")

    async def nft(self) -> str:
        """The rules in force, for a person to read."""
        return self._lab.nft.run("list ruleset")

    def _host(self, name: str) -> Host:
        if name not in self._lab.hosts:
            raise ValueError(f"there is no host {name!r}; there are {', '.join(self._lab.hosts)}")
        return self._lab.hosts[name]

    def _member(self, name: str):
        members = {m.nic.host: m for m in self._lab.balancer.members}
        if name not in members:
            raise ValueError(f"{name!r} is not in the balancer's pool; {' and '.join(members)} are")
        return members[name]
