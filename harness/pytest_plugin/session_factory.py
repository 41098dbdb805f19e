"""From pytest's options to a session: on the attached cluster that a file describes, or on a lab of its own."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.config import cluster_config, trust
from harness.core.errors import BadUse
from harness.gate import baseline_runs
from harness.pytest_plugin.measurement_plan import Plan
from harness.pytest_plugin.pytest_session import Session
from harness.pytest_plugin.session_lab import parse_keep


def make_session(options: Namespace, arguments: Sequence[str], reports: Path, run_file: Path | None = None) -> Session:
    """The session that the `options` ask for, begun with pytest's `arguments`; `reports` is where the run's folder goes, and its path into
    `run_file`.

    Raises BadUse for a cluster file with faults and for options that do not go together.
    """
    file = options.cluster or os.environ.get("LKHARNESS_CLUSTER")
    plan, gate = Plan.of_options(options), baseline_runs.load_gate(options.gate)
    keep = parse_keep(options.keep, attached=bool(file))
    if options.dry_run and not file:
        raise BadUse("--dry-run is for an attached cluster; give its file with --cluster FILE (a lab may be disturbed as you like)")
    common: dict[str, Any] = {"plan": plan, "readable": options.readable_reports, "gate": gate, "run_file": run_file}
    command = ["pytest", *arguments]
    if file:
        if options.design or options.profile or options.manager or options.guests or options.platform or options.azure:
            options_of_a_lab = "--design, --profile, --manager, --platform, --guests and --azure"
            raise BadUse(f"{options_of_a_lab} are the lab's; the cluster file says what the attached cluster is")
        attached, data = cluster_config.load_with_data(Path(file), trusted=options.trust_cluster_file)
        trust.demand(attached, file)
        return Session(attached, command, reports, lab_data=None, allowed=options.allow_disruption, data=data, **common)
    from harness.lab.lifecycle.linux_required import demand_linux  # only the default needs the lab

    demand_linux()
    data = _lab_data(options)
    cluster = cluster_config.parse(data, Path("the lab's default cluster"))
    return Session(cluster, command, reports, lab_data=data, allowed=True, lab_azure=options.azure, keep=keep, **common)


def _lab_data(options: Namespace) -> dict[str, Any]:
    """The cluster file of the lab that the options describe, as data. Raises BadUse."""
    from harness.lab import lab_config
    from harness.lab.lifecycle import default_cluster

    if options.profile not in (None, *default_cluster.PROFILES):
        raise BadUse(f"--profile {options.profile}: there is {' and '.join(default_cluster.PROFILES)}")
    if options.design not in (None, *cluster_config.Design):
        raise BadUse(f"--design {options.design}: there is {' and '.join(cluster_config.Design)}")
    kinds = dict.fromkeys((*lab_config.MANAGERS, *lab_config.ON_WINDOWS))
    if options.manager not in (None, *kinds):
        raise BadUse(f"--manager {options.manager}: a lab has {' or '.join(kinds)}")
    if options.guests not in (None, *lab_config.GUESTS):
        raise BadUse(f"--guests {options.guests}: a lab's nodes are of kind {' or '.join(lab_config.GUESTS)}")
    changes: dict[str, Any] = {"design": options.design} if options.design else {}
    if options.guests:
        changes = default_cluster.with_guests(changes, options.guests, azure=options.azure)
    changes = default_cluster.with_platform(changes, options.platform, options.manager)
    return default_cluster.cluster_data(options.profile, changes)
