"""Each manager's parser on inputs in great number: half of them pictures of a truth that is known, half of them mangled.

Nothing raises; a whole picture is read as what is so, or as "cannot tell" with a reason where it says too little; and of a mangled one
nothing is active that no row of this node's supports. LKHARNESS_TEST_SEED makes the same inputs again, LKHARNESS_INPUTS sets their number.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

import parser_inputs_lifekeeper as lifekeeper
import parser_inputs_pacemaker as pacemaker
import parser_inputs_wsfc as wsfc
import pytest
from parser_inputs import INPUTS, NODES, SEED, Truth, active_in, agrees, mangled, numbered

from harness.hosts.host import NotReadable
from harness.hosts.windows.script_protocol import Row, read_answer
from harness.managers.kinds import lifekeeper_windows
from harness.managers.manager import ClusterState, NodeState, Question
from harness.managers.parse.lcdstatus_parse import parse
from harness.managers.parse.pacemaker_parse import comm_paths, hand_move_ids, node_state
from harness.managers.parse.wsfc_parse import allowed, read
from harness.managers.parse.wsfc_parse import node_state as wsfc_state

pytestmark = pytest.mark.timeout(900)  # on a machine that does much else besides
HALF = INPUTS // 2
PAIRS = {"10.20.1.11": "10.20.1.12", "10.20.2.11": "10.20.2.12"}


@pytest.fixture(autouse=True)
def _tells_its_seed() -> None:
    print(f"LKHARNESS_TEST_SEED={SEED}")  # shown by pytest with what failed


def judge(name: str, texts: dict[str, str], states: dict[str, NodeState], truths: dict[str, Truth]) -> None:
    """Every node's own word, and what both together say of who is active."""
    for node in NODES:
        differs = agrees(states[node], truths[node])
        if differs:
            wrong(f"{name}, {node}: {differs}", texts[node])
    whole = [n for n in NODES if truths[n].active and truths[n].active == set(truths[n].resources or {})]
    touched = [n for n in NODES if truths[n].active]
    active = ClusterState(states).active
    if active != (whole[0] if len(whole) == 1 and touched == whole else None):
        wrong(f"{name}: {active} is called active", "\n".join(texts.values()))


def unsupported(name: str, text: str, state: NodeState, supported: set[str]) -> None:
    if not state.running and not state.why:
        wrong(f"{name}: it does not say why", repr(text))
    if made_up := active_in(state) - supported:
        wrong(f"{name}: {made_up} active without a row of {state.node} that says so", repr(text))


def wrong(words: str, text: str) -> NoReturn:
    """Without pytest's own comparison, which takes its time over long texts."""
    pytest.fail(f"{words}\n{text[:20_000]}", pytrace=False)


def test_lifekeeper() -> None:
    for name, rng in numbered("lifekeeper", HALF):
        texts, truths = lifekeeper.picture(rng)
        judge(name, texts, {n: parse(n, texts[n]) for n in NODES}, truths)
        text, node = mangled(rng, texts[NODES[0]], texts[NODES[1]]), rng.choice(NODES)
        unsupported(name, text, parse(node, text), lifekeeper.supported(node, text))


def answered(node: str, text: str, read: Callable[[Sequence[Row]], NodeState]) -> NodeState:
    """As the adapters of Windows' managers read what was printed."""
    try:
        return read(read_answer(text).rows)
    except NotReadable as error:
        return NodeState(node, False, {}, (), str(error))


def lifekeeper_on_windows(node: str, text: str) -> NodeState:
    return answered(node, text, lambda rows: lifekeeper_windows.state_of(node, rows[0] if rows else {}))


def windows_cluster(node: str, text: str) -> NodeState:
    return answered(node, text, lambda rows: wsfc_state(node, wsfc.GROUP, rows))


