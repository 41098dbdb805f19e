"""`lkharness init`: what it writes is a cluster file that loads and says what was answered; nothing is overwritten or half written."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import cli
from harness.config import cluster_config
from harness.config.cluster_file_writer import host_of, service_of
from harness.core.errors import BadUse

NEEDED = [
    *("--client", "lkclient=10.20.1.20", "--node", "lknode01=10.20.1.11,10.20.2.11", "--node", "lknode02=10.20.1.12,10.20.2.12"),
    *("--frontend", "10.20.1.200", "--service", "listener=oracle:1521:listener-1521"),
]


def test_what_it_writes_loads_and_says_what_was_answered(tmp_path: Path, capsys):
    file = tmp_path / "customer.toml"
    more = ["--service", 'odd "one"=tcp:8080:tag-1', "--user", "azureuser", "--sudo", "--jump", "lkclient", "--known-hosts", "hosts"]
    assert cli.main(["init", *NEEDED, *more, str(file)]) == 2  # a name with blanks is no name
    assert not file.exists() and "services[1].name" in capsys.readouterr().err
    more[1] = "web=http:80:http-80"
    assert cli.main(["init", *NEEDED, *more, "--design", "floating", str(file)]) == 0
    cluster = cluster_config.load(file)
    assert cluster.design is cluster_config.Design.FLOATING and str(cluster.vip) == "10.20.1.200"
    assert [s.name for s in cluster.services] == ["listener", "web"] and cluster.manager.resource == "listener-1521"
    assert [(n.ssh.user, n.ssh.sudo, n.ssh.jump) for n in cluster.nodes] == [("azureuser", True, "lkclient")] * 2
    assert cluster.client.ssh.jump is None and cluster.client.ssh.known_hosts == tmp_path / "hosts"
    assert f"lkharness check --cluster {file}" in capsys.readouterr().out


def test_every_commented_default_is_one_that_loads(tmp_path: Path):
    """What a person uncomments must be accepted."""
    file = tmp_path / "customer.toml"
    assert cli.main(["init", *NEEDED, str(file)]) == 0
    lines = [re.sub(r"^# (?=[a-z_]+ = |\[power\]|\[budget\])", "", line) for line in file.read_text().splitlines() if "…" not in line]
    file.write_text("\n".join(lines))
    cluster = cluster_config.load(file, trusted=True)
    assert cluster.power is not None and cluster.budget.margin_s == 5.0 and cluster.manager.boot_s == 300.0


def test_nothing_is_overwritten(tmp_path: Path, capsys):
    file = tmp_path / "mine.toml"
    file.write_text("mine")
    assert cli.main(["init", *NEEDED, str(file)]) == 2
    assert file.read_text() == "mine" and "--force" in capsys.readouterr().err
    assert cli.main(["init", *NEEDED, "--force", str(file)]) == 0
    assert cluster_config.load(file).name == "customer"


@pytest.mark.parametrize(
    ("left_out", "says"), [("--client", "--client"), ("--frontend", "--frontend"), ("--node", "--node, twice"), ("--service", "--service")]
)
def test_nobody_to_ask(tmp_path: Path, capsys, monkeypatch, left_out: str, says: str):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    at = NEEDED.index(left_out)
    assert cli.main(["init", *NEEDED[:at], *NEEDED[at + 2 :], str(tmp_path / "x.toml")]) == 2
    assert f"not given: {says};" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "name", "name=", "=10.0.0.4", "name=10.0.0.4", "name=10.0.0.4,b", "name=10.0.0.4,10.0.1.4,10.0.2.4"])
def test_what_names_no_node(text: str):
    with pytest.raises(BadUse, match="NAME=ADDRESS,SECOND"):
        host_of(text, addresses=2)


@pytest.mark.parametrize("text", ["", "listener", "listener=oracle:1521", "listener=mysql:3306:tag", "listener=oracle:x:tag"])
def test_what_names_no_service(text: str):
    with pytest.raises(BadUse, match="NAME=KIND:PORT:TAG"):
        service_of(text)


def test_on_a_terminal_it_asks_and_asks_again(tmp_path: Path):
    file = tmp_path / "asked.toml"
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "harness.cli", "init", *NEEDED[2:], str(file)]
    done = subprocess.Popen(words, stdin=theirs, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    os.write(ours, b"nonsense\nlkclient=10.20.1.20\n")
    out, _ = done.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0 and "'nonsense': nothing is no IPv4 address" in out and out.count("the client, NAME=ADDRESS: ") == 2
    assert cluster_config.load(file).client.name == "lkclient"
