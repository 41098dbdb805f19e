"""The options that the suites add to pytest's command line: --cluster, --allow-disruption, --repeat … and their help."""

from __future__ import annotations

import pytest


def add_options(parser: pytest.Parser) -> None:
    """Adds the options of both suites, and the setting that tells that a suite is about a cluster."""
    group = parser.getgroup("lkharness", "the cluster under test")
    group.addoption(
        "--cluster", metavar="FILE", help="attach to the cluster of this file (also LKHARNESS_CLUSTER); without it the lab is brought up"
    )
    group.addoption(
        "--trust-cluster-file", action="store_true", help="agree for this once to all that the cluster file asks of this machine"
    )
    group.addoption("--allow-disruption", action="store_true", help="let tests disturb an attached cluster (the lab always may be)")
    group.addoption(
        "--allow-unproven",
        action="store_true",
        help="do also what an attached cluster is not proven to tolerate; the plan says what that is",
    )
    group.addoption(
        "--dry-run", action="store_true", help="show the plan of an attached cluster and every command that would run; do nothing of it"
    )
    _add_lab_options(group)
    _add_measuring_options(group)
    _add_report_options(group)
    parser.addini(
        "lkharness_suite", "these tests are about a cluster: a run that looked at nothing is inconclusive", type="bool", default=False
    )


def _add_lab_options(group: pytest.OptionGroup) -> None:
    """Adds what the lab of the run is like, and whether it stays."""
    group.addoption("--design", metavar="nat|floating", help="the lab's design (default nat)")
    group.addoption(
        "--manager",
        metavar="lifekeeper|pacemaker|wsfc",
        help="what the lab's nodes run: a stand-in for LifeKeeper (the default), Pacemaker itself, or with --platform windows a stand-in "
        "for Windows' failover cluster",
    )
    group.addoption(
        "--platform", metavar="linux|windows", help="what the lab's nodes are: Linux (the default), or stand-ins for Windows, on Linux"
    )
    group.addoption(
        "--guests", metavar="namespace|container|machine", help="what the lab's nodes are made of (default namespace; docs/guests.md)"
    )
    group.addoption(
        "--azure", action="store_true", help="a stand-in for Azure's management API beside the lab, for what drives and reads it"
    )
    group.addoption("--profile", metavar="fast|azure", help="the lab's timers: fast (default), or Azure's and LifeKeeper's own")
    group.addoption(
        "--keep", default="never", metavar="never|failed|always", help="leave the run's own lab running at the end (default never)"
    )


def _add_measuring_options(group: pytest.OptionGroup) -> None:
    """Adds what is measured, how often, for how long and how finely."""
    group.addoption("--disruption", action="append", metavar="NAME", help="measure only this disruption (may be given several times)")
    group.addoption("--repeat", type=int, default=1, metavar="N", help="measure each disruption N times, for a distribution")
    group.addoption("--sweep", type=int, default=0, metavar="N", help="walk the start through the probe's period in N steps instead")
    group.addoption("--seed", type=int, metavar="S", help="for the start's jitter; without it one is drawn, and named in the report")
    group.addoption(
        "--for",
        dest="soak_for",
        metavar="TIME",
        help="measure again and again for so long (30m, 8h, 2d): nothing is done, or what --disruption names",
    )
    group.addoption(
        "--availability", type=float, metavar="PERCENT", help="with --for: of the whole time the client path must be in service for so much"
    )
    group.addoption("--period", type=int, default=10, metavar="MS", help="the meter's period: 1, 10 (default), 50, 100 or 250 ms")


def _add_report_options(group: pytest.OptionGroup) -> None:
    """Adds what the run is held against, who is told of it, and where its folder goes."""
    group.addoption(
        "--gate", metavar="FILE", help="what the run must keep to pass: budgets, slowdown against a baseline, skips (gate.toml)"
    )
    group.addoption(
        "--notify",
        metavar="FILE",
        help="notify when the state of these runs changes: a file with a URL of apprise a line (docs/notifications.md)",
    )
    group.addoption("--notify-after", type=int, default=3, metavar="N", help="notify again when N runs in a row have failed (default 3)")
    group.addoption(
        "--run-file", metavar="FILE", help="write the path of the run's folder into FILE once it is there: a job finds its own run by it"
    )
    group.addoption("--readable-reports", action="store_true", help="let everybody on this machine read the run's folder, to publish it")
    group.addoption(
        "--reports", metavar="DIR", default="reports", help="where the run's folder goes (default: reports, in the current folder)"
    )
