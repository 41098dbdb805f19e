"""Reading a cluster file: every fault at once with its place, relative paths, names."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w

from harness.config import cluster_config
from harness.core.errors import BadUse
from harness.lab.lifecycle import default_cluster

HERE = Path("customer.toml")


def figure(**over) -> dict:
    return default_cluster.merge_tables(default_cluster.DEFAULT_CLUSTER, over)


def faults(data: dict) -> list[str]:
    """The complaint's lines after its head, which has to name the file and count them."""
    with pytest.raises(BadUse) as caught:
        cluster_config.parse(data, HERE)
    head, *lines = str(caught.value).splitlines()
    assert head == f"{HERE}: {len(lines)} fault{'s' if len(lines) > 1 else ''}"
    return [line.strip() for line in lines]


def nodes(**first) -> list[dict]:
    return [{**default_cluster.DEFAULT_CLUSTER["nodes"][0], **first}, default_cluster.DEFAULT_CLUSTER["nodes"][1]]


def test_the_seed_figure_has_no_fault():
    cluster = cluster_config.parse(figure(), HERE)
    assert (str(cluster.vip), cluster.design) == ("10.20.1.200", cluster_config.Design.NAT)
    assert [str(n.second_address) for n in cluster.nodes] == ["10.20.2.11", "10.20.2.12"]
    assert cluster.peer_of("lknode01").name == "lknode02" and cluster.node("lknode02").name == "lknode02"


def test_every_faulty_value_is_listed_with_its_place():
    """Values that cannot be: all of them, wherever they stand in the file."""
    found = faults(
        figure(
            design="bridge",
            colour="blue",
            client={"address": "10.20.1"},
            nodes=nodes(name="-n"),
            load_balancer={"probe": {"port": 70000, "interval_s": 0}},
            services=[{"name": "web", "kind": "ftp", "port": 0}],
            manager={"heartbeats_missed": 1},
        )
    )
    places = {line.split(":")[0] for line in found}
    assert places == {
        "design",
        "colour",
        "client.address",
        "nodes[0].name",
        "load_balancer.probe.port",
        "load_balancer.probe.interval_s",
        "services[0].kind",
        "services[0].port",
        "services[0].tag",
        "manager.heartbeats_missed",
    }


def test_everything_that_does_not_fit_together_is_listed():
    """Values that are fine each and wrong together: all of them."""
    twin = default_cluster.DEFAULT_CLUSTER["services"][0]
    found = faults(
        figure(
            client={"name": "lknode02", "address": "10.20.1.3", "ssh": {"jump": "bastion"}},
            nodes=nodes(address="10.20.9.11", second_address="10.20.1.11", ssh={"jump": "lknode01"}),
            ip_resource={"address": "10.20.1.201"},
            services=[twin, twin],
        )
    )
    for expected in (
        "the name lknode02 is used 2 times",
        "port 1521 is used 2 times",
        "the name listener is used 2 times",
        "client.address: 10.20.1.3 is reserved by Azure",
        "nodes[0].address: 10.20.9.11 is outside 10.20.1.0/24",
        "nodes[0].second_address: 10.20.1.11 is outside 10.20.2.0/24",
        "ip_resource.address: 10.20.1.201 is not the load balancer's frontend 10.20.1.200",
        "lknode02: ssh.jump names bastion",
        "lknode01: ssh.jump names lknode01",
    ):
        assert any(expected in line for line in found), f"missing: {expected}; found: {found}"
    assert len(found) == 10


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"load_balancer": {"frontend": "10.20.1.11"}, "ip_resource": {"address": "10.20.1.11"}}, "already taken by nodes[0].address"),
        ({"subnet2": "10.20.0.0/16"}, "subnet2: 10.20.0.0/16 overlaps subnet1 10.20.1.0/24"),
        ({"services": []}, "services: "),
        ({"nodes": nodes()[:1]}, "nodes: "),
        ({"load_balancer": {"frontend": "10.20.1.255"}, "ip_resource": {"address": "10.20.1.255"}}, "reserved by Azure"),
    ],
)
def test_single_faults(over, says):
    (found,) = faults(figure(**over))
    assert says in found


@pytest.mark.parametrize("name", ["a b", "", "../etc", "-o", "x" * 64, "a;b", "ü"])
def test_names_are_safe_everywhere(name):
    """A name goes into commands, file names and units: nothing else than a host name's characters may be in it."""
    found = faults(figure(client={"name": name}))
    assert found and all(line.startswith("client.name: ") for line in found)


def test_paths_count_from_the_file(tmp_path, monkeypatch):
    """Relative keys and known_hosts lie beside the file, wherever it is read from; absolute ones stay."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site").mkdir()
    file = Path("site/cluster.toml")
    ssh = {"key": "keys/login", "known_hosts": "/etc/known"}
    file.write_text(tomli_w.dumps(figure(client={"ssh": ssh}, nodes=nodes(ssh={"key": "../id"}))))
    cluster = cluster_config.load(file)
    assert cluster.client.ssh.key == tmp_path / "site/keys/login"
    assert cluster.client.ssh.known_hosts == Path("/etc/known")
    assert cluster.nodes[0].ssh.key is not None and cluster.nodes[0].ssh.key.resolve() == tmp_path / "id"
    assert cluster.nodes[1].ssh.key is None


def test_a_home_that_nobody_knows(tmp_path):
    file = tmp_path / "cluster.toml"
    file.write_text(tomli_w.dumps(figure(client={"ssh": {"key": "~nobody-of-this-name/id"}})))
    with pytest.raises(BadUse, match=r"^~nobody-of-this-name/id: nobody's home is known for that; write the whole path$"):
        cluster_config.load(file)


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"a = 1\na = 2"])
def test_a_file_that_is_not_toml(tmp_path, content):
    file = tmp_path / "broken.toml"
    file.write_bytes(content)
    with pytest.raises(BadUse, match=r"broken\.toml: is not TOML: "):
        cluster_config.load(file)


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir()])
def test_a_file_that_cannot_be_read(tmp_path, make):
    file = tmp_path / "cluster.toml"
    make(file)
    with pytest.raises(BadUse, match=r"cluster\.toml: cannot be read \(.+\); give the path of a cluster file"):
        cluster_config.load(file)


def test_faulty_values_do_not_hide_what_does_not_fit_together():
    data = figure(load_balancer={"frontend": "10.20.1.200", "probe": {"interval_s": -1}}, ip_resource={"address": "10.20.1.201"})
    found = faults(data)
    assert any("load_balancer.probe.interval_s" in line for line in found)
    assert any("ip_resource.address: 10.20.1.201 is not the load balancer's frontend" in line for line in found)
