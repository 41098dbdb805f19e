"""`lkharness check`: look at a cluster, and change nothing."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands import trust
from harness.commands.shared_options import add, add_cluster, cluster_file, print_json
from harness.core.errors import BadUse

if TYPE_CHECKING:
    from harness.check.check_result import Findings


def add_to(commands) -> None:
    """Adds both commands to the parser."""
    check = add(
        commands,
        "check",
        _check,
        "check every path of a cluster, and its hosts against the design, without disturbing it",
        "lkharness check --cluster customer.toml; lkharness check case-4711.tar.gz",
    )
    check.add_argument("bundle", metavar="BUNDLE", nargs="?", help="look at an archive of `lkharness collect` instead, without its cluster")
    add_cluster(check)
    check.add_argument(
        "--run-command",
        action="store_true",
        help="read a node that SSH does not reach by Azure's run-command, as root; that installs an extension in the machine, which stays",
    )
    trust.add_option(check)


def _check(arguments: argparse.Namespace) -> int:
    if arguments.bundle:
        if arguments.cluster or arguments.run_command or arguments.trust_cluster_file:
            raise BadUse("a bundle holds its own cluster file, and nothing is asked of a host; leave out the other options, or the bundle")
        from harness.check import bundle_check

        return _print_findings(bundle_check.look(Path(arguments.bundle)), arguments)
    from harness.cluster.cluster_under_test import ClusterUnderTest
    from harness.collect.known_secrets import known_secrets
    from harness.config import cluster_config
    from harness.core.terminal import CLEANER
    from harness.core.timeline import Timeline

    file = cluster_file(arguments.cluster)
    cluster = cluster_config.load(file, trusted=arguments.trust_cluster_file, only_looked_at=True)
    CLEANER.knows(known_secrets(cluster, {})[0])
    with closing(ClusterUnderTest(cluster, Timeline())) as subject:
        subject.begin_log_ins()
        from harness.check.cluster_check import look  # what judges takes as long to load as the hosts take to let us in

        CLEANER.text(cluster.name)  # compiles what it looks for: of a private key it is long, and nothing else is to be done now
        findings = look(subject, run_command=arguments.run_command, file=file)
    return _print_findings(findings, arguments)


def _print_findings(findings: Findings, arguments: argparse.Namespace) -> int:
    from harness.core.finding import Weight
    from harness.core.terminal import CLEANER

    worst = findings.exit_code
    unreachable = "; ".join(f.says for f in findings.findings if f.weight is Weight.UNREACHABLE)
    if arguments.json:
        error = {"error": unreachable} if unreachable else {}
        print_json(CLEANER.data({**findings.as_data(), **error, "exit_code": int(worst)}))
        return int(worst)
    print(CLEANER.text(findings.as_text()))
    if unreachable:
        sys.stdout.flush()
        print(CLEANER.text(f"lkharness: {unreachable}"), file=sys.stderr)
    return int(worst)
