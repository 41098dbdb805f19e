"""The rank test against published examples and tables, and what a comparison of two runs may claim."""

from __future__ import annotations

import itertools
import json
import math
import random
from dataclasses import replace

import pytest
from gate_sample import a_measurement
from measure_sample import add_to, once_worked_out
from report_sample import a_builder

from harness import cli
from harness.report.run_reader import load_record
from harness.report.statistics.mann_whitney import _approximate_p, doubled_midranks, least_p, mann_whitney
from harness.report.statistics.outage_statistics import Group
from harness.report.statistics.run_comparison import Change, _rows, compare, compare_series

# Hollander and Wolfe, Nonparametric Statistical Methods, table 4.1: permeability constants of the human chorioamnion.
AT_TERM = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
EARLIER = [1.15, 0.88, 0.90, 0.74, 1.21]


def test_the_published_example():
    """Their W - n(n+1)/2 is 35 with a one-sided p of 0.1272; the shift is 0.305."""
    test = mann_whitney(EARLIER, AT_TERM)
    assert test.u == 35
    assert test.p == pytest.approx(2 * 0.1272, abs=1e-4)
    assert test.shift == pytest.approx(0.305)


@pytest.mark.parametrize(
    ("sizes", "u", "one_sided"),
    [((3, 3), 0, 0.05), ((3, 4), 1, 0.0571), ((4, 4), 1, 0.0286), ((5, 5), 2, 0.0159), ((5, 5), 4, 0.0476), ((4, 6), 2, 0.0190)],
)
def test_the_published_table(sizes, u, one_sided):
    """P(U <= u) as Mann and Whitney tabulated it in 1947: samples built to have exactly that U."""
    first, second = sizes
    low = list(range(first))
    high = list(range(100, 100 + second))
    for n in range(u):  # lift the largest of the low sample over one value of the high one at a time
        low[-1] = high[n] + 0.5
        if n + 1 >= second:
            break
    assert mann_whitney(high, low).u == u
    assert mann_whitney(high, low).p == pytest.approx(2 * one_sided, abs=1e-4)


def test_it_agrees_with_counting_every_arrangement_with_ties():
    first, second = [1.0, 2.0, 2.0, 5.0], [2.0, 3.0, 5.0]
    ranks = doubled_midranks([*first, *second])
    sums = [sum(ranks[i] for i in chosen) for chosen in itertools.combinations(range(7), 3)]
    seen = sum(ranks[4:])
    low, high = sum(s <= seen for s in sums), sum(s >= seen for s in sums)
    assert mann_whitney(first, second).p == pytest.approx(min(1.0, 2 * min(low, high) / len(sums)))


def test_it_does_not_matter_which_sample_comes_first():
    one, other = mann_whitney(AT_TERM, EARLIER), mann_whitney(EARLIER, AT_TERM)
    assert one.p == pytest.approx(other.p) and one.shift == pytest.approx(-other.shift) and one.u + other.u == 50


def test_the_approximation_is_near_the_exact_figure():
    first, second = [0.1 * n for n in range(30)], [0.1 * n + 0.55 for n in range(30)]
    exact = mann_whitney(first, second)
    assert exact.exact
    assert _approximate_p(doubled_midranks([*first, *second]), 30, 30, exact.u) == pytest.approx(exact.p, rel=0.05)
    assert not mann_whitney([*first, 9.0], second).exact
    assert mann_whitney([1.0] * 40, [1.0] * 40).p == 1.0


@pytest.mark.parametrize(("sizes", "least"), [((4, 4), 2 / 70), ((3, 3), 0.1), ((3, 5), 2 / 56), ((1, 1), 1.0), ((1, 39), 0.05)])
def test_the_least_p_that_sizes_can_reach(sizes, least):
    assert least_p(*sizes) == pytest.approx(least)
    apart = mann_whitney([float(n) for n in range(sizes[0])], [100.0 + n for n in range(sizes[1])])
    assert apart.p == pytest.approx(least)


def row(before, after, period=0.01):
    return compare_series("switchover", "client", "listener", "new", before, after, period)


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ([1.0, 1.1, 1.2, 1.3], [2.0, 2.1, 2.2, 2.3], Change.SLOWER),
        ([2.0, 2.1, 2.2, 2.3], [1.0, 1.1, 1.2, 1.3], Change.FASTER),
        ([1.0, 1.1, 1.2], [2.0, 2.1, 2.2], Change.TOO_FEW),
        ([1.0, 1.1, 1.2], [2.0, 2.1, 2.2, 2.3, 2.4], Change.SLOWER),
        ([1.0, 1.1, 1.2, 1.3], [1.05, 1.15, 1.25, 1.0], Change.SAME),
        ([1.0, 1.1, 1.2, 1.3], [math.inf] * 4, Change.SLOWER),
        ([math.inf] * 4, [math.inf] * 4, Change.SAME),
        ([], [1.0, 1.1], Change.MISSING),
    ],
)
def test_what_may_be_claimed(before, after, change):
    assert row(before, after).change is change


def test_less_than_a_period_is_no_change_however_sure():
    before, after = [1.000, 1.001, 1.002, 1.003], [1.006, 1.007, 1.008, 1.009]
    assert row(before, after, period=0.01).change is Change.SAME
    assert "less than a measuring period" in row(before, after, period=0.01).reason
    assert row(before, after, period=0.001).change is Change.SLOWER


