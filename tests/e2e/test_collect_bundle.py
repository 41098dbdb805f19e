"""`lkharness collect` against a lab, and `lab up --like` from what it wrote."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli_w
from broken_clusters import FAULTS, QUIET, cut_a_comm_path
from command_shell import Shell, one_sentence, shell_in

from harness.core.deadline import Deadline
from harness.lab.control import lab_registry

TOGETHER = (  # those that do not get into each other's way; the first lab has one dead communication path besides
    ("listener on the VIP only", "VIP /24", "rp_filter strict", "tcp_timestamps", "both nodes listening"),
    ("VIP on Subnet#1's NIC", "responder bound to the VIP", "probe port is sshd's"),
)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with shell_in(tmp_path / "state") as one:
        yield one


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A healthy lab named `one` for the tests that only collect from it."""
    with shell_in(tmp_path_factory.mktemp("beside") / "state") as one:
        one.up("--name", "one", "--file", one.modest("listener", "database"))
        yield one


def contents(bundle: Path) -> dict[str, bytes]:
    with tarfile.open(bundle) as tar:
        return {m.name.partition("/")[2]: tar.extractfile(m).read() for m in tar if m.isfile()}


@pytest.mark.heavy
def test_no_canary_gets_in_and_lost_hosts_are_told(beside: Shell, tmp_path: Path) -> None:
    """A secret in every source: the file's settings, files and variables, arguments, environments and logs of hosts."""
    shell = beside
    canaries = {
        place: f"canary-{place}-7Qz" for place in ("inline", "file", "variable", "arguments", "environment", "log", "known", "stray")
    }
    (tmp_path / "secret").write_text(f"{canaries['file']}\n")
    lab = shell.labs / "one"
    data = tomllib.loads((lab / "cluster.toml").read_text())
    for machine in (data["client"], *data["nodes"]):
        machine["ssh"] |= {"key": str(lab / "keys/login"), "known_hosts": str(lab / "known_hosts")}
    data["services"][0]["settings"] |= {"password": canaries["inline"], "password_env": "MINE"}
    data["services"][1]["settings"] |= {"password_file": str(tmp_path / "secret")}
    file = tmp_path / "cluster.toml"
    file.write_text(tomli_w.dumps(data))
    # What is known to be secret may stand anywhere, in any form; what is not known must at least look like a secret.
    line = f"password={canaries['log']} and {canaries['file']} and {canaries['variable']} and {canaries['inline']} and {canaries['stray']}"
    seeded = (
        f"echo \"$(tail -n 1 /var/log/lifekeeper.log | cut -d' ' -f1-4) lcm[7]: {line}\" >>/var/log/lifekeeper.log; "
        f"echo 'SECRET_TOKEN={canaries['log']}' >>/etc/default/LifeKeeper; "
        f"PGPASSWORD={canaries['environment']} setsid sh -c 'sleep 600; true' psql {canaries['arguments']} {QUIET}"
    )
    assert shell.lkharness("lab", "exec", "--name", "one", "lknode01", "--", "sh", "-c", seeded).returncode == 0
    bundle = tmp_path / "b.tar.gz"
    variables = {"MINE": canaries["variable"], "SOME_API_TOKEN": canaries["stray"]}
    done = shell.lkharness("collect", "--trust-cluster-file", "--cluster", file, "--capture", "1", "--output", bundle, **variables)
    assert done.returncode == 0, done.stderr
    inside = contents(bundle)
    assert b" and [removed] and [removed]" in inside["hosts/lknode01/manager.log"], "the log was not seen at all"
    assert b"sleep" in inside["hosts/lknode01/processes.txt"] and len(inside["hosts/lknode01/capture.pcapng"]) > 200
    found = [(name, place) for name, raw in inside.items() for place, c in canaries.items() if c.encode() in raw]
    assert not found and not any(c in done.stdout + done.stderr for c in canaries.values())
    private = (lab / "keys/login").read_text().splitlines()[1]
    assert not any(private.encode() in raw for raw in inside.values())
    index = json.loads(inside["index.json"])
    assert "observed" in index and index["manager"]["active"] == "lknode01"
    assert all(h["reached"] and not h["faults"] for h in index["hosts"])
    assert all(f["path"] in inside for h in index["hosts"] for f in h["files"]) and b"lknode02" in inside["index.html"]

    # One host is lost: it is told, and the others are there. All are lost: 4.
    data["nodes"][1]["ssh"]["port"] = 1
    file.write_text(tomli_w.dumps(data))
    lost = ("collect", "--hosts-only", "--trust-cluster-file", "--cluster", file)
    done = shell.lkharness(*lost, "--output", tmp_path / "two.tar.gz", **variables)
    assert done.returncode == 0 and "lknode02: could not be reached" in done.stdout, done.stdout + done.stderr
    of_hosts = contents(tmp_path / "two.tar.gz")
    assert "hosts/lknode01/addresses.txt" in of_hosts and "observed" not in json.loads(of_hosts["index.json"])
    for machine in (data["client"], data["nodes"][0]):
        machine["ssh"]["port"] = 1
    file.write_text(tomli_w.dumps(data))
    done = shell.lkharness("collect", "--trust-cluster-file", "--cluster", file, "--output", tmp_path / "none.tar.gz", **variables)
    assert done.returncode == 4


