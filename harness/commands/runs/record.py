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
    description = (
        "leave the measuring agents on a cluster for weeks, at a low rate; they keep what matters when a path fails or a role changes"
    )
    record = add(commands, "record", _record, description, "lkharness record --cluster customer.toml --days 14; lkharness record fetch")
    lines = "; ".join(f"{verb}: {explanation}" for verb, explanation in DO.items())
    record.add_argument("do", nargs="?", choices=list(DO), metavar="|".join(DO), help=f"of the recorders that are there: {lines}")
    record.add_argument("text", nargs="?", default="", metavar="TEXT", help="what a mark is about")
    record.add_argument("--cluster", metavar="FILE", help="the cluster file (also LKHARNESS_CLUSTER; default: the one lab that is running)")
    record.add_argument("--days", type=float, default=14.0, help=f"end by themselves after so many days (default 14, at most {MAX_DAYS:g})")
    record.add_argument("--reports", metavar="DIR", default="reports", help="where fetched runs go (default: reports, here)")
    record.add_argument("--yes", action="store_true", help="start, or remove, without asking")
    trust.add_option(record)


@contextmanager
def _connected_recorders(arguments: argparse.Namespace) -> Iterator[Recorders]:
    """The recorders of the cluster, with every host reached that answers."""
    from harness.cluster.cluster_under_test import ClusterUnderTest
    from harness.collect.known_secrets import known_secrets
    from harness.config import cluster_config
    from harness.core.terminal import CLEANER
    from harness.core.timeline import Timeline
    from harness.recorder.cluster_recorders import Recorders

    cluster = cluster_config.load(cluster_file(arguments.cluster), trusted=arguments.trust_cluster_file)
    secrets, _ = known_secrets(cluster, {"services": [{"settings": s.settings} for s in cluster.services]})
    CLEANER.knows(secrets)
    subject = ClusterUnderTest(cluster, Timeline())
    subject.cleaner.knows(secrets)
    try:
        yield Recorders(subject)
    finally:
        subject.close()


def _record(arguments: argparse.Namespace) -> int:
    if arguments.text and arguments.do != "mark":
        raise BadUse(f"`{arguments.text}` is about nothing; only `record mark` takes a text")
    if not 0 < arguments.days <= MAX_DAYS:
        raise BadUse(f"--days {arguments.days:g}: more than 0 and at most {MAX_DAYS:g}")
    work = {None: _start, "mark": _mark, "fetch": _fetch, "status": _status, "start": _resume, "remove": _remove}
    with _connected_recorders(arguments) as recorders:
        return work[arguments.do](arguments, recorders)


def _start(arguments: argparse.Namespace, recorders: Recorders) -> int:
    from harness.core.terminal import CLEANER
    from harness.recorder.recorder_load import statement
    from harness.remote.agents.recorder_link import RecorderOptions

    recorders.subject.reach()
    hosts_with_one = [name for name, host_status in recorders.status().items() if host_status is not None]
    if hosts_with_one:
        raise BadUse(
            f"{' and '.join(hosts_with_one)}: a flight recorder of this cluster is there already; see `record status`, or `record remove`"
        )
    plans, reasons = recorders.able()
    text = statement(plans, arguments.days, RecorderOptions(), reasons)
    if not arguments.json:
        print(text, flush=True)
    if not _confirm(arguments, "start it? yes does it, anything else leaves everything as it is: "):
        return _print_nothing_done(arguments, {"load": text})
    notes = recorders.start(plans, arguments.days)
    if arguments.json:
        print_json(CLEANER.data({"started": list(plans), "load": text, "notes": notes}))
    else:
        print(
            *map(CLEANER.text, notes), f"recording on {' and '.join(plans)}; `lkharness record fetch` brings home what was kept", sep="\n"
        )
    return int(ExitCode.PASSED)


def _confirm(arguments: argparse.Namespace, question: str) -> bool:
    """Only *yes* is a go; without a terminal nobody can say so."""
    from harness.commands.prompt import ask

    if arguments.yes:
        return True
    if arguments.json or sys.stdin is None or not sys.stdin.isatty():
        return False
    try:
        return ask(question) == "yes"
    except (EOFError, UnicodeDecodeError):
        return False


def _print_nothing_done(arguments: argparse.Namespace, details: dict[str, Any], why: str = "") -> int:
    """`why` it was asked: where nobody was, because there is no terminal, it has not been said yet."""
    from harness.core.terminal import CLEANER

    because = f", because {why}" if why else ""
    if arguments.json:
        print_json(CLEANER.data({**details, "error": f"nothing was done{because}; --yes does it", "exit_code": int(ExitCode.BAD_USE)}))
    else:
        print(CLEANER.text(f"nothing was done{because}; *yes*, or --yes where nobody can be asked, does it"))
    return int(ExitCode.BAD_USE)


def _mark(arguments: argparse.Namespace, recorders: Recorders) -> int:
    hosts = recorders.mark(arguments.text)
    return _print_outcome(arguments, recorders, {"marked": hosts}, f"marked on {' and '.join(hosts)}" if hosts else "")


def _resume(arguments: argparse.Namespace, recorders: Recorders) -> int:
    outcomes = recorders.resume()
    return _print_outcome(arguments, recorders, {"hosts": outcomes}, "\n".join(f"{name}: {outcome}" for name, outcome in outcomes.items()))


