"""Names that services give for their nodes, short or with a domain, and how long each kind bears a silent client."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from harness.config import cluster_config
from harness.disrupt.network.idle_timeout import bears_silence_s
from harness.lab.lifecycle import default_cluster
from harness.services import service_registry
from harness.services.node_identity import node_of
from harness.services.service_kind import Identity

CLUSTER = cluster_config.parse(default_cluster.cluster_data("fast"), Path("x"))


@pytest.mark.parametrize(
    ("said", "node"), [("lknode01", "lknode01"), ("LKNODE02.corp.example", "lknode02"), ("lknode03.corp.example", None)]
)
def test_a_name_counts_up_to_its_first_dot(said: str, node: str | None) -> None:
    assert node_of(Identity("oracle", "", node=said), CLUSTER, {})[0] == node


@pytest.mark.parametrize(
    ("said", "node"),
    [
        ("a.corp.example", "a.corp.example"),
        ("A.corp.example.", "a.corp.example"),
        ("a", "a.corp.example"),
        ("b.any.example", "b"),
        ("a.other.example", None),  # another host, which has the same short name in another domain
    ],
)
def test_two_names_with_different_domains_are_two_hosts(said: str, node: str | None) -> None:
    one, two = CLUSTER.nodes
    named = CLUSTER.model_copy(update={"nodes": (one.model_copy(update={"name": "a.corp.example"}), two.model_copy(update={"name": "b"}))})
    assert node_of(Identity("oracle", "", node=said), named, {})[0] == node


def test_a_kind_that_nobody_measured_is_as_impatient_as_a_database() -> None:
    assert (bears_silence_s("tcp"), bears_silence_s("http"), bears_silence_s("oracle")) == (math.inf, 120.0, 60.0)


def test_a_web_server_is_asked_for_the_frontend_by_both_questions() -> None:
    web = next(s for s in CLUSTER.services if s.kind == "http")
    assert service_registry.settings_of(web, CLUSTER)["host_header"] == str(CLUSTER.vip)
    assert f"\r\nHost: {CLUSTER.vip}\r\n".encode() in service_registry.hello(web, CLUSTER).say
    elsewhere = web.model_copy(update={"port": 8080})
    assert service_registry.settings_of(elsewhere, CLUSTER)["host_header"] == f"{CLUSTER.vip}:8080"
    named = web.model_copy(update={"settings": {**web.settings, "host_header": "shop.example"}})
    assert service_registry.settings_of(named, CLUSTER)["host_header"] == "shop.example"
