"""Looking at, testing and collecting from an attached cluster in an interpreter that lacks what CPython lacks on Windows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_shell import REPOSITORY, Shell, shell_in

# Several commands in one interpreter, which takes a second to start. What each says follows a line with its name.
AS_THERE = """
import json, sys, windows_python
windows_python.take_away()
from harness import cli
for words in json.loads(sys.argv[1]):
    print("command", words[0], flush=True)
    if code := cli.main(words):
        sys.exit(f"{words[0]}: {code}")
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_in(tmp_path_factory.mktemp("state")) as one:
        one.up("--name", "desk", "--file", one.modest("listener", "database", "web"))
        yield one


@pytest.mark.heavy
def test_everything_but_the_lab_works(shell: Shell, tmp_path: Path):
    file = shell.labs / "desk" / "cluster.toml"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(REPOSITORY / "tests" / "unit"), str(REPOSITORY)))}

    def there(*commands: tuple[object, ...]) -> list[str]:
        given = json.dumps([[str(word) for word in words] for words in commands])
        command = [sys.executable, "-c", AS_THERE, given]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        assert "Traceback" not in done.stderr and done.returncode == 0, done.stdout + done.stderr
        names, said = zip(*(part.split("\n", 1) for part in f"\n{done.stdout}".split("\ncommand ")[1:]), strict=True)
        assert list(names) == [words[0] for words in commands]
        return list(said)

    bundle = tmp_path / "bundle.tar.gz"
    _, checked, tested, *_ = there(
        ("trust", "--yes", file),
        ("check", "--cluster", file),
        ("acceptance", "-q", "--cluster", file, "-k", "one_active_node or (switchover and there)", "--allow-disruption"),
        ("report", tmp_path / "reports" / "latest"),
        ("collect", "--hosts-only", "--cluster", file, "--output", bundle),
    )
    assert "reaches the active node" in checked
    assert "2 passed" in tested
    assert bundle.stat().st_size
