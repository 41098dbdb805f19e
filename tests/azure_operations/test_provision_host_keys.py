"""The host keys of what `azure up` makes are known before the first SSH, by Azure's own log-in: never taken from whoever answers.

Against the stand-in for deployments, with the real Azure packages; the script itself against a real shell.
"""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from arm_answers import host_key
from azure_up import up

from harness.azure.provision.ssh_access import host_keys
from harness.config import cluster_config
from harness.config.cluster_config import Cluster, Machine
from harness.hosts.host import WrongHostKey
from harness.hosts.ssh import known_hosts
from harness.hosts.ssh.ssh_connection import _known_keys, address_of

FILE = ("--cluster-file", "made.toml")
OUTSIDE = ("--public-from", "192.0.2.7/32")


def made(folder: Path) -> Cluster:
    return cluster_config.load(folder / "made.toml")


def vouched(machine: Machine, key: str) -> bool:
    """By the very function that the first SSH asks."""
    kind, text = key.split(" ")
    return _known_keys(machine, *address_of(machine)).vouches_for(kind, base64.b64decode(text))


def test_every_machine_is_known_by_its_own_key_and_by_no_other(arm, capsys, tmp_path):
    assert up(*FILE, *OUTSIDE, "--outbound", "--prefix", "a-") == 0
    cluster = made(tmp_path)
    assert address_of(cluster.client) == ("203.0.113.5", 22)
    for machine in cluster.machines:
        assert machine.ssh.known_hosts == tmp_path / "made.known_hosts"
        assert vouched(machine, host_key(f"a-{machine.name}")) and not vouched(machine, host_key("somebody-else"))
    told = capsys.readouterr().err
    own = known_hosts.fingerprint(base64.b64decode(host_key("a-lknode01").split(" ")[1]))
    assert f"lknode01: its host key is ssh-ed25519 {own}" in told
    assert (tmp_path / "made.known_hosts").stat().st_mode & 0o077 == 0


def test_a_machine_without_a_way_out_is_not_asked_and_ssh_to_it_is_refused(arm, capsys, tmp_path, monkeypatch):
    """An entry of somebody else's cluster with the same private addresses is none for this one."""
    home = tmp_path / "home" / ".ssh"
    home.mkdir(parents=True)
    (home / "known_hosts").write_text(f"10.20.1.11 {host_key('another cluster')}\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert up(*FILE, *OUTSIDE) == 0
    cluster = made(tmp_path)
    assert vouched(cluster.client, host_key("lkclient"))
    for node in cluster.nodes:
        with pytest.raises(WrongHostKey, match=r"made\.known_hosts has no entry for 10\.20\.1\.1"):
            vouched(node, host_key(node.name))
    assert [path.split("/")[-2] for _, path in arm.asked if path.endswith("/runCommand")] == ["lkclient"]
    said = capsys.readouterr().err
    assert "the host keys of lknode01, lknode02 are not known; SSH is refused until" in said and "ssh-keygen -lf" in said


@pytest.mark.parametrize(
    "says",
    [
        "",
        "cat: '/etc/ssh/ssh_host_*_key.pub': No such file or directory",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
        f"ssh-rsa {host_key('a').split(' ')[1]}",
        f"* {host_key('a')}",
    ],
)
def test_what_is_no_key_is_none_and_the_cluster_is_there(arm, capsys, tmp_path, says):
    arm.says = lambda machine: says if machine == "lknode02" else host_key(machine)
    assert up(*FILE, "--outbound") == 4
    told = capsys.readouterr().err
    assert "lknode02: it told no host key" in told and "the cluster is there" in told and "Traceback" not in told
    cluster = made(tmp_path)
    assert vouched(cluster.node("lknode01"), host_key("lknode01"))
    with pytest.raises(WrongHostKey):
        vouched(cluster.node("lknode02"), host_key("lknode02"))


def test_a_host_cannot_write_a_line_for_another(arm, tmp_path):
    """What it says is read for keys, and its name is ours."""
    arm.says = lambda machine: f"10.20.1.12 {host_key('evil')}\n{host_key(machine)} @x\n10.20.1.12 {host_key('evil')}\r\n"
    assert up(*FILE, "--outbound") == 0
    assert not vouched(made(tmp_path).node("lknode02"), host_key("evil")) and "evil" not in (tmp_path / "made.known_hosts").read_text()


def test_ctrl_c_meanwhile_leaves_a_file_that_refuses(arm, capsys, tmp_path, monkeypatch):
    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(host_keys, "read", interrupted)
    assert up(*FILE, "--outbound") == 4
    assert "the cluster is there" in capsys.readouterr().err
    with pytest.raises(WrongHostKey):
        vouched(made(tmp_path).client, host_key("lkclient"))


def test_a_file_of_keys_that_is_there_is_kept(arm, capsys, tmp_path):
    (tmp_path / "made.known_hosts").write_text("mine\n")
    assert up(*FILE) == 2
    assert "made.known_hosts is there already" in capsys.readouterr().err and not arm.names()


def test_only_whole_keys_of_known_kinds_are_read():
    key = host_key("a")
    assert list(host_keys.parse_keys(f"{key}\n{key} root@a\nssh-dss AAAA\nx\n\nssh-ed25519 \u00e9")) == ["ssh-ed25519"]
