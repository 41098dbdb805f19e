"""Which platform a machine has, and what follows: faults of a cluster file, the reader of its facts, the adapter of its manager."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.config import cluster_config
from harness.hosts.host_facts import facts_of
from harness.hosts.linux.linux_host import LinuxHost
from harness.hosts.local_host import LocalHost
from harness.hosts.windows.windows_host import WindowsHost
from harness.managers.manager_registry import manager_of
from harness.plugins.extension_points import MANAGERS


def cluster(kind: str, platform: str, **ssh: object) -> cluster_config.Cluster:
    return cluster_config.Cluster.model_validate(
        {
            "name": "x",
            "client": {"name": "lkclient", "address": "10.20.1.100"},
            "nodes": [
                {"name": f"n{i}", "address": f"10.20.1.1{i}", "second_address": f"10.20.2.1{i}", "platform": platform, "ssh": ssh}
                for i in (1, 2)
            ],
            "services": [{"name": "oracle", "kind": "oracle", "port": 1521, "tag": "listener-1521"}],
            "manager": {"kind": kind},
        }
    )


@pytest.mark.parametrize("kind", sorted(MANAGERS.built_in()))
def test_every_kind_has_an_adapter_and_its_platform(kind):
    right, wrong = ("windows", "linux") if kind in ("lifekeeper-windows", "wsfc") else ("linux", "windows")
    made = cluster(kind, right)
    manager = manager_of(made, {m.name: LocalHost(m.name) for m in made.machines})
    assert (manager.log is None) is (right == "windows")
    with pytest.raises(ValidationError, match=f'a node of {kind} runs {right}; set its platform = "{right}"'):
        cluster(kind, wrong)


def test_there_is_no_sudo_on_windows():
    with pytest.raises(ValidationError, match="log in as an administrator there"):
        cluster("wsfc", "windows", sudo=True)


def test_facts_are_read_as_the_platform_wants():
    made, here = cluster("wsfc", "windows"), LocalHost()
    assert isinstance(facts_of(made.nodes[0], here), WindowsHost)
    assert isinstance(facts_of(made.client, here), LinuxHost)