def _status(arguments: argparse.Namespace, recorders: Recorders) -> int:
    status_by_host = recorders.status()
    present = {name: host_status for name, host_status in status_by_host.items() if host_status is not None}
    lines = [_status_line(name, host_status) for name, host_status in present.items()]
    return _print_outcome(arguments, recorders, {"hosts": present}, "\n".join([*lines, *_absence_lines(status_by_host)] if present else []))


def _absence_lines(status_by_host: Mapping[str, dict[str, Any] | None]) -> list[str]:
    """The hosts that have none, where others have one."""
    return [f"{name}: no flight recorder is there" for name, host_status in status_by_host.items() if host_status is None]


def _status_line(name: str, status: dict[str, Any]) -> str:
    """A host's recorder in a line."""
    from datetime import UTC, datetime

    from harness.core.text.wording import count

    last_sample, until = status["last"], datetime.fromtimestamp(status["until"], UTC)
    load = f", {last_sample['cpu_s'] / last_sample['up_s']:.2%} of a core" if last_sample.get("up_s") else ""
    state = "records" if status["alive"] else "does not run (`record start` starts it again)"
    if not status["alive"] and status["wall"] >= status["until"]:
        state = "has ended; what it kept lies there for 7 days"
    if status.get("over"):
        state = (
            "has ended, and its host was restarted, so that nothing has removed it; `record fetch` brings home what it kept and removes it;"
        )
    incidents, megabytes = count(len(status["incidents"]), "incident"), status["bytes"] / 1e6
    return f"{name}: {state} until {until:%Y-%m-%d %H:%M} UTC; {incidents}, {megabytes:.1f} MB{load}"


def _fetch(arguments: argparse.Namespace, recorders: Recorders) -> int:
    from harness.core.text.wording import count
    from harness.recorder.incident_fetch import fetch

    fetched = fetch(recorders, Path(arguments.reports))
    recorders.faults = {str(number): fault for number, fault in enumerate(fetched.faults)}
    runs = [str(run) for run in fetched.runs]
    unfinished = f"; {count(fetched.going_on, 'file')} of an incident that goes on stayed for the next time" if fetched.going_on else ""
    still = [
        f"{name}: its recorder does not run; see `record status`"
        for name, host_status in fetched.hosts.items()
        if host_status and not host_status["alive"]
    ]
    still += _absence_lines(fetched.hosts)
    completed = [str(run) for run in fetched.completed]
    if fetched.lacking and runs:
        still.append(
            f"what {' and '.join(fetched.lacking)} kept is lacking in them; `lkharness record fetch` adds it once that can be asked"
        )
    now_whole = [f"{run}: completed, with what a host kept that could not be asked before" for run in completed]
    text = "\n".join([*runs, *now_whole, f"{count(len(runs), 'incident')} brought home{unfinished}", *still])
    return _print_outcome(
        arguments,
        recorders,
        {"runs": runs, "completed": completed, "going_on": fetched.going_on, "lacking": fetched.lacking},
        text,
        anything=True,
    )


def _remove(arguments: argparse.Namespace, recorders: Recorders) -> int:
    from harness.core.text.wording import count

    present = {name: host_status for name, host_status in recorders.status().items() if host_status is not None}
    unfetched_count = sum(len(host_status["incidents"]) for host_status in present.values())
    unknown = dict(recorders.faults)
    why = f"{count(unfetched_count, 'file')} of incidents {'was' if unfetched_count == 1 else 'were'} not fetched and would be lost by it"
    if unknown:
        why = f"what was not fetched of {' and '.join(unknown)} is not known ({'; '.join(unknown.values())}), and {why}"
    if (unfetched_count or unknown) and not _confirm(arguments, f"{why}; remove all? yes does it: "):
        return _print_nothing_done(arguments, {"unfetched": unfetched_count, **({"unknown": unknown} if unknown else {})}, why)
    faults = recorders.remove()
    if faults:
        recorders.faults = {str(number): fault for number, fault in enumerate(faults)}
    text = f"removed from {' and '.join(present)}" if present else "nothing of a flight recorder is on the hosts"
    return _print_outcome(arguments, recorders, {"removed": list(present)}, text, anything=True)


def _print_outcome(arguments: argparse.Namespace, recorders: Recorders, data: dict[str, Any], text: str, *, anything: bool = False) -> int:
    """Print what was done; 4 where a host failed, 3 where no recorder is there."""
    from harness.core.terminal import CLEANER

    faults = list(recorders.faults.values())
    nobody = not text and not faults and not anything
    code = ExitCode.UNUSABLE if faults else ExitCode.INCONCLUSIVE if nobody else ExitCode.PASSED
    complaint = "no flight recorder is on this cluster; `lkharness record --cluster FILE` starts one" if nobody else "; ".join(faults)
    if arguments.json:
        print_json(CLEANER.data({**data, **({"error": complaint, "exit_code": int(code)} if complaint else {})}))
        return int(code)
    if text:
        print(CLEANER.text(text), flush=True)
    if complaint:
        print(CLEANER.text(f"lkharness: {complaint}"), file=sys.stderr)
    return int(code)
