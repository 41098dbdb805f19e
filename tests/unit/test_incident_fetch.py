"""`record fetch` while a host is down: what the others kept comes home and says what it lacks, and a later fetch completes the same run."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.redaction.output_redaction import Cleaner
from harness.hosts.host import HostUnreachable, NotReadable
from harness.lab.lifecycle import default_cluster
from harness.recorder import incident_sources
from harness.recorder.cluster_recorders import Recorders
from harness.recorder.incident_fetch import FetchResult, fetch
from harness.recorder.incident_run import EVIDENCE
from harness.recorder.incident_sources import Sources
from harness.remote.recording.recording import Clock
from harness.report.run_reader import load_record

CLUSTER = cluster_config.parse(default_cluster.cluster_data(None, {}), Path("the lab's default cluster"))
CLIENT, (ONE, TWO) = CLUSTER.client.name, [node.name for node in CLUSTER.nodes]
SERVICE, VIP = CLUSTER.services[0].name, str(CLUSTER.vip)
FAILED = 1_790_000_000.0  # when the path failed, by every host's clock
NAME = "incident-1790000000000"
DOWN = "lknode01 (10.20.1.11) was not reached"


def lines(host: str, why: str, *rows: str) -> str:
    """A file of a host; times in its rows are microseconds from FAILED - 40 s on."""
    head = {"t0": 60.0, "mono": 100.0, "wall": FAILED, "series": [f"{host}/{SERVICE}/new"], "why": why}
    return "\n".join([f"a {json.dumps(head)}", *rows])


def attempts(out_s: float) -> list[str]:
    """Half a minute of answers, silence for so long, and 10 s of answers."""
    moments = [n / 10 for n in range(-300, 0)] + [n / 100 for n in range(1000)]
    ticks = [f"n {round((40 + at) * 1e6)} 10 0 200 0.0 0.1" for at in range(-29, 11)]
    return [f"s 0 {round((40 + at) * 1e6)} 2000 {'s' if 0 <= at < out_s else 'a'} {40000 + n} " for n, at in enumerate(moments)] + ticks


def role(at: float, kind: str, **data: Any) -> str:
    return f"v {json.dumps({'at': round((40 + at) * 1e6), 'kind': kind, 'text': '', 'data': {'address': VIP, **data}})}"


@dataclass
class Link:
    """A host's recorder: what lies there, and what keeps it from being asked."""

    name: str
    files: dict[str, str]
    journal: str
    fails: Exception | None = None
    unreadable: set[str] = field(default_factory=set)
    unfinished: set[str] = field(default_factory=set)

    def _reached(self) -> None:
        if self.fails is not None:
            raise self.fails

    def status(self) -> dict[str, Any]:
        self._reached()
        ended = {name: None if name in self.unfinished else FAILED + 20 for name in self.files}
        incidents = [{"name": name, "begun": FAILED, "ended": end, "bytes": 1} for name, end in ended.items()]
        return {"folder": "/var/lib/x", "alive": True, "incidents": incidents}

    def fetch(self, name: str) -> str:
        self._reached()
        if name in self.unreadable:
            raise NotReadable(f"{self.name}: {name} of its flight recorder did not come whole")
        return self.journal if name == "journal" else self.files[name]

    def forget(self, names: list[str]) -> None:
        for name in names:
            del self.files[name]

    def clock(self, folder: str, deadline: Deadline) -> Clock:
        self._reached()
        return Clock(self.name, 0.0, 0.0, 0.001, time.monotonic() - time.time())


def recorders() -> tuple[Recorders, dict[str, Link]]:
    """A cluster whose VIP went from ONE to TWO, with a client that saw it out for 1.5 s; of an unplanned failover all hosts have a file."""
    links = {
        CLIENT: Link(CLIENT, {NAME: lines(CLIENT, "failed", *attempts(1.5))}, lines(CLIENT, "it began")),
        ONE: Link(ONE, {NAME: lines(ONE, "vip-down", role(0.1, "vip-down"))}, lines(ONE, "it began", role(-39, "vip-up", initial=True))),
        TWO: Link(TWO, {NAME: lines(TWO, "vip-up", role(1.0, "vip-up"))}, lines(TWO, "it began", role(-39, "vip-down", initial=True))),
    }
    made = object.__new__(Recorders)
    made.subject = SimpleNamespace(  # type: ignore[assignment]
        cluster=CLUSTER,
        hosts=dict.fromkeys(links),
        manager=SimpleNamespace(notices=lambda text: False),
        cleaner=Cleaner(),
        together=lambda *works: [work() for work in works],
        capabilities=lambda name: SimpleNamespace(full=True),
    )
    made.name, made.links, made.faults = "x", links, {}  # type: ignore[assignment]
    return made, links


