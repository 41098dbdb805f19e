"""What a run, `init`, `collect` and `lab up` write is its owner's alone to read, whatever the caller's umask."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli_w
from command_shell import REPOSITORY, Shell, shell_in

from harness.lab.lifecycle import default_cluster
from tests.e2e import forked_commands
from tests.pytest_process import PYTEST

UMASKS = ("000", "022", "077")
ONE_TEST = "tests/acceptance/test_client_path.py"


def each_umask(*deep: str) -> pytest.MarkDecorator:
    """All umasks; those of `deep` in the deep run only."""
    return pytest.mark.parametrize("umask", [pytest.param(u, marks=[pytest.mark.deep] if u in deep else []) for u in UMASKS])


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with shell_in(tmp_path / "state") as one:
        yield one


def run(shell: Shell, umask: str, *words: object, limit: float = 600.0, **more: str) -> subprocess.CompletedProcess[str]:
    """A Python program, started by somebody whose umask this is."""
    line, environment = [str(word) for word in words], {**shell.environment, **more}
    assert forked_commands.can_run(line, environment)
    return forked_commands.run(line, folder=REPOSITORY, environment=environment, limit_s=limit, umask=int(umask, 8))


def open_to_others(folder: Path) -> list[str]:
    """Everything in it that others may read, write or enter, and how."""
    found = []
    for path in folder.rglob("*"):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if not path.is_symlink() and mode & 0o077:
            found.append(f"{path.relative_to(folder)} {mode:o}")
    return found


def unreachable(folder: Path) -> Path:
    """A cluster whose hosts all refuse: what its runs write is written at once."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    (folder / "known_hosts").touch()
    ssh = {"host": "127.0.0.1", "port": port, "known_hosts": str(folder / "known_hosts"), "connect_limit_s": 1.0}
    figure = default_cluster.DEFAULT_CLUSTER
    nodes = [{**node, "ssh": ssh} for node in figure["nodes"]]
    services = [service for service in figure["services"] if service["kind"] != "postgres"]
    data = {**figure, "client": {**figure["client"], "ssh": ssh}, "nodes": nodes, "services": services}
    data.pop("lab", None)
    (file := folder / "cluster.toml").write_text(tomli_w.dumps(data))
    return file


@each_umask("022", "077")
def test_of_a_run(shell: Shell, tmp_path: Path, umask: str) -> None:
    """By the command and by pytest, with pytest's own JUnit file; written again by `report`."""
    file, written = unreachable(tmp_path), tmp_path / "written"
    written.mkdir()
    by_command = run(shell, umask, "-m", "harness.cli", "acceptance", "-q", "--cluster", file, "--reports", written / "a")
    by_pytest = run(
        shell, umask, *PYTEST, ONE_TEST, "-q", "--cluster", file, "--reports", written / "b", f"--junitxml={written / 'junit.xml'}"
    )
    assert (by_command.returncode, by_pytest.returncode) == (4, 4), by_command.stdout + by_pytest.stdout
    again = run(shell, umask, "-m", "harness.cli", "report", written / "a/latest")
    assert again.returncode in (0, 4), again.stderr
    assert len(list(written.rglob("run.json"))) == 2 and (written / "junit.xml").is_file()
    assert open_to_others(written) == []


@each_umask("000", "022")
def test_of_a_run_to_be_published(shell: Shell, tmp_path: Path, umask: str) -> None:
    """Then everybody may read all of it, and nobody else may write; also when it is written again."""
    file, written = unreachable(tmp_path), tmp_path / "written"
    done = run(shell, umask, *PYTEST, ONE_TEST, "-q", "--cluster", file, "--reports", written, "--readable-reports")
    assert done.returncode == 4, done.stdout
    run(shell, umask, "-m", "harness.cli", "report", written / "latest")
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (written / "latest").resolve().rglob("*")}
    assert modes == {0o755, 0o644}


@each_umask("022", "077")
def test_of_init(shell: Shell, tmp_path: Path, umask: str) -> None:
    words = "--client c=10.20.1.20 --node n1=10.20.1.11,10.20.2.11 --node n2=10.20.1.12,10.20.2.12 --frontend 10.20.1.200"
    written = tmp_path / "written"
    written.mkdir()
    done = run(
        shell, umask, "-m", "harness.cli", "init", *words.split(), "--service", "listener=oracle:1521:listener-1521", written / "c.toml"
    )
    assert done.returncode == 0, done.stderr
    assert (written / "c.toml").is_file() and open_to_others(written) == []


@pytest.mark.deep
@each_umask()
def test_of_a_whole_lab(shell: Shell, tmp_path: Path, umask: str) -> None:
    """A lab whose database is made anew, a run on it with captures and managers' logs, and an archive."""
    written = tmp_path / "written"
    written.mkdir()
    more = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    up = run(shell, umask, "-m", "harness.cli", "lab", "up", "--azure", **more)
    assert up.returncode == 0, up.stderr
    file = next(shell.labs.iterdir()) / "cluster.toml"
    suite = run(
        shell,
        umask,
        "-m",
        "harness.cli",
        "acceptance",
        "-q",
        "--cluster",
        file,
        "--reports",
        written / "reports",
        "-k",
        "not azure",
        **more,
    )
    assert suite.returncode in (0, 3), suite.stdout
    archive = run(shell, umask, "-m", "harness.cli", "collect", "--cluster", file, "--output", written / "case.tar.gz", **more)
    assert archive.returncode == 0, archive.stderr
    assert list(written.rglob("*.pcapng")) and (written / "case.tar.gz").is_file()
    assert open_to_others(written) == []
    assert open_to_others(shell.labs) == []


def test_the_umask_is_given_back(tmp_path: Path) -> None:
    """A program that calls the command as a function goes on as it was."""
    from harness import cli

    before = os.umask(0o022)
    try:
        assert cli.main(["schema", "cluster"]) == 0
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
