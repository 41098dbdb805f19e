"""Which runs' files are packed or removed, and when. Pure: a plan, from what the folders hold; nothing is done here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.core.time_span import DAY_S

PACK_AFTER_S = DAY_S
"""A run is packed once nobody looks at it any more."""
PAGE, PAGE_S = "report.html", 30 * DAY_S
"""The page is removed after so long: it is as large as all that is packed, and `lkharness report` makes it again."""
PACKED_KINDS = (".pcapng", ".jsonl", ".log")
"""What of the evidence is worth packing: it becomes six to ten times smaller."""
OLD_FILES = ("report.html", "junit.xml", "summary.md", "timeline.jsonl", "timeline.jsonl.xz")
"""Of a run whose evidence is removed: `lkharness report` makes the pages again from run.json. What somebody signed stays."""


@dataclass(frozen=True)
class Keep:
    """For how long evidence is kept, in seconds: of runs that passed, and of all others."""

    passed_s: float
    failed_s: float


DEFAULT_SPANS = ("90d", "1y")
"""What `--keep default` means, of runs that passed and of all others; every pipeline that `init --pipeline` writes uses it."""


@dataclass(frozen=True)
class StoredFolder:
    """A run's folder as it was found. `files` are those that the harness made there, by their names in it, with their sizes in bytes."""

    folder: str
    passed: bool
    age_s: float
    entered: bool
    """Are its figures in the history as they are now? Only then may anything go."""
    newest: bool
    """The newest run of all, which reports/latest leads to, stays as it is."""
    files: dict[str, int]


@dataclass(frozen=True)
class Step:
    """What is done to one file of a run."""

    folder: str
    file: str
    bytes: int
    pack: bool
    """Or is it removed?"""


def plan(runs: Iterable[StoredFolder], keep: Keep) -> list[Step]:
    """Packed: run.json and evidence of every run older than a day. Removed: evidence and pages of those that are kept no longer.

    run.json itself is never removed.
    """
    return [step for run in runs if run.entered and not run.newest for step in _steps(run, keep)]


def _steps(run: StoredFolder, keep: Keep) -> Sequence[Step]:
    old = run.age_s > (keep.passed_s if run.passed else keep.failed_s)
    steps = []
    for name, size in run.files.items():
        if (old and (name.startswith("evidence/") or name in OLD_FILES)) or (name == PAGE and run.age_s > PAGE_S):
            steps.append(Step(run.folder, name, size, pack=False))
        elif run.age_s > PACK_AFTER_S and (name == "run.json" or name.endswith(PACKED_KINDS)):
            steps.append(Step(run.folder, name, size, pack=True))
    return steps
