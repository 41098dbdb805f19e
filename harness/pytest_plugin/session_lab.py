"""The lab that a run brings up for itself, and whether it stays when the run has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.config import cluster_config
from harness.core.errors import BadUse
from harness.measure.calibration import KnownCut
from harness.report.record.run_directory import Run

NEVER, FAILED, ALWAYS = "never", "failed", "always"


def parse_keep(option: str, *, attached: bool) -> str:
    """What `--keep` asks for. Raises BadUse."""
    if option not in (NEVER, FAILED, ALWAYS):
        raise BadUse(f"--keep {option}: there is {NEVER}, {FAILED} and {ALWAYS}")
    if attached and option != NEVER:
        raise BadUse("--keep is for a run's own lab; an attached cluster stays anyhow")
    return option


class SessionLab:
    """`up` first, `down` at the end. A lab that may stay outlives a harness that is killed, too."""

    def __init__(self, data: dict[str, Any], *, azure: bool, keep: str) -> None:
        self._data, self._azure, self._keep = data, azure, keep
        self._down: Callable[[], None] | None = None
        self.name = ""
        self.known_cut: KnownCut | None = None

    def up(self, run: Run) -> tuple[cluster_config.Cluster, dict[str, Any]]:
        """Bring it up; its cluster, and the file's content. Raises HarnessError."""
        from harness.lab.lifecycle import launch

        def progress(text: str) -> None:
            run.note("lab", "up", text)

        self.name = f"run-{run.id}"
        lab = launch.up(self._data, name=self.name, persistent=self._keep != NEVER, progress=progress, azure=self._azure)
        self._down, self.known_cut = lab.down, lab.known_cut
        run.note("lab", "up", f"the lab is in service after {lab.timings['in_service_s']:.2f} s", **lab.timings)
        self._events = lab.record.folder / "events.jsonl"
        return cluster_config.load_with_data(lab.cluster_file)

    def events(self) -> bytes | None:
        """What the lab itself wrote down of what happened; None where it never came up."""
        return self._events.read_bytes() if self._down is not None else None

    def down(self, *, passed: bool) -> str:
        """Take it down, unless it is to stay; then the sentence that says how to reach it."""
        if self._down is None:
            return ""
        if self._keep == ALWAYS or (self._keep == FAILED and not passed):
            return f"the lab stays: lkharness lab status --name {self.name}; take it down with lkharness lab down --name {self.name}"
        self._down()
        return ""
