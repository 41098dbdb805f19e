"""`lkharness explain RUN` and `lkharness explain CAPTURE`: why a stored run is as it is, and what a capture shows."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands.shared_options import add, add_cluster, cluster_file, print_json
from harness.core.errors import BadUse

ABOUT = "tell why checks of a stored run failed and what each outage waited for, or what a capture of packets shows"
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


def _explain(given: argparse.Namespace) -> int:
    captures = [words for words in given.what if _is_capture(words)]
    if captures and len(captures) == len(given.what):
        return _capture(given)
    if len(given.what) > 1:
        raise BadUse("explain takes one run's folder, or captures; give the one or the other")
    if given.cluster:
        raise BadUse("--cluster is for captures; a run's folder says itself what its cluster was")
    return _run(given)


def _is_capture(words: str) -> bool:
    from harness.remote.captures.capture_file import SUFFIXES

    return words.lower().endswith(SUFFIXES) or Path(words.partition("=")[2] or words).is_file()


def _run(given: argparse.Namespace) -> int:
    from harness.core.terminal import CLEANER
    from harness.explain import run_explanation

    found = run_explanation.look(Path(given.what[0]))
    if given.json:
        print_json(CLEANER.data(found.as_data()))
    else:
        print(CLEANER.text(found.as_text()))
    return int(found.run.exit_code)


def _capture(given: argparse.Namespace) -> int:
    from harness.config import cluster_config
    from harness.core.terminal import CLEANER
    from harness.explain import capture_explanation

    cluster = cluster_config.load(cluster_file(given.cluster), trusted=False, only_looked_at=True)
    found = capture_explanation.look(given.what, cluster)
    if given.json:
        print_json(CLEANER.data(found.as_data()))
    else:
        print(CLEANER.text(found.as_text()))
    return int(found.exit_code)