def test_lifekeeper_for_windows() -> None:
    """Mangled before it was made JSON, or after."""
    for name, rng in numbered("lifekeeper-windows", HALF):
        texts, truths = lifekeeper.picture(rng, windows=True)
        printed = {}
        for node in NODES:
            printed[node], runs = lifekeeper.wrapped(rng, texts[node])
            if runs is False:
                truths[node] = Truth(None, running=False)
        judge(name, printed, {n: lifekeeper_on_windows(n, printed[n]) for n in NODES}, truths)
        one, other = NODES
        inside = rng.random() < 0.5
        said = lifekeeper.wrapped(rng, mangled(rng, texts[one], texts[other]))[0] if inside else mangled(rng, printed[one], printed[other])
        node = rng.choice(NODES)
        unsupported(name, said, lifekeeper_on_windows(node, said), lifekeeper.supported_wrapped(node, said))


def test_pacemaker() -> None:
    other = pacemaker.picture(random.Random(SEED))[0]
    for name, rng in numbered("pacemaker", HALF):
        text, truths = pacemaker.picture(rng)
        links, alive = pacemaker.links(rng)
        judge(name, dict.fromkeys(NODES, text), {n: node_state(n, text, "", "peer", PAIRS) for n in NODES}, truths)
        if tuple(p.alive for p in comm_paths(links, "peer", PAIRS)) != alive:
            wrong(f"{name}: the paths are not {alive}", links)
        other, text, links = text, mangled(rng, text, other), mangled(rng, links, text)
        node = rng.choice(NODES)
        unsupported(name, text, node_state(node, text, links, "peer", PAIRS), pacemaker.supported(node, text))
        if rng.random() < 0.1:
            hand_move_ids(text, ["x"])


def test_windows_cluster() -> None:
    """Mangled as rows that are JSON still, or as text."""
    other = wsfc.printed(rng := random.Random(SEED), wsfc.picture(rng)[0])
    for name, rng in numbered("wsfc", HALF):
        rows, truths = wsfc.picture(rng)
        text = wsfc.printed(rng, rows)
        judge(name, dict.fromkeys(NODES, text), {n: windows_cluster(n, text) for n in NODES}, truths)
        other, text = text, wsfc.printed(rng, wsfc.spoilt(rng, rows)) if rng.random() < 0.7 else mangled(rng, text, other)
        node = rng.choice(NODES)
        unsupported(name, text, windows_cluster(node, text), wsfc.supported(node, text))
        try:
            case = allowed(NODES[0], wsfc.GROUP, NODES[1], read(read_answer(text).rows), Question.LOST)
        except NotReadable:
            continue
        if not all(isinstance(words, str) and words for words in (*case.against, *case.unknown)):
            wrong(f"{name}: a reason is no sentence: {case}", text)


HUGE = {
    "blanks in a row": "lknode01  tag" + " " * 200_000 + "ISP" + " " * 200_000 + "1 x y",
    "blanks everywhere": ("a" + " " * 1000) * 300,
    "one line": "ISP " * 200_000,
    "many lines": "lknode01  listener-1521  listener-1521  ISP  1  lknode01\n" * 20_000,
    "deep XML": "<pacemaker-result>" + "<a>" * 100_000,
    "deep and whole XML": "<crm_mon><nodes/><resources>" + "<group>" * 50_000 + "</group>" * 50_000 + "</resources></crm_mon>",
    "deep JSON": "[" * 200_000,
    "a number without end": '[{"K":"node","Name":"lknode01","Vote":' + "9" * 10_000 + "}]",
    "NULs": "\0" * 1_000_000,
    "beginnings of XML": "<crm_mon" * 20_000,
    "a link's blanks": "nodeid: 1: a" + " " * 100_000 + "b" + " " * 100_000 + "c",
    "an encoding that there is not": '<?xml version="1.0" encoding="utf-9"?><crm_mon><nodes/></crm_mon>',
    "an encoding that it is not in": '<?xml version="1.0" encoding="utf-16"?><crm_mon><nodes/></crm_mon>',
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE.keys())
def test_what_is_huge_is_read_in_good_time(text: str) -> None:
    """A parser whose time grows with the square of a line's length would hold the whole harness up."""
    began = time.process_time()
    for node in NODES:
        for state in (
            parse(node, text), lifekeeper_on_windows(node, text), node_state(node, text, text, "peer", PAIRS),
            windows_cluster(node, text),
        ):  # fmt: skip
            assert state.running or state.why
    assert time.process_time() - began < 5.0
