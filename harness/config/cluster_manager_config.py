"""The cluster manager's part of a cluster file: its timers, and what a person knows of it that it does not tell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from harness.config.config_types import OneOf, Part, Seconds
from harness.plugins.extension_points import MANAGERS

DEFAULT_CHECK_LIMIT_S = 60.0


class Manager(Part):
    """The cluster manager and the timers that a failover's budget follows from (facts LKL-35, LKL-41)."""

    kind: Annotated[str, OneOf(MANAGERS)] = "lifekeeper"
    root: Path = Path("/opt/LifeKeeper")
    resource: str = Field("cluster-services", description="the resource whose switchover moves everything")
    heartbeat_s: Seconds = 5.0
    heartbeats_missed: Annotated[int, Field(ge=2)] = 3
    check_interval_s: Seconds = 120.0
    takeover_s: Seconds = Field(30.0, description="how long a hierarchy may take to go out of service here and in service there")
    boot_s: Seconds = Field(300.0, description="how long a node may take from power on to a healthy cluster")
    check_limit_s: Seconds | None = Field(
        None,
        description="how long the check of a service that hangs takes to fail, and how long ending that service takes; left out, a budget "
        f"has {DEFAULT_CHECK_LIMIT_S:g} s for each",
    )
    hc_timeout_s: Seconds | None = Field(
        None, description="HC_TIMEOUT: how long the health-check resource waits for a probe (LKL-56); its default is not known"
    )
    daemons: list[str] | None = Field(
        None, description="names of the manager's daemons, for killing them; left out, those that its kind is known to have (LKL-02)"
    )
    daemon_pid_files: list[Path] = Field([], description="files that hold the pids of further daemons of the manager")
    # What no manager tells, and a person may know. Left out, it counts as not known, and what rests on it is not done.
    quorum: Literal["off", "majority", "storage", "tcp_remote"] | None = Field(
        None, description="the quorum mode in force where LifeKeeper's settings name none (absent is majority with the quorum package)"
    )
    quorum_stops_loser: bool = Field(False, description="that mode is known to stop the side that lost the other and has no quorum")
    harmless_flags: list[str] = Field([], description="LifeKeeper's flags that hold no transfer up")
    reservation_types: list[str] = Field([], description="app/type of LifeKeeper's resources that hold a SCSI reservation")
    mirror_types: list[str] = Field(["scsi/netraid"], description="app/type of LifeKeeper's resources that copy data to the other node")
    mirror_check: list[str] = Field(
        [], description="a command on the active node that exits 0 when the copy on `{to}` is complete and goes that way"
    )
    starts_at_boot: bool | None = Field(None, description="does a node that boots rejoin by itself? Left out, systemd is asked")

    @field_validator("root")
    @classmethod
    def _leads_where_it_says(cls, root: Path) -> Path:
        """A folder's name says where it is: programs are run from there, and a lab writes there."""
        if ".." in root.parts:
            raise ValueError(f"{root} goes up by `..`; write where it really is")
        return root
