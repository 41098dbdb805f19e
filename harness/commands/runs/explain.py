"""`lkharness explain RUN` and `lkharness explain CAPTURE`: why a stored run is as it is, and what a capture shows."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands.shared_options import add, add_cluster, cluster_file, print_json
from harness.core.errors import BadUse

ABOUT = "say why checks of a stored run failed and what each outage waited for, or what a capture of packets shows"
EXAMPLE = "lkharness explain reports/latest; lkharness explain lknode01.pcapng --cluster customer.toml"


def add_to(commands) -> None:
    """Adds the command to the parser."""
    explain = add(commands, "explain", _explain, ABOUT, EXAMPLE)
    explain.add_argument(
        "what",
        metavar="RUN|CAPTURE",
        nargs="*",
        default=["reports/latest"],
        help="a run's folder (default: reports/latest), or captures (.pcapng, .pcap), one of each host; HOST=FILE says of which",
    )
    add_cluster(explain)


def _explain(arguments: argparse.Namespace) -> int:
    captures = [argument for argument in arguments.what if _is_capture(argument)]
    if captures and len(captures) == len(arguments.what):
        return _capture(arguments)
    if len(arguments.what) > 1:
        raise BadUse("explain takes one run's folder, or captures; give the one or the other")
    if arguments.cluster:
        raise BadUse("--cluster is for captures; a run's folder says itself what its cluster was")
    return _run(arguments)


def _is_capture(argument: str) -> bool:
    from harness.core.files import file_exists
    from harness.remote.captures.capture_file import SUFFIXES

    return argument.lower().endswith(SUFFIXES) or file_exists(argument.partition("=")[2] or argument)


def _run(arguments: argparse.Namespace) -> int:
    from harness.core.terminal import CLEANER
    from harness.explain import run_explanation

    explanation = run_explanation.explain_run(Path(arguments.what[0]))
    if arguments.json:
        print_json(CLEANER.data(explanation.as_data()))
    else:
        print(CLEANER.text(explanation.as_text()))
    return int(explanation.run.exit_code)


def _capture(arguments: argparse.Namespace) -> int:
    from harness.config import cluster_config
    from harness.core.terminal import CLEANER
    from harness.explain import capture_explanation

    cluster = cluster_config.load(cluster_file(arguments.cluster), trusted=False, only_looked_at=True)
    explanation = capture_explanation.explain_captures(arguments.what, cluster)
    if arguments.json:
        print_json(CLEANER.data(explanation.as_data()))
    else:
        print(CLEANER.text(explanation.as_text()))
    return int(explanation.exit_code)
