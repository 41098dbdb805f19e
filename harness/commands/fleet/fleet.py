"""`lkharness fleet`: run on many clusters, list them for a CI matrix, merge what came back."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands.shared_options import add, print_json

if TYPE_CHECKING:
    from datetime import datetime

    from harness.commands.fleet.admission import Admission
    from harness.commands.fleet.fleet_clusters import Member
    from harness.commands.fleet.fleet_outcome import Outcome
    from harness.commands.fleet.process_pool import Job, ProcessEnd

ABOUT = "run one command on many clusters, each in its own process; one page and one exit code"
EXAMPLE = "lkharness fleet clusters/*.toml --at-once 4 -- failover --allow-disruption --disruption switchover"
ORDER = "exit code of the fleet, the worst in this order: 1 failed, 2 bad use, 4 not reachable, 3 could not be judged, 0 all passed"
PROGRAM = (sys.executable, "-m", "harness.cli")
REPORTS = "reports/fleet"
PAGE = "fleet.html"
LOG = "output.log"
VERBS = ("run", "matrix", "merge")


def divided(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments before `--`, and those behind it, which are another command's; `fleet FILE` is written out as `fleet run FILE`."""
    fleet_words = list(arguments)
    if fleet_words[:1] != ["fleet"]:
        return fleet_words, []
    place = fleet_words.index("--") if "--" in fleet_words else len(fleet_words)
    fleet_words, command = fleet_words[:place], fleet_words[place + 1 :]
    if len(fleet_words) > 1 and fleet_words[1] not in (*VERBS, "-h", "--help"):
        fleet_words.insert(1, "run")
    return fleet_words, command


