"""What the documents name is there: files, headings, commands and their options."""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli import _parser
from harness.core.package_data import SUITES

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")} - {ROOT / "CHANGELOG.md"})  # which tells of what was
COMMAND = re.compile(r"(?:^|[\s`(])(lkharness (?!:).+)")
PATH = re.compile(r"(?<![\w/$-])(?:harness|tests|docs|\.ci)/[\w./{},*-]+")
LEFT_OUT = re.compile(r"[…\[\]()|&;#>`]")  # where a shell's line ends, or the document's own signs begin
PYTEST_OPTIONS = {"--pyargs", "--help"}


def code(page: Path) -> Iterator[str]:
    """What the page shows as code: the lines of blocks, and what stands between backticks."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"(?ms)^```.*?\n(.*?)^```", text):
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", re.sub(r"(?ms)^```.*?^```", "", text))


def commands(text: str) -> list[list[str]]:
    """The words of each call of lkharness in a line of code, up to where it leaves something out."""
    calls = []
    for call in re.split(r"&&|\|", text):
        match = COMMAND.search(" " + " ".join(call.split()))
        if match:
            calls.append(LEFT_OUT.split(match[1])[0].rstrip("`. ,:").split()[1:])
    return calls


def test_calls_are_read_from_code() -> None:
    """The reader of this file, on lines as documents have them."""
    assert commands("`. .venv/bin/activate && lkharness lab up --like FILE # a lab of it`") == [["lab", "up", "--like", "FILE"]]
    assert len([call for page in PAGES for line in code(page) for call in commands(line)]) > 120


def complaints(words: list[str]) -> Iterator[str]:
    """What of a call is not there: a verb, or an option of the verb's."""
    parser: argparse.ArgumentParser = _parser()
    options = set(parser._option_string_actions)
    if words and words[0] in SUITES:
        unknown = [word for word in words[1:] if word.startswith("-") and word.partition("=")[0] not in pytest_options()]
        yield from (f"a suite has no option {word}" for word in unknown)
        return
    for word in words:
        verbs = next((a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
        if word == "--":
            return
        if word.startswith("-"):
            if word.partition("=")[0] not in options:
                yield f"{parser.prog} has no option {word}"
        elif verbs is not None and re.fullmatch(r"[a-z-]+", word):
            if word not in verbs:
                yield f"{parser.prog} has no verb {word}"
                return
            parser = verbs[word]
            options = set(parser._option_string_actions)


def pytest_options() -> set[str]:
    """Of the suites: what the plug-in adds, and a few of pytest's own."""
    text = (ROOT / "harness/pytest_plugin/pytest_options.py").read_text()
    return {*re.findall(r"\"(--[a-z-]+)\"", text), *PYTEST_OPTIONS, "-k", "-q", "-x"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_there(page: Path) -> None:
    """A reader who types what the page says is not refused for a word."""
    assert [f"{' '.join(words)}: {fault}" for line in code(page) for words in commands(line) for fault in complaints(words)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_developer_runs_is_there(page: Path) -> None:
    """Verbs of `./run`, and modules of ours behind `python -m`."""
    lines = "\n".join(code(page))
    verbs = set(re.findall(r"(?m)^ *(?:usage:)? *\./run (\w+)", (ROOT / "run").read_text()))
    assert set(re.findall(r"\./run ([a-z]+)", lines)) - verbs == set()
    modules = set(re.findall(r"-m ((?:harness|tests)\.[\w.]+)", lines))
    paths = {name: ROOT / name.replace(".", "/") for name in modules}
    assert [name for name, path in paths.items() if not (path.with_suffix(".py").is_file() or (path / "__main__.py").is_file())] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_is_there(page: Path) -> None:
    """Paths from the repository's root, as code names them; a name with a star stands for at least one."""
    names = {name.rstrip(".,") for line in code(page) for name in PATH.findall(line) if "{" not in name}
    assert sorted(name for name in names if not any(ROOT.glob(name.rstrip("/")))) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file beside the page, and to a heading of that file."""
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        file, _, heading = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = page.parent / file if file else page
        if not path.exists() or (heading and heading not in headings(path)):
            dead.append(target)
    assert dead == []


def headings(page: Path) -> set[str]:
    """As links name them."""
    titles = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_document_that_the_program_names_is_there() -> None:
    """In messages and in the help of options."""
    command = ["git", "grep", "-hoE", r"docs/[a-zA-Z_/-]+\.(md|json|toml)", "--", "harness", "run"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert sorted(name for name in set(lines.split()) if not (ROOT / name).is_file()) == []


def test_the_tests_that_guard_against_faults_are_there() -> None:
    text = (ROOT / "docs/guarded-faults.md").read_text(encoding="utf-8")
    named = re.findall(r"((?:unit|e2e|lab|azure|azure_lab|azure_operations)/\w+\.py)(?:::(\w+))?", text)
    assert len(named) > 200
    sources = {file: (ROOT / "tests" / file).read_text(encoding="utf-8") for file, _ in named if (ROOT / "tests" / file).exists()}
    assert [f"{file}::{test}" for file, test in named if f"def {test}" not in sources.get(file, "")] == []
