"""Every setting of Pacemaker's configuration that may not be meant. Pure."""

from __future__ import annotations

from harness.diagnosis.host_config import manager_settings
from harness.diagnosis.host_config.cib_settings import late_actions, pacemaker_failback, pacemaker_orders
from harness.diagnosis.host_config.manager_settings import Setting

FAMILIES = (manager_settings, pacemaker_orders, pacemaker_failback, late_actions)


def of_pacemaker(configuration: str) -> tuple[Setting, ...]:
    """From `cibadmin -Q`; nothing from what is not that."""
    return tuple(setting for family in FAMILIES for setting in family.of_pacemaker(configuration))
