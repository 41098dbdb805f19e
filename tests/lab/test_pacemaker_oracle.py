"""The adapter's three answers against Pacemaker's own scheduler, over clusters that a seed makes: no wrong yes, hardly a wrong no."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from harness.managers.kinds.pacemaker import Pacemaker
from harness.managers.manager import Question, Says
from tests.lab.pacemaker_states import CLUSTER, N1, N2, TOOLS, Maker, NoState, OnFile, State, goes

pytestmark = pytest.mark.skipif(not TOOLS, reason="install pacemaker-cli-utils for Pacemaker's own scheduler")


def held_against(number: int, folder: Path, seen: Counter[str]) -> list[str]:
    """What is wrong of one cluster's answers; counts every answer."""
    try:
        state: State = Maker(number, folder).make()
    except NoState:
        return []
    host = OnFile(state)
    manager = Pacemaker(CLUSTER, {N1: host, N2: host})  # type: ignore[dict-item]
    before = manager.state()
    if before.active != N1 or manager.unlisted_members():
        return []  # nobody would disturb it
    tags = [tag for tag, found in before.nodes[N1].resources.items() if found.active]
    wrong = []
    for question in Question:
        answer = manager.may_switch_over(N2, question)
        truth = goes(state, question, tags)
        seen[f"{answer.says} {truth}"] += 1
        seen[f"{question} answered {answer.says}"] += 1
        if (answer.yes and not truth) or (answer.no and truth):
            wrong.append(f"{number}: {question}: {answer}; in truth {truth}; {', '.join(state.features)}")
    return wrong


def hold_against(numbers: range, folder: Path) -> None:
    seen: Counter[str] = Counter()
    wrong = [one for number in numbers for one in held_against(number, folder, seen)]
    false_yes = [one for one in wrong if "in truth False" in one]
    asked, might = (sum(n for words, n in seen.items() if words.endswith(ends)) for ends in (("True", "False"), ("True",)))
    print(f"{asked} answers: {dict(seen)}")
    assert asked > len(numbers) / 2 and seen[f"{Says.YES} True"] > asked / 10 and seen[f"{Says.NO} False"] > asked / 10, seen
    assert all(seen[f"{question} answered {says}"] for question in Question for says in (Says.YES, Says.NO)), seen
    assert not false_yes, false_yes
    assert len(wrong) <= max(1, 0.01 * might), wrong


@pytest.mark.heavy
def test_fifty_answers(tmp_path: Path) -> None:
    hold_against(range(30), tmp_path)


@pytest.mark.deep
@pytest.mark.timeout(3600)  # a third of a second each, on a busy machine
def test_two_thousand_answers_to_each_question(tmp_path: Path) -> None:
    """Of some states nobody would disturb the cluster, so there are more states than answers."""
    hold_against(range(1000, 4200), tmp_path)
