"""A cluster file that was handed on has every default written out (the watchdog's, a run's record, a bundle's): it means the same.

So nothing may ask whether a field was given; a field whose absence means something is None.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.config import cluster_config
from harness.config.cluster_config import Cluster
from harness.lab import lifekeeper_config
from harness.lab.lifecycle import default_cluster
from harness.managers.kinds.lifekeeper import LifeKeeper
from harness.managers.kinds.pacemaker import Pacemaker

HARNESS = Path(__file__).parents[2] / "harness"
ASKS_WHAT_WAS_GIVEN = re.compile(r"fields_set|exclude_unset")


def a_cluster(kind: str, **manager: object) -> Cluster:
    """A lab's own, with nothing of the manager given but this."""
    return cluster_config.parse({**default_cluster.cluster_data(None, {}), "manager": {"kind": kind, **manager}}, Path("a test's"))


GIVEN = [{}, {"daemons": ["lcm"]}, {"daemons": []}, {"check_limit_s": 60.0}, {"check_limit_s": 7.0}]


@pytest.mark.parametrize("given", GIVEN, ids=str)
@pytest.mark.parametrize("kind", [LifeKeeper, Pacemaker])
def test_a_file_that_was_handed_on_means_the_same(kind: type, given: dict[str, object]) -> None:
    own = a_cluster(kind=kind.__name__.lower(), **given)
    handed_on = Cluster.model_validate_json(own.model_dump_json())
    assert kind(own, {}).daemon_pids_line() == kind(handed_on, {}).daemon_pids_line()
    assert lifekeeper_config.check_limit(own) == lifekeeper_config.check_limit(handed_on)
    assert ("schedulerd" in kind(handed_on, {}).daemon_pids_line()) == (kind is Pacemaker and "daemons" not in given)


def test_nothing_asks_whether_a_field_was_given() -> None:
    found = [
        f"{file.relative_to(HARNESS)}:{number}"
        for file in sorted(HARNESS.rglob("*.py"))
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if ASKS_WHAT_WAS_GIVEN.search(line)
    ]
    assert not found, f"a default that was written out counts as given there: {', '.join(found)}"
