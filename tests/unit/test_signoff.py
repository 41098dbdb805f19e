"""signoff.html: everything that the person who signs must see, and the hashes of what lies there."""

from __future__ import annotations

import hashlib
import json

import pytest
from measure_sample import add_to, repeats
from report_sample import HOSTILE, a_builder, fill

from harness import cli
from harness.gate.signoff import GONE, hashes
from harness.report.record.gate_record import GateRecord
from harness.report.record.labels import LABEL
from harness.report.record.run_record import Result
from harness.report.run_reader import load_record


def a_run(tmp_path, text=""):
    builder = a_builder(tmp_path)
    fill(builder, text)
    add_to(builder, repeats([1.0, 1.2, None]))
    builder.finish()
    builder.run.close()
    return builder.run.directory


def test_the_page_holds_what_is_signed(tmp_path, capsys):
    folder = a_run(tmp_path)
    (tmp_path / "gate.toml").write_text("[[budget]]\nseconds = 9\n")
    assert cli.main(["gate", str(folder), "--gate", str(tmp_path / "gate.toml"), "--signoff", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["pages"] == [str(folder / "signoff.html")]
    page = (folder / "signoff.html").read_text()
    for word in ("FAILED", "did not come back", "no [power] section", "10.20.1.200", "Signature", "switchover from lknode01", "skipped"):
        assert word in page, word
    for file in ("run.json", "evidence/journal.log"):
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() in page
    assert hashlib.sha256((tmp_path / "gate.toml").read_bytes()).hexdigest() in page
    assert (folder / "signoff.html").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("at_run_end", "code"), [("refused", 3), ("fail", 1)])
def test_its_word_is_that_of_the_gate_it_is_written_for_and_another_gates_is_a_deviation(tmp_path, capsys, at_run_end, code):
    """The first night's gate had no baseline yet; the release's gate, which is asked later, is passed."""
    builder = a_builder(tmp_path)
    add_to(builder, repeats([1.0, 1.2]))
    nightly = GateRecord(file="nightly.toml", sha256="1" * 64, outcome=at_run_end, reason="what the other gate said")
    assert int(builder.finish(gate=lambda run: nightly).exit_code) == code
    builder.run.close()
    folder = builder.run.directory
    (tmp_path / "release.toml").write_text("[[budget]]\nseconds = 9\n")
    assert cli.main(["gate", str(folder), "--gate", str(tmp_path / "release.toml"), "--signoff"]) == 0
    assert "PASSED" in capsys.readouterr().out
    page = (folder / "signoff.html").read_text()
    assert f"Sign-off of {folder.name}: {LABEL[Result.PASS]}</title>" in page
    deviations = page[page.index("Deviations") : page.index("What the gate demanded")]
    assert "the gate nightly.toml that was asked when the run ended, another file than this one" in deviations
    assert "what the other gate said" in deviations and "what the other gate said" not in page.replace(deviations, "")


def test_evidence_that_is_gone_or_elsewhere_has_no_hash(tmp_path):
    folder = a_run(tmp_path)
    (folder / "evidence" / "journal.log").unlink()
    record = load_record(folder)
    record.evidence[0].path = "../gate.toml"
    (tmp_path / "gate.toml").write_text("x")
    assert [hash for name, hash in hashes(folder, record) if name != "run.json"] == [GONE] * len(record.evidence)


def test_what_hosts_say_acts_on_nothing(tmp_path, capsys):
    folder = a_run(tmp_path, HOSTILE)
    (tmp_path / "gate.toml").write_text("")
    cli.main(["gate", str(folder), "--gate", str(tmp_path / "gate.toml"), "--signoff"])
    page = (folder / "signoff.html").read_text()
    assert "<script" not in page and "<img" not in page and "\x1b" not in page