def add_to(commands) -> None:
    """Adds the command to the parser."""
    fleet = commands.add_parser(
        "fleet",
        help=ABOUT,
        description=f"{ABOUT[0].upper()}{ABOUT[1:]}. `lkharness fleet FILE...` is `lkharness fleet run FILE...`.",
        epilog=f"example: {EXAMPLE}\n{ORDER}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = fleet.add_subparsers(title="verbs", metavar="VERB", required=True)
    about = "run acceptance, failover or check on every cluster; Ctrl-C ends all of them in order, and waits until they have undone"
    run = add(verbs, "run", _run, about, EXAMPLE.replace("fleet", "fleet run", 1))
    run.usage = "lkharness fleet [run] FILE... [--at-once N] [--reports DIR] [--json] -- COMMAND..."
    run.epilog = f"{run.epilog}. {ORDER[0].upper()}{ORDER[1:]}"
    _clusters(run)
    run.add_argument(
        "--at-once",
        type=int,
        metavar="N",
        help="clusters at the same time (default: one for each of this machine's cores); labs begin as it has processor time",
    )
    run.add_argument("--reports", metavar="DIR", default=REPORTS, help=f"holds one folder of runs for each cluster (default: {REPORTS})")
    matrix = add(
        verbs, "matrix", _matrix, "list the clusters for a CI matrix or an Indexed Job", "lkharness fleet matrix clusters/*.toml --json"
    )
    _clusters(matrix)
    merge = add(
        verbs,
        "merge",
        _merge,
        "make one page and one exit code of the runs that came back, and name what did not",
        "lkharness fleet merge reports/*/ --expected matrix.json",
    )
    merge.add_argument("runs", metavar="RUN", nargs="+", help="a run's folder, or a folder that holds runs: its newest one")
    merge.add_argument("--expected", metavar="FILE", help="what `lkharness fleet matrix --json` printed: what must have come back")
    merge.add_argument(
        "--within",
        metavar="TIME",
        help="a run that began longer ago is of another night: 90m, 12h (default: one from before FILE was made)",
    )
    merge.add_argument("--reports", metavar="DIR", default=REPORTS, help=f"where {PAGE} goes (default: {REPORTS})")


def _clusters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clusters", metavar="FILE", nargs="+", help="cluster files")


def _members(files: Sequence[str]) -> list[Member]:
    """Raises BadUse for what is no file, or plainly another one, such as the gate.toml that lies beside cluster files."""
    from harness.commands.fleet.fleet_clusters import is_something_else, members_of
    from harness.core.errors import BadUse
    from harness.core.files import file_exists

    members = members_of(files)
    missing = next((member.cluster for member in members if not file_exists(member.cluster)), None)
    if missing is not None:
        raise BadUse(f"{missing}: is no file; name cluster files, such as clusters/*.toml")
    other = next((member.cluster for member in members if is_something_else(Path(member.cluster))), None)
    if other is not None:
        raise BadUse(
            f"{other}: is no cluster file, because it has no [[nodes]]; name cluster files only, which a folder of their own makes easy"
        )
    return members


def _matrix(arguments: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from harness.commands.fleet.fleet_clusters import matrix

    members = _members(arguments.clusters)
    if arguments.json:
        print_json(matrix(members, datetime.now(UTC).isoformat(timespec="seconds")))
    else:
        print("\n".join(f"{member.index} {member.name} {member.cluster}" for member in members))
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from harness.commands.fleet.admission import Admission
    from harness.commands.fleet.fleet_clusters import is_here, leaves_run, words_for
    from harness.commands.fleet.local_cpu_load import LoadReader
    from harness.commands.fleet.process_pool import Job
    from harness.core.errors import BadUse, Unusable
    from harness.core.files import expand_user

    reports = expand_user(arguments.reports)
    at_once = (os.cpu_count() or 1) if arguments.at_once is None else arguments.at_once
    if at_once < 1:
        raise BadUse(f"--at-once {at_once}: at least one cluster is run at a time")
    members = _members(arguments.clusters)
    words = [words_for(member, arguments.behind, reports) for member in members]
    try:
        for member in members:
            (reports / member.name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unusable(f"{reports}: no folder can be made there ({error.strerror or error}); name another with --reports") from error
    jobs = [Job(m.name, (*PROGRAM, *w), reports / m.name / LOG) for m, w in zip(members, words, strict=True)]
    tell = _Teller(arguments.json)
    here = [
        m.index for m in members if leaves_run(arguments.behind) and is_here(Path(m.cluster))
    ]  # only what measures asks for a quiet machine
    admission = Admission([m.name for m in members], here, LoadReader(), tell, processors=os.cpu_count() or 1)
    outcomes = _run_all(members, jobs, at_once, arguments.behind, admission, tell)
    return _finish(outcomes, reports, arguments.behind, as_json=arguments.json, notes=admission.notes())


def _run_all(
    members: Sequence[Member], jobs: Sequence[Job], at_once: int, command: Sequence[str], admission: Admission, tell: _Teller
) -> list[Outcome]:
    from harness.commands.fleet.child_process import ForkServer, start_interpreter
    from harness.commands.fleet.fleet_clusters import leaves_run
    from harness.commands.fleet.fleet_outcome import WORDS, Outcome, of_process
    from harness.commands.fleet.fleet_runs import folders_in, last_words, new_runs
    from harness.commands.fleet.process_pool import Pool
    from harness.core.errors import ExitCode
    from harness.core.redaction.output_redaction import Cleaner
    from harness.core.redaction.secrets_in_commands import secret_words
    from harness.core.text.wording import seconds

    cleaner = Cleaner(secret_words(["lkharness", *command]))
    before = [folders_in(job.log.parent) for job in jobs]
    outcomes: dict[int, Outcome] = {}

    def note_begin(index: int) -> None:
        tell(f"{members[index].name}: began")

    def note_end(index: int, end: ProcessEnd) -> None:
        member, log = members[index], jobs[index].log
        if end.returned is None:
            outcomes[index] = Outcome(member.name, member.cluster, ExitCode.INCONCLUSIVE, end.fault)
        else:
            runs, output_end = new_runs(log.parent, before[index]), last_words(log, cleaner)
            code, reason, run = of_process(end.returned, runs, output_end, leaves_run=leaves_run(command))
            outcomes[index] = Outcome(member.name, member.cluster, code, reason, run.folder if run else None, end.seconds, log)
        outcome = outcomes[index]
        tell(f"{outcome.name}: {WORDS[outcome.code]} ({seconds(end.seconds)}): {outcome.reason}")

    def note_interrupt(running: list[int]) -> None:
        names = ", ".join(members[index].name for index in running)
        tell(f"interrupted: waiting until these have undone what they did, within limits of their own: {names or 'none'}")

    with ForkServer() as server:
        start = server.start if len(jobs) > 1 else start_interpreter
        Pool(at_once, on_begin=note_begin, on_end=note_end, on_interrupt=note_interrupt, admits=admission, start=start).run(jobs)
    return [outcomes[index] for index in range(len(members))]


class _Teller:
    """Prints lines as things happen. A reader that is gone must not end the fleet, whose children would then be nobody's."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, line: str) -> None:
        from harness.core.text.host_text import one_line

        if self._quiet:
            return
        try:
            print(one_line(line), flush=True)
        except OSError:
            self._quiet = True


def _merge(arguments: argparse.Namespace) -> int:
    from datetime import UTC, datetime, timedelta

    from harness.commands.fleet.fleet_runs import came_back
    from harness.core.files import expand_user
    from harness.core.time_span import parse_time_span

    expected, planned = _expected(arguments.expected) if arguments.expected else ([], None)
    if arguments.within:
        planned = datetime.now(UTC) - timedelta(seconds=parse_time_span("--within", arguments.within))
    return _finish(
        came_back(arguments.runs, expected, planned),
        expand_user(arguments.reports),
        ["merged"],
        as_json=arguments.json,
        tell=not arguments.json,
    )


def _expected(file: str) -> tuple[list[Member], datetime | None]:
    import json

    from harness.commands.fleet.fleet_clusters import members_in, planned_in
    from harness.core.errors import BadUse

    try:
        data = json.loads(Path(file).read_text(encoding="utf-8"))
        return members_in(data), planned_in(data)
    except OSError as error:
        raise BadUse(f"{file}: cannot be read ({error.strerror or error}); name what `lkharness fleet matrix --json` printed") from error
    except (ValueError, RecursionError, BadUse):
        raise BadUse(f"{file}: is not what `lkharness fleet matrix --json` prints; make it again") from None


def _finish(
    outcomes: Sequence[Outcome], reports: Path, words: Sequence[str], *, as_json: bool, tell: bool = False, notes: Sequence[str] = ()
) -> int:
    """Write the page, whose title is these words, say what came of it, and return the exit code. `notes` stand on the page. Raises
    Unusable."""
    from harness.commands.fleet.fleet_outcome import WORDS, fleet_code, sorted_worst_first, summary
    from harness.commands.fleet.fleet_page import html
    from harness.commands.fleet.fleet_summary import FILE, fleet_annotations, markdown
    from harness.core.errors import Unusable
    from harness.core.files import write_atomically
    from harness.core.redaction.output_redaction import Cleaner
    from harness.core.redaction.secrets_in_commands import secret_words
    from harness.core.terminal import print_commands
    from harness.core.text.host_text import one_line
    from harness.report.ci_job_summary import SERVICE_SUMMARY, append_to_job

    cleaner = Cleaner(secret_words(["lkharness", *words]))
    title = cleaner.text(" ".join(words))  # a secret may have blanks
    in_markdown = cleaner.text(markdown(outcomes, notes))
    try:
        reports.mkdir(parents=True, exist_ok=True)
        write_atomically(reports / FILE, in_markdown)
        page = write_atomically(reports / PAGE, html(outcomes, title=title, page_folder=reports, notes=notes))
    except OSError as error:
        raise Unusable(f"{reports}: {PAGE} cannot be written there ({error.strerror or error}); free space or change its rights") from error
    fault = append_to_job(in_markdown)
    faults = [f"the summary in {SERVICE_SUMMARY} was not written: {fault}"] if fault else []
    code = fleet_code(outcomes)
    if as_json:
        print_json(
            {"page": str(page), "exit_code": int(code), "notes": [*notes, *faults], "clusters": [_as_data(outcome) for outcome in outcomes]}
        )
        return int(code)
    if tell:
        print("\n".join(one_line(f"{outcome.name}: {WORDS[outcome.code]}: {outcome.reason}") for outcome in sorted_worst_first(outcomes)))
    print_commands(fleet_annotations(outcomes, os.environ, cleaner.text))
    print("\n".join([*map(one_line, faults), summary(outcomes)]))
    print(f"page: {page}")
    return int(code)


def _as_data(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "cluster": outcome.cluster,
        "exit_code": int(outcome.code),
        "reason": outcome.reason,
        "run": str(outcome.run) if outcome.run else None,
        "seconds": outcome.seconds,
    }
