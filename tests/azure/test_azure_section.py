"""The `[azure]` table of a cluster file: what it may say, and what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import cluster_config
from harness.core.errors import BadUse
from harness.lab.lifecycle import default_cluster

HERE = Path("/somewhere/customer.toml")
TABLE = {"subscription": "0000", "resource_group": "g"}


def parsed(**over: object) -> cluster_config.Azure:
    cluster = cluster_config.parse(default_cluster.merge_tables(default_cluster.DEFAULT_CLUSTER, {"azure": {**TABLE, **over}}), HERE)
    assert cluster.azure is not None
    return cluster.azure


def complaint(**over: object) -> str:
    with pytest.raises(BadUse) as caught:
        parsed(**over)
    return str(caught.value)


def test_two_words_are_enough() -> None:
    azure = parsed()
    assert (azure.credential, azure.cloud, azure.load_balancer, azure.machine("lknode01")) == ("default", "public", None, "lknode01")


def test_files_count_from_the_cluster_file() -> None:
    azure = parsed(ca_file="ca.pem", credential="client-secret", tenant="t", client_id="c", client_secret_file="secret")
    assert (azure.ca_file, azure.client_secret_file) == (HERE.parent / "ca.pem", HERE.parent / "secret")


def test_a_secret_needs_to_be_somewhere_and_only_once() -> None:
    assert "also needs tenant, client_id, one of client_secret_variable and client_secret_file" in complaint(credential="client-secret")
    both = {"client_secret_file": "x", "client_secret_variable": "Y", "tenant": "t", "client_id": "c"}
    assert "one of client_secret_variable and client_secret_file" in complaint(credential="client-secret", **both)


def test_tokens_go_over_https_only() -> None:
    assert "azure.resource_manager: 'http://127.0.0.1:1' is no https address" in complaint(resource_manager="http://127.0.0.1:1")
    assert parsed(resource_manager="https://127.0.0.1:1/").resource_manager == "https://127.0.0.1:1"


def test_machines_are_named_for_hosts_of_the_file() -> None:
    assert "azure.virtual_machines: lknode03 is no host of this file" in complaint(virtual_machines={"lknode03": "vm"})
