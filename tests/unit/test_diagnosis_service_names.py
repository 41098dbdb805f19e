"""The diagnosis of names by which clients call a service: they have to lead to the frontend."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from diagnosis_sample import CLUSTER, WEB, client, evidence, node

from harness.collect.linux_host_script import script
from harness.config import service_settings
from harness.config.cluster_config import Cluster
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.hosts.linux.linux_parse import InterfaceAddress
from harness.managers.manager_registry import manager_of


def named(**settings: str) -> Cluster:
    services = [s.model_copy(update={"settings": {**s.settings, **settings}}) if s.name == WEB.name else s for s in CLUSTER.services]
    return CLUSTER.model_copy(update={"services": services})


def resolving(*addresses: str, **settings: str) -> Evidence:
    told = settings or {"host_header": "shop.example:8080"}
    name = next(iter(service_settings.names_asked_for(told)), "")
    base = evidence(cluster=named(**told))
    return replace(base, hosts={**base.hosts, "lkclient": client(names={name: addresses})})


def told(seen: Evidence) -> list[tuple[str, Certainty]]:
    return [(c.host, c.certainty) for c in diagnose(seen).causes if "ask for" in c.says]


@pytest.mark.parametrize("addresses", [("10.20.1.11",), ("10.20.2.12",), ("10.20.1.12", "fd00::1")])
def test_a_name_that_leads_to_a_node(addresses: tuple[str, ...]) -> None:
    assert told(resolving(*addresses)) == [("lkclient", Certainty.LIKELY)]
    assert "shop.example, which clients of web ask for (host_header)" in diagnose(resolving(*addresses)).causes[0].says


def test_a_third_nic_of_a_node_is_a_nodes_too() -> None:
    seen = resolving("10.30.1.11")
    assert told(seen) == [("lkclient", Certainty.POSSIBLE)]  # a proxy, an application gateway
    its = [*(node("lknode01").addresses or ()), InterfaceAddress("eth2", "10.30.1.11", 24, "UP")]
    assert told(replace(seen, hosts={**seen.hosts, "lknode01": node("lknode01", addresses=its)})) == [("lkclient", Certainty.LIKELY)]


@pytest.mark.parametrize(
    ("addresses", "settings"),
    [
        (("10.20.1.200",), {}),
        (("10.20.1.11", "10.20.1.200"), {}),
        ((), {}),  # no client knows it
        (("fd00::11",), {}),
        (("127.0.0.1",), {}),
        (("10.20.1.11",), {"host_header": "10.20.1.11"}),  # an address
        (("10.20.1.11",), {"host_header": "lknode01.example"}),  # a node's own name
        (("10.20.1.11",), {"certificate_name": "LKNODE01"}),
        (("10.20.1.11",), {"host_header": "-x; reboot"}),
    ],
)
def test_what_leads_to_the_frontend_or_is_no_clients_name(addresses: tuple[str, ...], settings: dict[str, str]) -> None:
    assert told(resolving(*addresses, **settings)) == []


def test_the_name_of_a_certificate_alone_is_possible_only() -> None:
    assert told(resolving("10.20.1.11", certificate_name="db1.example")) == [("lkclient", Certainty.POSSIBLE)]


def test_the_client_alone_resolves_such_names() -> None:
    cluster = named(host_header="localhost:80", certificate_name="$(touch /tmp/x)")
    for machine in (cluster.client, cluster.nodes[0]):
        text = script(cluster, machine, manager_of(cluster, {}))
        names = text.partition("for name in ")[2].partition(";")[0].split()
        assert ("localhost" in names) is (machine is cluster.client) and "touch" not in text
    text = subprocess.run(["sh", "-c", script(cluster, cluster.client, manager_of(cluster, {}))], capture_output=True, text=True).stdout
    assert "\nlocalhost " in text.partition("@@ names")[2].partition("@@")[0]