def outcome(folder: Path) -> tuple[str, str]:
    run = load_record(folder)
    return run.verdict.outcome.value, run.verdict.reason


def lacking(folder: Path) -> list[str]:
    return [note.host for note in load_record(folder).host_notes if "could not be asked" in note.text]


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Link], FetchResult]:
    """What was fetched while ONE was down, the folder and what lies at the hosts then: once for all tests, which have copies."""
    folder = tmp_path_factory.mktemp("fetched")
    found, links = recorders()
    links[ONE].fails = HostUnreachable(DOWN)
    return folder, links, fetch(found, folder)


@pytest.fixture
def down(fetched: tuple[Path, dict[str, Link], FetchResult], tmp_path: Path) -> tuple[Recorders, dict[str, Link], FetchResult]:
    """What was fetched while ONE was down."""
    folder, then, brought = fetched
    found, links = recorders()
    for host, link in links.items():
        link.files = dict(then[host].files)
        link.fails = then[host].fails
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return found, links, replace(brought, runs=[tmp_path / run.relative_to(folder) for run in brought.runs])


def test_while_a_node_is_down_it_is_named_and_the_others_incident_comes_home(down) -> None:
    _, links, brought = down
    (run,) = brought.runs
    assert brought.faults == [DOWN] and brought.lacking == [ONE] and lacking(run) == [ONE]
    assert outcome(run)[0] == "inconclusive" and not links[CLIENT].files and not links[TWO].files and links[ONE].files


def test_a_later_fetch_completes_the_same_run_once_and_for_all(down, tmp_path: Path) -> None:
    found, links, brought = down
    (run,) = brought.runs
    again = fetch(found, tmp_path)
    assert (again.runs, again.completed) == ([], []), "it is still down"
    links[ONE].fails = None
    later = fetch(found, tmp_path)
    assert (later.runs, later.completed, later.faults, later.lacking) == ([], [run], [], [])
    assert outcome(run)[0] == "pass" and not lacking(run) and not links[ONE].files
    record = load_record(run)
    measured = record.measurements[0].measured
    assert (measured.before, measured.after) == (ONE, TWO) and record.cluster is not None and record.cluster.active_at_start == ONE
    assert {Path(one.path).name for one in record.evidence} == {path.name for path in (run / EVIDENCE).iterdir()} == {"recording.jsonl"}
    assert measured.before in (run / "report.html").read_text()
    assert fetch(found, tmp_path).completed == []


def test_a_secret_in_what_the_hosts_kept_is_in_no_file_of_the_run(tmp_path: Path) -> None:
    """Neither in the manager's log, where a private key has many lines, nor anywhere else that a recorder's line has words; and neither
    when the run is completed, host by host."""
    found, links = recorders()
    secret, key = "kept-7Qz&4%x", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ"
    found.subject.cleaner.knows([secret])
    words = (f"opened by {secret}", "-----BEGIN OPENSSH PRIVATE KEY-----", key, "-----END OPENSSH PRIVATE KEY-----")
    logged = [role(0.2 + n / 100, "log").replace('"text": ""', f'"text": "{text}"') for n, text in enumerate(words)]
    told = "\n".join([*logged, role(0.3, "role", state=f"failed: {secret}")])
    for link in links.values():
        link.files[NAME], link.journal = f"{link.files[NAME]}\n{told}", f"{link.journal}\n{told}"
    links[ONE].fails = links[TWO].fails = HostUnreachable(DOWN)
    for back in (TWO, ONE, None):
        (run,) = [*(brought := fetch(found, tmp_path)).runs, *brought.completed]
        files = {path: path.read_text() for path in run.rglob("*") if path.is_file()}
        assert any("opened by [removed]" in text for text in files.values()), "the log was not kept at all"
        assert [path.name for path, text in files.items() if secret in text or key in text] == []
        if back:
            links[back].fails = None


