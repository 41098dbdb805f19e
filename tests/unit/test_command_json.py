"""`--json`: every command has it, and whatever goes wrong it gives one object with `error`, and nothing else."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.commands.shared_options import SCHEMA_VERSION, wants_json
from harness.core.package_data import SUITES

A_STREAM = {("lab", "ssh"), ("lab", "capture")}  # a shell in a host, and records as they come, each a JSON object
# What each command needs to get past its parser; what it then looks for is not there.
ARGUMENTS = {
    ("lab", "up"): "--file missing.toml",
    ("lab", "exec"): "--json lknode01 -- true --json",
    ("lab", "power"): "off lknode01",
    ("lab", "azure", "fault"): "slow",
    ("init",): "missing/cluster.toml",
    ("trust",): "missing.toml",
    ("check",): "--cluster missing.toml",
    ("collect",): "--cluster missing.toml",
    ("report",): "missing",
    ("judge",): "missing",
    ("compare",): "missing missing",
    ("fleet", "run"): "--json missing.toml -- failover",
    ("fleet", "matrix"): "missing.toml",
    ("fleet", "merge"): "missing",
    ("fact",): "XYZ-99",
    ("schema",): "nothing",
    ("completion",): "nothing",
    ("doctor",): "--manager nothing",
    ("azure", "up"): "--azure-from missing.toml --location x --owner me --ssh-key missing.pub",
    ("azure", "down"): "--azure-from missing.toml --run 1f2e3d4c",
    ("azure", "sweep"): "--azure-from missing.toml",
    ("azure", "heal"): "--cluster missing.toml",
    ("azure", "rehearse"): "--cluster missing.toml",
}
NOTHING_IS_WRONG = {("lab", "clean"), ("lab", "image", "list"), ("lab", "snapshot", "list")}  # without a lab, and whatever is kept


def commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Every command that has no verbs below it, with its parser."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield words, parser
    for action in below:
        names = {child: name for name, child in reversed(action.choices.items())}  # the first is the command's own, others are former ones
        for child, name in reversed(names.items()):
            yield from commands(child, (*words, name))


COMMANDS = {words: parser for words, parser in commands(cli._parser()) if words[0] not in SUITES}
WITH_JSON = [words for words in COMMANDS if words not in A_STREAM]


@pytest.fixture(autouse=True)
def nothing_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("LKHARNESS_CLUSTER", raising=False)


def one_object(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    out, err = capsys.readouterr()
    assert err == ""
    found = json.loads(out)
    assert found["schema_version"] >= SCHEMA_VERSION
    return found


def test_every_command_has_it() -> None:
    lacking = {words for words, parser in COMMANDS.items() if "--json" not in parser._option_string_actions}
    assert lacking == A_STREAM
    assert not set(ARGUMENTS) - set(COMMANDS)


@pytest.mark.parametrize("words", WITH_JSON, ids=" ".join)
def test_a_bad_option(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words, "--json", "--no-such-option"]) == 2
    found = one_object(capsys)
    assert found["exit_code"] == 2 and found["error"] and f"lkharness {' '.join(words)} --help" in found["error"]


@pytest.mark.parametrize("words", [words for words in WITH_JSON if words not in NOTHING_IS_WRONG], ids=" ".join)
def test_what_it_asks_for_is_not_there(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file, lab, run or fact."""
    given = ARGUMENTS.get(words, "").split()
    code = cli.main([*words, *given] if "--json" in given else [*words, *given, "--json"])
    found = one_object(capsys)
    assert code in (2, 4) and found["exit_code"] == code and found["error"]
    assert not list(Path().iterdir()), "nothing is made"


@pytest.mark.parametrize("words", WITH_JSON, ids=" ".join)
def test_an_interruption(words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.commands.parser.Parser.parse_known_args", interrupted)
    assert cli.main([*words, "--json"]) == 130
    found = one_object(capsys)
    assert found["exit_code"] == 130 and "interrupted" in found["error"]


@pytest.mark.parametrize(
    ("words", "as_json"),
    [
        ("lab exec --json lknode01 -- ip addr", True),
        ("lab exec --name one --json lknode01 ip addr", True),
        ("lab exec lknode01 -- ip --json addr", False),
        ("lab exec lknode01 ip --json addr", False),
        ("lab exec --name one lknode01 ip --json addr", False),
        ("lab ssh lknode01 ip --json addr", False),
        ("check --json", True),
        ("--json check", True),
        ("", False),
    ],
)
def test_a_hosts_command_has_options_of_its_own(words: str, as_json: bool) -> None:
    assert wants_json(words.split()) is as_json


@pytest.mark.parametrize("words", ["schema run", "schema cluster", "fact DSN-06", "completion fish", "lab clean", "azure rehearse"])
def test_what_needs_no_cluster(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words.split(), "--json"]) == 0
    assert "error" not in one_object(capsys)


INIT = (
    "init --client c=10.20.1.20 --node a=10.20.1.11,10.20.2.11 --node b=10.20.1.12,10.20.2.12 "
    "--frontend 10.20.1.200 --service listener=oracle:1521:listener-1521 mine.toml --json"
)


def test_a_cluster_file_is_written_and_trusted(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(INIT.split()) == 0
    assert one_object(capsys) == {"schema_version": 2, "file": "mine.toml", "unsure": []}
    assert cli.main(["trust", "mine.toml", "--json"]) == 0
    assert one_object(capsys) == {"schema_version": 2, "file": "mine.toml", "asks": [], "agreed": True}
    with Path("mine.toml").open("a") as file:
        file.write('\n[azure]\nsubscription = "s"\nresource_group = "g"\nresource_manager = "https://elsewhere.example/"\n')
    assert cli.main(["trust", "mine.toml", "--json"]) == 2
    found = one_object(capsys)
    assert found["agreed"] is False and "--yes" in found["error"] and len(found["asks"]) > 0
    assert cli.main(["trust", "mine.toml", "--json", "--yes"]) == 0
    assert one_object(capsys)["agreed"] is True