@pytest.fixture
def stored(tmp_path):
    def make(*outs, **how):
        builder = a_builder(tmp_path / f"{len(list(tmp_path.iterdir()))}")
        for given in outs:
            add_to(builder, once_worked_out(tuple(given), **how)) if given else None
        builder.finish()
        builder.run.close()
        return builder.run.directory

    return make


def test_the_command_says_slower_and_exits_1(stored, capsys):
    old, new = stored([1.0, 1.1, 1.2, 1.3]), stored([2.0, 2.1, 2.2, 2.3])
    assert cli.main(["compare", str(old), str(new)]) == 1
    said = capsys.readouterr().out
    assert said.startswith("Slower: 12 of 12 comparisons.")
    assert "slower        client path, listener: median 1.15 s → 2.15 s, shift +1.00 s, p = 0.029, 4 against 4 runs, period 0.010 s" in said
    assert cli.main(["compare", str(new), str(old)]) == 0
    assert "Not slower: 12 comparisons, 12 of them faster." in capsys.readouterr().out


def test_too_few_runs_are_said_to_be_too_few(stored, capsys):
    old, new = stored([1.0, 1.1, 1.2]), stored([2.0, 2.1, 2.2])
    assert cli.main(["compare", str(old), str(new)]) == 3
    said = capsys.readouterr().out
    assert "Cannot tell: too few runs" in said
    assert "too few runs: 3 against 3 runs can never reach p < 0.05, on any of 12 series" in said


def test_runs_with_nothing_in_common_cannot_be_told(stored, capsys):
    old, new = stored([1.0] * 4), stored([1.0] * 4, disruption="failback")
    assert cli.main(["compare", str(old), str(new)]) == 3
    assert "switchover (nat) was measured in the first run only" in capsys.readouterr().out


def test_json_is_json_whatever_never_came_back(stored, capsys):
    old, new = stored([1.0, 1.1, 1.2, 1.3]), stored([None, None, None, None])
    assert cli.main(["compare", str(old), str(new), "--json"]) == 1
    data = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert data["exit_code"] == 1
    assert data["comparisons"][0]["after_s"] == [None] * 4 and data["comparisons"][0]["change"] == "slower"


def test_what_may_explain_a_change_and_what_is_not_known_is_told(stored):
    old, new = (load_record(stored([1.0] * 4)) for _ in range(2))
    old.cluster.versions, new.cluster.versions = {"lknode01": {"kernel": "5.14", "lifekeeper": "9.9"}}, {"lknode01": {"kernel": "6.0"}}
    one = new.measurements[2]
    blind = [replace(series, recovered_after_s=None, outages=[]) for series in one.measured.series]
    new.measurements[2] = one.model_copy(update={"measured": replace(one.measured, series=blind)})
    notes = compare(old, new).notes
    assert "the runs differ in kernel of lknode01 5.14 → 6.0" in notes
    assert any(note.startswith("nobody knows whether these are the same: lifekeeper of lknode01") for note in notes)
    assert any(note.startswith("the second run: not known, and left out: ") and note.endswith(" and 9 more") for note in notes)


def test_a_disruption_that_only_the_first_run_measured_leaves_it_untold(stored):
    both, one = stored([1.0, 1.1, 1.2, 1.3]), stored([1.0, 1.1, 1.2, 1.3])
    first = load_record(both)
    first.measurements += [r.model_copy(update={"measured": replace(r.measured, disruption="failback")}) for r in first.measurements]
    found = compare(first, load_record(one))
    assert found.exit_code == 3 and found.sentence == "Cannot tell: 1 disruption of the first run not measured in the second."
    other = compare(load_record(one), first)
    assert other.exit_code == 0 and "measured in the second run only" in other.notes[-1]


def test_a_cluster_against_itself_looks_slower_once_in_twenty_comparisons_at_most():
    """Five disruptions of two paths each, five repeats against five: alone, one in eight would be slower somewhere."""
    dice = random.Random(5)
    slower = 0
    for _ in range(60):
        sides = [[_a_group(dice, f"disruption {number}") for number in range(5)] for _ in range(2)]
        rows = _rows(list(zip(*sides, strict=True)))
        slower += any(row.change is Change.SLOWER for row in rows)
    assert slower <= 60 * 0.05
    assert {row.change for row in rows} == {Change.SAME}


def _a_group(dice: random.Random, name: str) -> Group:
    outs = [dice.gauss(2, 0.5) for _ in range(5)]
    paths = [{path: out + dice.gauss(0, 0.01) for path in ("client", "inside")} for out in outs]
    made = [a_measurement({"before": "a", "paths": one, "boundaries": {}}, n, name) for n, one in enumerate(paths)]
    return Group(name, "nat", "a", "a", tuple(made))


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read"), ("[]", "no schema_version"), ('{"schema_version": 99}', "written by a newer harness")],
)
def test_what_is_no_run_is_one_sentence_and_exit_2(tmp_path, stored, capsys, content, says):
    if content:
        (tmp_path / "run.json").write_text(content)
    good = str(stored([1.0]))
    for words in (["compare", str(tmp_path), good], ["compare", good, str(tmp_path)], ["judge", str(tmp_path)], ["report", str(tmp_path)]):
        assert cli.main(words) == 2
        said = capsys.readouterr().err
        assert says in said and said.count("\n") == 1