def test_the_history_has_it_on_the_night_it_happened(down, tmp_path: Path) -> None:
    from harness.history.store import FILE, Store

    found, links, brought = down
    (run,) = brought.runs
    for _ in ("as it was brought home", "completed"):
        with Store(tmp_path / FILE) as store:
            (kept,) = store.runs()
        started = load_record(run).started
        assert kept.started == started.epoch and abs(kept.started - FAILED) < 1.0 and kept.iso == started.iso
        assert load_record(run).seconds < 600, "what the run itself took is not the time since the incident"
        links[ONE].fails = None
        fetch(found, tmp_path)


def test_what_the_history_knows_of_it_is_the_completed_run(down, tmp_path: Path) -> None:
    from harness.history.run_entry import stamp_of
    from harness.history.store import FILE, Store

    found, links, brought = down
    links[ONE].fails = None
    fetch(found, tmp_path)
    with Store(tmp_path / FILE) as store:
        assert store.stamps() == {brought.runs[0].name: stamp_of(brought.runs[0])}


def test_the_figures_are_those_of_a_fetch_that_lacked_nothing(down, tmp_path: Path) -> None:
    found, links, brought = down
    links[ONE].fails = None
    fetch(found, tmp_path)
    whole, _ = recorders()
    (other,) = fetch(whole, tmp_path / "whole").runs
    figures = [
        [(one.id, round(one.recovered_after_s or 0.0, 3), one.verdict.reason) for one in load_record(run).measurements[0].measured.series]
        for run in (brought.runs[0], other)
    ]
    assert figures[0] and figures[0] == figures[1] and outcome(brought.runs[0]) == outcome(other)
    cluster = load_record(other).cluster
    assert cluster is not None and cluster.active_at_start == ONE


def test_a_pass_is_not_said_of_an_incident_whose_client_could_not_be_asked(tmp_path: Path) -> None:
    found, links = recorders()
    links[CLIENT].fails = HostUnreachable("the client was not reached")
    (run,) = fetch(found, tmp_path).runs
    assert outcome(run)[0] == "inconclusive" and f"what {CLIENT} kept of it is not known" in outcome(run)[1]
    from harness.report import reevaluation

    assert reevaluation.exit_code(reevaluation.rejudge(run, load_record(run), reevaluation.Budgets(None, {}))) == 3, (
        "nor when it is judged again"
    )
    links[CLIENT].fails = None
    assert fetch(found, tmp_path).completed == [run] and outcome(run)[0] == "pass"


def test_a_failure_stands_whoever_is_lacking_and_is_one_when_all_is_known(tmp_path: Path) -> None:
    found, links = recorders()
    for host in (ONE, TWO):  # nothing moved, and only the client noticed
        links[host].files.clear()
    links[TWO].fails = HostUnreachable("lknode02 was not reached")
    (run,) = fetch(found, tmp_path).runs
    assert outcome(run)[0] == "fail" and lacking(run) == [TWO]
    links[TWO].fails = None
    assert fetch(found, tmp_path).completed == [run] and outcome(run)[0] == "fail" and not lacking(run)


def test_one_file_that_did_not_come_whole_comes_later(tmp_path: Path) -> None:
    found, links = recorders()
    links[ONE].unreadable.add(NAME)
    brought = fetch(found, tmp_path)
    assert brought.lacking == [ONE] and outcome(brought.runs[0])[0] == "inconclusive" and NAME in links[ONE].files
    links[ONE].unreadable.clear()
    assert fetch(found, tmp_path).completed == brought.runs and outcome(brought.runs[0])[0] == "pass" and not links[ONE].files


def test_a_file_that_is_still_written_keeps_the_run_incomplete(down, tmp_path: Path) -> None:
    found, links, brought = down
    links[ONE].fails = None
    links[ONE].unfinished.add(NAME)
    waits = fetch(found, tmp_path)
    assert (waits.runs, waits.completed, waits.going_on) == ([], [], 1) and lacking(brought.runs[0]) == [ONE]
    links[ONE].unfinished.clear()
    assert fetch(found, tmp_path).completed == brought.runs


