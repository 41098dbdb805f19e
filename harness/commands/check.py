"""`lkharness check` and `lkharness doctor`: look, and change nothing."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands import trust
from harness.commands.common import add, add_json, print_json
from harness.core.errors import BadUse, ExitCode

if TYPE_CHECKING:
    from harness.check.check_result import Findings


def add_to(commands) -> None:
    check = add(
        commands,
        "check",
        _check,
        "check every path of a cluster, and its hosts against the design, without disturbing it",
        "lkharness check --cluster customer.toml; lkharness check case-4711.tar.gz",
    )
    check.add_argument("bundle", metavar="BUNDLE", nargs="?", help="look at an archive of `lkharness collect` instead, without its cluster")
    check.add_argument("--cluster", metavar="FILE", help="the cluster file (also LKHARNESS_CLUSTER; default: the one lab that is running)")
    check.add_argument(
        "--run-command",
        action="store_true",
        help="read a node that SSH does not reach by Azure's run-command, as root; that installs an extension in the machine, which stays",
    )
    trust.add_option(check)
    add_json(check)

    doctor = add(commands, "doctor", _doctor, "say what this machine lacks for a lab, and what mends it", "lkharness doctor")
    doctor.set_defaults(needs_linux=True)
    doctor.add_argument("--manager", choices=["lifekeeper", "pacemaker"], default="lifekeeper", help="for a lab with this cluster manager")
    add_json(doctor)


def _check(given: argparse.Namespace) -> int:
    from harness.check import bundle_check
    from harness.check.cluster_check import look
    from harness.collect.known_secrets import known_secrets
    from harness.config import cluster_config
    from harness.core.terminal import CLEANER

    if given.bundle:
        if given.cluster or given.run_command or given.trust_cluster_file:
            raise BadUse("a bundle holds its own cluster file, and nothing is asked of a host; leave out the other options, or the bundle")
        return _told(bundle_check.look(Path(given.bundle)), given)
    cluster = cluster_config.load(_cluster_file(given.cluster), trusted=given.trust_cluster_file, only_looked_at=True)
    CLEANER.knows(known_secrets(cluster, {})[0])
    return _told(look(cluster, run_command=given.run_command), given)


def _told(findings: Findings, given: argparse.Namespace) -> int:
    from harness.core.finding import Weight
    from harness.core.terminal import CLEANER

    worst = findings.exit_code
    if given.json:
        print_json(CLEANER.data(findings.as_data()))
    else:
        print(CLEANER.text(findings.as_text()))
    if (gone := [f for f in findings.found if f.weight is Weight.UNREACHABLE]) and not given.json:
        sys.stdout.flush()
        print(CLEANER.text(f"lkharness: {'; '.join(f.says for f in gone)}"), file=sys.stderr)
    return int(worst)


def _cluster_file(given: str | None) -> Path:
    file = given or os.environ.get("LKHARNESS_CLUSTER")
    if file:
        return Path(file)
    from harness.lab.control import lab_registry

    try:
        return lab_registry.find(None).cluster_file
    except BadUse as error:
        raise BadUse(f"say which cluster with --cluster FILE, or start a lab ({error})") from None


def _doctor(given: argparse.Namespace) -> int:
    from harness.lab.lifecycle import doctor

    findings = doctor.examine(given.manager)
    if given.json:
        print_json([vars(f) for f in findings])
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'LACK'} {finding.what}: {finding.says}")
            if not finding.ok:
                print(f"       mend it with: {finding.mend}")
        if all(f.ok for f in findings):
            print("this machine can carry a lab")
    return int(ExitCode.PASSED if all(f.ok for f in findings) else ExitCode.UNUSABLE)
