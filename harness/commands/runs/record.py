"""`lkharness record`: a flight recorder on a cluster, for weeks; what it kept is brought home as runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands import trust
from harness.commands.shared_options import add, cluster_file, print_json
from harness.core.errors import BadUse, ExitCode

if TYPE_CHECKING:
    from harness.recorder.cluster_recorders import Recorders

DO = {
    "mark": "have all hosts keep what they hold, such as when somebody complains",
    "fetch": "bring the incidents home, each as a run that report, explain and history read",
    "status": "how the recorders fare, and what they kept",
    "start": "start those again that do not run, such as after a reboot of a host without systemd",
    "remove": "end the recorders and remove everything that they left on the hosts, unfetched incidents too",
}
MAX_DAYS = 90.0


def add_to(commands) -> None:
    """Adds the command to the parser."""
    about = "leave the measuring agents on a cluster for weeks, at a low rate; they keep what matters when a path fails or a role changes"
    record = add(commands, "record", _record, about, "lkharness record --cluster customer.toml --days 14; lkharness record fetch")
    lines = "; ".join(f"{verb}: {does}" for verb, does in DO.items())
    record.add_argument("do", nargs="?", choices=list(DO), metavar="|".join(DO), help=f"of the recorders that are there: {lines}")
    record.add_argument("text", nargs="?", default="", metavar="TEXT", help="what a mark is about")
    record.add_argument("--cluster", metavar="FILE", help="the cluster file (also LKHARNESS_CLUSTER; default: the one lab that is running)")
    record.add_argument("--days", type=float, default=14.0, help=f"end by themselves after so many days (default 14, at most {MAX_DAYS:g})")
    record.add_argument("--reports", metavar="DIR", default="reports", help="where fetched runs go (default: reports, here)")
    record.add_argument("--yes", action="store_true", help="start, or remove, without asking")
    trust.add_option(record)


@contextmanager
def _reached(given: argparse.Namespace) -> Iterator[Recorders]:
    """The recorders of the cluster, with every host reached that answers."""
    from harness.cluster.cluster_under_test import ClusterUnderTest
    from harness.collect.known_secrets import known_secrets
    from harness.config import cluster_config
    from harness.core.terminal import CLEANER
    from harness.core.timeline import Timeline
    from harness.recorder.cluster_recorders import Recorders

    cluster = cluster_config.load(cluster_file(given.cluster), trusted=given.trust_cluster_file)
    known, _ = known_secrets(cluster, {"services": [{"settings": s.settings} for s in cluster.services]})
    CLEANER.knows(known)
    subject = ClusterUnderTest(cluster, Timeline())
    subject.cleaner.knows(known)
    try:
        yield Recorders(subject)
    finally:
        subject.close()


def _record(given: argparse.Namespace) -> int:
    if given.text and given.do != "mark":
        raise BadUse(f"`{given.text}` is about nothing; only `record mark` takes a text")
    if not 0 < given.days <= MAX_DAYS:
        raise BadUse(f"--days {given.days:g}: more than 0 and at most {MAX_DAYS:g}")
    work = {None: _start, "mark": _mark, "fetch": _fetch, "status": _status, "start": _resume, "remove": _remove}
    with _reached(given) as recorders:
        return work[given.do](given, recorders)


def _start(given: argparse.Namespace, recorders: Recorders) -> int:
    from harness.core.terminal import CLEANER
    from harness.recorder.recorder_load import statement
    from harness.remote.agents.recorder_link import RecorderOptions

    recorders.subject.reach()
    there = [name for name, said in recorders.status().items() if said is not None]
    if there:
        raise BadUse(f"{' and '.join(there)}: a flight recorder of this cluster is there already; see `record status`, or `record remove`")
    plans, reasons = recorders.able()
    text = statement(plans, given.days, RecorderOptions(), reasons)
    if not given.json:
        print(text, flush=True)
    if not _agreed(given, "start it? yes does it, anything else leaves everything as it is: "):
        return _nothing_done(given, {"load": text})
    notes = recorders.start(plans, given.days)
    if given.json:
        print_json(CLEANER.data({"started": list(plans), "load": text, "notes": notes}))
    else:
        print(
            *map(CLEANER.text, notes), f"recording on {' and '.join(plans)}; `lkharness record fetch` brings home what was kept", sep="\n"
        )
    return int(ExitCode.PASSED)


def _agreed(given: argparse.Namespace, question: str) -> bool:
    """Only *yes* is a go; without a terminal nobody can say so."""
    from harness.commands.prompt import ask

    if given.yes:
        return True
    if given.json or sys.stdin is None or not sys.stdin.isatty():
        return False
    try:
        return ask(question) == "yes"
    except (EOFError, UnicodeDecodeError):
        return False


def _nothing_done(given: argparse.Namespace, more: dict[str, Any], why: str = "") -> int:
    """`why` it was asked: where nobody was, because there is no terminal, it has not been said yet."""
    from harness.core.terminal import CLEANER

    because = f", because {why}" if why else ""
    if given.json:
        print_json(CLEANER.data({**more, "error": f"nothing was done{because}; --yes does it", "exit_code": int(ExitCode.BAD_USE)}))
    else:
        print(CLEANER.text(f"nothing was done{because}; *yes*, or --yes where nobody can be asked, does it"))
    return int(ExitCode.BAD_USE)


def _mark(given: argparse.Namespace, recorders: Recorders) -> int:
    marked = recorders.mark(given.text)
    return _print_outcome(given, recorders, {"marked": marked}, f"marked on {' and '.join(marked)}" if marked else "")


def _resume(given: argparse.Namespace, recorders: Recorders) -> int:
    done = recorders.resume()
    return _print_outcome(given, recorders, {"hosts": done}, "\n".join(f"{name}: {said}" for name, said in done.items()))


def _status(given: argparse.Namespace, recorders: Recorders) -> int:
    asked = recorders.status()
    found = {name: said for name, said in asked.items() if said is not None}
    lines = [_one(name, said) for name, said in found.items()]
    return _print_outcome(given, recorders, {"hosts": found}, "\n".join([*lines, *_absent(asked)] if found else []))


def _absent(asked: Mapping[str, dict[str, Any] | None]) -> list[str]:
    """The hosts that have none, where others have one."""
    return [f"{name}: no flight recorder is there" for name, said in asked.items() if said is None]


def _one(name: str, said: dict[str, Any]) -> str:
    """A host's recorder in a line."""
    from datetime import UTC, datetime

    from harness.core.text import count

    last, until = said["last"], datetime.fromtimestamp(said["until"], UTC)
    used = f", {last['cpu_s'] / last['up_s']:.2%} of a core" if last.get("up_s") else ""
    state = "records" if said["alive"] else "does not run (`record start` starts it again)"
    if not said["alive"] and said["wall"] >= said["until"]:
        state = "has ended; what it kept lies there for 7 days"
    return (
        f"{name}: {state} until {until:%Y-%m-%d %H:%M} UTC; {count(len(said['incidents']), 'incident')}, {said['bytes'] / 1e6:.1f} MB{used}"
    )


