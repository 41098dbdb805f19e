"""cluster.example.toml explains everything that a cluster file may hold, and what it shows as a default is one."""

from __future__ import annotations

import re
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from harness import cli
from harness.config import cluster_config
from harness.config.cluster_file_writer import Answers, HostAnswer, ServiceAnswer, write_text
from harness.plugins.extension_points import MANAGERS

EXAMPLE = Path(__file__).parents[2] / "cluster.example.toml"


def parts(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and all that it is made of."""
    yield kind
    for found in kind.model_fields.values():
        for one in _models(found.annotation):
            yield from parts(one)


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models(inner)


FIELDS = sorted({(kind.__name__, name) for kind in parts(cluster_config.Cluster) for name in kind.model_fields})


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_every_field_is_mentioned(kind: str, name: str) -> None:
    """As a key, a key of an inline table, or a table; commented out or not."""
    assert re.search(rf"(?m)^(?:# )?\[*(?:\w+\.)?{name}\]|^(?:# )?{name} = |[{{,] *{name} = ", EXAMPLE.read_text()), f"{kind}.{name}"


def test_it_loads_as_it_is_and_with_everything_uncommented(tmp_path: Path) -> None:
    """What is shown commented out is the default, but for what has none."""
    plain = cluster_config.load(EXAMPLE)
    lines = [re.sub(r"^# (?=[a-z0-9_]+ = |\[)", "", line) for line in EXAMPLE.read_text().splitlines() if "…" not in line]
    file = tmp_path / EXAMPLE.name
    file.write_text("\n".join(lines))
    full = cluster_config.load(file, trusted=True)
    assert full.power is not None and full.manager.hc_timeout_s == 10.0
    different = {"power", "network_capture", "azure", "client", "nodes", "manager", "lab", "services"}
    assert full.model_dump(exclude=different) == plain.model_dump(exclude=different)
    assert plain.services == full.services[:1] and full.services[1].kind == "postgres"
    unset = {"hc_timeout_s", "quorum", "starts_at_boot", "check_limit_s", "daemons"}
    assert full.manager.model_dump(exclude=unset) == plain.manager.model_dump(exclude=unset)
    assert {m.platform for m in full.machines} == {"linux"}
    assert full.azure is not None and full.azure.machine("lknode01") == "vm-lk-01" and full.azure.machine("lknode02") == "lknode02"
    defaults = {
        name: found.default for name, found in cluster_config.Azure.model_fields.items() if found.default and not found.is_required()
    }
    assert {name: getattr(full.azure, name) for name in defaults} == defaults


@pytest.mark.parametrize("manager", sorted(MANAGERS.built_in()))
@pytest.mark.parametrize("design", ["nat", "floating"])
def test_what_init_writes_is_the_cluster_of_its_options(tmp_path: Path, manager: str, design: str) -> None:
    """Every option finds its place, and nothing that was not said differs from the model's defaults."""
    file = tmp_path / "mine.toml"
    windows = cluster_config.platform_of(manager) == "windows"
    given = {
        "--client": "cl=10.9.1.20", "--frontend": "10.9.1.200", "--resource": "top", "--name": "case-1", "--design": design,
        "--manager": manager, "--probe-port": "61000", "--ip-tag": "the-ip", "--user": "me", "--key": "k", "--known-hosts": "kh",
        "--jump": "cl",
    }  # fmt: skip
    words = [word for pair in given.items() for word in pair] + ([] if windows else ["--sudo"])
    words += [
        "--node",
        "n1=10.9.1.11,10.9.2.11",
        "--node",
        "n2=10.9.1.12,10.9.2.12",
        "--service",
        "web=http:80:w",
        "--service",
        "db=oracle:1521:d",
    ]
    assert cli.main(["init", *words, str(file)]) == 0
    ssh = {"user": "me", "key": tmp_path / "k", "known_hosts": tmp_path / "kh", "sudo": not windows}
    platform = "windows" if windows else "linux"
    nodes = [
        {"name": f"n{i}", "address": f"10.9.1.1{i}", "second_address": f"10.9.2.1{i}", "platform": platform, "ssh": {**ssh, "jump": "cl"}}
        for i in (1, 2)
    ]
    wanted = {
        "name": "case-1", "design": design, "subnet1": "10.9.1.0/24", "subnet2": "10.9.2.0/24", "nodes": nodes,
        "client": {"name": "cl", "address": "10.9.1.20", "ssh": ssh},
        "load_balancer": {"frontend": "10.9.1.200", "probe": {"port": 61000}}, "ip_resource": {"address": "10.9.1.200", "tag": "the-ip"},
        "services": [
            {"name": "web", "kind": "http", "port": 80, "tag": "w"}, {"name": "db", "kind": "oracle", "port": 1521, "tag": "d"},
        ],
        "manager": {"kind": manager, "resource": "top"},
    }  # fmt: skip
    assert cluster_config.load(file) == cluster_config.Cluster.model_validate(wanted)


def test_odd_words_stay_what_they_are() -> None:
    """Quotes, backslashes and line breaks in an answer are TOML's matter, not the person's."""
    odd = 'a"b\\c\n[x]\x7f'
    hosts = (HostAnswer("n1", ("10.9.1.11", "10.9.2.11")), HostAnswer("n2", ("10.9.1.12", "10.9.2.12")))
    service = ServiceAnswer("s", "tcp", 80, odd)
    answers = Answers("x", "nat", HostAnswer("c", ("10.9.1.20",)), hosts, "10.9.1.200", 1, "ip", (service,), "wsfc", odd, user=odd)
    text = write_text(answers, Path("x.toml"))
    cluster = cluster_config.parse(tomllib.loads(text), Path("x.toml"))
    assert (cluster.manager.resource, cluster.services[0].tag, cluster.client.ssh.user) == (odd, odd, odd)


def test_who_takes_a_host_key_from_the_network_is_told_to_compare_it() -> None:
    text = EXAMPLE.read_text()
    assert "ssh-keyscan" in text and "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in text.split("ssh-keyscan", 1)[1][:400]
