"""Inputs for the managers' parsers in great number: what they share. A picture is drawn from a truth that is known; mangling spoils one.

Plain `random`, because a hundred thousand inputs per parser have to fit into a minute.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from harness.managers.manager import NodeState, ResourceState
from tests import deep_option

SEED = int(os.environ.get("LKHARNESS_TEST_SEED") or 20261123)  # the same for everybody: another one is for looking further
# Of each parser; half of them mangled. The bar is 100,000: two minutes of processor time for all of them.
INPUTS = deep_option.number(3_000, 100_000, "LKHARNESS_INPUTS")
NODES = ("lknode01", "lknode02")
IN, UNPROTECTED, OUT = ResourceState.IN_SERVICE, ResourceState.UNPROTECTED, ResourceState.STANDBY
FAILED, UNKNOWN = ResourceState.FAILED, ResourceState.UNKNOWN

TAGS = (
    "listener-1521", "ip-10.20.1.200", "lbhc-12345", "10.20.1.200", "pg_main", "Vol.E", "-odd-", "fs./data/a", "é-tag", "ISPs", "TCP",
    "app:1", "x", "WWW.Default", "_", "LKNODE01", "lknode02-app", "r" * 60,
)  # fmt: skip
BANNERS = (
    "", "Last login: Sun Nov 22 14:03:07 2026 from 10.20.1.20", "*** ISP outage tonight, 2 lines down ***", "Willkommen auf lknode01",
    "warning: setlocale: LC_ALL: cannot change locale (de_DE.UTF-8)", "système prêt", "ノードは稼働中です", "Note: lknode02 says ISP",
    "motd: {}",
)  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """What is so on one node. `resources` None: it cannot be told, and the parser must say why."""

    resources: Mapping[str, ResourceState] | None
    running: bool = True
    paths: tuple[bool, ...] | None = None  # alive or not, in order; None: nothing is said of them here

    @property
    def active(self) -> set[str]:
        return {tag for tag, state in (self.resources or {}).items() if state.active}


def numbered(of: str, count: int) -> Iterator[tuple[str, random.Random]]:
    """`count` generators, each with its name: what it draws does not depend on how many were drawn before."""
    for i in range(count):
        name = f"{SEED} {of} {i}"
        yield name, random.Random(name)


def agrees(state: NodeState, truth: Truth) -> str:
    """How what was read differs from the truth; empty when it does not."""
    if not state.running and not state.why:
        return "it does not say why it cannot tell"
    if state.running is not truth.running:
        return f"running is {state.running} ({state.why})"
    if dict(state.resources) != dict(truth.resources or {}):
        return f"read {state.resources}, but so it is: {truth.resources}"
    alive = tuple(path.alive for path in state.comm_paths)
    return f"paths {state.comm_paths}, but so it is: {truth.paths}" if truth.paths is not None and alive != truth.paths else ""


def active_in(state: NodeState) -> set[str]:
    return {tag for tag, seen in state.resources.items() if seen.active}


def mangled(rng: random.Random, text: str, other: str) -> str:
    """One to three things go wrong with a text, in any order. `other` is an output that may get mixed up with it."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        text = rng.choice(SPOILERS)(rng, text, other)
    return text


def _cut(rng: random.Random, text: str, other: str) -> str:
    at = rng.randint(0, len(text))
    return text[:at] if rng.random() < 0.8 else text[at:]


def _lines(change: Callable[[random.Random, list[str]], object]) -> Callable[[random.Random, str, str], str]:
    def spoil(rng: random.Random, text: str, other: str) -> str:
        lines = text.splitlines(keepends=True)
        if lines:
            change(rng, lines)
        return "".join(lines)

    return spoil


def _delete(rng: random.Random, lines: list[str]) -> None:
    at = rng.randrange(len(lines))
    del lines[at : at + rng.choice((1, 1, 2, 5))]


def _double(rng: random.Random, lines: list[str]) -> None:
    lines.insert(rng.randint(0, len(lines)), rng.choice(lines))


def _swap(rng: random.Random, lines: list[str]) -> None:
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]


def _replace(rng: random.Random, text: str, other: str) -> str:
    for _ in range(rng.choice((1, 1, 3, 10))):
        if text:
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(' \0\n\t"<>&{}[]|-:,\\0aIOSPU\ufffd\u2014\ud800\x1c') + text[at + 1 :]
    return text


def _exchange(rng: random.Random, text: str, other: str) -> str:
    """A piece of the other output in the middle of this one, as when two writers share a terminal."""
    begin, end = sorted((rng.randint(0, len(other)), rng.randint(0, len(other))))
    at = rng.randint(0, len(text))
    return text[:at] + other[begin:end] + text[at:]


def _glue(rng: random.Random, text: str, other: str) -> str:
    return text + rng.choice(("", "\n")) + other if rng.random() < 0.5 else other + text


def _bytes(rng: random.Random, text: str, other: str) -> str:
    raw = bytearray(text.encode("utf-8", "replace"))
    if raw:
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    return raw.decode("utf-8", "replace")


def _huge(rng: random.Random, text: str, other: str) -> str:
    """Long runs in the place of one character; far more than any output has would take too long in such number."""
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice((" ", "\0", "a", "\n", "|-", "<", '"', "[", "9")) * rng.choice((50, 500)) + text[at:]


SPOILERS: tuple[Callable[[random.Random, str, str], str], ...] = (
    _cut, _cut, _lines(_delete), _lines(_double), _lines(_swap), _lines(lambda rng, lines: rng.shuffle(lines)), _replace, _replace,
    _exchange, _glue, _bytes, _huge,
)  # fmt: skip
