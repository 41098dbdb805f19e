"""The cluster file's `[network_capture]`: a command that sees the hosts' packets at the network's end of their links."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.config.config_types import Name, Part


class NetworkCaptureTable(Part):
    """A command on the harness's own machine that captures the packets of all hosts where the network has an interface for each of their
    links, so that nothing has to run on a host for it. A lab writes its own (`lkharness lab capture`; docs/guests.md has the protocol).

    It is used for a host that cannot capture its own packets, and for those that `hosts` names."""

    command: Annotated[list[str], Field(min_length=1)]
    hosts: list[Name] = Field([], description="hosts that are captured there although they could capture their own packets")
