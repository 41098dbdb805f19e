"""The VIP or the probe's port that two resources of Pacemaker have, or one that runs on both nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosis_sample import evidence, faults, listening, node, only

from harness.core.finding import Finding, Weight
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.linux_host_script_parse import host
from harness.hosts.linux.linux_parse import InterfaceAddress

PAIR = '<nvpair id="p-{0}-{1}" name="{0}" value="{1}"/>'
META = '<meta_attributes id="m">{}</meta_attributes>'
VIP, PORT = PAIR.format("ip", "10.20.1.200"), PAIR.format("port", "12345")


def primitive(tag: str, agent: str, parameter: str, more: str = "") -> str:
    watched = '<operations><op id="o" name="monitor" interval="10s"/></operations>'
    given = f'<instance_attributes id="i-{tag}">{parameter}</instance_attributes>{watched}{more}'
    return f'<primitive id="{tag}" class="ocf" provider="heartbeat" type="{agent}">{given}</primitive>'


IP = primitive("ip-10.20.1.200", "IPaddr2", VIP)
LB = primitive("lbhc-12345", "azure-lb", PORT)
SECOND_IP, SECOND_LB = primitive("ip-app2", "IPaddr2", VIP), primitive("lb-app2", "azure-lb", PORT)


def clone(inside: str, *meta: str) -> str:
    return f'<clone id="lb-clone">{META.format("".join(meta))}{inside}</clone>'


def seen(resources: str, *, on_standby: bool = False) -> Evidence:
    units = host("it", f"@@ configuration\n<cib><configuration><resources>{resources}</resources></configuration></cib>\n").units
    base = evidence()
    sound = node("lknode02")
    vip = [InterfaceAddress("eth1", "10.20.1.200", 32, "UP")] if on_standby else []
    listeners = [listening(12345, process="nc")] if on_standby else []
    there = node("lknode02", addresses=[*(sound.addresses or ()), *vip], listeners=listeners, units=units)
    findings = [Finding(Weight.FAULT, "lknode02", "VIP", "it is on eth1/32 of a node that is not active", "delete it there", ("HAIR-08",))]
    findings += [Finding(Weight.FAULT, "lknode02", "probe port", "it is open", "close it", ())]
    hosts = {**base.hosts, "lknode01": node("lknode01", units=units), "lknode02": there}
    return replace(base, hosts=hosts, findings=findings if on_standby else [])


def test_an_address_of_two_resources_is_told_with_what_they_are_and_not_to_be_deleted_by_hand() -> None:
    told = [c for c in faults(diagnose(seen(IP + SECOND_IP + LB, on_standby=True))) if "probe" not in c.says]
    assert [(c.host, c.certainty) for c in told] == [("lknode02", Certainty.CERTAIN)], told
    assert "ip-10.20.1.200 and ip-app2 both have the address 10.20.1.200" in told[0].says and "lknode02 has it on eth1" in told[0].says
    assert "the manager puts back" in told[0].do and "`ip addr del`" in told[0].do
    likely = only(seen(IP + SECOND_IP + LB), "lknode02", "both have the address 10.20.1.200")
    assert likely.certainty is Certainty.LIKELY


@pytest.mark.parametrize(("resources", "words"), [
    (IP + clone(LB), ("lbhc-12345 is in the clone lb-clone", "pcs resource unclone")),
    (IP + LB + SECOND_LB, ("lb-app2 and lbhc-12345 both have the probe's port 12345",)),
])  # fmt: skip
def test_a_responder_on_both_nodes_by_the_configuration(resources: str, words: tuple[str, ...]) -> None:
    told = [c for c in faults(diagnose(seen(resources, on_standby=True))) if "VIP" not in c.says]
    assert [c.certainty for c in told] == [Certainty.CERTAIN], "neither the open port nor who listens there is told beside it"
    assert all(word in f"{told[0].says} {told[0].do}" for word in words), told
    assert only(seen(resources), "lknode02", *words).certainty is Certainty.LIKELY


@pytest.mark.parametrize("resources", [
    IP + LB,
    IP + LB + primitive("ip2", "IPaddr2", PAIR.format("ip", "10.20.1.210")) + primitive("lb2", "azure-lb", PAIR.format("port", "1")),
    IP + SECOND_IP.replace("</primitive>", META.format(PAIR.format("target-role", "Stopped")) + "</primitive>") + LB,
    IP + LB + f'<group id="g">{META.format(PAIR.format("target-role", "stopped"))}{SECOND_LB}</group>',
    IP + clone(LB, PAIR.format("clone-max", "1")),
    IP + clone(LB, PAIR.format("promotable", "true")),
    clone(primitive("ping", "ping", PAIR.format("host_list", "10.20.1.20"))) + IP + LB,
    IP + LB + primitive("other", "IPsrcaddr", VIP),
])  # fmt: skip
def test_what_one_node_has_at_a_time_is_no_fault(resources: str) -> None:
    assert faults(diagnose(seen(resources))) == []


def test_a_fence_device_and_a_service_with_that_number_are_no_responders() -> None:
    watched = '<operations><op id="w" name="monitor" interval="60s"/></operations>'
    fence = (
        f'<primitive id="f" class="stonith" type="fence_x"><instance_attributes id="x">{PORT}</instance_attributes>{watched}</primitive>'
    )
    assert faults(diagnose(seen(IP + LB + fence))) == []
