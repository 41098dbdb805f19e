"""`lkharness azure rehearse`: every open question with how to see it, answers to and from a file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import cli
from harness.azure import rehearsal
from harness.core.errors import BadUse
from harness.disrupt import disruption


def test_every_question_says_how_to_see_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["azure", "rehearse"]) == 0
    said = capsys.readouterr().out
    assert all(f"OQ-{n:02d}" in said for n in range(1, 20)) and said.count("how to see it:") == len(rehearsal.QUESTIONS) == 21
    assert cli.main(["azure", "rehearse", "--json"]) == 0
    assert [q["id"] for q in json.loads(capsys.readouterr().out)["questions"]] == [q.id for q in rehearsal.QUESTIONS]


def test_a_cluster_file_puts_its_own_addresses_into_the_commands(capsys: pytest.CaptureFixture[str], pytestconfig: pytest.Config) -> None:
    assert cli.main(["azure", "rehearse", "--cluster", str(pytestconfig.rootpath / "cluster.example.toml")]) == 0
    said = capsys.readouterr().out
    assert "ping -c 5 10.20.1.200" in said and "port 12345" in said and "PROBE_PORT" not in said and "FRONTEND" not in said


def test_the_disruptions_that_it_speaks_of_are_there() -> None:
    named = {n for q in rehearsal.QUESTIONS for n in re.findall(r'"(azure [^"]+)"', q.how)}
    assert named and named <= set(disruption.all_of())


def test_those_that_change_verdicts_come_first() -> None:
    assert [q.id for q in rehearsal.QUESTIONS if q.changes_verdicts] == [f"OQ-{n:02d}" for n in range(1, 9)]


def test_what_is_assumed_is_an_answer_and_one_that_the_lab_goes_by() -> None:
    assert all(rehearsal._answer_fault(q, {"answer": q.assumed}) is None for q in rehearsal.QUESTIONS)


def test_answers_go_to_a_file_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "answers.toml"
    assert cli.main(["azure", "rehearse", "--template", str(file)]) == 0
    assert cli.main(["azure", "rehearse", "--template", str(file)]) == 2  # filled-in answers are not lost
    assert cli.main(["azure", "rehearse", "--answers", str(file)]) == 0
    assert "0 of 21 questions seen" in capsys.readouterr().out
    text = file.read_text()
    head, rest = text.split("[OQ-04]")
    filled = head + "[OQ-04]" + rest.replace('answer = "not seen"', 'answer = "reset"', 1).replace('evidence = ""', 'evidence = "run 7"', 1)
    file.write_text(filled)
    assert cli.main(["azure", "rehearse", "--answers", str(file)]) == 0
    said = capsys.readouterr().out
    assert "OQ-04  reset: AGAINST what is assumed (persist)" in said and "1 of 21 questions seen" in said
    answers, about = rehearsal.read(file)
    assert answers["OQ-04"] == {"answer": "reset", "evidence": "run 7"} and "date" in about
    file.write_text(rehearsal.template(answers, about))
    assert rehearsal.read(file) == (answers, about)


def test_what_is_no_answer_is_said_all_at_once(tmp_path: Path) -> None:
    file = tmp_path / "answers.toml"
    file.write_text('[OQ-04]\nanswer = "maybe"\n[OQ-05]\nanswer = "soon"\n[OQ-99]\nanswer = "x"\n[OQ-01]\n')
    with pytest.raises(BadUse) as caught:
        rehearsal.read(file)
    assert "4 faults" in str(caught.value) and "'maybe' is none of persist, reset" in str(caught.value)


@pytest.mark.parametrize("about", ["3", '"me"', "[1]"])
def test_an_about_that_is_no_table_is_said(about: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "answers.toml"
    file.write_text(f"about = {about}\n")
    assert cli.main(["azure", "rehearse", "--answers", str(file)]) == 2
    assert "about: it is no table" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "says"),
    [("0", "as assumed"), ("0.0", "as assumed"), ('"0.00"', "as assumed"), ("2.5", "AGAINST"), ('"²"', None), ("nan", None), ("-1", None)],
)
def test_seconds_are_compared_as_numbers(answer: str, says: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "answers.toml"
    file.write_text(f"[OQ-05]\nanswer = {answer}\n", encoding="utf-8")
    code = cli.main(["azure", "rehearse", "--answers", str(file)])
    said = capsys.readouterr()
    assert (code == 0 and says in said.out) if says else (code == 2 and "is no number of seconds" in said.err)


def test_a_cluster_file_counts_wherever_a_command_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = ["--cluster", str(pytestconfig.rootpath / "cluster.example.toml")]
    file = tmp_path / "answers.toml"
    assert cli.main(["azure", "rehearse", "--template", str(file), *cluster]) == 0 and "ping -c 5 10.20.1.200" in file.read_text()
    assert rehearsal.read(file)[0].keys() == {q.id for q in rehearsal.QUESTIONS}
    capsys.readouterr()
    assert cli.main(["azure", "rehearse", "--json", *cluster]) == 0 and "ping -c 5 10.20.1.200" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("harness.commands.init.init._ask", lambda text: "")
    assert cli.main(["azure", "rehearse", "--ask", str(tmp_path / "asked.toml"), *cluster]) == 0
    assert "ping -c 5 10.20.1.200" in capsys.readouterr().out
    assert cli.main(["azure", "rehearse", "--answers", str(file), *cluster]) == 2
    assert "--answers prints none" in capsys.readouterr().err


def test_a_person_is_asked_what_is_open_only(capsys: pytest.CaptureFixture[str]) -> None:
    said = iter(["nonsense", "drop", "tcpdump", *[""] * 19])
    answers = rehearsal.ask_questions(lambda _: next(said), {"OQ-01": {"answer": "applies", "evidence": ""}})
    assert answers["OQ-02"] == {"answer": "drop", "evidence": "tcpdump"} and answers["OQ-03"]["answer"] == rehearsal.UNSEEN
    assert "'nonsense' is none of" in capsys.readouterr().out


def test_nobody_to_ask(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115, PTH123
    assert cli.main(["azure", "rehearse", "--ask", str(tmp_path / "a.toml")]) == 2
    assert "--template" in capsys.readouterr().err
