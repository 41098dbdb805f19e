"""The way to Azure's instance metadata service, where fencing needs it."""

from __future__ import annotations

import pytest
from diagnosis_sample import faults, node, only, with_host

from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import HostSeen
from harness.diagnosis.firewall import parse
from harness.diagnosis.host_config import pacemaker_resources
from harness.hosts.linux.linux_parse import Route

METADATA = "169.254.169.254"
CIB = """<cib><configuration><resources><primitive id="fence" class="stonith" type="fence_azure_arm"><instance_attributes id="a">
<nvpair id="m" name="msi" value="{}"/></instance_attributes></primitive></resources></configuration></cib>"""
UNITS = pacemaker_resources.parse(CIB.format("true"), "ip")
TABLE = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{}\nCOMMIT\n"
DROP = f"-A OUTPUT -d {METADATA}/32 -p tcp -m tcp --dport 80 -j DROP"


def asking(name: str = "lknode02", rules: str = DROP, route: Route | None = None, units: dict[str, str] | None = None) -> HostSeen:
    plain = node(name)
    routes = {**plain.routes, (METADATA, ""): route or Route("unicast", "eth0")}
    return node(name, firewall=parse(TABLE.format(rules)), routes=routes, units=UNITS if units is None else units)


def test_a_rule_that_keeps_a_fence_agent_from_its_token() -> None:
    only(with_host(asking()), "lknode02", METADATA, "fence no node could be fenced", "-j DROP")


@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit"])
def test_a_route_that_leads_nowhere(kind: str) -> None:
    only(with_host(asking(rules="", route=Route(kind))), "lknode02", METADATA, kind)


@pytest.mark.parametrize("agent", ["azure-events", "azure-events-az"])
def test_scheduled_events_are_heard_of_there(agent: str) -> None:
    only(with_host(asking(units={"agent events": agent})), "lknode02", "events hears of no scheduled event")


@pytest.mark.parametrize(
    ("rules", "units"),
    [
        ("", UNITS),
        (DROP, pacemaker_resources.parse(CIB.format("false"), "ip")),  # it logs in by a secret
        (DROP, {}),
        (f"-A OUTPUT -d {METADATA}/32 -p tcp -m owner --uid-owner 0 -j ACCEPT\n{DROP}", UNITS),  # a hardening as Azure's agent makes it
        (f"-A OUTPUT -d {METADATA}/32 -p tcp -m owner ! --uid-owner 0 -j DROP", UNITS),
    ],
)
def test_what_does_not_keep_it_back(rules: str, units: dict[str, str]) -> None:
    assert faults(diagnose(with_host(asking(rules=rules, units=units)))) == []
