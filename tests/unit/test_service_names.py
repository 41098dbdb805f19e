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


def test_a_kind_that_nobody_measured_is_as_impatient_as_a_database() -> None:
    assert (bears_silence_s("tcp"), bears_silence_s("http"), bears_silence_s("mssql")) == (math.inf, 120.0, 60.0)


def test_a_web_server_is_asked_for_the_frontend_by_both_questions() -> None:
    web = next(s for s in CLUSTER.services if s.kind == "http")
    assert service_registry.settings_of(web, CLUSTER)["host_header"] == str(CLUSTER.vip)
    assert f"\r\nHost: {CLUSTER.vip}\r\n".encode() in service_registry.hello(web, CLUSTER).say
    elsewhere = web.model_copy(update={"port": 8080})
    assert service_registry.settings_of(elsewhere, CLUSTER)["host_header"] == f"{CLUSTER.vip}:8080"
    named = web.model_copy(update={"settings": {**web.settings, "host_header": "shop.example"}})
    assert service_registry.settings_of(named, CLUSTER)["host_header"] == "shop.example"
