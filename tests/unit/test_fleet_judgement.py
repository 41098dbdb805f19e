"""The pure parts of `lkharness fleet`: names, what is run for each cluster, what became of each, and the exit code of all."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.commands.fleet import fleet
from harness.commands.fleet.fleet_clusters import Member, leaves_run, matrix, members_in, members_of, planned_in, words_for
from harness.commands.fleet.fleet_outcome import Outcome, Stored, fleet_code, of_process, sorted_worst_first, summary
from harness.commands.fleet.fleet_runs import cluster_file_of
from harness.core.errors import BadUse, ExitCode


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["clusters/a.toml", "clusters/b.toml"], ["a", "b"]),
        (["labs/one/cluster.toml", "labs/two/cluster.toml", "x.toml"], ["one-cluster", "two-cluster", "x"]),
        (["1/c/cluster.toml", "2/c/cluster.toml"], ["1-c-cluster", "2-c-cluster"]),
        (["a b;c.toml"], ["a-b-c"]),
        (["x/A.toml", "y/a.toml"], ["x-A", "y-a"]),
    ],
)
def test_each_has_a_name_of_its_own(files, names):
    members = members_of(files)
    assert [member.name for member in members] == names and [member.index for member in members] == list(range(len(files)))
    written = matrix(members, "2026-11-29T01:00:00+00:00")
    assert members_in(written) == members and planned_in(written) == datetime(2026, 11, 29, 1, tzinfo=UTC)


def test_one_file_is_one_cluster():
    with pytest.raises(BadUse, match="given twice"):
        members_of(["a.toml", "./a.toml"])


@pytest.mark.parametrize("planned", [3, "tonight", "2026-11-29T01:00:00", None])
def test_a_matrix_that_does_not_say_when(planned):
    assert planned_in({"include": []}) is None
    with pytest.raises(BadUse):
        planned_in({"include": [], "planned": planned})


@pytest.mark.parametrize(
    "data", [None, [], {}, {"include": 3}, {"include": [{"index": "x", "cluster": "a", "name": "a"}]}, {"include": [7]}]
)
def test_what_is_no_matrix(data):
    with pytest.raises(BadUse):
        members_in(data)


def test_each_has_its_own_file_and_folder():
    member = Member(0, "c/a.toml", "a")
    assert words_for(member, ["failover", "--repeat", "2"], Path("r")) == [
        "failover",
        "--cluster",
        "c/a.toml",
        "--reports",
        "r/a",
        "--repeat",
        "2",
    ]
    assert words_for(member, ["check"], Path("r")) == ["check", "--cluster", "c/a.toml"]


@pytest.mark.parametrize("words", ["", "lab up", "failover --cluster x", "failover --reports=x", "check --json"])
def test_what_a_fleet_does_not_run(words):
    with pytest.raises(BadUse):
        words_for(Member(0, "a.toml", "a"), words.split(), Path("r"))


@pytest.mark.parametrize(
    ("given", "own", "behind"),
    [
        ("fleet a b -- failover -- x", "fleet run a b", "failover -- x"),
        ("fleet run a -- check", "fleet run a", "check"),
        ("fleet --at-once 2 a -- check", "fleet run --at-once 2 a", "check"),
        ("fleet matrix a", "fleet matrix a", ""),
        ("fleet --help", "fleet --help", ""),
        ("fleet", "fleet", ""),
        ("lab exec a -- b", "lab exec a -- b", ""),
    ],
)
def test_what_stands_behind_the_marker_is_anothers(given, own, behind):
    assert fleet.divided(given.split()) == (own.split(), behind.split())


@pytest.mark.parametrize(("codes", "worst"), [([0, 3], 3), ([3, 4], 4), ([4, 2], 2), ([2, 1, 0], 1), ([0, 0], 0), ([], 3)])
def test_the_exit_code_is_the_worst(codes, worst):
    outcomes = [Outcome("a", "a.toml", ExitCode(code), "why") for code in codes]
    assert fleet_code(outcomes) == worst
    assert not outcomes or sorted_worst_first(outcomes)[0].code == worst


def test_the_summary_names_the_worst_first():
    outcomes = [Outcome("a", "a.toml", ExitCode(code), "why") for code in (0, 4, 0, 1)]
    assert summary(outcomes) == "4 clusters: 1 failed, 1 not reachable or not usable, 2 passed"


def _run(code: int) -> Stored:
    return Stored(Path(f"run-{code}"), ExitCode(code), f"reason {code}", 1.0)


@pytest.mark.parametrize(
    ("returned", "codes", "code", "reason"),
    [
        (0, [0], 0, "reason 0"),
        (1, [1], 1, "reason 1"),
        (-9, [3], 3, "reason 3"),
        (-9, [0], 3, "its process was ended by SIGKILL; its run says: reason 0"),
        (0, [0, 1], 1, "reason 1"),  # somebody else's run came into the same folder
        (2, [], 2, "last words"),
        (130, [], 3, "it ended with exit code 130: last words"),
        (-250, [], 3, "it was ended by signal 250: last words"),
    ],
)
def test_what_became_of_a_process(returned, codes, code, reason):
    found, why, run = of_process(returned, [_run(one) for one in codes], "last words")
    assert (found, why) == (code, reason) and (run is None) == (not codes)


def test_a_suite_that_left_no_run_has_looked_at_nothing():
    """A suite whose tests are all skipped, because --allow-disruption is missing, exits 0 and makes no run."""
    code, reason, run = of_process(0, [], "1 skipped in 0.20s")
    assert (code, run) == (3, None) and reason == "nothing was looked at, there is no run of it; it said: 1 skipped in 0.20s"
    assert of_process(0, [], "5 paths are as they should be", leaves_run=False)[:2] == (0, "5 paths are as they should be")


@pytest.mark.parametrize(("words", "expected"), [("failover", True), ("check", False), ("acceptance --dry-run", False)])
def test_what_must_leave_a_run(words, expected):
    assert leaves_run(words.split()) is expected


def test_a_process_that_said_nothing():
    assert of_process(4, [], "")[:2] == (4, "it ended with exit code 4")


@pytest.mark.parametrize(
    ("words", "file"), [("pytest --cluster a.toml -q", "a.toml"), ("x --cluster=b.toml", "b.toml"), ("x", ""), ("--cluster", "")]
)
def test_the_cluster_file_of_a_run(words, file):
    assert cluster_file_of(words.split()) == file
