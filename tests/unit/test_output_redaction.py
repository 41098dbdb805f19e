"""Words leave a run by one door: no secret passes it, in whatever hosts say, and nothing that a terminal would obey."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import cli
from harness.commands.shared_options import print_error
from harness.config import cluster_config, service_settings
from harness.core.errors import Unusable
from harness.core.redaction import output_redaction, read_secrets
from harness.core.redaction.output_redaction import Cleaner
from harness.core.redaction.redactor import REMOVED
from harness.core.terminal import guarded
from harness.core.text.host_text import visible
from harness.core.verdict import failed, inconclusive
from harness.hosts.host import CommandFailed, CommandResult
from harness.hosts.shell_command import CommandTookTooLong
from harness.lab.lifecycle import default_cluster
from harness.pytest_plugin.live_view import LiveView
from harness.pytest_plugin.measurement_plan import MeasurementOptions, Plan
from harness.pytest_plugin.pytest_session import Session
from harness.report.record.run_directory import Run
from harness.report.report_rendering import render
from harness.report.run_record_builder import ReportBuilder
from harness.report.terminal_summary import summary
from harness.services.service_kind import Identity
from tests.secret_encoding_cases import WRAPS

CLUSTER = cluster_config.parse(default_cluster.cluster_data(), Path("a test's"))

CANARY = "Known-DB-pa55"
HOSTILE = "\x1b]52;c;aGk=\x07\x1b[2J\x1b[H\x1b[32mpass\x1b[0m\x1b[8m\u202e\u061c\u200b\U000e0041\x9b31m"
OBEYED = "\x1b\x07\x9b\u202e\u061c\u200b\U000e0041"


def said_by_a_host(text: str) -> CommandFailed:
    return CommandFailed(CommandResult("lknode01", "psql", 2, "", text, 0.0, 0.1))


def test_what_a_host_says_gets_into_no_file_of_a_run(tmp_path: Path) -> None:
    run = Run.create(tmp_path, command=["pytest", "--password", "canary-option"])
    run.cleaner.knows([CANARY])
    report = ReportBuilder(run)
    error = said_by_a_host(f"psql: error: connection to {CANARY}@db, password=canary-unknown")
    report.begin_test("t", "A title.")
    report.add_check(inconclusive(str(error)), expected="x", observed=str(error), wire=str(error))
    report.host_note("lknode01", str(error))
    run.note("lknode01", "said", str(error), what=str(error), deep={"in": [str(error)]})
    run.timeline.note("lknode01", "said", str(error))
    run.collect("a.log", lambda path: path.write_text(str(error)))
    run.evidence_fault("b", str(error))
    report.end_test(failed(str(error)))
    report.finish()
    render(run.directory)
    files = {path.name: path.read_text() for path in run.directory.rglob("*") if path.is_file()}
    assert set(files) == {"run.json", "timeline.jsonl", "report.html", "junit.xml", "summary.md", "a.log"}
    leaks = [(name, canary) for name, text in files.items() for canary in (CANARY, "canary-unknown", "canary-option") if canary in text]
    assert not leaks and all(REMOVED in text.replace("\\", "") for text in files.values())
    assert CANARY not in run.cleaner.for_terminal(summary(run.record, run.directory))
    assert json.loads(files["run.json"])["tests"][0]["verdict"]["outcome"] == "fail"


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_private_key_is_known_line_by_line(wrap: str) -> None:
    cleaner = Cleaner()
    lines = [
        "-----BEGIN PRIVATE KEY-----",
        *["MIIEvQIBADANBgkqhkiG9w0BAQ" + c for c in "abc"],
        "c2hvcnQ=",
        "-----END PRIVATE KEY-----",
        "went on",
    ]
    said = [cleaner.line("a", wrap.format(line)) for line in lines]
    assert not any("MIIEv" in line or "c2hvcnQ=" in line for line in said) and said[-1] == wrap.format("went on")
    assert cleaner.line("another log", "MIIEvQIBADANBgkqhkiG9w0BAQa") == "MIIEvQIBADANBgkqhkiG9w0BAQa"


def test_a_key_without_an_end_does_not_take_the_log_with_it() -> None:
    cleaner = Cleaner()
    cleaner.line("a", "-----BEGIN PRIVATE KEY-----")
    said = [cleaner.line("a", f"resource moved {n}") for n in range(1000)]
    assert said[-1] == "resource moved 999"


def test_a_host_cannot_reach_the_terminal_by_what_it_says() -> None:
    texts = [
        str(said_by_a_host(HOSTILE)),
        str(Unusable(HOSTILE)),
        failed(HOSTILE).reason,
        Identity("tcp", HOSTILE, node=HOSTILE, facts={"a": HOSTILE}).said,
        Cleaner().for_terminal(HOSTILE),
        visible(HOSTILE),
    ]
    assert not any(c in text for text in texts for c in OBEYED)


def test_the_live_view_shows_and_does_not_obey(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setattr(sys, "stdout", out)
    view = LiveView(contextlib.nullcontext)
    with view.open():
        view.say(HOSTILE)
    assert out.getvalue() and not any(c in out.getvalue() for c in OBEYED)


def test_the_command_line_has_one_printer(capsys: pytest.CaptureFixture[str]) -> None:
    with guarded():
        print(HOSTILE, "and\ttwo\nlines")
        print(HOSTILE, file=sys.stderr)
    out, err = capsys.readouterr()
    assert not any(c in out + err for c in OBEYED) and out.endswith("and\ttwo\nlines\n")


def test_every_verb_uses_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Whatever a verb is handed, a file's name to begin with, comes out seen."""
    hostile = str(tmp_path / HOSTILE.replace("/", ""))
    verbs = (
        ["check", "--cluster"],
        ["collect", "--cluster"],
        ["trust"],
        ["judge"],
        ["report"],
        ["lab", "up", "--file"],
        ["lab", "up", "--like"],
    )
    for words in (*verbs, ["azure", "heal", "--cluster"], ["azure", "sweep", "--azure"], ["compare", hostile], ["no-such-verb"]):
        assert cli.main([*words, hostile]) != 0
        out, err = capsys.readouterr()
        assert err and not any(c in out + err for c in OBEYED), words


