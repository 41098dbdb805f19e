"""`lkharness history --keep 90d`: what would be packed and removed is listed; it is done on *yes* only."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import BadUse, Unusable

if TYPE_CHECKING:
    from harness.history.retention_plan import Step
    from harness.history.store import Store

MAX_LISTED = 20  # runs
DEFAULT = "default"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds what belongs to keeping."""
    parser.add_argument(
        "--keep",
        metavar="SPAN",
        help="remove the evidence of runs that passed so long ago (90d, 12w, 1y), and pack the rest; default: 90d, and 1y of all others",
    )
    parser.add_argument("--keep-failed", metavar="SPAN", help="the same of all other runs (default: as --keep; 1y with --keep default)")
    parser.add_argument("--yes", action="store_true", help="do what --keep lists without asking")


def clean(arguments: argparse.Namespace, reports: Path, store: Store) -> dict[str, Any]:
    """List what is to go, ask, and do it; what became of it, as data. Raises BadUse for spans that are none, Unusable for what failed."""
    from harness.core.time_span import DAY_S, parse_time_span
    from harness.history.retention_plan import DEFAULT_SPANS, Keep, plan
    from harness.history.run_removal import carry_out, finished_folders

    if arguments.keep is None:
        raise BadUse("--keep-failed and --yes go with --keep; say how long to keep what passed, such as --keep 90d, or --keep default")
    passed, failed = DEFAULT_SPANS if arguments.keep == DEFAULT else (arguments.keep, arguments.keep)
    failed = arguments.keep_failed or failed
    passed_s, failed_s = (  # 3m is three minutes, and whoever writes that means months
        parse_time_span(option, span, at_least_s=DAY_S) for option, span in (("--keep", passed), ("--keep-failed", failed))
    )
    keep = Keep(passed_s, failed_s)
    if keep.failed_s < keep.passed_s:
        raise BadUse(f"--keep-failed {failed} is shorter than --keep {passed}; give at least that")
    steps = plan(finished_folders(reports, store.runs(), time.time()), keep)
    if not arguments.json:
        print(listed(steps))
    agreed = bool(steps) and (arguments.yes or (not arguments.json and _agrees()))
    faults = carry_out(reports, steps) if agreed else []
    if agreed and faults and not arguments.json:
        raise Unusable("; ".join(faults[:3]) + (f"; and {len(faults) - 3} more" if len(faults) > 3 else ""))
    return {"done": agreed, "faults": faults, "steps": [{"file": f"{s.folder}/{s.file}", "bytes": s.bytes, "pack": s.pack} for s in steps]}


def listed(steps: list[Step]) -> str:
    """What would be done, run by run."""
    from harness.core.text.wording import count

    if not steps:
        return "nothing is old enough to be packed or removed"
    lines = []
    folders = list(dict.fromkeys(step.folder for step in steps))
    for folder in folders[:MAX_LISTED]:
        folder_steps = [step for step in steps if step.folder == folder]
        parts = [
            f"{verb} {count(len(chosen_steps), 'file')} of {sum(step.bytes for step in chosen_steps) / 1e6:.1f} MB"
            for verb, pack in (("remove", False), ("pack", True))
            if (chosen_steps := [step for step in folder_steps if step.pack is pack])
        ]
        lines.append(f"{folder}: {', '.join(parts)}")
    if len(folders) > MAX_LISTED:
        lines.append(f"… and of {count(len(folders) - MAX_LISTED, 'more run')}")
    removed, packed = (sum(step.bytes for step in steps if step.pack is pack) for pack in (False, True))
    return "\n".join([*lines, f"together: {removed / 1e6:.1f} MB removed, {packed / 1e6:.1f} MB packed; run.json and the history stay"])


def _agrees() -> bool:
    """Only *yes* is a go; without a terminal nobody can say so."""
    from harness.commands.prompt import ask

    if sys.stdin is None or not sys.stdin.isatty():
        print("nothing was done; --yes does it")
        return False
    try:
        answer = ask("do this? yes does it, anything else leaves everything as it is: ")
    except (EOFError, UnicodeDecodeError):
        answer = ""
    if answer != "yes":
        print("nothing was done")
    return answer == "yes"