def findings(shell: Shell, bundle: Path) -> list[str]:
    """What `check` finds in it, which is what it finds in the lab (test_check_bundle), without the numbers of processes and without what it
    says of the bundle itself."""
    said = [line for line in shell.lkharness("check", bundle).stdout.splitlines() if line.startswith(("fault", "note"))]
    return sorted(re.sub(r"\(\d+\)", "", line) for line in said if ": not in a bundle: " not in line)


def shape(bundle: Path) -> dict[str, object]:
    """What the nodes of a bundle looked like: addresses, who listens where, kernel settings."""
    hosts = json.loads(contents(bundle)["index.json"])["hosts"]
    return {
        h["name"]: (
            sorted((a["interface"], a["address"], a["prefix"]) for a in h["facts"]["addresses"]),
            sorted({("0.0.0.0" if one["address"] == "::" else one["address"], one["port"]) for one in h["facts"]["listeners"]}),
            h["facts"]["sysctls"],
        )
        for h in hosts
    }


@pytest.mark.heavy
@pytest.mark.parametrize("names", [TOGETHER[0], pytest.param(TOGETHER[1], marks=pytest.mark.deep)], ids=["first", "second"])
def test_a_lab_like_a_broken_one_shows_the_same_faults(shell: Shell, tmp_path: Path, names: tuple[str, ...]) -> None:
    shell.up("--name", "broken", "--file", shell.asleep("listener"))
    lab = lab_registry.read(shell.labs / "broken")
    if names == TOGETHER[0]:
        cut_a_comm_path(lab)
    for node, line in map(FAULTS.__getitem__, names):
        assert shell.lkharness("lab", "exec", "--name", "broken", node, "--", "sh", "-c", line).returncode == 0
    bundle, again = tmp_path / "b.tar.gz", tmp_path / "again.tar.gz"
    assert shell.lkharness("collect", "--cluster", lab.cluster_file, "--output", bundle).returncode == 0
    before = findings(shell, bundle)
    lab.end()
    done = shell.lkharness("lab", "up", "--name", "like", "--like", bundle)
    assert done.returncode == 0, done.stderr
    assert len(before) >= len(names), before
    # of the hosts alone: the findings are about them
    done_again = shell.lkharness("collect", "--hosts-only", "--cluster", shell.labs / "like" / "cluster.toml", "--output", again)
    assert done_again.returncode == 0, done_again.stderr
    assert findings(shell, again) == before, done.stdout
    assert shape(again) == shape(bundle), done.stdout


def test_what_is_no_bundle_brings_no_lab_up(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "b.tar.gz").write_text("no bundle")
    assert "bundle" in one_sentence(shell.lkharness("lab", "up", "--like", tmp_path / "b.tar.gz"), 2)
    assert "--like" in one_sentence(shell.lkharness("lab", "up", "--like", tmp_path / "b.tar.gz", "--design", "nat"), 2)
    assert shell.folders() == []


def test_ctrl_c_in_the_middle_leaves_nothing_and_ends_at_once(beside: Shell, tmp_path: Path) -> None:
    """While all hosts are asked and a capture still runs: the archive that had begun goes, and nobody waits for the capture's end."""
    shell = beside
    into = tmp_path / "into"
    into.mkdir()
    file = shell.labs / "one" / "cluster.toml"
    process = shell.begin("-m", "harness.cli", "collect", "--cluster", file, "--capture", "60", "--output", into / "b.tar.gz")
    Deadline(120).wait_for(lambda: list(into.iterdir()), what="the archive having begun", every=0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    one_sentence(subprocess.CompletedProcess(process.args, process.returncode, out, err), 130)
    assert list(into.iterdir()) == []


def test_bad_places_and_windows_are_one_sentence(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "there.tar.gz").write_text("mine")
    before = sorted(tmp_path.iterdir())
    for words, code, says in (
        (["--output", tmp_path / "no" / "b.tar.gz"], 4, "there is no folder"),
        (["--output", tmp_path / "there.tar.gz"], 2, "is there already"),
        (["--output", tmp_path / "b.zip"], 2, ".tar.gz"),
        (["--since", "5x"], 2, "is no span of time"),
        (["--from", "2026-13-01"], 2, "is no time"),
        (["--capture", "nan"], 2, "seconds can be recorded"),
    ):
        assert says in one_sentence(shell.lkharness("collect", "--cluster", "cluster.example.toml", *words), code)
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "there.tar.gz").read_text() == "mine"