def _fetch(given: argparse.Namespace, recorders: Recorders) -> int:
    from harness.core.text import count
    from harness.recorder.incident_fetch import fetch

    brought = fetch(recorders, Path(given.reports))
    recorders.faults = {str(number): fault for number, fault in enumerate(brought.faults)}
    runs = [str(run) for run in brought.runs]
    more = f"; {count(brought.going_on, 'file')} of an incident that goes on stayed for the next time" if brought.going_on else ""
    still = [
        f"{name}: its recorder does not run; see `record status`" for name, said in brought.hosts.items() if said and not said["alive"]
    ]
    still += _absent(brought.hosts)
    completed = [str(run) for run in brought.completed]
    if brought.lacking and runs:
        still.append(
            f"what {' and '.join(brought.lacking)} kept is lacking in them; `lkharness record fetch` adds it once that can be asked"
        )
    now_whole = [f"{run}: completed, with what a host kept that could not be asked before" for run in completed]
    text = "\n".join([*runs, *now_whole, f"{count(len(runs), 'incident')} brought home{more}", *still])
    return _print_outcome(
        given,
        recorders,
        {"runs": runs, "completed": completed, "going_on": brought.going_on, "lacking": brought.lacking},
        text,
        anything=True,
    )


def _remove(given: argparse.Namespace, recorders: Recorders) -> int:
    from harness.core.text import count

    found = {name: said for name, said in recorders.status().items() if said is not None}
    kept = sum(len(said["incidents"]) for said in found.values())
    unknown = dict(recorders.faults)
    why = f"{count(kept, 'file')} of incidents {'was' if kept == 1 else 'were'} not fetched and would be lost by it"
    if unknown:
        why = f"what was not fetched of {' and '.join(unknown)} is not known ({'; '.join(unknown.values())}), and {why}"
    if (kept or unknown) and not _agreed(given, f"{why}; remove all? yes does it: "):
        return _nothing_done(given, {"unfetched": kept, **({"unknown": unknown} if unknown else {})}, why)
    left = recorders.remove()
    if left:
        recorders.faults = {str(number): fault for number, fault in enumerate(left)}
    text = f"removed from {' and '.join(found)}" if found else "nothing of a flight recorder is on the hosts"
    return _print_outcome(given, recorders, {"removed": list(found)}, text, anything=True)


def _print_outcome(given: argparse.Namespace, recorders: Recorders, data: dict[str, Any], text: str, *, anything: bool = False) -> int:
    """Print what was done; 4 where a host failed, 3 where no recorder is there."""
    from harness.core.terminal import CLEANER

    faults = list(recorders.faults.values())
    nobody = not text and not faults and not anything
    code = ExitCode.UNUSABLE if faults else ExitCode.INCONCLUSIVE if nobody else ExitCode.PASSED
    said = "no flight recorder is on this cluster; `lkharness record --cluster FILE` starts one" if nobody else "; ".join(faults)
    if given.json:
        print_json(CLEANER.data({**data, **({"error": said, "exit_code": int(code)} if said else {})}))
        return int(code)
    if text:
        print(CLEANER.text(text), flush=True)
    if said:
        print(CLEANER.text(f"lkharness: {said}"), file=sys.stderr)
    return int(code)
