"""An address that answers the balancer's probe itself, as the IP resource of Windows' failover cluster with a ProbePort does (WSFC-01).

It listens and notices nothing: that no probe comes is no failure of it (WCLU-98).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.lab.lifekeeper.config.stand_in_settings import Resource
from harness.lab.lifekeeper.resource_types.ip import Ip
from harness.lab.lifekeeper.resource_types.lbhc import Lbhc
from harness.lab.lifekeeper.resource_types.resource_type import Failed, Kind, ResourceContext


class ProbedIp(Kind):
    """Parameters: `address`, `prefix`, `nic` of the address, `port` and `reply` (nothing) of the listener. Local recovery renews both."""

    takes = ("address", "prefix", "nic", "port", "reply")
    needs = ("address", "prefix", "nic", "port")
    has_recovery = True

    def __init__(self, resource: Resource, context: ResourceContext) -> None:
        super().__init__(resource, context)
        parameters = resource.parameters
        self.ip = Ip(replace(resource, parameters={name: parameters[name] for name in ("address", "prefix", "nic")}), context)
        listener: dict[str, Any] = {name: parameters[name] for name in ("port", "reply") if name in parameters}
        self.listener = Lbhc(replace(resource, parameters={**listener, "wait_for_probe": False}), context)

    def restore(self) -> None:
        """The address, then its listener; an address that nobody could be sent to is taken away again."""
        self.ip.restore()
        try:
            self.listener.restore()
        except Failed:
            self.ip.remove()
            raise

    def remove(self) -> None:
        """The listener first, so that nobody is sent to an address that goes."""
        self.listener.remove()
        self.ip.remove()

    def quick_check(self) -> None:
        """Whether the address is on its NIC and its listener runs; raises Failed."""
        self.ip.quick_check()
        self.listener.quick_check()

    def info(self) -> str:
        return self.ip.info()
