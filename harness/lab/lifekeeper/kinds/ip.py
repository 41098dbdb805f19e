"""The IP resource: an address on a NIC of the node in service (LKL-13, LKL-52 to LKL-54)."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from harness.errors import BadUse
from harness.lab.lifekeeper.config import Resource
from harness.lab.lifekeeper.kinds.base import Failed, Kind, Surroundings
from harness.lab.lifekeeper.kinds.command import RanOut, run

IFF_UP = 1
COMMAND_LIMIT_S = 5.0  # `ip` answers in milliseconds; longer means the machine is in trouble


class Ip(Kind):
    """Parameters: `address`, `prefix`, `nic`, and `local_recovery` (default true: put the address back)."""

    takes = ("address", "prefix", "nic", "local_recovery")
    needs = ("address", "prefix", "nic")

    def __init__(self, resource: Resource, around: Surroundings) -> None:
        super().__init__(resource, around)
        try:
            self.interface = ipaddress.IPv4Interface(f"{self.parameter('address')}/{self.parameter('prefix')}")
        except ValueError as error:
            raise BadUse(f"resource {resource.tag}: {error}") from error
        self.nic = str(self.parameter("nic"))
        self.has_recovery = bool(self.parameter("local_recovery", True))

    def restore(self) -> None:
        if self._is_here():
            return
        if self.around.config.unknowns.ip_unique_check_answered and not self.around.tunables().NOIPUNIQUE:
            raise Failed(f"{self.interface.ip} is already answered for by another host; NOIPUNIQUE=1 skips this check")
        self._ip("addr", "add", self.interface.with_prefixlen, "dev", self.nic)
        self._check_link()

    def remove(self) -> None:
        if self._is_here():
            self._ip("addr", "del", self.interface.with_prefixlen, "dev", self.nic)

    def quick_check(self) -> None:
        if not self._is_here():
            raise Failed(f"{self.interface.with_prefixlen} is not on {self.nic}")
        self._check_link()
        if not self.around.tunables().NOBCASTPING and not self.around.config.unknowns.broadcast_ping_answered:
            raise Failed(f"nobody answered the broadcast ping on {self.nic}; NOBCASTPING=1 skips this check")  # LKL-53, TRP-09

    def info(self) -> str:
        netmask = f"{int(self.interface.netmask):08x}"
        return self.around.config.unknowns.ip_info_separator.join((self.around.config.node, self.nic, str(self.interface.ip), netmask))

    def _is_here(self) -> bool:
        shown = self._ip("-o", "-4", "addr", "show", "dev", self.nic)
        return any(self.interface.with_prefixlen in line.split() or self._as_bare(line) for line in shown.splitlines())

    def _as_bare(self, line: str) -> bool:
        # `ip` prints a /32 without its prefix in some releases.
        return self.interface.network.prefixlen == 32 and str(self.interface.ip) in line.split()

    def _check_link(self) -> None:
        if self.around.tunables().IP_NOLINKCHECK:
            return
        at = Path("/sys/class/net") / self.nic
        try:
            flags = int((at / "flags").read_text(), 16)
            carrier = flags & IFF_UP and (at / "carrier").read_text().strip()
        except OSError as error:
            raise Failed(f"the link of {self.nic} cannot be read ({error.strerror})") from error
        if carrier != "1":
            raise Failed(f"the link of {self.nic} is down")

    def _ip(self, *words: str) -> str:
        try:
            return run(("ip", *words), COMMAND_LIMIT_S)
        except RanOut as out:
            raise Failed(str(out)) from None
