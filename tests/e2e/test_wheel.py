"""The product as it is installed from its wheel, with no clone in sight."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_shell import REPOSITORY, Shell, shell_in

from harness.commands.suite import ABOUT
from tests.pytest_process import PYTEST

CEILING_S = 600


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel, and this one's packages for what the wheel depends on."""

    folder: Path

    def run(self, *words: object, at: Path, code: int = 0) -> str:
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "LKHARNESS_CLUSTER")}
        done = subprocess.run(
            [self.folder / "bin" / str(words[0]), *map(str, words[1:])],
            cwd=at, env=environment, capture_output=True, text=True, timeout=CEILING_S,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]  # what pip would ask for it
    subprocess.run(words, cwd=REPOSITORY, check=True, capture_output=True, timeout=CEILING_S)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    # Added by a .pth file, whose folder's own .pth files are not read: the clone that is installed there for editing stays out.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = folder / "bin" / "python"
    words = [
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--no-compile",  # half of the modules are imported here, and each then
        "--disable-pip-version-check",
        "--ignore-installed",
        wheel,
    ]
    subprocess.run([sys.executable, *map(str, words)], check=True, capture_output=True, timeout=CEILING_S)
    return Installed(folder)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_in(tmp_path_factory.mktemp("state")) as one:
        one.up("--name", "wheel", "--file", one.modest("listener"))
        yield one


def test_it_holds_what_a_clone_has_for_its_users(wheel: Path):
    inside = set(zipfile.ZipFile(wheel).namelist())
    for folder, where in {
        "tests/acceptance": "harness/suites/acceptance",
        "tests/failover": "harness/suites/failover",
        "docs": "harness/docs",
    }.items():
        tracked = subprocess.run(["git", "ls-files", folder], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()
        assert tracked and {name.replace(folder, where, 1) for name in tracked} <= inside
    assert {"harness/suites/pytest.ini", "harness/docs/cluster.example.toml"} <= inside
    assert not [name for name in inside if "__pycache__" in name or name.startswith("tests/")]


def test_the_commands_are_there(installed: Installed, tmp_path: Path):
    said = installed.run("lkharness", "--help", at=tmp_path)
    assert all(name in said and about[:40] in " ".join(said.split()) for name, about in ABOUT.items())
    for name in ABOUT:
        assert f"lkharness {name} --cluster" in installed.run("lkharness", name, "--help", at=tmp_path)
    where = installed.run("python", "-c", "import harness; print(harness.__file__)", at=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.folder)


@pytest.mark.heavy
def test_the_suite_runs_on_an_attached_cluster(installed: Installed, shell: Shell, tmp_path: Path):
    file = shell.labs / "wheel" / "cluster.toml"
    assert "1 passed" in installed.run(
        "lkharness", "acceptance", "-q", "--cluster", file, "--trust-cluster-file", "-k", "test_one_active_node", at=tmp_path
    )
    assert (tmp_path / "reports" / "latest" / "report.html").exists()
    there = ("--cluster", file, "--trust-cluster-file", "--reports", "elsewhere", "--pyargs", "harness.suites.acceptance")
    words = ("python", *PYTEST, "-q", *there, "-k", "test_one_active_node")
    assert "1 passed" in installed.run(*words, at=tmp_path)
    assert (tmp_path / "elsewhere" / "latest" / "run.json").exists()


def test_the_lab_names_commands_that_are_there(installed: Installed, tmp_path: Path):
    told = installed.run(
        "python", "-c", "from harness.core import package_data; print(package_data.suite_command('acceptance'))", at=tmp_path
    )
    assert told.strip() == "lkharness acceptance"


def test_tests_of_something_else_are_left_as_they_are(installed: Installed, tmp_path: Path):
    """The plug-in is loaded by every pytest of that environment."""
    (tmp_path / "test_none.py").write_text("")
    installed.run("python", *PYTEST, "-q", at=tmp_path, code=pytest.ExitCode.NO_TESTS_COLLECTED)
    assert not (tmp_path / "reports").exists()


def test_its_options_for_pytest_are_the_clone_s():
    installed = configparser.ConfigParser()
    installed.read(REPOSITORY / "tests" / "suites.ini")
    clone = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    del clone["testpaths"]  # a clone's alone
    assert dict(installed["pytest"]) == {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in clone.items()}