def test_another_incident_of_the_node_that_was_down_is_a_run_of_its_own(down, tmp_path: Path) -> None:
    found, links, brought = down
    links[ONE].fails = None
    other = lines(ONE, "mark x", role(5000, "mark")).replace(str(FAILED), str(FAILED + 5000))
    links[ONE].files["incident-1790005000000"] = other
    later = fetch(found, tmp_path)
    assert later.completed == brought.runs and len(later.runs) == 1 and later.runs != brought.runs and not links[ONE].files


def test_two_hosts_that_come_back_one_after_the_other_complete_it_step_by_step(tmp_path: Path) -> None:
    found, links = recorders()
    for host in (ONE, TWO):
        links[host].fails = HostUnreachable(f"{host} was not reached")
    (run,) = fetch(found, tmp_path).runs
    assert lacking(run) == [ONE, TWO]
    links[TWO].fails = None
    assert fetch(found, tmp_path).completed == [run] and lacking(run) == [ONE]
    links[ONE].fails = None
    assert fetch(found, tmp_path).completed == [run] and not lacking(run) and outcome(run)[0] == "pass"


@pytest.mark.parametrize(
    "breaks",
    [
        lambda path: path.write_text("{"),
        lambda path: path.write_text('{"wall_minus_mono": 1, "lacking": []}\n'),
        lambda path: path.write_text('{"wall_minus_mono": 1, "lacking": {"lknode01": "x"}}\n{"file": {"host": 1}}\n'),
        lambda path: (path.parent / "run.json").exists() or (path.parent.parent.parent / "run.json").write_text("{"),
    ],
)
def test_what_was_damaged_at_home_is_told_and_keeps_nothing_else_from_home(down, tmp_path: Path, breaks: Callable[[Path], Any]) -> None:
    found, links, brought = down
    breaks(brought.runs[0] / EVIDENCE / incident_sources.FILE)
    links[ONE].fails = None
    later = fetch(found, tmp_path)
    assert len(later.faults) == 1 and str(brought.runs[0]) in later.faults[0] and "\n" not in later.faults[0]
    assert later.completed == [] and len(later.runs) == 1 and not links[ONE].files


def test_runs_of_another_cluster_and_folders_that_are_none_are_left_alone(down, tmp_path: Path) -> None:
    found, links, brought = down
    run = brought.runs[0] / "run.json"
    run.write_text(run.read_text().replace(f'"{VIP}"', '"10.99.0.1"'))
    links[ONE].fails = None
    later = fetch(found, tmp_path)
    assert later.completed == [] and len(later.runs) == 1 and lacking(brought.runs[0]) == [ONE]


def test_a_completion_that_was_killed_can_be_done_again(down, tmp_path: Path, monkeypatch) -> None:
    from harness.recorder import incident_run

    found, links, brought = down
    links[ONE].fails = None

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(incident_run, "store_record", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch(found, tmp_path)
    assert links[ONE].files and load_record(brought.runs[0]).verdict.outcome.value == "inconclusive"
    assert fetch(found, tmp_path).completed == brought.runs and outcome(brought.runs[0])[0] == "pass"


def test_a_harness_that_was_started_anew_keeps_the_clocks_that_were_measured_before(tmp_path: Path) -> None:
    """Its monotonic clock begins anew with its machine; what relates to the wall clock does not change."""
    first = Sources((), {CLIENT: Clock(CLIENT, 0, 0, 0.001, 100.25 - FAILED)}, {CLIENT: []}, FAILED - 100.0, {ONE: DOWN})
    later = Sources((), {ONE: Clock(ONE, 0, 0, 0.001, 5.5 - FAILED), CLIENT: Clock(CLIENT, 0, 0, 1.0, 0.0)}, {ONE: []}, FAILED - 5.0)
    whole = first.with_others(later, [])
    assert whole.offset_s(CLIENT) == pytest.approx(first.offset_s(CLIENT)) == pytest.approx(0.25) and whole.clocks[CLIENT].error_s == 0.001
    assert whole.offset_s(ONE) == pytest.approx(later.offset_s(ONE)) == pytest.approx(0.5) and not whole.lacking
