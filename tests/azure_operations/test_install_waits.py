"""The first minutes of a machine that `azure up` makes, when apt is locked and cloud-init busy: waited for, bounded, and said.

The script's own text is run by a real shell up to where its packages are installed, with stand-ins for apt-get and cloud-init that answer
what real ones did (azure-linux-extensions 1318, LAMP 41: "Could not get lock"). What comes behind that changes a machine, and is not run.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from harness.azure.provision import manager_install

END = "# -- what is needed is installed --\n"
LISTS = (
    "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1843 (apt-get)\nE: Unable to lock directory /var/lib/apt/lists/"
)
DPKG = "Waiting for cache lock: …\nE: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 2011 (unattended-upgr)"
MIRROR = "E: Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease  Temporary failure resolving 'deb.debian.org'"

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def bin(tmp_path: Path) -> Path:
    """The first folder of PATH, with an apt-get and a cloud-init that do nothing, well."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder, "apt-get", "exit 0")
    program(folder, "cloud-init", "exit 0")
    return folder


def program(folder: Path, name: str, does: str) -> None:
    file = folder / name
    file.write_text(f'#!/bin/sh\necho "$*" >>{folder}/{name}.asked\n{does}\n')
    file.chmod(0o755)


def asked(folder: Path, name: str) -> list[str]:
    return (folder / f"{name}.asked").read_text().splitlines()


def refuses(times: int, verb: str, says: str) -> str:
    """What an apt-get does that refuses this verb so often, and says that."""
    count = f'$(grep -c " {verb}" "$0.asked")'
    return f"case \"$*\" in *' {verb}'*) [ {count} -gt {times} ] || {{ cat >&2 <<'X'\n{says}\nX\nexit 100; }} ;; esac"


def run(bin: Path, **limits: str) -> Done:
    script = manager_install.script_of("pacemaker")
    assert script is not None and script.count(END) == 1, "what is behind this line would be done to this machine"
    head = script.partition(END)[0]
    environment = {**os.environ, "PATH": f"{bin}:{os.environ['PATH']}", "APT_PAUSE_S": "0", **limits}
    return subprocess.run(["sh"], input=head, env=environment, capture_output=True, text=True, timeout=120)


def test_without_trouble_nothing_is_said(bin: Path) -> None:
    done = run(bin)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert asked(bin, "cloud-init") == ["status --wait"]
    update, install = asked(bin, "apt-get")
    assert "Error-Mode=any" in update, "or what no mirror gave is a warning, and an exit of 0"
    assert "install -y" in install and "DPkg::Lock::Timeout=" in install and "pacemaker corosync" in install


@pytest.mark.parametrize(("verb", "says"), [("update", LISTS), ("install", DPKG), ("update", MIRROR)])
def test_a_refusal_that_passes_is_waited_out_and_told(bin: Path, verb: str, says: str) -> None:
    program(bin, "apt-get", refuses(2, verb, says))
    done = run(bin)
    assert done.returncode == 0 and len([a for a in asked(bin, "apt-get") if f" {verb}" in a]) == 3
    first = next(line for line in says.splitlines() if line.startswith("E: "))
    [said] = done.stderr.splitlines()
    assert said.startswith(f"apt-get {verb} went well the 3. time") and said.endswith(first)


@pytest.mark.parametrize(("verb", "says"), [("update", LISTS), ("install", DPKG)])
def test_one_that_does_not_pass_ends_in_one_sentence(bin: Path, verb: str, says: str) -> None:
    """Run-command brings the last line home, and so it has all of it."""
    program(bin, "apt-get", refuses(1000, verb, says))
    done = run(bin, APT_LIMIT_S="2", APT_PAUSE_S="1")
    said = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and re.search(f"apt-get {verb} failed [12] times", said), said  # one, where the machine is busy
    assert "Could not get lock" in said and "(exit 100)" in said


@pytest.mark.parametrize("limit_s", ["-59", "-60", "-90"])  # a minute more is 1 s, or nothing is left, as where the clock was set meanwhile
def test_an_apt_that_hangs_is_ended(bin: Path, limit_s: str) -> None:
    program(bin, "apt-get", "exec sleep 3600")
    done = run(bin, APT_LIMIT_S=limit_s)
    assert done.returncode == 1 and "apt-get update failed 1 times" in done.stderr and "(exit 124)" in done.stderr


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ('[ "$2" = --wait ] && exec sleep 3600', "cloud-init had not ended after 1 s; going on without it"),
        (
            '[ "$2" = --wait ] && exit 1; echo "status: error"; exit 1',
            "cloud-init ended with an error (exit 1): status: error; going on without it",
        ),
    ],
)
def test_the_first_boot_is_waited_for_so_long_and_not_longer(bin: Path, does: str, says: str) -> None:
    program(bin, "cloud-init", does)
    done = run(bin, BOOT_LIMIT_S="1")
    assert (done.returncode, done.stderr.strip()) == (0, says)
    assert len(asked(bin, "apt-get")) == 2