def test_a_sentence_for_a_program_is_cleaned_like_one_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_error("lknode01 said: login failed, password=canary-1", 4, {"run": "x"}) == 4
    assert json.loads(capsys.readouterr().out)["error"] == f"lknode01 said: login failed, password={REMOVED}"


def test_the_last_line_of_a_run_is_cleaned(tmp_path: Path) -> None:
    """It stands behind pytest's own, and has a manager's last words."""
    session = Session(CLUSTER, [], tmp_path, lab_data=None, allowed=True, plan=Plan((), MeasurementOptions()))
    session._report = ReportBuilder(Run.create(tmp_path, command=("x",)))
    session._report.run.cleaner.knows(["Kn0wn-canary"])
    said = "THE CLUSTER IS NOT AS IT WAS FOUND: crm_resource exited 1 and said: Kn0wn-canary --password canary-2"
    session._report.run.record = SimpleNamespace(not_as_found=said)  # type: ignore[assignment]
    assert session.not_as_found() == f"THE CLUSTER IS NOT AS IT WAS FOUND: crm_resource exited 1 and said: {REMOVED} --password {REMOVED}"


def test_what_a_message_quotes_of_an_output_begins_at_a_blank() -> None:
    """Where the cut falls into a secret, its rest would not be known for one."""
    for said in (
        f"password=Kn0wn-canary {'x' * 595}",
        f"Kn0wn-canary {'word ' * 600}",
        f"Kn0wn-canary{' ' * 2395}end",
        f"it read {'x' * 590}Kn0wn-canary",  # a word that is longer than what is quoted
        f"Kn0wn-canary\n{'x' * 595}\n{'word ' * 3}",
    ):
        error = str(CommandTookTooLong("lknode01", "pg_ctl", 5.0, said, ""))
        assert "canary" not in error and "…" in error
    assert str(CommandTookTooLong("lknode01", "pg_ctl", 5.0, "it waits", "")).endswith("stdout: it waits")


def test_a_password_that_was_renewed_while_a_run_goes_on_is_known_as_soon_as_it_is_read(tmp_path: Path) -> None:
    """By a vault's agent, say, that writes the file anew."""
    cleaner, file = Cleaner(["first-canary"]), tmp_path / "password"
    with read_secrets.told_to(cleaner.knows):
        for renewed in ("second-canary", "third-canary"):
            file.write_text(f"{renewed}\n")
            assert cleaner.text(f"login {renewed} failed") == f"login {renewed} failed"
            assert service_settings.password({"password_file": str(file)}) is not None
            assert cleaner.text(f"login {renewed} failed") == f"login {REMOVED} failed"
    file.write_text("fourth-canary\n")
    assert service_settings.password({"password_file": str(file)}) and "fourth" in cleaner.text("fourth-canary"), "nobody is told any more"


def test_what_is_known_already_is_not_a_reason_to_clean_everything_anew() -> None:
    cleaner = Cleaner(["a-canary"])
    before = cleaner._clean
    cleaner.knows(["a-canary"])
    assert cleaner._clean is before


def test_two_secrets_that_are_read_at_once_are_both_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two services whose files were renewed, each read in a thread of its own."""
    cleaner, made, entered, go_on = Cleaner(), output_redaction.Redactor, threading.Event(), threading.Event()

    def slowly(values: set[str]) -> object:
        if values == {"canary-a"}:
            entered.set()
            assert go_on.wait(60)
        return made(values)

    monkeypatch.setattr(output_redaction, "Redactor", slowly)
    first = threading.Thread(target=cleaner.knows, args=(["canary-a"],))
    first.start()
    assert entered.wait(60)
    second = threading.Thread(target=cleaner.knows, args=(["canary-b"],))
    second.start()
    go_on.set()
    first.join()
    second.join()
    assert cleaner.text("canary-a canary-b") == f"{REMOVED} {REMOVED}"
