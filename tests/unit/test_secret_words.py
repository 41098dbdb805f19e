"""Which words of a command are secrets, and which only look like it."""

from __future__ import annotations

import json

import pytest

from harness.commands.suite import run as run_suite
from harness.core.redaction.redactor import secret_words
from harness.report.record.run_directory import Run


@pytest.mark.parametrize(
    ("command", "secret"),
    [
        ("pytest -p no:cacheprovider -p no:hypothesispytest --cluster c.toml", set()),
        ("lkharness failover -p no:cacheprovider --token canary", {"canary"}),
        ("lkharness failover --api-token=canary", {"canary"}),
        ("sshpass -p canary ssh vault", {"canary"}),
        ("/usr/bin/sshpass -pcanary ssh -p2222 vault", {"canary"}),
        ("mysql -u root -pcanary", {"canary"}),
        ("sudo mariadb-admin -u root -pcanary ping", {"canary"}),
        ("fence_ipmilan -a 10.0.0.1 -p canary", {"canary"}),
        ("/opt/site/power -p canary off", {"canary"}),  # nobody knows what it means there
        ("mkdir -parents x", set()),
        ("", set()),
    ],
)
def test_what_an_option_calls_secret(command, secret) -> None:
    assert secret_words(command.split()) == secret


def test_a_run_keeps_the_options_of_its_own_command(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Those that `lkharness failover` gives to pytest by itself."""
    given: list[str] = []
    monkeypatch.setattr("sys.argv", ["lkharness"])
    monkeypatch.setattr(pytest, "main", lambda words: given.extend(words) or 0)
    run_suite(["failover", "--password", "canary"])
    made = Run.create(tmp_path, command=["pytest", *given])
    kept = json.loads((made.directory / "run.json").read_text())["command"]
    assert kept == ["pytest", *(word if word != "canary" else "[removed]" for word in given)] and "no:cacheprovider" in kept
