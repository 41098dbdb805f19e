"""The command line's help for who mistypes: the word that was meant is named. And completion, by the program itself."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import cli
from harness.commands.completion import INSTALL
from harness.core.text.nearest_word import nearest_word


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("chek", "check"),
        ("acceptence", "acceptance"),
        ("lab stats", "status"),
        ("lab pwer off lknode01", "power"),
        ("lab azure falt", "fault"),
        ("azure hael", "heal"),
        ("check --clster x.toml", "--cluster"),
        ("lab up --desing nat", "--design"),
        ("lab up --prof fast", "--profile"),
        ("lab status --jsno", "--json"),
        ("lab power of lknode01", "off"),
        ("lab up --design floting", "floating"),
    ],
)
def test_what_was_meant_is_named(words: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words.split()) == 2
    out, err = capsys.readouterr()
    assert f"did you mean {meant}?" in err and err.count("\n") == 1 and not out


@pytest.mark.parametrize("words", ["frobnicate", "lab up --zzz", "check --qqq=3"])
def test_nothing_is_guessed_where_nothing_is_near(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words.split()) == 2
    assert "did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--clutser x.toml", "there is no option --clutser, did you mean --cluster?"),
        ("--alow-disruption", "did you mean --allow-disruption?"),
        ("--zzzz", "unrecognized arguments: --zzzz"),
        ("no-such-file", "file or directory not found"),
        ("--design", "expected one argument"),
    ],
)
def test_a_suites_command_line_that_is_wrong_is_bad_use(words: str, said: str, tmp_path: Path) -> None:
    """pytest's own code for it, 4, means here that the cluster was not reached."""
    command = [sys.executable, "-m", "harness.cli", "acceptance", *words.split(), "--collect-only", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 2 and said in done.stderr, done.stdout + done.stderr


def test_an_abbreviation_of_two_options_is_not_guessed() -> None:
    assert nearest_word("--pro", ["--profile", "--probe-port"]) is None
    assert nearest_word("--prof", ["--profile", "--probe-port"]) == "--profile"


def test_a_mistyped_word_does_nothing_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["chek\x1b[2J"]) == 2
    err = capsys.readouterr().err
    assert "\x1b" not in err and "x1b[2J" in err


def subcommands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                if child.prog.endswith(f" {name}"):  # a former name is another word for the same
                    yield from subcommands(child, (*words, name))


@pytest.mark.parametrize("words", list(subcommands(cli._parser())), ids=lambda w: " ".join(w) or "lkharness")
def test_help_has_an_example(words, capsys):
    """Every command's help says how it is used, with the command itself in the example."""
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"example: lkharness {' '.join(words)}".rstrip() in said


def test_help_loads_nothing_that_it_does_not_need() -> None:
    """Each of these takes 5 to 20 ms of the 150 that it may take."""
    heavy = {"harness.core.redaction.redactor", "dataclasses", "inspect", "secrets", "subprocess", "datetime", "asyncio"}
    code = "import sys\nfrom harness import cli\ntry: cli.main(['--help'])\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "examples" in done.stdout or "example:" in done.stdout
    assert not heavy & set(done.stderr.split())


def test_every_verb_of_azure_is_a_command() -> None:
    from harness.commands.azure import azure

    assert {f"azure_{verb}" for verb in azure.VERBS} == {path.stem for path in Path(azure.__file__).parent.glob("azure_*.py")}


def test_what_a_verb_was_called_before_is_taken() -> None:
    parser = cli._parser("lab")
    asked = [parser.parse_args(["lab", "azure", verb, "floating-ip"]) for verb in ("misconfiguration", "wrong")]
    assert asked[0].command is asked[1].command and asked[1].kind == ["floating-ip"]


def test_an_option_means_the_same_everywhere() -> None:
    """One option, one kind of value: a flag of one command takes no file in another, and what counts minutes counts them everywhere."""
    seen: dict[str, set[tuple[bool, str | None]]] = {}

    def walk(parser: argparse.ArgumentParser) -> None:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for child in action.choices.values():
                    walk(child)
            elif action.help != argparse.SUPPRESS:
                for option in action.option_strings:
                    metavar = action.metavar if isinstance(action.metavar, str) else None
                    kind = (action.nargs == 0, None if action.choices else metavar)
                    seen.setdefault(option, set()).add(kind)

    walk(cli._parser())
    several = {option for option, kinds in seen.items() if len(kinds) > 1}
    assert several == {"--manager", "--keep"}, (
        "of `azure up` the one may be a script, and the other what is kept; of `history` for how long"
    )


@pytest.mark.parametrize("shell", list(INSTALL))
def test_a_script_for_every_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "lkharness" in script and "_ARGCOMPLETE" in script
    if shell in ("bash", "zsh", "fish") and shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True, timeout=60)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`lkharness` as it is installed: a program on the search path."""
    file = tmp_path_factory.mktemp("bin") / "lkharness"
    file.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m harness.cli \"$@\"\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("che", {"check"}),
        ("lab st", {"status"}),
        ("lab azure ", {"fault", "misconfiguration", "wrong", "requests", "clear"}),
        ("lab up --des", {"--design"}),
        ("lab up --design ", {"nat", "floating"}),
        ("compl", {"completion"}),
        ("judge --w", {"--write"}),
    ],
)
def test_bash_completes(program: Path, typed: str, offered: set[str], pytestconfig: pytest.Config) -> None:
    """As bash does it: the function that the script defines, on what was typed."""
    line = f"lkharness {typed}"
    words = line.split(" ")
    script = (
        f'eval "$(lkharness completion bash)"; COMP_TYPE=9 COMP_LINE="{line}" COMP_POINT={len(line)}; '
        f"COMP_WORDS=({' '.join(w or chr(39) * 2 for w in words)}); COMP_CWORD={len(words) - 1}; "
        f"_python_argcomplete lkharness; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(pytestconfig.rootpath)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert {word.strip() for word in done.stdout.splitlines()} - {"-h", "--help", ""} == offered, done.stderr


def test_a_command_alone_is_parsed_as_among_all() -> None:
    def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
        return next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))

    every = subcommands(cli._parser())
    assert [*every] == [name for command in cli.COMMANDS for name in ([command, "failover"] if command == "acceptance" else [command])]
    for name in cli.COMMANDS:
        alone = subcommands(cli._parser(name))
        assert name in alone and len(alone) < 3 and alone[name].format_help() == every[name].format_help()
    assert len(subcommands(cli._parser("chekc"))) == len(every), "among all of them the one that was meant is found"
