"""The offline file: made once, and installed where there is no network at all."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_shell import REPOSITORY

CEILING_S = 600
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
CUT_OFF = ("unshare", "--user", "--map-root-user", "--net")  # a network namespace with nothing in it, not even a loopback that is up


def run(*words: object, code: int = 0, folder: Path | None = None) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=CEILING_S, env=environment, cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(REPOSITORY / "run", "offline", "--to", "out", "--platform", "linux-x86_64", "--python", PYTHON, folder=folder)
    return next((folder / "out").glob("lkharness-*-offline.pyz"))  # the path counts from where the caller stands


@pytest.fixture(scope="module")
def installed(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("jump") / "lkharness"
    assert "installed; begin with:" in run(*CUT_OFF, sys.executable, file, folder)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.deep  # it fetches what it puts in
def test_it_works_with_the_network_cut(installed: Path, tmp_path: Path):
    command = installed / "bin" / "lkharness"
    assert "DSN-06  " in run(*CUT_OFF, command, "fact", "DSN-06")
    said = run(*CUT_OFF, command, "acceptance", "--collect-only", "-q")
    assert "test_placement.py" in said
    said = run(*CUT_OFF, command, "report", tmp_path, code=2)
    assert "run.json" in said and "Traceback" not in said


@pytest.mark.deep
def test_what_it_cannot_do_it_says(file: Path, installed: Path, tmp_path: Path):
    assert "is not empty; name a new folder" in run(sys.executable, file, installed, code=4)
    other = tmp_path / "other.pyz"
    with zipfile.ZipFile(file) as whole, zipfile.ZipFile(other, "w") as part:
        part.writestr("__main__.py", whole.read("__main__.py"))
        part.writestr("lists/windows-amd64-py3.11.txt", "")
    assert "this file is for windows-amd64-py3.11, not for linux-x86_64" in run(sys.executable, other, tmp_path / "new", code=4)
    assert not (tmp_path / "new").exists()


LISTED = f"linux-x86_64-py{PYTHON}.txt"


def offline_file(file: Path, *lists: str) -> Path:
    """An offline file with these lists, and nothing that could be installed."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.write(REPOSITORY / ".ci" / "offline" / "installer.py", "__main__.py")
        for name in lists:
            archive.writestr(f"lists/{name}", "")
        archive.writestr("wheels/pip-1-py3-none-any.whl", "")
    return file


def test_another_processor_is_one_sentence(tmp_path: Path):
    """On ARM64 the same file would be taken and end in pip's words; here Python is told that it is one."""
    file = offline_file(tmp_path / "x.pyz", LISTED)
    words = ["-c", f"import runpy, sys, sysconfig; sysconfig.get_platform = lambda: 'linux-aarch64'; sys.argv = [{str(file)!r}, 'new']; "]
    words[1] += f"sys.exit(runpy.run_path({str(file)!r}, run_name='__main__'))"
    said = run(sys.executable, *words, code=4, folder=tmp_path)
    assert f"not for linux-aarch64-py{PYTHON}" in said and not (tmp_path / "new").exists()


def test_what_could_not_be_made_is_removed(tmp_path: Path):
    """It has no pip: the next try must not find a folder that is not empty."""
    file = offline_file(tmp_path / "x.pyz", LISTED)
    assert "could not be made" in run(sys.executable, file, tmp_path / "new", code=4)
    assert not (tmp_path / "new").exists()


def python_with_pip(folder: Path) -> Path:
    """A Python that links its pip into a new environment, where others would unpack and compile one for seconds."""
    pip = Path(next(iter(importlib.import_module("pip").__path__)))
    file = folder / "python"
    file.write_text(
        f'#!/bin/sh\n[ "$1 $2" = "-m venv" ] || exec "{sys.executable}" "$@"\n'
        f'"{sys.executable}" -m venv --without-pip "$3" && ln -s "{pip}" "$3/lib/python{PYTHON}/site-packages/pip"\n'
    )
    file.chmod(0o755)
    return file


def test_setting_up_without_a_registry_is_one_sentence(tmp_path: Path):
    clone = tmp_path / "clone"
    run("git", "clone", "-q", REPOSITORY, clone)
    shutil.copy(REPOSITORY / "run", clone / "run")
    environment = {**os.environ, "PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "0", "PYTHON": str(python_with_pip(tmp_path))}
    words = [*CUT_OFF, clone / "run", "setup"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=CEILING_S, env=environment)
    assert done.returncode == 4, done.stderr
    assert "run: the Python packages could not be fetched" in done.stderr.splitlines()[-1] and "PIP_INDEX_URL" in done.stderr
