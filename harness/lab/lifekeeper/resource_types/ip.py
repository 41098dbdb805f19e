"""The IP resource: an address on a NIC of the node in service (LKL-13, LKL-52 to LKL-54)."""

from __future__ import annotations

import ipaddress

from harness.core.errors import BadUse
from harness.lab.lifekeeper.config.stand_in_settings import Resource
from harness.lab.lifekeeper.resource_types.bounded_command import RanOut, run
from harness.lab.lifekeeper.resource_types.resource_type import Failed, Kind, ResourceContext

COMMAND_TIMEOUT_S = 5.0  # `ip` answers in milliseconds; longer means the machine is in trouble


class Ip(Kind):
    """Parameters: `address`, `prefix`, `nic`, and `local_recovery` (default true: put the address back)."""

    takes = ("address", "prefix", "nic", "local_recovery")
    needs = ("address", "prefix", "nic")

    def __init__(self, resource: Resource, context: ResourceContext) -> None:
        super().__init__(resource, context)
        try:
            self.interface = ipaddress.IPv4Interface(f"{self.parameter('address')}/{self.parameter('prefix')}")
        except ValueError as error:
            raise BadUse(f"resource {resource.tag}: {error}") from error
        self.nic = str(self.parameter("nic"))
        self.has_recovery = bool(self.parameter("local_recovery", True))

    def restore(self) -> None:
        """The link is demanded also where the address is there already: local recovery of a link that is down must not succeed."""
        if self._is_here():
            return self._check_link()
        if self.context.config.unknowns.ip_unique_check_answered and not self.context.tunables().NOIPUNIQUE:
            raise Failed(f"{self.interface.ip} is already answered for by another host; NOIPUNIQUE=1 skips this check")
        self._ip("addr", "add", self.interface.with_prefixlen, "dev", self.nic)
        self._check_link()

    def remove(self) -> None:
        """Takes the address away from the NIC, where it is there."""
        if self._is_here():
            self._ip("addr", "del", self.interface.with_prefixlen, "dev", self.nic)

    def quick_check(self) -> None:
        """Whether the address is on its NIC, the link is up, and somebody answers a broadcast ping; raises Failed."""
        listing = self._addresses()
        if not self._held_in(listing):
            raise Failed(f"{self.interface.with_prefixlen} is not on {self.nic}")
        self._demand_link(listing)
        if not self.context.tunables().NOBCASTPING and not self.context.config.unknowns.broadcast_ping_answered:
            raise Failed(f"nobody answered the broadcast ping on {self.nic}; NOBCASTPING=1 skips this check")  # LKL-53, TRP-09

    def info(self) -> str:
        netmask = f"{int(self.interface.netmask):08x}"
        return self.context.config.unknowns.ip_info_separator.join((self.context.config.node, self.nic, str(self.interface.ip), netmask))

    def _is_here(self) -> bool:
        return self._held_in(self._addresses())

    def _check_link(self) -> None:
        self._demand_link(self._addresses())

    def _addresses(self) -> str:
        """Link and addresses in one look; not by /sys, which may be another namespace's."""
        return self._ip("addr", "show", "dev", self.nic)

    def _held_in(self, listing: str) -> bool:
        wanted = self.interface.with_prefixlen
        bare = wanted.removesuffix("/32")  # some releases print a /32 without its prefix
        return any(words[:1] == ["inet"] and words[1] in (wanted, bare) for words in map(str.split, listing.splitlines()))

    def _demand_link(self, listing: str) -> None:
        if self.context.tunables().IP_NOLINKCHECK:
            return
        flags = listing.partition("<")[2].partition(">")[0].split(",")
        if "UP" not in flags or "LOWER_UP" not in flags:
            raise Failed(f"the link of {self.nic} is down")

    def _ip(self, *words: str) -> str:
        try:
            return run(("ip", *words), COMMAND_TIMEOUT_S)
        except RanOut as out:
            raise Failed(str(out)) from None
