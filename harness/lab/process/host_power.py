"""The power of a lab's hosts: off, on, reboot, freeze and thaw, each silent on the wire as a machine that loses its power is."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from harness.lab.guests.guest import Guest
from harness.lab.network import dhcp, fabric

if TYPE_CHECKING:
    from harness.lab.process.lab_process import Lab


class HostPower:
    """The power of every host of one lab, and who gives it back when."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._silenced: dict[str, list[float]] = {}  # when each host was last cut off the wire: before and after, seconds since the epoch
        # Hosts that halted by themselves or were reset and are not yet on again, each with the reboot that is to bring it back: a later
        # one takes over from an earlier one.
        self._reboots: dict[str, object] = {}
        self._stays_off: set[str] = set()  # hosts that were asked to shut down in order: they are not to come back by themselves
        self._boots: dict[str, object] = {}  # hosts that have power and cannot be logged in to yet, each with its latest boot
        self._turns: dict[str, asyncio.Lock] = {}  # by host: a guest's power is changed by one at a time
        self._timers: dict[str, asyncio.Task] = {}  # what gives a host its power back, or thaws it, if nobody does before

    async def power(self, node: str, to: str, seconds: float | None = None) -> str:
        """`off` (silent on the wire), `on`, `reboot`, `freeze`, `thaw`; `shutdown` asks the host's own init, and tells what it is before.

        With `seconds` the lab itself undoes off and freeze after that time, unless somebody has said something else about the
        host's power meanwhile; a reboot then is that long without power. `on` and `thaw` leave a host alone that needs neither.
        """
        host = self._host(node)
        steps = {"off": self._power_off, "on": self._start_up, "reboot": self._power_off, "freeze": self._freeze, "thaw": self._thaw}
        steps["shutdown"] = self._shut_down
        if to not in steps:
            raise ValueError(f"power can be {', '.join(steps)}; not {to!r}")
        if seconds is not None and (to in ("on", "thaw", "shutdown") or not seconds > 0):
            raise ValueError("a time is for off, reboot and freeze, and more than nothing")
        if to == "thaw" and host.power != "frozen":
            return host.power  # it may even be on its way up, which is not to be disturbed
        if to in host.cannot:
            raise ValueError(f"{node} cannot do that ({to}): {host.cannot[to]}")
        self._reboots.pop(node, None)
        self._stays_off.discard(node)
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

    async def _back_after(self, host: Guest, seconds: float) -> None:
        """Undo what a host's power was told, because nobody else did in time."""
        await asyncio.sleep(seconds)
        del self._timers[host.name]
        self._lab.note("lab", "power", f"{host.name}: its time {'frozen' if host.power == 'frozen' else 'off'} is over", node=host.name)
        if host.power == "frozen":
            await self._thaw(host)
        elif host.power == "off" and host.name not in self._reboots:
            await self._reboot(host, 0.0)

    def _turn(self, host: Guest) -> asyncio.Lock:
        return self._turns.setdefault(host.name, asyncio.Lock())

    async def _power_off(self, host: Guest) -> None:
        async with self._turn(host):
            if host.power == "off":
                return
            lab = self._lab
            # The link first: otherwise the dying kernel says goodbye with FIN and RST.
            self._isolate(host.name)
            lab.gates[host.name].stall()
            await host.power_loss()
            lab.gates[host.name].drop_upstream()
            fabric.detach(lab.topology, host.name)
            host.forget_network()

    async def _shut_down(self, host: Guest) -> None:
        if host.power != "on":
            raise ValueError(f"{host.name} is {host.power}; only a running host can be shut down")
        self._stays_off.add(host.name)
        await host.shutdown()

    async def _start_up(self, host: Guest) -> None:
        """Power on; a host that halts itself while it boots (it finds its disk reserved elsewhere) boots again, as a machine would."""
        for is_last in (False, False, True):
            try:
                return await self._power_on(host)
            except OSError as error:
                self._lab.note("lab", "halt", f"{host.name} halted while it booted: {error}", node=host.name)
                if is_last:
                    raise

    def is_booting(self, name: str) -> bool:
        """Whether a host has power and has not booted yet."""
        return name in self._boots

    def begin_boot(self, name: str) -> object:
        """A host boots from now on, until `end_boot` is called with what this returns."""
        self._boots[name] = boot = object()
        return boot

    def end_boot(self, name: str, boot: object) -> None:
        """That boot is over, whatever came of it; a later one may be under way."""
        if self._boots.get(name) is boot:
            del self._boots[name]

    async def _power_on(self, host: Guest) -> None:
        if host.pid is not None and host.power == "on":
            return
        boot = self.begin_boot(host.name)
        try:
            await self._boot(host)
        finally:
            self.end_boot(host.name, boot)

    async def _boot(self, host: Guest) -> None:
        async with self._turn(host):
            if host.pid is not None and host.power == "on":
                return
            if host.power == "frozen":
                raise ValueError(f"{host.name} is frozen; thaw it, or cut its power first")
            lab = self._lab
            network_namespace = await host.power_on()
            pid = host.pid
            fabric.attach(lab.cluster, lab.topology, host.name, network_namespace)
            if host.name in lab.settings.with_dhcp:
                fabric.batch(dhcp.address_lines(lab.cluster, dhcp.nics_of(lab.topology, [host.name])))
            self._reconnect(host.name)
            for prober in lab.probers:
                if prober._member.nic.host == host.name:
                    prober.judge.note_boot()
        try:
            host.connect()
            await host.wait_until_booted()
            if host.pid != pid:
                raise OSError("its power was cut just after it had booted")
        except OSError:
            if host.pid == pid:
                await self._power_off(host)
            raise
        self.watch(host)
        lab.gates[host.name].resume_forwarding()

    def watch(self, host: Guest) -> None:
        """Notice when a running host halts by itself, and let it come back as a machine that reboots does."""
        assert host.pid is not None
        loop, pid, end = asyncio.get_running_loop(), host.pid, host.end_fd()

        def ended() -> None:
            loop.remove_reader(end)
            os.close(end)
            if host.pid != pid:
                return  # its power was cut
            if host.name in self._stays_off:
                self._lab.note("lab", "halt", f"{host.name} has shut down in order", node=host.name)
                self._lab.keep(self._power_off(host))
            else:
                self._lab.note("lab", "halt", f"{host.name} halted by itself and reboots", node=host.name)
                self._lab.keep(self._reboot(host))

        loop.add_reader(end, ended)

    async def _reboot(self, host: Guest, seconds: float | None = None) -> None:
        """Off, for long enough that the peer misses it (no machine boots faster than that), and on again, until it stays on.

        It ends as soon as somebody else has decided about the host's power.
        """
        manager = self._lab.cluster.manager
        own_reboot = self._reboots[host.name] = object()
        while self._reboots.get(host.name) is own_reboot:
            await self._power_off(host)
            await asyncio.sleep(2 * manager.heartbeat_s * manager.heartbeats_missed if seconds is None else seconds)
            if self._reboots.get(host.name) is not own_reboot:
                return
            try:
                await self._power_on(host)
            except OSError as error:
                self._lab.note("lab", "halt", f"{host.name} halted while it booted, and tries again: {error}", node=host.name)
                continue
            if self._reboots.get(host.name) is own_reboot:
                del self._reboots[host.name]
                self._lab.note("lab", "power", f"{host.name} is up again", node=host.name, to="on")

    async def _freeze(self, host: Guest) -> None:
        if host.power != "on":
            raise ValueError(f"{host.name} is {host.power}; only a running host can be frozen")
        self._isolate(host.name)
        self._lab.gates[host.name].stall()
        await host.freeze()

    async def _thaw(self, host: Guest) -> None:
        if host.power != "frozen":
            raise ValueError(f"{host.name} is {host.power}, not frozen")
        await host.thaw()
        self._reconnect(host.name)
        self._lab.gates[host.name].resume_forwarding()

    def _isolate(self, name: str) -> None:
        legs = ", ".join(f'"{n.leg}"' for n in self._lab.topology.of(name))
        began = time.time()
        self._lab.nft.run(f"add element ip fabric dark {{ {legs} }}")
        self._silenced[name] = [began, time.time()]

    def _reconnect(self, name: str) -> None:
        legs = ", ".join(f'"{n.leg}"' for n in self._lab.topology.of(name))
        self._lab.nft.run(f"delete element ip fabric dark {{ {legs} }}")

    def _host(self, name: str) -> Guest:
        if name not in self._lab.hosts:
            raise ValueError(f"there is no host {name!r}; there are {', '.join(self._lab.hosts)}")
        return self._lab.hosts[name]
