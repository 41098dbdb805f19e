"""The client's public address, which `azure up --public-from` asks for: read back, printed, and the way in for the cluster file.

Against the stand-in for deployments, with the real Azure packages; no Azure is behind it.
"""

from __future__ import annotations

import pytest
from azure_up import up

from harness.azure.provision.ssh_access import jump_host
from harness.config import cluster_config
from harness.hosts.ssh.ssh_connection import address_of
from harness.hosts.ssh.ssh_host import connect_all

FROM = ("--public-from", "192.0.2.7/32", "--cluster-file", "made.toml")


def test_the_way_in_from_outside_goes_by_the_public_address(arm, capsys, tmp_path):
    assert up(*FROM) == 0
    cluster = cluster_config.load(tmp_path / "made.toml")
    hosts = connect_all(cluster)
    client = cluster.client.name
    assert address_of(hosts[client].machine) == ("203.0.113.5", 22)
    for node in cluster.nodes:
        assert hosts[node.name]._dial == hosts[client]._tunnel and address_of(hosts[node.name].machine) == (str(node.address), 22)
    assert str(cluster.client.address) == "10.20.1.20", "what the paths are measured from is its private address"
    assert "the client, the jump host, has the public address 203.0.113.5" in capsys.readouterr().err


def test_the_prefix_and_the_way_out_do_not_confuse_it(arm, capsys, tmp_path):
    assert up(*FROM, "--prefix", "a-", "--outbound") == 0
    assert cluster_config.load(tmp_path / "made.toml").client.ssh.host == "203.0.113.5"
    asked = [path.rpartition("/")[2] for method, path in arm.asked if method == "GET" and "/publicIPAddresses/" in path]
    assert asked == ["a-jump-address"]


def test_without_one_nothing_is_asked(arm, tmp_path):
    assert up("--outbound", "--cluster-file", "made.toml") == 0
    assert cluster_config.load(tmp_path / "made.toml").client.ssh.host is None
    assert not [path for _, path in arm.asked if "/publicIPAddresses/" in path]


@pytest.mark.parametrize("said", [{}, {"ipAddress": None}, {"ipAddress": "here"}, None])
def test_one_that_azure_does_not_tell_leaves_the_cluster_and_says_what_to_write(arm, capsys, tmp_path, said):
    arm.public_addresses = said
    assert up(*FROM) == 4
    told = capsys.readouterr().err
    assert "remove it with: lkharness azure down" in told and "write it as ssh.host of lkclient in made.toml" in told
    assert cluster_config.load(tmp_path / "made.toml").client.ssh.host is None and "ilb" in arm.names()


def test_ctrl_c_meanwhile_does_not_say_that_nothing_is_there(arm, capsys, monkeypatch):
    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(jump_host, "public_address", interrupted)
    assert up(*FROM) == 4
    told = capsys.readouterr().err
    assert "nothing was left behind" not in told and "the cluster is there" in told
