"""The diagnosis of a cluster file that names resources which the cluster manager does not have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosis_sample import CLUSTER, WEB, evidence, faults, node, only, state

from harness.config.cluster_config import Cluster
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.linux_host_script_parse import host


def asked_with(kind: str = "lifekeeper", **more: str) -> Cluster:
    services = [s.model_copy(update={"tag": more["web"]}) if s == WEB and "web" in more else s for s in CLUSTER.services]
    manager = CLUSTER.manager.model_copy(update={"kind": kind, "resource": more.get("resource", CLUSTER.manager.resource)})
    address = CLUSTER.ip_resource.model_copy(update={"tag": more.get("address", CLUSTER.ip_resource.tag)})
    return CLUSTER.model_copy(update={"services": services, "manager": manager, "ip_resource": address})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"web": "http-8080"}, ("http-8080 (services: web) is no resource of LifeKeeper on either node", "http-80 may be meant")),
        ({"address": "ip-vip"}, ("ip-vip (ip_resource.tag)", "ip-10.20.1.200 may be meant")),
        ({"resource": "cluster-service"}, ("cluster-service (manager.resource)", "cluster-services may be meant")),
        ({"web": "apache"}, ("apache (services: web)", "http-80 may be meant")),  # which has its port in its name
    ],
)
def test_a_tag_that_the_manager_does_not_have(wrong: dict[str, str], words: tuple[str, ...]) -> None:
    cause = only(evidence(cluster=asked_with(**wrong)), "lknode01", *words)
    assert cause.certainty is Certainty.CERTAIN and "the cluster file" in cause.do
    assert diagnose(evidence()).causes == ()


def test_what_is_not_known_of_a_manager_is_not_told() -> None:
    wrong = evidence(cluster=asked_with(web="http-8080"))
    nodes = wrong.state.nodes
    for other in ({"running": False, "why": "away"}, {"resources": {}}):
        away = replace(wrong.state, nodes={**nodes, "lknode02": replace(nodes["lknode02"], **other)})
        assert not [c for c in diagnose(replace(wrong, state=away)).causes if "http-8080" in c.says], other
    assert not [c for c in diagnose(replace(wrong, moved=True)).causes if "http-8080" in c.says]


CIB = """<cib><configuration><resources><group id="cluster-services"><primitive id="http-80" class="ocf" type="anything"/></group>
<clone id="pages"><primitive id="http-8080" class="ocf" type="anything"/></clone></resources></configuration></cib>"""


def of_pacemaker(resource: str, web: str, configuration: str = CIB) -> Evidence:
    """Whose state has neither groups nor clones."""
    units = host("it", f"@@ configuration\n{configuration}\n", "ip-10.20.1.200").units
    told = state()
    nodes = {
        name: replace(one, resources={tag: s for tag, s in one.resources.items() if tag != "cluster-services"})
        for name, one in told.nodes.items()
    }
    cluster = asked_with("pacemaker", resource=resource, web=web)
    return evidence(cluster=cluster, state=replace(told, nodes=nodes), hosts={n: node(n, units=units) for n in ("lknode01", "lknode02")})


def test_groups_and_clones_of_pacemakers_are_known_by_its_configuration() -> None:
    assert not [c for c in faults(diagnose(of_pacemaker("cluster-services", "http-80"))) if "is no resource" in c.says]
    assert not [c for c in faults(diagnose(of_pacemaker("pages", "http-8080"))) if "is no resource" in c.says]
    (told,) = [c for c in faults(diagnose(of_pacemaker("cluster-service", "http-80"))) if "is no resource" in c.says]
    assert "no resource of Pacemaker" in told.says and "cluster-services may be meant" in told.says
    assert not [c for c in faults(diagnose(of_pacemaker("cluster-service", "http-80", ""))) if "is no resource" in c.says]
