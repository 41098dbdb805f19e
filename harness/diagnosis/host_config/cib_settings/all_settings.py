"""Every setting of Pacemaker's configuration that may not be meant. Pure."""

from __future__ import annotations

from datetime import UTC, timezone

from harness.diagnosis.host_config import manager_settings
from harness.diagnosis.host_config.cib_settings import (
    dated_bans,
    failure_responses,
    fencing_targets,
    late_actions,
    loose_groups,
    pacemaker_failback,
    pacemaker_orders,
    recovery_options,
)
from harness.diagnosis.host_config.manager_settings import Setting

FAMILIES = (
    manager_settings,
    pacemaker_orders,
    pacemaker_failback,
    late_actions,
    loose_groups,
    recovery_options,
    failure_responses,
    fencing_targets,
)


def of_pacemaker(configuration: str, clock: float | None = None, zone: timezone = UTC) -> tuple[Setting, ...]:
    """From `cibadmin -Q`; nothing from what is not that. `clock` and `zone` are the host's: seconds since 1970, None where not told."""
    always = tuple(setting for family in FAMILIES for setting in family.of_pacemaker(configuration))
    return always + dated_bans.of_pacemaker(configuration, clock, zone)
